"""A client sends 32 MiB and FIN, and then reads. The server closes before it has echoed all."""

import socket
import sys

SENT = 32 << 20
with socket.socket() as client:
    client.settimeout(20)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.connect(("127.0.0.1", int(sys.argv[1])))
    client.sendall(bytes(SENT))
    client.shutdown(socket.SHUT_WR)
    received = 0
    while chunk := client.recv(65536):
        received += len(chunk)
print(f"{received} of {SENT} bytes came back")
sys.exit(0 if received < SENT else 1)
