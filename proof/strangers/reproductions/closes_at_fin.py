"""A client sends 1,000 bytes and FIN. The server closes and never sends the bytes back."""

import socket
import sys

with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10) as client:
    client.sendall(bytes(1000))
    client.shutdown(socket.SHUT_WR)
    received = 0
    while chunk := client.recv(4096):
        received += len(chunk)
print(f"{received} of 1000 bytes came back")
sys.exit(0 if received < 1000 else 1)
