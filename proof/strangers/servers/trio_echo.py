"""The echo server of trio's tutorial: serve_tcp, and a loop over the stream.

Usage:  python3 trio_echo.py HOST:PORT
"""

import sys

import trio


async def echo(stream):
    try:
        async for chunk in stream:
            await stream.send_all(chunk)
    except trio.BrokenResourceError:
        pass  # The client has gone. The tutorial catches Exception here.


async def main():
    host, port = sys.argv[1].split(":")
    await trio.serve_tcp(echo, int(port), host=host)


trio.run(main)
