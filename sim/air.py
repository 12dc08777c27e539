# The air: which peripherals are in reach, what they advertise, and their side of a link
# A simulated BMS subclasses Peripheral; sim/bluetooth.py is the radio that meets it.
import errno

import vclock
from micropython import const

_CCCD = const(0x2902)
_MAX_AD = const(31)

# GATT property bits by bleak's names
PROPERTIES = {
    "broadcast": 0x01,
    "read": 0x02,
    "write-without-response": 0x04,
    "write": 0x08,
    "notify": 0x10,
    "indicate": 0x20,
}
_NOTIFY_INDICATE = const(0x30)

peripherals = []
radio = None  # set by sim/bluetooth.py
listener = None  # is told what the board advertises whenever that changes, or None
_seed = 1


def seed(n):
    """Choose the pseudo-random sequence of advertising delays."""
    global _seed
    _seed = n & 0x3FFFFFFF


def rand(n):
    """A number in 0..n-1 from the air's own sequence; `n` is at most 32768."""
    global _seed
    _seed = (_seed * 1103 + 12345) & 0xFFFFF
    return ((_seed >> 5) * n) >> 15


def add(peripheral):
    """Bring a peripheral into reach; it advertises from now on."""
    if peripheral not in peripherals:
        peripherals.append(peripheral)
        if radio:
            radio.appeared(peripheral)
    return peripheral


def remove(peripheral):
    """A peripheral vanishes: no more adverts, its link dies of the supervision timeout."""
    if peripheral in peripherals:
        peripherals.remove(peripheral)
        peripheral._vanish()


def reset():
    """Empty the air; links die as in `remove`."""
    for p in list(peripherals):
        remove(p)


def adv(name=None, services16=(), manufacturer=None, flags=True):
    """Advertising payload: bytes of at most 31. `services16`: ints, `manufacturer`: (id, bytes).

    Raises ValueError when it does not fit.
    """
    out = bytearray()
    if flags:
        _field(out, 0x01, b"\x06")
    if services16:
        _field(out, 0x03, b"".join(n.to_bytes(2, "little") for n in services16))
    if manufacturer:
        _field(out, 0xFF, manufacturer[0].to_bytes(2, "little") + manufacturer[1])
    if name is not None:
        _field(out, 0x09, name.encode())
    if len(out) > _MAX_AD:
        raise ValueError("advertisement of %d bytes" % len(out))
    return bytes(out)


def _field(out, kind, data):
    out.append(len(data) + 1)
    out.append(kind)
    out.extend(data)


def uuid_bytes(text):
    """UUID text of 4, 8 or 36 characters -> 2 or 16 bytes, little endian, as on the air."""
    text = text.lower().replace("-", "")
    if len(text) == 32 and text.startswith("0000") and text[8:] == "00001000800000805f9b34fb":
        text = text[4:8]
    if len(text) == 8:
        text = text + "00001000800000805f9b34fb"
    return bytes(reversed(bytes.fromhex(text)))


class Characteristic:
    """One characteristic as the radio sees it: handles are those on the air."""

    def __init__(self, uuid, given, value_handle, properties):
        self.uuid = uuid  # bytes, little endian
        self.given = given  # the handle its author gave it
        self.value_handle = value_handle
        self.end_handle = value_handle
        self.properties = properties  # bits
        self.cccd = value_handle + 1 if properties & _NOTIFY_INDICATE else 0

    def find_cccd(self):
        return ((self.cccd, _CCCD),) if self.cccd else ()


class Peripheral:
    """A device in reach. `addr`: 6 bytes; `services`: [[uuid, [[uuid, value_handle,
    [properties], …], …]], …]; `adv`, `scan_rsp`: raw advertising payloads.

    Value handles are kept where they leave room for declarations and descriptors, else the
    radio shifts them up; the methods here always speak of the given ones.
    """

    adv_interval_ms = 400
    interval_ms = 15  # connection interval
    chunk = 244  # bytes of the largest notification; the link's MTU may cut it further
    mtu = 247  # largest ATT MTU it agrees to; 0: never answers the question
    rssi = -60
    supervision_ms = 4000
    pairs = "refuses"  # or "silent", "hangs up", "just works", "passkey": when it is to be paired
    passkey = 123456
    before = None  # it is paired, writes do this: None: nothing unusual, "refuse", "mute", "echo"
    refusal = 0x105  # ATT status
    guards_cccd = False  # refuses subscriptions as well
    sticks = False  # with mtu = 0: answers nothing more once it was asked
    pushes = False  # notifies without a subscription, as cheap modules do
    # faults, counted down by the radio
    refuse = 0  # so many connection attempts fail at once
    drop_early = 0  # so many connections fail right after they came up
    unheard = 0  # so many come up and the peer, out of reach, knows nothing of it
    fail_writes = 0  # so many writes fail in the stack
    write_errno = errno.ENOMEM  # with this
    fail_discovery = 0  # so many discoveries end with an error
    connect_delay_ms = 0  # from the advertisement that is answered to the link
    late_ms = 0  # by which every answer is late

    def __init__(self, name, addr, services, adv=None, scan_rsp=None, addr_type=0):
        self.name = name
        self.addr = bytes(addr)
        self.addr_type = addr_type
        self.adv = _default_adv(name) if adv is None else adv
        self.scan_rsp = scan_rsp
        self.services = _layout(services)  # [start, end, uuid bytes, characteristics]
        self._link = None
        self._advertising = 0  # how often it began to
        self._next_ms = 0  # when the next notification can go
        self.pairings = 0  # that were begun

    # to be overridden

    def on_connect(self):
        pass

    def on_disconnect(self):
        pass

    def on_subscribe(self, value_handle, on):
        pass

    def on_write(self, value_handle, data, response):
        pass

    def on_read(self, value_handle):
        return b""

    # to be overridden by who plays tricks

    def size(self):
        """Bytes of the next notification, at most."""
        return self.chunk

    def copies(self):
        """How often the next notification arrives."""
        return 1

    def reached(self, phase):
        """Something happens: "scan", "connect", "mtu", "discover", "subscribe", "notify"."""

    # to be used

    @property
    def connected(self):
        return self._link is not None

    def notify(self, value_handle, data, delay_ms=0):
        """Send `data` in `delay_ms` as notifications of at most `chunk` bytes, one per
        connection interval; lost in silence without link or subscription."""
        link = self._link
        char = self._find(value_handle, _NOTIFY_INDICATE)
        if not link or not char or not (self.pushes or char.value_handle in link.subscribed):
            return
        view = memoryview(bytes(data))
        t_ms = max(vclock.now_ms() + delay_ms + self.late_ms, self._next_ms)
        i = 0
        while i < len(view):
            end = i + min(self.size(), link.mtu - 3)
            for _ in range(self.copies()):
                vclock.call_at(t_ms, link.notify, char.value_handle, view[i:end])
                t_ms += self.interval_ms
            i = end
        self._next_ms = t_ms

    def drop(self):
        """End the link, if there is one, from the peripheral's side."""
        if self._link:
            self._link.drop()

    # the radio's side

    def _find(self, given, properties):
        for _, _, _, chars in self.services:
            for char in chars:
                if char.given == given and char.properties & properties:
                    return char
        return None

    def _attribute(self, handle):
        """(characteristic, is its CCCD) at a handle on the air, or (None, False)."""
        for start, end, _, chars in self.services:
            if start <= handle <= end:
                for char in chars:
                    if handle == char.value_handle:
                        return char, False
                    if char.cccd and handle == char.cccd:
                        return char, True
        return None, False

    def _vanish(self):
        link, self._link = self._link, None
        if link:
            link.peer_lost()
            self.on_disconnect()


def _default_adv(name):
    return adv(name)


def _layout(services):
    last = 0
    out = []
    for uuid, chars in services:
        start = max(last + 1, chars[0][1] - 2 if chars else 0)
        last = start
        table = []
        for char in chars:
            properties = 0
            for p in char[2]:
                properties |= PROPERTIES.get(p, 0)
            c = Characteristic(uuid_bytes(char[0]), char[1], max(last + 2, char[1]), properties)
            if table:
                table[-1].end_handle = c.value_handle - 2
            table.append(c)
            last = c.cccd or c.value_handle
        if table:
            table[-1].end_handle = last
        out.append((start, last, uuid_bytes(uuid), table))
    return out
