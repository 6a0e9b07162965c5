// The shortest echo server of Node.js: a socket piped into itself, with no 'error' listener.
//
// Usage:  node node_pipe.mjs HOST:PORT

import net from "node:net";

const [host, port] = process.argv[2].split(":");
net
  .createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket))
  .listen(Number(port), host);
