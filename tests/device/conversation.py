# Plays recorded conversations with a BMS through the drivers, translated or upstream's on CPython
# Client stands in for bleak.BleakClient and answers as tests/data/vectors/README.md describes.
import asyncio
import json

import bleak
from bleak import BleakCharacteristicNotFoundError, BleakError, BLEDevice, normalize_uuid_str

# What CPython raises and MicroPython has under another name.
_ERRORS = {"JSONDecodeError": "ValueError", "UnicodeDecodeError": "UnicodeError"}
_SINGLE = 1 + 1e-8 == 1  # floats are a chip's
_YIELDS = 4  # passes of the event loop between two notifications, as in the real client
_LONGEST_S = 3600  # of the virtual clock: a driver that still waits hangs
# What may leave a driver; see docs/PORTING.md.
_DOCUMENTED = (
    asyncio.TimeoutError, BleakError, ValueError, OSError, EOFError, LookupError, AssertionError,
)


class _Characteristic:
    def __init__(self, uuid, handle, properties, extra=True):
        self.uuid = uuid
        self.handle = handle
        self.properties = properties
        self.listed = extra


class Service:
    def __init__(self, uuid, characteristics):
        self.uuid = uuid
        self.characteristics = [_Characteristic(*part) for part in characteristics]


class _Services:
    def __init__(self, services):
        self._services = [Service(*part) for part in services]

    def __iter__(self):
        return iter(self._services)

    def get_service(self, uuid):
        for service in self._services:
            if service.uuid == normalize_uuid_str(uuid):
                return service

    def get_characteristic(self, char):
        for service in self._services:
            for found in service.characteristics:
                if found.listed and _key(char) in (found.handle, found.uuid):
                    return found


def _key(char):
    """A characteristic's handle or long uuid, whatever it was named by."""
    if isinstance(char, int):
        return char
    if isinstance(char, list):
        char = char[1]
    return normalize_uuid_str(getattr(char, "uuid", char))


class Tape:
    """The events of one case; each is played once."""

    def __init__(self, case):
        self.services = case["services"] or []
        self.events = case["events"]
        self.yields = case.get("yields", _YIELDS)
        self.played = [False] * len(self.events)
        self.problems = []
        self.pumps = 0  # tasks that deliver notifications

    async def settle(self):
        """Wait until all notifications under way are delivered."""
        while self.pumps:
            await asyncio.sleep(0)

    def take(self, kind, char=None, data=None):
        """Mark the first event of this kind not yet played; its index, or None."""
        for i, event in enumerate(self.events):
            if self.played[i] or event[0] != kind:
                continue
            if char is not None and _key(event[1]) != _key(char):
                continue
            if data is not None and event[2] != data:
                continue
            self.played[i] = True
            return i
        return None

    def notifications(self, i):
        """Indices of the notifications not yet played from event i on, up to another event."""
        while i < len(self.events):
            if not self.played[i]:
                if self.events[i][0] != "notify":
                    return
                self.played[i] = True
                yield i
            i += 1

    def returned(self, i):
        """Mark the return of the call at event i, if that is the next event; its index."""
        while i < len(self.events) and self.played[i]:
            i += 1
        if i < len(self.events) and self.events[i][0] == "ret":
            self.played[i] = True
            return i
        return None


class Client:
    """bleak.BleakClient as far as drivers use it; the other end is `Client.tape`."""

    tape = None

    def __init__(self, device, disconnected_callback=None, services=None, timeout=10.0):
        self.is_connected = False
        self.services = _Services(self.tape.services)
        self._callbacks = {}
        self._depth = 0

    async def connect(self):
        self.tape.take("connect")
        self.is_connected = True

    async def disconnect(self):
        self.tape.take("disconnect")
        self.is_connected = False
        self._callbacks = {}

    async def start_notify(self, char, callback):
        self._callbacks[_key(char)] = callback
        await self._answer(self.tape.take("start_notify", char), "start_notify", char)

    async def stop_notify(self, char):
        self._callbacks.pop(_key(char), None)
        self.tape.take("stop_notify")

    async def read_gatt_char(self, char):
        i = self.tape.take("read", char)
        event = self.tape.events[i] if i is not None else [None, None, None]
        if event[2] is None:
            raise BleakCharacteristicNotFoundError(char)
        return bytearray(bytes.fromhex(event[2]))

    async def write_gatt_char(self, char, data, response=None):
        text = bytes(data).hex()
        i = self.tape.take("write", char, text)
        if i is not None:
            event = self.tape.events[i]
            if event[3] != response:
                self.tape.problems.append("write %s with response=%s" % (text, response))
            if len(event) > 4:
                timeout = event[4] == "TimeoutError"
                raise asyncio.TimeoutError() if timeout else BleakError(event[4])
        await self._answer(i, "write", char, text)

    async def _answer(self, i, kind, char, text=""):
        if i is None:
            self.tape.problems.append("unexpected %s %s %s" % (kind, char, text))
            return
        self._depth += 1
        for j in self.tape.notifications(i + 1):
            await self.notify(self.tape.events[j])
        self._depth -= 1
        end = self.tape.returned(i + 1)
        # A handler's own write does not return before its notification is handled.
        if end is not None and not self._depth:
            self.notify_later(end + 1)

    def notify_later(self, i):
        """Deliver the notifications from event i on while the caller goes on."""
        events = [self.tape.events[j] for j in self.tape.notifications(i)]
        if events:
            self.tape.pumps += 1
            asyncio.create_task(self._pump(events))

    async def _pump(self, events):
        for event in events:
            for _ in range(self.tape.yields):
                await asyncio.sleep(0)
            if not self.is_connected:
                break
            await self.notify(event)
        self.tape.pumps -= 1

    async def notify(self, event):
        """Hand one notification to its callback; an error there stays there, as in bleak."""
        key = _key(event[1])
        callback = self._callbacks.get(key)
        if callback is None and self._callbacks:
            callback = list(self._callbacks.values())[0]
        if callback is None:
            return
        is_handle = isinstance(key, int)
        sender = _Characteristic("" if is_handle else key, key if is_handle else 0, [])
        try:
            result = callback(sender, bytearray(bytes.fromhex(event[2])))
            if hasattr(result, "send"):
                await result
        except Exception as error:
            self.tape.problems.append("handler: %r" % error)


def differences(expected, got, path=""):
    """Where a sample differs from the expected one, as text; [] if nowhere.

    Floats agree to a relative 1e-6 or one unit of their last digit, all else exactly; with single
    floats a runtime, the whole seconds of a quotient, to a second.
    """
    if isinstance(expected, dict):
        if not isinstance(got, dict):
            return ["%s: %r is no dict" % (path, got)]
        cells = got.get("cell_voltages") or ()
        wanted = expected.get("cell_voltages") or ()
        if len(cells) != len(wanted) and (0 in cells or 0 in wanted):
            got, expected = _without_zeros(got), _without_zeros(expected)
        found = ["%s.%s: not expected" % (path, key) for key in got if key not in expected]
        for key, value in expected.items():
            if key in got:
                found += differences(value, got[key], "%s.%s" % (path, key))
            else:
                found.append("%s.%s: missing" % (path, key))
        return found
    if isinstance(expected, list):
        if not isinstance(got, list) or len(got) != len(expected):
            return ["%s: %r instead of %r" % (path, got, expected)]
        found = []
        for i, value in enumerate(expected):
            found += differences(value, got[i], "%s[%d]" % (path, i))
        return found
    if isinstance(expected, float) and isinstance(got, (int, float)):
        same = abs(expected - got) <= max(1e-6 * abs(expected), _last_digit(expected))
    elif _SINGLE and path == ".runtime" and type(got) is int:
        same = abs(expected - got) <= 1
    else:
        same = type(expected) is type(got) and expected == got
    return [] if same else ["%s: %r instead of %r" % (path, got, expected)]


def _without_zeros(sample):
    """A sample without cells at 0 V, which only upstream leaves out, and without what they make."""
    sample = dict(sample)
    sample["cell_voltages"] = [volts for volts in sample.get("cell_voltages") or () if volts]
    for key in ("cell_count", "delta_voltage", "problem"):
        sample.pop(key, None)
    return sample


def _last_digit(number):
    """One unit of a float's last decimal digit, and what single floats may be off it."""
    text = repr(number)
    if "e" in text:
        return 0
    return 1.1 * 10 ** -len(text.split(".")[1])


def plain(value):
    """A result as JSON can hold it: a temperature is {"t": [°C, sensor type]}."""
    if isinstance(value, dict):
        return {key: plain(value[key]) for key in value}
    if hasattr(value, "value") and hasattr(value, "type"):
        return {"t": [plain(value.value), int(value.type)]}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, float) and not -1e300 < value < 1e300:
        return repr(value)
    return value


async def play(module, case):
    """Run one case; returns a list of problems, [] when everything is as recorded."""
    outcomes, problems = await perform(module, case)
    for i, kind, got in outcomes:
        label = "%s %d: " % (case["events"][i][0], i)
        end = case["events"][_end_of_call(case["events"], i)]
        if (kind == "error") != (end[0] == "error"):
            problems.append("%s%s %r instead of %s" % (label, kind, got, end[0]))
        elif kind == "error":
            if _ERRORS.get(end[1], end[1]) != got:
                problems.append("%s%s instead of %s" % (label, got, end[1]))
        else:
            problems += [label + text for text in differences(end[1], got)]
    return problems


async def answer(line):
    """Perform a JSON line [module, case]; its outcomes and problems as another."""
    module, case = json.loads(line)
    outcomes, problems = await asyncio.wait_for(perform(module, case), _LONGEST_S)
    return json.dumps([outcomes, problems])


def _accept(*arguments, **options):
    """In place of a driver's checksum, so that damaged data comes through."""
    return True


async def perform(module, case):
    """Make the calls of one case; if it is "unchecked", without a look at checksums.

    Returns [[index of the call's event, "sample" | "error" | "undocumented", the sample or the
    error's name], ...] and what was odd on the way, as text.
    """
    tape = Client.tape = Tape(case)
    bms = driver_of(module, case)
    if case.get("unchecked"):
        bms._check_integrity = _accept
    events = tape.events
    outcomes = []
    i = 0
    while i < len(events):
        if events[i][0] not in ("update", "device_info"):
            i += 1
            continue
        if bms.is_connected:
            bms._client.notify_later(i + 1)
        try:
            if events[i][0] == "update":
                got = await bms.async_update(events[i][1])
            else:
                got = await bms.device_info()
        except Exception as error:
            kind = "error" if isinstance(error, _DOCUMENTED) else "undocumented"
            outcomes.append([i, kind, type(error).__name__])
        else:
            outcomes.append([i, "sample", plain(got)])
        await tape.settle()
        i = await _until_next_call(bms, tape, _end_of_call(events, i))
    await bms.disconnect()
    return outcomes, tape.problems


def driver_of(module, case, client=Client):
    """The driver's object for the device of a case."""
    bleak.BleakClient = client
    import aiobmsble

    driver = __import__("aiobmsble.bms." + module, None, None, ("BMS",))
    device = BLEDevice(case["address"], case["name"], None)
    keep_alive, secret = case["config"]["keep_alive"], case["config"]["secret"]
    if hasattr(aiobmsble, "BMSConfig"):
        return driver.BMS(device, aiobmsble.BMSConfig(keep_alive, secret))
    return driver.BMS(device, keep_alive, secret)  # releases before 0.26


def _end_of_call(events, i):
    while events[i][0] not in ("sample", "info", "error"):
        i += 1
    return i


async def _until_next_call(bms, tape, i):
    """What happens after a result at event i: late notifications, an explicit disconnect."""
    leave = False
    while i < len(tape.events) and tape.events[i][0] not in ("update", "device_info"):
        if tape.events[i][0] == "notify" and bms.is_connected:
            await bms._client.notify(tape.events[i])
        leave = leave or (tape.events[i][0] == "disconnect" and not tape.played[i])
        i += 1
    if leave and bms.is_connected:
        await bms.disconnect()
    for j in range(i):
        tape.played[j] = True
    return i
