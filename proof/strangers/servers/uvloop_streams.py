"""An echo server on uvloop with asyncio's streams: read, write, drain.

Usage:  python3 uvloop_streams.py HOST:PORT
"""

import asyncio
import sys

import uvloop


async def echo(reader, writer):
    while chunk := await reader.read(65536):
        writer.write(chunk)
        await writer.drain()
    writer.close()


async def main():
    host, port = sys.argv[1].split(":")
    server = await asyncio.start_server(echo, host, int(port))
    await server.serve_forever()


with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
