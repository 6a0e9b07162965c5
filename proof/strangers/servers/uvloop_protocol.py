"""An echo server on uvloop with a protocol, as in asyncio's documentation.

Usage:  python3 uvloop_protocol.py HOST:PORT
"""

import asyncio
import sys

import uvloop


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


async def main():
    loop = asyncio.get_running_loop()
    host, port = sys.argv[1].split(":")
    server = await loop.create_server(Echo, host, int(port))
    await server.serve_forever()


with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
