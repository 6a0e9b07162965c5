"""Servers that must neither hang, nor flood, nor fool a judge: `server.py KIND HOST:PORT`.

Each is broken altogether, while a mutant is broken in one case. ci/hostile.sh judges them. It also
prints the docstring of each kind, in the table of docs/METHODOLOGY.md.
"""

import os
import signal
import socket
import sys
import threading
import time

FOR_EVER = 1e6


def serve(listener, connection):
    """Calls `connection` for each client, in a thread per client."""

    def guarded(client):
        try:
            connection(client)
        except OSError:
            pass
        client.close()

    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            # There is no free descriptor. Until there is one, the other clients are served.
            time.sleep(0.05)
            continue
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            threading.Thread(target=guarded, args=(client,), daemon=True).start()
        except RuntimeError:
            # No thread can be started. This client is dropped, and the others are served.
            client.close()


def echo(client):
    while data := client.recv(65536):
        client.sendall(data)


def never_accepts(_listener):
    """Listens, and never accepts."""
    time.sleep(FOR_EVER)


def says_nothing(listener):
    """Accepts, reads nothing, and says nothing."""
    serve(listener, lambda _client: time.sleep(FOR_EVER))


def swallows(listener):
    """Reads everything and answers nothing."""

    def swallow(client):
        while client.recv(65536):
            pass

    serve(listener, swallow)


def drips(listener):
    """Echoes one byte per second."""

    def drip(client):
        while data := client.recv(4096):
            for byte in data:
                client.sendall(bytes([byte]))
                time.sleep(1)

    serve(listener, drip)


def trickles(listener):
    """Echoes 100 bytes per second, which looks like progress."""

    def trickle(client):
        while data := client.recv(100):
            client.sendall(data)
            time.sleep(1)

    serve(listener, trickle)


def floods(listener):
    """Sends an endless stream that nobody asked for."""

    def flood(client):
        while True:
            client.sendall(b"x" * 65536)

    serve(listener, flood)


def every_other(listener):
    """Serves every second connection, and ignores the others."""
    count = 0
    lock = threading.Lock()

    def serve_half(client):
        nonlocal count
        with lock:
            count += 1
            is_served = count % 2 == 0
        if is_served:
            echo(client)
        else:
            time.sleep(FOR_EVER)

    serve(listener, serve_half)


def closes(listener):
    """Closes every connection at once."""
    while True:
        listener.accept()[0].close()


def dies(listener):
    """Ends with status 7 at the first connection."""
    listener.accept()
    os._exit(7)


def suspends_itself(listener):
    """Suspends itself at the first connection."""
    serve(listener, lambda _client: os.kill(os.getpid(), signal.SIGSTOP))


def daemon(listener):
    """Ends after it has started a child in a new session, which serves and ignores SIGTERM."""
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        serve(listener, echo)
    os._exit(0)


def forks(listener):
    """Serves correctly, next to a child in a new session that also serves and ignores SIGTERM."""
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    serve(listener, echo)


def spams(listener):
    """Serves, but writes to both standard streams without end, so that it is never idle."""

    def spam():
        while True:
            os.write(1, b"y" * 65536 + b"\n")
            os.write(2, b"z" * 65536)

    threading.Thread(target=spam, daemon=True).start()
    serve(listener, echo)


def closes_streams(listener):
    """Serves correctly, with its standard streams closed."""
    for stream in range(3):
        os.close(stream)
    serve(listener, echo)


KINDS = [
    never_accepts,
    says_nothing,
    swallows,
    drips,
    trickles,
    floods,
    every_other,
    closes,
    dies,
    suspends_itself,
    daemon,
    forks,
    spams,
    closes_streams,
]


def main():
    kinds = {kind.__name__.replace("_", "-"): kind for kind in KINDS}
    name, address = sys.argv[1:]
    host, port = address.rsplit(":", 1)
    kinds[name](socket.create_server((host, int(port)), backlog=1024))


if __name__ == "__main__":
    main()
