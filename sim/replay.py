# A BMS on the air that plays one recorded conversation
# Each request gets its recorded answer, again and again, cut into notifications of any size.
import air
import vclock
from micropython import const

_STREAM_MS = const(1000)
_FIRST_HANDLE = const(16)
_NEEDS = {  # properties without which an event could not have been
    "start_notify": ("notify",),
    "notify": ("notify",),
    "write": ("write", "write-without-response"),
    "read": ("read",),
}


def make(case, chunk=20, name=None, service=None):
    """Return a peripheral that answers as in `case`, one entry of a vectors file's "cases".

    `chunk`: bytes of the largest notification; ecoworthy expects a whole answer in one and
    needs 102. `service`: uuid of the service for characteristics that the
    recording names but does not place; default is theirs with the last hex digit 0.
    Raises ValueError when the conversation has no notifications.
    """
    return Replay(case, chunk, name or case["name"], service)


class Replay(air.Peripheral):
    """Follows the recording from its `connect` on; a request is looked for from there onwards,
    then from the start. Notifications that came without a request are sent at subscription,
    and repeated every second when the recording has no requests at all.

    There is no battery behind it, so `on_sample` is never called.
    """

    def __init__(self, case, chunk, name, service):
        self._events = case["events"]
        self._next = 0
        self._timer = None
        self.on_sample = None
        services, self._handles = _services(case, service)
        addr = bytes.fromhex(case["address"].replace(":", ""))
        super().__init__(name, addr, services, adv=air.adv(name=name[:26]))
        self.chunk = chunk
        self._streams = not any(e[0] == "write" for e in self._events)
        if not any(e[0] == "notify" for e in self._events):
            raise ValueError("no notifications in %s" % case["case"])

    def on_connect(self):
        self._seek("connect")

    def on_disconnect(self):
        self._stop()

    def on_subscribe(self, value_handle, on):
        self._stop()
        if on and self._seek("start_notify", value_handle):
            self._play()

    def on_write(self, value_handle, data, response):
        if self._seek("write", value_handle, bytes(data).hex()):
            self._play()

    def on_read(self, value_handle):
        if self._seek("read", value_handle):
            return bytes.fromhex(self._events[self._next - 1][2])
        return b""

    def _seek(self, kind, handle=None, data=None):
        # the next such event, going round; leaves _next after it
        count = len(self._events)
        for k in range(count):
            event = self._events[(self._next + k) % count]
            if (
                event[0] == kind
                and (handle is None or self._handle(event[1]) == handle)
                and (data is None or event[2] == data)
            ):
                self._next = (self._next + k) % count + 1
                return True
        return False

    def _play(self):
        self._timer = None
        at = self._next
        while at < len(self._events) and self._events[at][0] in ("notify", "ret"):
            event = self._events[at]
            if event[0] == "notify":
                self.notify(self._handle(event[1]), bytes.fromhex(event[2]))
            at += 1
        if self._streams and self.connected:
            self._timer = vclock.call_later(_STREAM_MS, self._play)

    def _stop(self):
        if self._timer:
            vclock.cancel(self._timer)
            self._timer = None

    def _handle(self, char):
        key = _key(char)
        return self._handles.get(key if isinstance(key, int) else _short(key))


def _key(char):
    # an event names its characteristic by handle, uuid, or [handle, uuid]
    return char[1] if isinstance(char, list) else char


def _short(uuid):
    uuid = uuid.lower()
    if len(uuid) == 36 and uuid[:4] == "0000" and uuid[8:] == "-0000-1000-8000-00805f9b34fb":
        return uuid[4:8]
    return uuid


def _services(case, service):
    """The recorded services, completed by what the events use, and {uuid or handle: handle}.

    Characteristics of one uuid become one: bleak's client refuses to tell them apart.
    """
    services = []
    table = {}  # short uuid -> characteristic
    handles = {}
    last = _FIRST_HANDLE
    for uuid, chars in case["services"]:
        services.append([uuid, []])
        for char in chars:
            short = _short(char[0])
            if short not in table:
                table[short] = [short, char[1], [], 0]
                services[-1][1].append(table[short])
            _allow(table[short], char[2])
            handles[char[1]] = table[short][1]
            last = max(last, char[1])
    for event in case["events"]:
        if event[0] not in _NEEDS or isinstance(_key(event[1]), int):
            continue
        short = _short(_key(event[1]))
        if short not in table:
            last += 4
            table[short] = [short, last, [], 0]
            _place(services, service or _service_of(short), table[short])
        _allow(table[short], _NEEDS[event[0]])
    for short in table:
        handles[short] = table[short][1]
    return services, handles


def _allow(char, properties):
    for p in properties:
        if p not in char[2]:
            char[2].append(p)


def _service_of(uuid):
    if uuid[:2] == "2a":
        return "180a"  # device information
    at = 3 if len(uuid) == 4 else 7
    return uuid[:at] + "0" + uuid[at + 1 :]


def _place(services, uuid, char):
    for known, chars in services:
        if _short(known) == _short(uuid):
            chars.append(char)
            return
    services.append([uuid, [char]])
