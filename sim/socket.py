# Stand-in for the socket module: UDP as on a board, in the network of sim/network.py
# Name and time servers answer in virtual time; all else goes to real sockets of this PC.
import network
import usocket
import vclock
from micropython import const

AF_INET = 2
SOCK_DGRAM = 2

_EAGAIN = const(11)
_EHOSTUNREACH = const(118)
_NOT_KNOWN = const(-2)
_LOOKUP_MS = const(14_000)  # lwIP asks a silent name server four times
_DNS_MS = const(30)
_MDNS = ("224.0.0.251", 5353)
_LOOPBACK = "127.0.0.1"


def getaddrinfo(host, port, *_):
    """Blocks, as on the board, until the name server has answered or did not."""
    if not host.replace(".", "").isdigit():
        vclock.sleep_ms(_LOOKUP_MS if network.world["dns"] is None else _DNS_MS)
        host = (network.world["dns"] or {}).get(host)
        if host is None:
            raise OSError(_NOT_KNOWN)
    return [(AF_INET, SOCK_DGRAM, 0, "", (host, port))]


class socket:
    """A UDP socket."""

    def __init__(self, family=AF_INET, kind=SOCK_DGRAM):
        self._inbox = []
        self._blocking = True
        self._real = None

    def setblocking(self, blocking):
        self._blocking = blocking

    def sendto(self, data, address):
        if self._blocking:
            raise NotImplementedError("a blocking socket stops the board")
        if not network.WLAN().isconnected():
            raise OSError(_EHOSTUNREACH)
        ip, port = address
        data = bytes(data)
        of_local = b"\5local\0" in data  # hosts of one's own network answer for themselves
        if (ip, port) == _MDNS if of_local else port == 53:
            answer = network.answer_dns(data)
            if answer:
                vclock.call_later(_DNS_MS, self._inbox.append, answer)
        elif port == 123:
            answer = network.answer_ntp(ip, data)
            if answer:
                vclock.call_later(answer[0], self._inbox.append, answer[1])
        elif ip == _LOOPBACK:
            if self._real is None:
                self._real = usocket.socket(usocket.AF_INET, usocket.SOCK_DGRAM)
            self._real.sendto(data, usocket.getaddrinfo(ip, port)[0][-1])
        return len(data)

    def recvfrom(self, size):
        if not self._inbox:
            raise OSError(_EAGAIN)
        return self._inbox.pop(0)[:size], ("10.0.0.1", 0)

    def close(self):
        if self._real:
            self._real.close()
