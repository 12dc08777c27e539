# A phone in reach of the virtual board: connects to what it advertises, writes, hears notifications
import air
import vclock
from micropython import const

_UUID = b"\xa8\xb4\xd7\xc0\x61\x2e\x57\x9b\x0a\x4f\x3c\x8d%c\x00\xf4\xa6"

_SEEK_MS = const(100)


class Phone:
    """`heard(data)` is to be overridden, or set. Times are those of the radio's clock."""

    addr_type = 1
    interval_ms = 30  # of the connection
    packets = 4  # that it takes in a connection event
    supervision_ms = 5000
    mtu = 517  # that it asks for; 0: never
    lost_percent = 0  # of the connection events, at random

    def __init__(self, n=1):
        self.addr = bytes((0xC0, 0xFF, 0xEE, 0, 0, n))
        self.link = None
        self.handles = {}
        self.notifications = 0
        self.losses = 0  # of connections
        self._back_ms = 0  # all events before it are lost

    def connect(self):
        """Answer the board's next advertisement; return whether there is a connection now."""
        if self.link is None and self.hears():
            self.link = air.radio.server.connect(self)
            if self.link:
                chars = dict(air.radio.server.chars)
                self.handles = {n: chars.get(_UUID % n) for n in (2, 3)}
                if self.mtu:
                    vclock.call_later(2 * self.interval_ms, self.link.exchange_mtu, self.mtu)
        return self.link is not None

    def write(self, data, char=2):
        """Write to a characteristic; it arrives with the next connection event."""
        if self.link:
            self.link.write(self.handles[char], bytes(data))

    def disconnect(self):
        """Say good-bye."""
        if self.link:
            vclock.call_later(self.interval_ms, self.link.drop)

    def fade(self, ms):
        """Be out of reach for so long; a connection lives as long as the supervision timeout."""
        self._back_ms = vclock.now_ms() + ms
        if self.link:
            self.link.expect()

    def vanish(self):
        """Walk out of reach without a word."""
        link, self.link = self.link, None
        if link:
            link.peer_lost()

    # the radio's side

    def hears(self):
        """Does what is on the air now come through?"""
        if vclock.now_ms() < self._back_ms:
            return False
        return not self.lost_percent or air.rand(100) >= self.lost_percent

    def notified(self, value_handle, data):
        if value_handle == self.handles[3]:
            self.notifications += 1
            self.heard(data)

    def disconnected(self):
        self.link = None
        self.losses += 1

    def heard(self, data):
        pass


def visit(from_ms, to_ms):
    """Let a phone be there for that time: it connects as soon as the board lets it."""
    phone = Phone()

    def seek():
        if vclock.now_ms() < to_ms and not (air.radio and air.radio.server and phone.connect()):
            vclock.call_later(_SEEK_MS, seek)

    if vclock.now_ms() < to_ms:
        vclock.call_at(from_ms, seek)
        vclock.call_at(to_ms, phone.disconnect)
