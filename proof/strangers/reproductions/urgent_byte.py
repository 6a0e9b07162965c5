"""A client sends 1,000 bytes with an urgent byte among them. Not all of them come back."""

import socket
import sys

with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=3) as client:
    client.sendall(bytes(500))
    client.send(b"!", socket.MSG_OOB)
    client.sendall(bytes(500))
    received = 0
    try:
        while received < 1000 and (chunk := client.recv(4096)):
            received += len(chunk)
    except OSError as error:
        print(error)
print(f"{received} of 1000 bytes came back")
sys.exit(0 if received < 1000 else 1)
