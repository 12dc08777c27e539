# A link of the simulated radio to a peripheral: what goes over it in which connection event
# sim/bluetooth.py makes them; the peers are in sim/air.py.
import air
import security
import sysmem
import vclock
from micropython import const

_DISCONNECT = const(8)
_READ_RESULT = const(15)
_NOTIFY = const(18)
_INDICATE = const(19)
_STATUS_NOT_CONNECTED = const(7)
_ATT_INVALID_HANDLE = const(0x101)
_ATT_READ_NOT_PERMITTED = const(0x102)
_ATT_WRITE_NOT_PERMITTED = const(0x103)
_ATT_UNLIKELY = const(0x10E)
_READ = const(0x02)
_WRITE_NO_RESPONSE = const(0x04)
_WRITE = const(0x08)
_MAX_RESULT = const(21)  # bytes of a discovered characteristic


class Connection:
    """The radio's side of a connection, whoever made it."""

    def __init__(self, radio, handle, peer):
        self.radio = radio
        self.handle = handle
        self.peer = peer  # None: gone, the supervision timeout is running
        self.addr_type = peer.addr_type
        self.addr = peer.addr
        self.interval_ms = peer.interval_ms
        self.mtu = 23
        self.closing = False
        self.up = True
        self.unsent = 0  # buffers taken
        self._lost = None

    def peer_lost(self):
        """The peer is out of reach: only the supervision timeout tells."""
        if self.up:
            supervision_ms = self.peer.supervision_ms
            self.peer = None
            self._lost = vclock.call_later(supervision_ms, self.drop)

    def _free(self):
        """Give back what the radio has for it."""
        if self._lost:
            vclock.cancel(self._lost)
        self.radio.links.pop(self.handle)
        sysmem.give("link")


class Link(Connection):
    """A connection to a peripheral."""

    def __init__(self, radio, handle, peer):
        super().__init__(radio, handle, peer)
        self.mtu_asked = False
        self.subscribed = {}  # value handle on the air -> CCCD bits
        self.pairing = security.Pairing(self, radio.security)
        self._procedures = []  # [done event, attribute handle, steps], the first one runs

    # peer to central

    def notify(self, value_handle, view):
        if self.up and self.peer:
            bits = self.subscribed.get(value_handle, self.peer.pushes)
            if bits:
                event = _NOTIFY if bits & 1 else _INDICATE
                self.radio.data_event(event, self.handle, value_handle, view)
                if self.peer:
                    self.peer.reached("notify")

    def drop(self, told=True):
        """The link is over: procedures fail, then the event (if the stack does not lose it),
        then the peer advertises again."""
        if not self.up:
            return
        self.up = False
        radio = self.radio
        self.pairing.end()
        peer = self.forget_peer()
        self._free()
        if told:
            for done, handle, _ in self._procedures:
                radio.procedure_done(self, done, handle, _STATUS_NOT_CONNECTED)
            radio.emit(_DISCONNECT, (self.handle, self.addr_type, memoryview(self.addr)))
        if peer in air.peripherals:
            radio.appeared(peer)

    def haunt(self):
        """The peer is free again, but the stack never notices and keeps the link."""
        peer = self.forget_peer()
        if peer in air.peripherals:
            self.radio.appeared(peer)

    def forget_peer(self):
        peer, self.peer = self.peer, None
        if peer:
            peer._link = None
            peer.on_disconnect()
        return peer

    # central to peer

    def send(self, handle, data):
        """Write without response: arrives in the next connection event."""
        self.unsent += 1
        vclock.call_later(self.interval_ms, self._sent, handle, data)

    def _sent(self, handle, data):
        self.unsent -= 1
        if self.up and self.peer:
            char, cccd = self.peer._attribute(handle)
            if not char or cccd or not char.properties & _WRITE_NO_RESPONSE:
                return
            if self.pairing.write(char, data) is None:
                self.peer.on_write(char.given, data, False)

    def procedure(self, done, handle, steps):
        """Queue an ATT procedure: `steps` are events, or functions that return a status."""
        self._procedures.append((done, handle, steps))
        if len(self._procedures) == 1:
            vclock.call_later(2 * self.interval_ms, self._step)

    def _step(self):
        if not self.up or self.peer is None or self.peer.sticks and self.mtu_asked:
            return
        done, handle, steps = self._procedures[0]
        status = 0
        if steps and isinstance(steps[0], tuple):
            self.peer.reached("discover")
            if self.peer is None:
                return
        if steps and isinstance(steps[0], tuple):
            if not self.peer.fail_discovery:
                # one response of the peer brings several results
                for _ in range((self.mtu - 2) // _MAX_RESULT):
                    if steps and self.up:
                        event, data = steps.pop(0)
                        self.radio.emit(event, data)
                if self.up:
                    vclock.call_later(2 * self.interval_ms, self._step)
                return
            self.peer.fail_discovery -= 1
            status = _ATT_UNLIKELY
        elif steps:
            status = steps[0]()
        self._procedures.pop(0)
        if self._procedures:
            vclock.call_later(2 * self.interval_ms, self._step)
        self.radio.procedure_done(self, done, handle, status)

    def write(self, handle, data):
        char, cccd = self.peer._attribute(handle)
        if char is None:
            return _ATT_INVALID_HANDLE
        if cccd:
            if self.peer.guards_cccd and self.pairing.write(char, b""):
                return self.peer.refusal
            on = bool(data and data[0] & 3)
            self.peer.reached("subscribe")
            if self.peer is None:
                return _ATT_UNLIKELY
            if on:
                self.subscribed[char.value_handle] = data[0]
            else:
                self.subscribed.pop(char.value_handle, None)
            self.peer.on_subscribe(char.given, on)
            return 0
        if not char.properties & _WRITE:
            return _ATT_WRITE_NOT_PERMITTED
        status = self.pairing.write(char, data)
        if status is None:
            self.peer.on_write(char.given, data, True)
        return status or 0

    def read(self, handle):
        char, cccd = self.peer._attribute(handle)
        if char is None:
            return _ATT_INVALID_HANDLE
        if cccd:
            data = bytes((self.subscribed.get(char.value_handle, 0), 0))
        elif char.properties & _READ:
            data = self.peer.on_read(char.given)
        else:
            return _ATT_READ_NOT_PERMITTED
        self.radio.data_event(_READ_RESULT, self.handle, handle, data[: self.mtu - 1])
        return 0
