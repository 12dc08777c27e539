# Stand-in for the socket module: UDP and TCP as on a board, in the network of sim/network.py
# Name and time servers answer in virtual time; all else goes to real sockets of this PC.
import network
import uselect
import usocket
import vclock
from micropython import const

AF_INET = 2
SOCK_STREAM = 1
SOCK_DGRAM = 2

_EAGAIN = const(11)
_EHOSTUNREACH = const(118)
_EINPROGRESS = const(119)
_ENOTCONN = const(128)
_ECONNRESET = const(104)
_NOT_KNOWN = const(-2)
_LOOKUP_MS = const(14_000)  # lwIP asks a silent name server four times
_DNS_MS = const(30)
_MDNS = ("224.0.0.251", 5353)
_SOMEBODY = "10.0.0.2"
_LOOPBACK = "127.0.0.1"
_TRIP_MS = const(15)  # there and back
_UNSENT_BYTES = const(5744)  # that a board takes while nobody acknowledges them
_PATIENT = const(10)  # looks for an answer that wait for it in real time
_PATIENCE_MS = const(50)


def getaddrinfo(host, port, *_):
    """Blocks, as on the board, until the name server has answered or did not."""
    if not host.replace(".", "").isdigit():
        vclock.sleep_ms(_LOOKUP_MS if network.world["dns"] is None else _DNS_MS)
        host = (network.world["dns"] or {}).get(host)
        if host is None:
            raise OSError(_NOT_KNOWN)
    return [(AF_INET, SOCK_DGRAM, 0, "", (host, port))]


class socket:
    """A UDP socket; asked for SOCK_STREAM a TCP socket."""

    def __new__(cls, family=AF_INET, kind=SOCK_DGRAM):
        return _Stream() if kind == SOCK_STREAM else object.__new__(cls)

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
                sender = _SOMEBODY, port  # what is asked of all is answered by one
                if not of_local:
                    sender = ip, port
                vclock.call_later(_DNS_MS, self._inbox.append, (answer, sender))
        elif port == 123:
            answer = network.answer_ntp(ip, data)
            if answer:
                vclock.call_later(answer[0], self._inbox.append, (answer[1], (ip, port)))
        elif ip == _LOOPBACK:
            if self._real is None:
                self._real = usocket.socket(usocket.AF_INET, usocket.SOCK_DGRAM)
            self._real.sendto(data, usocket.getaddrinfo(ip, port)[0][-1])
        return len(data)

    def recvfrom(self, size):
        if not self._inbox:
            raise OSError(_EAGAIN)
        data, sender = self._inbox.pop(0)
        return data[:size], sender

    def close(self):
        if self._real:
            self._real.close()


class _Stream:
    """A TCP socket that does not block, to somebody in network.tcp or on this PC."""

    def __init__(self):
        self._real = None
        self._address = None
        self._poll = uselect.poll()
        self._network = 0  # in which stay in the network it was connected
        self._ready_ms = 0
        self._lost = 0  # why it failed
        self._silent = 0  # looks for an answer so far
        self._unsent = 0
        self._inbox = b""

    def setblocking(self, blocking):
        if blocking:
            raise NotImplementedError("a blocking socket stops the board")

    def connect(self, address):
        if not network.WLAN().isconnected():
            raise OSError(_EHOSTUNREACH)
        self._network = network.joins
        self._ready_ms = vclock.now_ms() + _TRIP_MS
        self._address = address
        ip, port = address
        if ip == _LOOPBACK:
            self._real = usocket.socket(usocket.AF_INET, usocket.SOCK_STREAM)
            try:
                self._real.connect(usocket.getaddrinfo(ip, port)[0][-1])
                self._real.setblocking(False)
                self._poll.register(self._real, uselect.POLLIN)
            except OSError:
                self._lost = _ECONNRESET
        raise OSError(_EINPROGRESS)

    def send(self, data):
        peer = network.tcp.get(self._address)
        if vclock.now_ms() < self._ready_ms or not (self._real or peer):
            raise OSError(_ENOTCONN)
        if self._lost:
            raise OSError(self._lost)
        if self._gone():
            data = data[: _UNSENT_BYTES - self._unsent]
            self._unsent += len(data)
            if not data:
                raise OSError(_EAGAIN)
            return len(data)
        self._ready_ms = vclock.now_ms() + _TRIP_MS
        self._silent = 0
        if peer:
            try:
                self._inbox += peer(bytes(data)) or b""
            except OSError:
                self._lost = _ECONNRESET
            return len(data)
        try:
            return self._real.send(data)
        except OSError:
            self._lost = _ECONNRESET
            raise OSError(_ECONNRESET)

    def recv(self, size):
        if self._gone() or vclock.now_ms() < self._ready_ms:
            raise OSError(_EAGAIN)
        if self._real and not self._lost:
            self._silent += 1
            # the real world needs a moment, in which virtual time stands still
            if not self._poll.poll(_PATIENCE_MS if self._silent < _PATIENT else 0):
                raise OSError(_EAGAIN)
            try:
                return self._real.recv(size)
            except OSError:
                self._lost = _ECONNRESET
        if self._inbox:
            data, self._inbox = self._inbox[:size], self._inbox[size:]
            return data
        raise OSError(self._lost or _EAGAIN)

    def _gone(self):
        """Has the board left the network since? Then nobody tells the socket."""
        return self._network != network.joins or not network.WLAN().isconnected()

    def close(self):
        if self._real:
            self._real.close()
