# Stand-in for the low-level bluetooth module of the ESP32 port (NimBLE)
# Same names, events and refusals. Peers are in sim/air.py, links to them in sim/airlink.py; what
# the board offers to phones is in sim/gatts.py, and time comes from sim/vclock.py.
import errno
import sys

import air
import machine
import security
import sysmem
import vclock
from airlink import Link
from gatts import Server
from micropython import const

_SCAN_RESULT = const(5)
_SCAN_DONE = const(6)
_CONNECT = const(7)
_DISCONNECT = const(8)
_SERVICE_RESULT = const(9)
_SERVICE_DONE = const(10)
_CHARACTERISTIC_RESULT = const(11)
_CHARACTERISTIC_DONE = const(12)
_DESCRIPTOR_RESULT = const(13)
_DESCRIPTOR_DONE = const(14)
_READ_DONE = const(16)
_WRITE_DONE = const(17)
_MTU_EXCHANGED = const(21)

_EBUSY = const(16)
_EMSGSIZE = const(-4)  # NimBLE's own, for which the port has no errno
_MAX_AD = const(31)
_ATT_UNLIKELY = const(0x10E)
_NOT_CONNECTED = const(7)

_ADV_IND = const(0)
_SCAN_RSP = const(4)

_MAX_LINKS = const(4)
_MAX_PROCEDURES = const(4)
_POOL = const(12)  # buffers that all links share for what waits for the air
_NO_ADDR = bytes(6)
_CANCEL_MS = const(3)
_EARLY_LOSS_INTERVALS = const(6)
_TRIES_AGAIN = const(3)
_ATT_TIMEOUT_MS = const(30_000)  # after which the stack ends a link


class UUID:
    """A UUID of 16, 32 or 128 bit from an int, text, bytes (little endian) or another one."""

    def __init__(self, value):
        if isinstance(value, int):
            if value > 0xFFFF:
                raise ValueError("invalid UUID")
            self._b = value.to_bytes(2, "little")
        elif isinstance(value, str):
            text = value.replace("-", "")
            if len(text) != 32:
                raise ValueError("UUID too short" if len(text) < 32 else "UUID too long")
            self._b = bytes(reversed(bytes.fromhex(text)))
        else:
            self._b = bytes(value)

    def __eq__(self, other):
        return isinstance(other, UUID) and self._b == other._b

    def __hash__(self):
        return hash(self._b)

    def __len__(self):
        return len(self._b)

    def __iter__(self):
        return iter(self._b)

    def __repr__(self):
        h = bytes(reversed(self._b)).hex()
        if len(h) <= 8:
            return "UUID(0x%s)" % h
        return "UUID('%s')" % "-".join((h[:8], h[8:12], h[12:16], h[16:20], h[20:]))


def _claim(who):
    """Take the system's memory, without which ESP-IDF does not go on."""
    sysmem.look()
    if not sysmem.take(who):
        machine.panic("no memory for %s, %d bytes are free" % (who, sysmem.free()))


class _Radio:
    """The one BLE object."""

    def __init__(self):
        self._active = self._tells = False
        self._handler = None
        self._mtu = 256
        self.security = security.Settings()
        self._scan = None  # [start ms, interval us, window us, active, timer]
        self._connecting = None  # [address type, address, timer]
        self.stuck = 0  # so many times it cannot be switched on
        self.deaf = 0  # 1: hears nothing until it is switched off, 2: until the board resets
        self._attempt_ms = 0  # for how long it goes on
        self._tries = 0  # how often the stack began it again
        self._first_handle = 0  # of those that the next link may get
        self._listening = 0  # number of the current scan or connection attempt
        self._finding_chars = False
        self._buf = bytearray(512)
        self._view = memoryview(self._buf)
        self.links = {}
        self.server = Server(self)
        self._on_air = None  # (interval us, connectable) while the board advertises
        # what it tells, and answers to scanners: kept by the stack, in memory of its own
        self._data = bytearray(_MAX_AD)
        self._answer = bytearray(_MAX_AD)
        self._sizes = 0, 0

    # events

    def emit(self, event, data):
        if self._handler is None or not self._active:
            return
        lent = ()
        if event == _SCAN_RESULT or event == _CONNECT or event == _DISCONNECT:
            # as on the board, what the handler sees is the stack's own
            lent = [bytearray(x) if isinstance(x, memoryview) else x for x in data]
            data = tuple([memoryview(x) if isinstance(x, bytearray) else x for x in lent])
        try:
            self._handler(event, data)
        except Exception as exc:
            # the stack prints it and never calls the handler again
            print("Unhandled exception in IRQ callback handler")
            sys.print_exception(exc)
            self._handler = None
        for x in lent:
            if isinstance(x, bytearray):
                x[:] = bytes(len(x))

    def data_event(self, event, conn_handle, value_handle, data):
        # as on the board, the handler sees a buffer that is the stack's own
        n = len(data)
        self._buf[:n] = data
        self.emit(event, (conn_handle, value_handle, self._view[:n]))
        self._buf[0] ^= 0xFF

    def procedure_done(self, link, event, handle, status):
        if event == _CHARACTERISTIC_DONE:
            self._finding_chars = False
        if event == _MTU_EXCHANGED:
            if not status:
                self.emit(event, (link.handle, link.mtu))
        elif event in (_READ_DONE, _WRITE_DONE):
            self.emit(event, (link.handle, handle, status))
        else:
            self.emit(event, (link.handle, status))

    # general

    def active(self, on=None):
        if on is not None and bool(on) != self._active:
            if on:
                if self.stuck:
                    self.stuck -= 1
                    raise OSError(errno.ETIMEDOUT)
                _claim("bluetooth")
            else:
                # a stop tells of what it ends on the ESP32, by its sources; on Unix, where that was
                # measured, it does not: by turns here
                self._active = self._tells = not self._tells
                if self._scan:
                    self._scan_over()
                if self._connecting:
                    self._connect_failed(0, self._listening)
                self._advertise(None)
                for link in list(self.links.values()):
                    link.drop()
                self._active = False
                self._finding_chars = False
                self.server.forget()
                self.deaf &= 2
                self.security = security.Settings()
                sysmem.give("bluetooth")
            self._active = bool(on)
        return self._active

    def config(self, *args, **kwargs):
        self._check()
        if args:
            if args[0] == "mtu":
                return self._mtu
            if args[0] == "mac":
                return (0, b"\x02\x00\x00\x00\x00\x01")
            raise ValueError("unknown config param")
        for key, value in kwargs.items():
            if key == "mtu":
                self._mtu = value
            elif key in ("bond", "mitm", "io", "le_secure"):  # which cannot be read back
                setattr(self.security, key, value)
            elif key not in ("addr_mode", "gap_name"):
                raise ValueError("unknown config param")

    def irq(self, handler):
        self._handler = handler

    def _check(self):
        if not self._active:
            raise OSError(errno.ENODEV)

    # advertise

    def gap_advertise(self, interval_us, adv_data=None, *, resp_data=None, connectable=True):
        self._check()
        if interval_us is None:
            self._advertise(None)
            return
        self._advertise(None)  # first of all, and what comes then may fail
        sizes = list(self._sizes)
        for i, data in enumerate((adv_data, resp_data)):
            if data is not None:
                sizes[i] = len(data)
        if max(sizes) > _MAX_AD:
            raise OSError(_EMSGSIZE)
        self._sizes = sizes
        for kept, data in ((self._data, adv_data), (self._answer, resp_data)):
            if data is not None:
                kept[: len(data)] = data
        if connectable and len(self.links) >= _MAX_LINKS:
            raise OSError(errno.ENOMEM)
        self._advertise((interval_us, connectable))

    @property
    def advertising(self):
        """(interval us, data, answer, connectable) while the board advertises, or None."""
        if not self._on_air:
            return None
        interval_us, connectable = self._on_air
        data, answer = self._sizes
        return interval_us, bytes(self._data[:data]), bytes(self._answer[:answer]), connectable

    def stop_advertising(self):
        """A phone has connected."""
        self._advertise(None)

    def _advertise(self, what):
        if what or self._on_air:
            self._on_air = what
            if air.listener:
                air.listener(self.advertising)

    # scan and connect

    def gap_scan(self, duration_ms=0, interval_us=1280000, window_us=11250, active=False):
        self._check()
        if duration_ms is None:
            if self._scan:
                self._stop_scan()
                self.emit(_SCAN_DONE, ())
            return
        if self._connecting:
            raise OSError(_EBUSY)
        if self._scan:
            raise OSError(errno.EALREADY)
        timer = vclock.call_later(duration_ms, self._scan_over) if duration_ms else None
        self._scan = (vclock.now_ms(), interval_us, window_us, active, timer)
        self._listen()

    def _scan_over(self):
        self._stop_scan()
        self.emit(_SCAN_DONE, ())

    def _stop_scan(self):
        if self._scan:
            if self._scan[4]:
                vclock.cancel(self._scan[4])
            self._scan = None
            self._listening += 1

    def _listen(self):
        self._listening += 1
        for p in air.peripherals:
            self.appeared(p)

    def appeared(self, p):
        """A peripheral begins to advertise."""
        if self._scan or self._connecting:
            p._advertising += 1
            delay_ms = air.rand(p.adv_interval_ms)
            vclock.call_later(delay_ms, self._advert, p, self._listening, p._advertising)

    def _advert(self, p, listening, advertising):
        if (
            listening != self._listening
            or advertising != p._advertising
            or p.connected
            or p not in air.peripherals
        ):
            return
        if self.deaf:
            vclock.call_later(p.adv_interval_ms, self._advert, p, listening, advertising)
            return
        delay_ms = p.adv_interval_ms + air.rand(10)
        vclock.call_later(delay_ms, self._advert, p, listening, advertising)
        if self._connecting:
            addr_type, addr, timer = self._connecting
            if addr_type == p.addr_type and addr == p.addr:
                self._listening += 1
                vclock.call_later(
                    p.connect_delay_ms + p.interval_ms, self._established, p, self._listening
                )
            return
        start_ms, interval_us, window_us, active, _ = self._scan
        if (vclock.now_ms() - start_ms) * 1000 % interval_us >= window_us:
            return
        p.reached("scan")
        addr = memoryview(p.addr)
        self.emit(_SCAN_RESULT, (p.addr_type, addr, _ADV_IND, p.rssi, memoryview(p.adv)))
        if active and listening == self._listening:
            rsp = memoryview(p.scan_rsp or b"")  # who has no more to say answers nevertheless
            self.emit(_SCAN_RESULT, (p.addr_type, addr, _SCAN_RSP, p.rssi, rsp))

    def gap_connect(
        self, addr_type, addr=None, scan_duration_ms=None, min_interval_us=None, max_us=None
    ):
        self._check()
        if addr_type is None:
            if not self._connecting or self._connecting[2] is None:
                raise OSError(errno.EALREADY)
            self._cancel_connect()
            return
        if self._connecting:
            raise OSError(errno.EALREADY)
        if self._scan:
            self._scan_over()
        for link in self.links.values():
            if link.addr == addr:
                raise OSError(errno.EIO)
        if len(self.links) >= _MAX_LINKS:
            raise OSError(errno.ENOMEM)
        self.need_buffer()
        self._attempt_ms = scan_duration_ms or 2000
        self._tries = self._first_handle = 0
        self._attempt(addr_type, bytes(addr))

    def _attempt(self, addr_type, addr):
        _claim("link")
        timer = vclock.call_later(self._attempt_ms, self._cancel_connect)
        self._connecting = (addr_type, addr, timer)
        self._listen()

    def _try_again(self, link):
        # Other chips than the ESP32: when a new link was not heard of in six intervals, their stack
        # forgets it and connects again, for the same time, without a word of either
        if not link.up:
            return
        for done, handle, _ in link._procedures:
            self.procedure_done(link, done, handle, _NOT_CONNECTED)
        again = self._tries < _TRIES_AGAIN
        link.drop(told=not again)
        if again and not self._scan and not self._connecting:
            self._tries += 1
            self._first_handle = link.handle + 1
            self._attempt(link.addr_type, link.addr)

    def _cancel_connect(self):
        # the controller needs a moment, until then nothing else can start
        addr_type, addr, _ = self._connecting
        self._stop_connecting()
        self._connecting = (addr_type, addr, None)
        vclock.call_later(_CANCEL_MS, self._connect_failed, 0xFFFF, self._listening)

    def _stop_connecting(self):
        if self._connecting:
            if self._connecting[2]:
                vclock.cancel(self._connecting[2])
            self._connecting = None
            self._listening += 1
            sysmem.give("link")

    def _connect_failed(self, conn_handle, listening):
        if listening == self._listening:
            self._stop_connecting()
            self.emit(_DISCONNECT, (conn_handle, 0xFF, memoryview(_NO_ADDR)))

    def _established(self, p, listening):
        if not self._connecting or listening != self._listening:
            return
        p.reached("connect")
        if p not in air.peripherals or p.connected:
            # it went after all: back to listening until the attempt times out
            self._listen()
            return
        if p.refuse:
            p.refuse -= 1
            # NimBLE leaves the handle of such an event at 0, whoever has it
            self._connect_failed(0, listening)
            return
        self._stop_connecting()
        handle = self._first_handle
        while handle in self.links:
            handle += 1
        _claim("link")  # the attempt's becomes the link's
        link = self.links[handle] = Link(self, handle, p)
        early_ms = _EARLY_LOSS_INTERVALS * p.interval_ms
        if p.unheard:
            p.unheard -= 1
            link.peer = None
            vclock.call_later(early_ms, self._try_again, link)
        else:
            p._link = link
            p._next_ms = 0
            p.on_connect()
        if p.drop_early:
            p.drop_early -= 1
            vclock.call_later(early_ms, link.drop)
        self.emit(_CONNECT, (handle, p.addr_type, memoryview(p.addr)))

    def gap_disconnect(self, conn_handle):
        self._check()
        link = self.links.get(conn_handle)
        if not link:
            return False
        if link.closing:
            raise OSError(errno.EALREADY)
        link.closing = True
        if link.peer:  # else there is nobody to acknowledge it: the supervision timeout ends it
            vclock.call_later(2 * link.interval_ms, self._closed, link)
        return True

    def _closed(self, link):
        if link.peer:
            link.drop()

    def gap_pair(self, conn_handle):
        self._link(conn_handle).pairing.begin()

    def gap_passkey(self, conn_handle, action, passkey):
        self._link(conn_handle).pairing.enter(action, passkey)

    def need_buffer(self):
        """Raise OSError when all links together have taken the pool."""
        if sum(link.unsent for link in self.links.values()) >= _POOL:
            raise OSError(errno.ENOMEM)

    # GATT server

    def gatts_register_services(self, services):
        self._check()
        if self.advertising or self._scan or self._connecting or self.links:
            raise OSError(_EBUSY)
        return self.server.register(services)

    def gatts_set_buffer(self, value_handle, size, append=False):
        self._check()
        self.server.value(value_handle).size = size

    def gatts_read(self, value_handle):
        self._check()
        return bytes(self.server.value(value_handle).data)

    def gatts_write(self, value_handle, data, send_update=False):
        self._check()
        value = self.server.value(value_handle)
        value.data = bytes(data)[: value.size]

    def gatts_notify(self, conn_handle, value_handle, data=None):
        link = self._link(conn_handle)
        value = self.server.value(value_handle)
        self.need_buffer()
        link.notify(value_handle, bytes(value.data if data is None else data))

    # GATT client

    def _procedure(self, conn_handle, done, handle, steps):
        link = self._link(conn_handle)
        n = 0
        for each in self.links.values():
            n += len(each._procedures)
        if n >= _MAX_PROCEDURES:
            raise OSError(errno.ENOMEM)
        self.need_buffer()
        link.procedure(done, handle, steps)

    def _link(self, conn_handle):
        self._check()
        link = self.links.get(conn_handle)
        if not link or link.closing:
            raise OSError(errno.ENOTCONN)
        return link

    def _services(self, conn_handle):
        peer = self._link(conn_handle).peer
        return peer.services if peer else ()

    def gattc_discover_services(self, conn_handle, uuid=None):
        steps = []
        for start, end, u, _ in self._services(conn_handle):
            if uuid is None or u == bytes(uuid):
                steps.append((_SERVICE_RESULT, (conn_handle, start, end, UUID(u))))
        self._procedure(conn_handle, _SERVICE_DONE, 0, steps)

    def gattc_discover_characteristics(self, conn_handle, start, end, uuid=None):
        self._check()
        if self._finding_chars:
            raise OSError(_EBUSY)
        steps = []
        for char in self._chars(conn_handle, start, end):
            if uuid is None or char.uuid == bytes(uuid):
                data = (
                    conn_handle,
                    char.end_handle,
                    char.value_handle,
                    char.properties,
                    UUID(char.uuid),
                )
                steps.append((_CHARACTERISTIC_RESULT, data))
        self._procedure(conn_handle, _CHARACTERISTIC_DONE, 0, steps)
        self._finding_chars = True

    def _chars(self, conn_handle, start, end):
        for _, _, _, chars in self._services(conn_handle):
            for char in chars:
                if start <= char.value_handle <= end:
                    yield char

    def gattc_discover_descriptors(self, conn_handle, start, end):
        steps = []
        for char in self._chars(conn_handle, 0, 0xFFFF):
            for handle, uuid in char.find_cccd():
                if start <= handle <= end:
                    steps.append((_DESCRIPTOR_RESULT, (conn_handle, handle, UUID(uuid))))
        self._procedure(conn_handle, _DESCRIPTOR_DONE, 0, steps)

    def gattc_read(self, conn_handle, value_handle):
        link = self._link(conn_handle)
        self._procedure(conn_handle, _READ_DONE, value_handle, [lambda: link.read(value_handle)])

    def gattc_write(self, conn_handle, value_handle, data, mode=0):
        link = self._link(conn_handle)
        if link.peer and link.peer.fail_writes:
            link.peer.fail_writes -= 1
            raise OSError(link.peer.write_errno)
        data = bytes(data)[: link.mtu - 3]  # the stack cuts in silence
        if mode:
            self._procedure(
                conn_handle, _WRITE_DONE, value_handle, [lambda: link.write(value_handle, data)]
            )
            return
        self.need_buffer()
        link.send(value_handle, data)

    def gattc_exchange_mtu(self, conn_handle):
        link = self._link(conn_handle)
        if link.mtu_asked:
            raise OSError(errno.EALREADY)
        link.mtu_asked = True
        if link.peer and not link.peer.mtu:
            link.peer.reached("mtu")
            vclock.call_later(_ATT_TIMEOUT_MS, link.drop)
        else:
            self._procedure(conn_handle, _MTU_EXCHANGED, 0, [lambda: self._agree(link)])

    def _agree(self, link):
        link.peer.reached("mtu")
        if link.peer is None:
            return _ATT_UNLIKELY
        link.mtu = max(23, min(self._mtu, link.peer.mtu))
        return 0


_radio = _Radio()
air.radio = _radio


def BLE():
    """The one radio of the board."""
    return _radio
