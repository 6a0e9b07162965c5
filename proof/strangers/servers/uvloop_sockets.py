"""An echo server on uvloop with the loop's socket calls and listen(5), as in uvloop's example.

Usage:  python3 uvloop_sockets.py HOST:PORT
"""

import asyncio
import socket
import sys

import uvloop


async def echo(loop, client):
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with client:
        while chunk := await loop.sock_recv(client, 100_000):
            await loop.sock_sendall(client, chunk)


async def main():
    loop = asyncio.get_running_loop()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    host, port = sys.argv[1].split(":")
    listener.bind((host, int(port)))
    listener.listen(5)
    listener.setblocking(False)
    tasks = set()
    while True:
        client, _address = await loop.sock_accept(listener)
        task = asyncio.create_task(echo(loop, client))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
