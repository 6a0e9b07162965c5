// Echo server on Node.js that speaks docs/CONTRACT.md: one stream per connection.
//
// Usage:  node echo_contract.mjs [--listen 127.0.0.1:8080]... [--announce text|json] ...
// Needs:  Node.js 20; no packages.
// Lacks:  a pause when there is no free descriptor. libuv then accepts every client that waits, and
//         closes it (joyent/libuv#315). A program cannot leave them in the accept queue meanwhile
//         (nodejs/node#1744).

import { writeSync } from "node:fs";
import net from "node:net";
import { once } from "node:events";
import { parseArgs } from "node:util";

const BACKLOG = 1024;
const EX_UNAVAILABLE = 69;
const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const DRIVERS = { linux: "epoll", darwin: "kqueue", freebsd: "kqueue", win32: "iocp" };
const DRIVER = DRIVERS[process.platform];

/** The open connections, each with the function that ends it cleanly after the stop. */
const open = new Map();
let served = 0;
let stopping = false;

const log = (text) => {
  try {
    writeSync(2, `${text}\n`);
  } catch {
    // Nobody reads standard error, which must not end the server.
  }
};
const textOf = ({ address, family, port }) =>
  family === "IPv6" ? `[${address}]:${port}` : `${address}:${port}`;

/** Serves one connection. It is read only while little is left to write. */
function echo(socket) {
  served += 1;
  const write = (bytes) => {
    if (!socket.write(bytes)) socket.pause();
  };
  socket.on("data", write);
  socket.on("drain", () => socket.resume());
  // FIN follows what is left to write. The stream closes itself after both directions have ended.
  socket.on("end", () => socket.end());
  socket.on("error", () => {}); // A reset ends only this connection; "close" comes next.
  socket.on("close", () => {
    open.delete(socket);
    if (stopping && open.size === 0) exitDrained();
  });
  open.set(socket, () => {
    // Bytes that were read before a pause are still in the stream; read() passes them to "data".
    while (socket.read() !== null);
    socket.off("data", write);
    socket.end();
    socket.resume(); // Input from now on is dropped, until the client's FIN.
  });
}

/** Returns a listener once it listens. */
async function listen({ host, port }, bufferBytes, ipv6Only) {
  if (!host.startsWith("127.") && host !== "::1") {
    log(`warning: other hosts can reach ${host} port ${port}, an open echo server`);
  }
  // libuv always reads at most 64 KiB. --buffer sets how many unwritten bytes pause reading.
  const server = net.createServer(
    { allowHalfOpen: true, noDelay: true, highWaterMark: bufferBytes },
    echo,
  );
  // Node sets SO_REUSEADDR on Unix, and SO_REUSEPORT only if it is told to.
  server.listen({ host, port, backlog: BACKLOG, ipv6Only });
  try {
    await once(server, "listening");
  } catch (error) {
    log(`error: listen on ${host} port ${port}: ${error.message}`);
    process.exit(1);
  }
  server.on("error", (error) => log(`accept: ${error.message}`));
  return server;
}

function exitDrained() {
  log(`drained; connections cut: ${open.size}`);
  process.exit(0);
}

function stop(listeners, drainMs) {
  if (stopping) return;
  stopping = true;
  setTimeout(exitDrained, drainMs);
  takeQueues(0, () => {
    for (const listener of listeners) listener.close();
    for (const finish of open.values()) finish();
    if (open.size === 0) exitDrained();
  });
}

/** Waits until the accept queues are empty: closing a listener would reset the clients in them. */
function takeQueues(turn, then) {
  const before = served;
  // Between two immediates the loop polls all its sockets, and libuv accepts one client per poll.
  setImmediate(() => {
    const isEmpty = turn > 0 && served === before;
    if (isEmpty || turn > BACKLOG) then();
    else takeQueues(turn + 1, then);
  });
}

function usage(message) {
  log(`error: ${message}`);
  process.exit(2);
}

/** Returns the address, or the kind of listener that this server lacks. */
function parseListen(text) {
  const [, kind, rest] = text.match(/^(?:(tcp|udp|unix|unixgram|cpu):)?(.*)$/s);
  if (kind && kind !== "tcp") return { kind };
  const [, v6, v4, port] = rest.match(/^(?:\[(.+)\]|([0-9.]+)):([0-9]{1,5})$/) ?? [];
  if ((!net.isIPv6(v6) && !net.isIPv4(v4)) || port > 65535) {
    usage(`--listen '${text}': write 127.0.0.1:8080, or [::1]:0 for any free port`);
  }
  return { kind: "tcp", host: v6 ?? v4, port: Number(port) };
}

function parseOptions() {
  const string = (value) => ({ type: "string", default: value });
  const options = {
    listen: { ...string(["127.0.0.1:8080"]), multiple: true },
    "dual-stack": { type: "boolean", default: false },
    announce: string("text"),
    flavor: string("default"),
    driver: string(DRIVER ?? ""),
    workers: string("1"),
    buffer: string("4096"),
    drain: string("5s"),
    "stop-on-stdin-eof": { type: "boolean", default: false },
    capability: { ...string([]), multiple: true },
  };
  let values;
  try {
    ({ values } = parseArgs({ options }));
  } catch (error) {
    usage(error.message);
  }
  const { announce, flavor, workers, buffer } = values;
  if (!["text", "json"].includes(announce)) usage("--announce: write text or json");
  if (flavor !== "default") usage("--flavor: write default, the only one");
  if (workers !== "1") usage("--workers: it has one thread by nature: write 1");
  if (!/^[0-9]{1,8}$/.test(buffer) || buffer < 1 || buffer > 16 << 20) {
    usage("--buffer: write 1 to 16777216");
  }
  const [, count, unit] = values.drain.match(/^([0-9]{1,5})(ms|s|m|h)$/) ?? [];
  if (!unit) usage("--drain: write a duration, such as 5s or 500ms");
  return {
    ...values,
    listen: values.listen.map(parseListen),
    buffer: Number(buffer),
    drainMs: count * UNIT_MS[unit],
  };
}

const options = parseOptions();
const lacks = [
  ...options.listen.filter(({ kind }) => kind !== "tcp").map(({ kind }) => `${kind} listeners`),
  ...options.capability.map((name) => `capability ${name}`),
  ...(options.driver === (DRIVER ?? "") ? [] : [`driver ${options.driver}`]),
];
function refuse(why) {
  writeSync(1, `${JSON.stringify(why)}\n`);
  process.exit(EX_UNAVAILABLE);
}
if (!DRIVER) refuse({ unavailable: `what libuv waits with on ${process.platform} has no name` });
if (lacks.length > 0) refuse({ unsupported: `node has no ${lacks[0]}` });

const listeners = [];
for (const address of options.listen) {
  listeners.push(await listen(address, options.buffer, !options["dual-stack"]));
}
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => {
    if (stopping) {
      log(`stopped by a second signal; connections cut: ${open.size}`);
      process.exit(1);
    }
    stop(listeners, options.drainMs);
  });
}
if (options["stop-on-stdin-eof"]) {
  const end = () => stop(listeners, options.drainMs);
  process.stdin.on("end", end).on("error", end).resume();
}
const addresses = listeners.map((listener) => textOf(listener.address()));
const runtime = `Node.js ${process.versions.node} libuv ${process.versions.uv}`;
const model = DRIVER === "iocp" ? "completion" : "readiness";
const ready = {
  ready: 1, listeners: addresses.map((address) => `tcp:${address}`), backend: "node", runtime,
  model, driver: DRIVER, flavor: "default", workers: 1, capabilities: [],
};
const lines = addresses.map((address) => `Server listening on ${address}`);
writeSync(1, `${options.announce === "json" ? JSON.stringify(ready) : lines.join("\n")}\n`);
log(`${runtime}, model ${model}, driver ${DRIVER}, 1 worker`);
