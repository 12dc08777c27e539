# Broadcasts what the batteries do over Bluetooth as BTHome v2: Home Assistant sees it without WiFi
# docs/HOMEASSISTANT.md tells what of it arrives there.
import asyncio
import struct

import advertising
from micropython import const

_TICK_S = const(2)
_STALE_S = const(12)  # with a tick less than 15: a sensor that repeats old numbers lies
_MOST = const(28)  # bytes beside the advertisement's flags
_HEAD = b"\x00\x16\xd2\xfc\x40"  # length, service data, 0xFCD2, version 2, not encrypted

_PACKET = const(0x00)  # object ids, which must ascend
_SOC = const(0x01)
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
        if any(battery.sample is None or battery.sample_s < oldest_s for battery in batteries):
            advertising.drop("bthome")
            told = False
        elif packet.fill(batteries) or not told:
            told = advertising.put("bthome", packet.data())
        await asyncio.sleep(_TICK_S)


class Packet:
    """The content of one advertisement, which is numbered anew whenever it changes."""

    def __init__(self):
        self._buf = bytearray(_MOST)
        self._before = bytearray(_MOST)
        self._n = 0
        self._amps = True  # all were small enough to be told

    def data(self):
        """Return the AD structure."""
        return bytes(memoryview(self._buf)[: self._n])

    def fill(self, batteries):
        """Take the last sample of each of `batteries`; is anything new?"""
        buf = self._buf
        before_n = self._n
        self._before[:] = buf
        buf[: len(_HEAD)] = _HEAD
        self._n = len(_HEAD)
        self._add(_PACKET, "<B", buf[len(_HEAD) + 1])
        if len(batteries) == 1:
            self._fill_one(batteries[0].sample, batteries[0].status.alarm)
        else:
            self._fill_bank(batteries)
        buf[0] = self._n - 1
        new = self._n != before_n or buf != self._before
        if new:
            buf[len(_HEAD) + 1] = buf[len(_HEAD) + 1] + 1 & 255
        return new

    def _fill_one(self, sample, alarm):
        volts = sample.get("voltage")
        amps = sample.get("current")
        low = _within(volts, 0, 65.5)
        self._add_soc(sample.get("battery_level"))
        if _within(sample.get("temperature"), -273, 327):
            self._add(_TEMPERATURE, "<h", round(sample["temperature"] * 100))
        if low:
            self._add(_VOLTAGE, "<H", round(volts * 1000))
        known = _within(amps, -10_000, 10_000)
        self._add_states(amps if known else None, alarm)
        if not low and _within(volts, 0, 6550):
            self._add(_VOLTAGE_HIGH, "<H", round(volts * 10))
        if known and _within(volts, 0, 1000):
            self._add(_POWER, "<i", round(volts * amps * 100))
        # One that came and went would stand still in between: then power has to do.
        self._amps = self._amps and not (known and abs(amps) > 32.76)
        if known and self._amps:
            self._add(_CURRENT, "<h", round(amps * 1000))

    def _fill_bank(self, batteries):
        """All together: state of charge, charging, problem, power; and each one's charge.

        Receivers number what is repeated: who is left out would hand its number to the next, so
        it is told of all or of none.
        """
        charge = capacity = watts = 0
        alarm = False
        for battery in batteries:
            sample = battery.sample
            percent = sample.get("battery_level")
            ah = battery.link.capacity_ah
            if charge is not None and _within(percent, 0, 100):
                charge += percent * ah
                capacity += ah
            else:
                charge = None
            volts = sample.get("voltage")
            amps = sample.get("current")
            known = _within(volts, 0, 1000) and _within(amps, -10_000, 10_000)
            watts = watts + volts * amps if known and watts is not None else None
            alarm = alarm or battery.status.alarm
        if charge is not None:
            self._add_soc(charge / capacity)
            most = (_MOST - self._n - 2 - 2 - 5) // 2  # beside the states and the power
            for battery in batteries[:most]:
                self._add_soc(battery.sample["battery_level"])
        self._add_states(watts, alarm)
        if _within(watts, -2e7, 2e7):
            self._add(_POWER, "<i", round(watts * 100))

    def _add_soc(self, percent):
        if _within(percent, 0, 100):
            self._add(_SOC, "<B", round(percent))

    def _add_states(self, charging, alarm):
        if charging is not None:
            self._add(_CHARGING, "<B", 1 if charging > 0 else 0)
        self._add(_PROBLEM, "<B", 1 if alarm else 0)

    def _add(self, kind, form, value):
        self._buf[self._n] = kind
        struct.pack_into(form, self._buf, self._n + 1, value)
        self._n += 1 + struct.calcsize(form)


def _within(value, low, high):
    return value is not None and low <= value <= high  # NaN is not
