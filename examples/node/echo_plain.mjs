// A plain echo server on Node.js streams.
//
// Usage:  node echo_plain.mjs 127.0.0.1:8080
// Needs:  Node.js 20; no packages.
// Lacks:  a pause when there is no free descriptor. libuv then accepts every client that waits, and
//         closes it (joyent/libuv#315). A program cannot leave them in the accept queue meanwhile
//         (nodejs/node#1744).

import net from "node:net";

const [, host, port] = process.argv[2]?.match(/^\[?(.+?)\]?:(\d+)$/) ?? [];
if (!host) {
  console.error("usage: node echo_plain.mjs HOST:PORT");
  process.exit(2);
}

// With allowHalfOpen, a client that has sent FIN still gets the rest of its echo; pipe() then sends
// FIN to it. pipe() also stops reading from a client that does not read.
const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  socket.on("error", () => {}); // The client is gone; the stream closes itself.
  socket.pipe(socket);
});

server.on("error", (error) => {
  console.error(error.message);
  // An error of accept concerns one client, and the server keeps running.
  if (!server.listening) process.exit(1);
});
server.listen({ host, port: Number(port), backlog: 1024 }, () => {
  console.error("listening on", host, server.address().port);
});
