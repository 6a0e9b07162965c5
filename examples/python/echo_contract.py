"""Echo server on asyncio that speaks docs/CONTRACT.md: one protocol object per connection.

Usage:  python3 echo_contract.py [--listen 127.0.0.1:8080]... [--announce text|json] ...
Needs:  Python 3.11 on a system with epoll or kqueue; no packages.
"""

import argparse
import asyncio
import contextlib
import ipaddress
import json
import os
import platform
import re
import resource
import selectors
import signal
import socket
import sys
import threading

BACKLOG = 1024
ACCEPT_PAUSE_SECONDS = 0.2
EX_UNAVAILABLE = 69
UNIT_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
DRIVER = "epoll" if hasattr(selectors, "EpollSelector") else "kqueue"
SELECTOR = selectors.EpollSelector if DRIVER == "epoll" else selectors.KqueueSelector


class Echo(asyncio.BufferedProtocol):
    """One connection. It reads only while nothing is left to write, which bounds its memory."""

    def __init__(self, server):
        self.server = server
        self.buffer = memoryview(bytearray(server.options.buffer))
        self.finishing = False
        self.gone = server.loop.create_future()

    def connection_made(self, transport):
        self.transport = transport
        # Calls pause_writing at the first byte that the kernel does not take.
        transport.set_write_buffer_limits(high=0)

    def get_buffer(self, _size_hint):
        return self.buffer

    def buffer_updated(self, count):
        if not self.finishing:
            # A copy, because the transport keeps what it cannot write yet.
            self.transport.write(bytes(self.buffer[:count]))

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()

    def eof_received(self):
        return False  # The transport writes what is left, sends FIN and closes.

    def connection_lost(self, _error):
        self.server.open.discard(self)
        self.gone.set_result(None)

    def finish(self):
        """Sends FIN after the bytes that are left to write. Input from now on is dropped."""
        self.finishing = True
        try:
            self.transport.write_eof()
        except OSError:  # The client has reset it, which the transport has not noticed yet.
            self.transport.abort()


class Server:
    """The listeners, the connections, and the drain after the stop signal."""

    def __init__(self, options):
        self.options = options
        self.loop = asyncio.get_running_loop()
        self.listeners = [
            listen(str(host), port, options.dual_stack) for _, host, port in options.listen
        ]
        self.open = set()
        self.starting = set()
        self.stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(number, self.on_signal)
        for listener in self.listeners:
            self.watch(listener)
        if options.stop_on_stdin_eof:
            # In a thread, because epoll accepts neither files nor /dev/null.
            threading.Thread(target=self.wait_for_stdin_eof, daemon=True).start()

    def on_signal(self):
        if self.stop.is_set():
            log(f"stopped by a second signal; connections cut: {len(self.open)}")
            os._exit(1)
        self.stop.set()

    def wait_for_stdin_eof(self):
        with contextlib.suppress(OSError):  # Closed standard input is at its end, too.
            while os.read(0, 4096):
                pass
        self.loop.call_soon_threadsafe(self.stop.set)

    def watch(self, listener):
        if not self.stop.is_set():
            self.loop.add_reader(listener, self.on_client, listener)

    def on_client(self, listener):
        if error := self.take_queue(listener):
            # Without a free descriptor, the listener stays readable, and watching it would spin. So
            # it is not watched for a while, and then tried again even if no client arrives.
            log(f"accept: {error}; trying again in {ACCEPT_PAUSE_SECONDS} s")
            self.loop.remove_reader(listener)
            self.loop.call_later(ACCEPT_PAUSE_SECONDS, self.watch, listener)

    def take_queue(self, listener):
        """Accepts the clients that wait. Returns the error that stopped it, or None."""
        for _ in range(BACKLOG + 1):
            try:
                client, _address = listener.accept()
            except BlockingIOError:
                break
            except ConnectionAbortedError:
                continue
            except OSError as error:
                return error
            client.setblocking(False)
            with contextlib.suppress(OSError):  # Fails on macOS if the client has reset.
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            echo = Echo(self)
            self.open.add(echo)
            start = self.loop.connect_accepted_socket(lambda echo=echo: echo, client)
            # Kept, because the loop holds only weak references to its tasks.
            task = self.loop.create_task(start)
            self.starting.add(task)
            task.add_done_callback(self.starting.discard)
        return None

    async def drain(self):
        """Ends every connection cleanly, until the drain deadline."""
        deadline = self.loop.time() + self.options.drain
        for listener in self.listeners:
            self.loop.remove_reader(listener)
            self.take_queue(listener)  # Closing a listener resets the clients in its queue.
            listener.close()
        await asyncio.gather(*self.starting)
        # Bytes that have arrived by now are still echoed: the loop polls for them before the first
        # sleep returns, and has handled them before the second one returns.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ends = [echo.gone for echo in self.open]
        for echo in list(self.open):
            echo.finish()
        if ends:
            await asyncio.wait(ends, timeout=deadline - self.loop.time())
        log(f"drained; connections cut: {len(self.open)}")


def log(text):
    """Writes to standard error, which must not end the server if nobody reads it."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def text_of(host, port, *_scope):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen(host, port, both):
    if not ipaddress.ip_address(host).is_loopback:
        log(f"warning: other hosts can reach {text_of(host, port)}, an open echo server")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # Sets SO_REUSEADDR, so that TIME_WAIT does not hold the port, and not SO_REUSEPORT, with
        # which a second server could start on the same port.
        listener = socket.create_server(
            (host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both and host == "::"
        )
    except OSError as error:
        sys.exit(f"error: listen on {text_of(host, port)}: {error}")
    listener.setblocking(False)
    return listener


async def serve(options):
    server = Server(options)
    addresses = [text_of(*listener.getsockname()) for listener in server.listeners]
    runtime = f"{platform.python_implementation()} {platform.python_version()} asyncio"
    if options.announce == "json":
        print(json.dumps({
            "ready": 1, "listeners": [f"tcp:{address}" for address in addresses],
            "backend": "python-asyncio", "runtime": runtime, "model": "readiness",
            "driver": DRIVER, "flavor": "default", "workers": 1, "capabilities": []}), flush=True)
    else:
        print("\n".join(f"Server listening on {address}" for address in addresses), flush=True)
    log(f"{runtime}, model readiness, driver {DRIVER}, 1 worker")
    await server.stop.wait()
    await server.drain()


def parse_listen(text):
    kind, _, rest = text.partition(":")
    if kind in ("udp", "unix", "unixgram", "cpu"):
        return kind, None, None
    parts = re.fullmatch(r"(?:\[(.+)]|([0-9.]+)):([0-9]{1,5})", rest if kind == "tcp" else text)
    with contextlib.suppress(ValueError):
        if parts and int(parts[3]) <= 65535:
            return "tcp", ipaddress.ip_address(parts[1] or parts[2]), int(parts[3])
    raise argparse.ArgumentTypeError(f"{text!r}: write 127.0.0.1:8080, or [::1]:0 for any port")


def parse_drain(text):
    parts = re.fullmatch("([0-9]{1,5})(ms|s|m|h)", text)
    if not parts:
        raise argparse.ArgumentTypeError(f"{text!r}: write a duration, such as 5s or 500ms")
    return int(parts[1]) * UNIT_SECONDS[parts[2]]


def parse_buffer(text):
    if not text.isdecimal() or not 1 <= int(text) <= 16 << 20:
        raise argparse.ArgumentTypeError(f"{text!r}: write 1 to 16777216")
    return int(text)


def main():
    parser = argparse.ArgumentParser(description="An echo server on asyncio.", allow_abbrev=False)
    parser.add_argument("--listen", action="append", type=parse_listen, metavar="KIND:ADDR")
    parser.add_argument("--dual-stack", action="store_true")
    parser.add_argument("--announce", choices=("text", "json"), default="text")
    parser.add_argument("--flavor", choices=("default",))
    parser.add_argument("--driver", default=DRIVER, metavar="NAME")
    parser.add_argument("--workers", type=int, choices=(1,), help="it has one thread by nature")
    parser.add_argument("--buffer", type=parse_buffer, default=4096, metavar="BYTES")
    parser.add_argument("--drain", type=parse_drain, default=5, metavar="DURATION")
    parser.add_argument("--stop-on-stdin-eof", action="store_true")
    parser.add_argument("--capability", action="append", default=[], metavar="NAME")
    options = parser.parse_args()
    options.listen = options.listen or [parse_listen("127.0.0.1:8080")]

    lacks = [f"{kind} listeners" for kind, _, _ in options.listen if kind != "tcp"]
    lacks += [f"capability {name}" for name in options.capability]
    lacks += [f"driver {options.driver}"] if options.driver != DRIVER else []
    if lacks:
        print(json.dumps({"unsupported": f"python-asyncio has no {lacks[0]}"}), flush=True)
        sys.exit(EX_UNAVAILABLE)
    with contextlib.suppress(OSError, ValueError):  # macOS refuses its own hard limit.
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # The usual soft limit is 1024.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(SELECTOR())) as runner:
        runner.run(serve(options))


if __name__ == "__main__":
    main()
