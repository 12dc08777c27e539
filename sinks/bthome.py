# Broadcasts what the batteries do over Bluetooth as BTHome v2: Home Assistant sees it without WiFi
# docs/HOMEASSISTANT.md tells what of it arrives there.
import asyncio

import advertising
from micropython import const

_TICK_S = const(2)
_STALE_S = const(12)  # with a tick less than 15: a sensor that repeats old numbers lies
_MOST = const(28)  # bytes of a packet, beside the advertisement's flags
_NUMBER = const(6)  # where its number is, behind length and what BTHome is known by
_LARGE = const(28)  # behind the packet: 1 if ever a current was too large for it

_SOC = const(0x01)  # object ids, which must ascend
_TEMPERATURE = const(0x02)  # of 0.01 degC
_VOLTAGE = const(0x0C)  # of 1 mV
_CHARGING = const(0x16)
_PROBLEM = const(0x26)
_VOLTAGE_HIGH = const(0x4A)  # of 0.1 V
_POWER = const(0x5C)  # of 0.01 W
_CURRENT = const(0x5D)  # of 1 mA
_MOST_A = const(32)  # what its 16 bits can tell
_MOST_W = const(20_000_000)  # and the 32 of power


async def run(batteries, clock, poll_s, name):
    """Advertise what the `batteries` told last, for ever; nothing while that is old for any one.

    A battery has `sample` (aiobmsble's dict or None), `sample_s` (its uptime), `status.alarm` and
    `link.capacity_ah`. `name` is that of the board, see lib/advertising.py.
    """
    advertising.name = name
    packet = bytearray(_MOST + 1)
    stale_s = max(_STALE_S, poll_s * 3 // 2)
    told = False
    while True:
        data = content(packet, batteries, clock.uptime_s() - stale_s, advertising.data)
        if data != advertising.data or not told:
            advertising.data = data
            told = advertising.go()
        await asyncio.sleep(_TICK_S)


def content(packet, batteries, oldest_s, before):
    """Return the AD structure that tells the last samples: `before` itself if that did.

    It is made in `packet`, 29 bytes, zeros at first, and numbered anew whenever it changes. It is
    b"" while the sample of any battery is older than the uptime `oldest_s`.
    """
    for battery in batteries:
        if battery.sample is None or battery.sample_s < oldest_s:
            return b""
    # length, service data, 0xFCD2, version 2 and not encrypted
    packet[:_NUMBER] = b"\x06\x16\xd2\xfc\x40\x00"
    if len(batteries) > 1:
        from sinks import bank

        bank.tell(packet, batteries, add)
    else:
        sample = batteries[0].sample
        volts = sample.get("voltage")
        amps = sample.get("current")
        known = amps is not None and abs(amps) <= 10_000  # NaN is not
        add(packet, _SOC, 1, sample.get("battery_level"), 0, 100, 1)
        add(packet, _TEMPERATURE, 2, sample.get("temperature"), -273, 327, 100)
        add(packet, _VOLTAGE, 2, volts, 0, 65.5, 1000)
        if known:
            add(packet, _CHARGING, 1, amps > 0, 0, 1, 1)
        add(packet, _PROBLEM, 1, bool(batteries[0].status.alarm), 0, 1, 1)
        if volts and volts > 65.5:
            add(packet, _VOLTAGE_HIGH, 2, volts, 0, 6550, 10)
        if known:
            if volts is not None and 0 <= volts <= 1000:
                add(packet, _POWER, 4, volts * amps, -_MOST_W, _MOST_W, 100)
            # One that came and went would stand still in between: then power has to do.
            packet[_LARGE] |= abs(amps) > _MOST_A
            if not packet[_LARGE]:
                add(packet, _CURRENT, 2, amps, -_MOST_A, _MOST_A, 1000)
    now = memoryview(packet)[: packet[0] + 1]
    if now == before:
        return before
    packet[_NUMBER] = packet[_NUMBER] + 1 & 255
    return bytes(now)


def add(packet, kind, size, value, low, high, scale):
    """Tell `value` in parts of 1/`scale`, `size` bytes, if it is known and within limits."""
    if value is None or not low <= value <= high:  # NaN is not
        return
    value = round(value * scale)
    at = packet[0] + 1
    packet[at] = kind
    for i in range(at + 1, at + 1 + size):
        packet[i] = value & 255
        value >>= 8
    packet[0] += 1 + size
