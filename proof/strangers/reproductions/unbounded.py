"""A client sends 200 MiB and reads nothing. The server keeps all of it in memory."""

import socket
import sys

MIB = 1 << 20
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5) as client:
    taken = 0
    try:
        while taken < 200:
            client.sendall(bytes(MIB))
            taken += 1
    except TimeoutError:
        pass
print(f"{taken} MiB taken")
sys.exit(0 if taken >= 200 else 1)
