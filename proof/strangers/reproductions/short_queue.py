"""The server is suspended while 1,000 clients connect. Its accept queue has no room for them."""

import os
import select
import signal
import socket
import sys

os.kill(int(sys.argv[2]), signal.SIGSTOP)
clients = [socket.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK) for _ in range(1000)]
poll = select.poll()
for client in clients:
    client.connect_ex(("127.0.0.1", int(sys.argv[1])))
    poll.register(client, select.POLLOUT)
connected = len(poll.poll(1000))
os.kill(int(sys.argv[2]), signal.SIGCONT)
print(f"{connected} of 1000 clients connected")
sys.exit(0 if connected < 1000 else 1)
