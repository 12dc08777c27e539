# Broadcasts what the batteries do over Bluetooth as BTHome v2: Home Assistant sees it without WiFi
# docs/HOMEASSISTANT.md tells what of it arrives there.
import asyncio

import advertising
from micropython import const

_TICK_S = const(2)
_STALE_S = const(12)  # with a tick less than 15: a sensor that repeats old numbers lies
_MOST = const(28)  # bytes beside the advertisement's flags
_HEAD = const(5)  # of these: length, service data, 0xFCD2, version 2 and not encrypted

_SOC = const(0x01)  # object ids, which must ascend
_TEMPERATURE = const(0x02)  # of 0.01 degC
_VOLTAGE = const(0x0C)  # of 1 mV
_CHARGING = const(0x16)
_PROBLEM = const(0x26)
_VOLTAGE_HIGH = const(0x4A)  # of 0.1 V
_POWER = const(0x5C)  # of 0.01 W
_CURRENT = const(0x5D)  # of 1 mA


async def run(batteries, clock, poll_s):
    """Advertise what the `batteries` told last, for ever; nothing while that is old for any one.

    A battery has `sample` (aiobmsble's dict or None), `sample_s` (its uptime), `status.alarm` and
    `link.capacity_ah`.
    """
    packet = Packet()
    stale_s = max(_STALE_S, int(poll_s * 1.5))
    told = True
    while True:
        oldest_s = clock.uptime_s() - stale_s
        fresh = True
        for battery in batteries:
            fresh = fresh and battery.sample is not None and battery.sample_s >= oldest_s
        if not fresh:
            advertising.drop("bthome")
            told = False
        elif packet.update(batteries) or not told:
            told = advertising.put("bthome", packet.data)
        await asyncio.sleep(_TICK_S)


class Packet:
    """The content of one advertisement, which is numbered anew whenever it changes.

    `data` is the AD structure, b"" before the first.
    """

    def __init__(self):
        self.data = b""
        self._buf = bytearray(b"\x00\x16\xd2\xfc\x40\x00" + bytes(_MOST - 6))
        self._n = 0
        self._amps = True  # all were small enough to be told

    def update(self, batteries):
        """Take the last sample of each of `batteries`; is anything new?"""
        self._n = _HEAD + 2  # behind the packet's number
        if len(batteries) == 1:
            self._tell(batteries[0].sample, batteries[0].status.alarm)
        else:
            from sinks import bank

            bank.tell(self, batteries)
        self._buf[0] = self._n - 1
        content = memoryview(self._buf)[: self._n]
        if content == self.data:
            return False
        self._buf[_HEAD + 1] = self._buf[_HEAD + 1] + 1 & 255
        self.data = bytes(content)
        return True

    def _tell(self, sample, alarm):
        volts = sample.get("voltage")
        amps = sample.get("current")
        if amps is not None and not abs(amps) <= 10_000:  # nor NaN
            amps = None
        self.add(_SOC, 1, sample.get("battery_level"), 0, 100)
        self.add(_TEMPERATURE, 2, sample.get("temperature"), -273, 327, 100)
        self.add(_VOLTAGE, 2, volts, 0, 65.5, 1000)
        self.add_states(amps, alarm)
        if volts and volts > 65.5:
            self.add(_VOLTAGE_HIGH, 2, volts, 0, 6550, 10)
        if amps is None:
            return
        if volts is not None and 0 <= volts <= 1000:
            self.add_power(volts * amps)
        # One that came and went would stand still in between: then power has to do.
        self._amps = self._amps and abs(amps) <= 32.76
        if self._amps:
            self.add(_CURRENT, 2, amps, -33, 33, 1000)

    def add_states(self, charging, alarm):
        """Tell whether `charging`, a current or power, is above 0, if known, and the alarm."""
        if charging is not None:
            self.add(_CHARGING, 1, charging > 0, 0, 1)
        self.add(_PROBLEM, 1, bool(alarm), 0, 1)

    def add_power(self, watts):
        """Tell a power in W, which has 32 bits of 0.01 W."""
        self.add(_POWER, 4, watts, -2e7, 2e7, 100)

    def add(self, kind, size, value, low, high, scale=1):
        """Tell `value` in parts of 1/`scale`, `size` bytes, if it is known and within limits."""
        if value is None or not low <= value <= high:  # NaN is not
            return
        value = round(value * scale)
        self._buf[self._n] = kind
        for i in range(self._n + 1, self._n + 1 + size):
            self._buf[i] = value & 255
            value >>= 8
        self._n += 1 + size
