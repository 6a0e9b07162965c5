"""The echo server of Twisted's introduction: a protocol that writes what it receives.

Usage:  python3 twisted_echo.py HOST:PORT
"""

import sys

from twisted.internet import protocol, reactor


class Echo(protocol.Protocol):
    def dataReceived(self, data):
        self.transport.write(data)


host, port = sys.argv[1].split(":")
reactor.listenTCP(int(port), protocol.Factory.forProtocol(Echo), interface=host)
reactor.run()
