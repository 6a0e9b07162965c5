"""The server may open only 8 more descriptors, and 20 clients connect. Then it stops listening."""

import os
import resource
import socket
import sys
import time

address, pid = ("127.0.0.1", int(sys.argv[1])), int(sys.argv[2])
limit = len(os.listdir(f"/proc/{pid}/fd")) + 8
resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limit))
clients = [socket.socket() for _ in range(20)]
refused = any([client.connect_ex(address) for client in clients])
deadline = time.monotonic() + 5
while not refused and time.monotonic() < deadline:
    refused = socket.socket().connect_ex(address) != 0
print("it listens no more" if refused else "it still listens")
sys.exit(0 if refused else 1)
