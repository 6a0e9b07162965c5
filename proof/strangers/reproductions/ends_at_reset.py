"""A client sends 64 KiB and resets its connection. The server ends, for all of its clients."""

import socket
import struct
import sys
import time

address = ("127.0.0.1", int(sys.argv[1]))
ended, deadline = False, time.monotonic() + 5
while not ended and time.monotonic() < deadline:
    with socket.socket() as client:
        ended = client.connect_ex(address) != 0
        if not ended:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.send(bytes(65536))
print("it listens no more" if ended else "it still listens")
sys.exit(0 if ended else 1)
