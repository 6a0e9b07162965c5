"""A plain echo server on asyncio streams: one task per client.

Usage:  python3 echo_plain.py 127.0.0.1:8080
Needs:  Python 3.11 on Unix; no packages.
"""

import asyncio
import contextlib
import resource
import socket
import sys

BACKLOG = 1024
ACCEPT_PAUSE_SECONDS = 0.05
CHUNK_BYTES = 64 * 1024


async def echo(client):
    """Serves one client until its FIN or reset."""
    try:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader, writer = await asyncio.open_connection(sock=client)
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                writer.write(chunk)
                # Waits while the client does not read. Meanwhile the reader fills up to its limit
                # and then stops reading, so memory stays bounded.
                await writer.drain()
        finally:
            writer.close()  # Writes what is left, then sends FIN.
            await writer.wait_closed()
    except OSError:
        client.close()  # The client is gone, which ends only this connection.


async def serve(address):
    """Does not use start_server: after EMFILE that waits 1 s, and before that it calls accept as
    often as its `backlog` says (python/cpython#151615)."""
    # create_server sets SO_REUSEADDR on Unix, so that TIME_WAIT does not hold the port.
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listener = socket.create_server(address, family=family, backlog=BACKLOG)
    listener.setblocking(False)
    print("listening on", *address, file=sys.stderr, flush=True)
    tasks = set()  # The loop holds only weak references to its tasks.
    while True:
        try:
            client, _address = await asyncio.get_running_loop().sock_accept(listener)
        except OSError as error:
            # Printing fails if nobody reads standard error.
            with contextlib.suppress(OSError):
                print(f"accept: {error}", file=sys.stderr, flush=True)
            await asyncio.sleep(ACCEPT_PAUSE_SECONDS)
            continue
        task = asyncio.create_task(echo(client))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def main():
    if len(sys.argv) != 2 or ":" not in sys.argv[1]:
        sys.exit("usage: echo_plain.py ADDRESS:PORT")
    host, _, port = sys.argv[1].rpartition(":")
    with contextlib.suppress(OSError, ValueError):  # macOS refuses its own hard limit.
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # The usual soft limit is 1024.
    try:
        asyncio.run(serve((host.strip("[]"), int(port))))
    except OSError as error:
        sys.exit(f"listen on {sys.argv[1]}: {error}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
