# A sink that keeps Home Assistant current by MQTT: the newest values, what waits for nothing
# docs/HOMEASSISTANT.md tells what arrives. What is older than newest is `batmon send`'s.
import asyncio
from binascii import hexlify

import machine
import mqtt
from micropython import const
from sinks.once import once

_BLUETOOTH_FIRST_S = const(20)
_TICKS = const(20)  # to look for news, and then whether anything else is due
_TICK_MS = const(250)
_PING_S = const(30)
_RETRY_S = const(10)  # doubled after every failure
_RETRY_MAX_S = const(300)
_REFRESH_S = const(300)  # without a frame
_STALE_S = const(60)
_GAP_MS = const(180_000)  # between polls: over longer ones nothing is counted


async def run(settings, sinks, clock, batteries, wifi, version):
    """Be on the list `sinks` for ever."""
    sink = Mqtt(settings, clock, batteries, wifi, version)
    sinks.append(sink)
    try:
        await sink.run()
    finally:
        sinks.remove(sink)


class Counters:
    """Charge and energy of one battery since the start of the board, in and out."""

    def __init__(self):
        # 10 mAh and Wh: integers, because floats would swallow what a poll adds
        self.whole = [0, 0, 0, 0]
        self._rest = [0, 0, 0, 0]  # As, Ws
        self._last_ms = None

    def add(self, now_ms, volts, amps):
        """Count what flowed since the last sample; unknown values are None."""
        last_ms, self._last_ms = self._last_ms, now_ms
        if amps is None or last_ms is None or now_ms - last_ms > _GAP_MS:
            return
        coulombs = abs(amps) * (now_ms - last_ms) / 1000
        if not coulombs < 1e7:
            return  # nor NaN
        out = 0 if amps > 0 else 1
        self._count(out, coulombs, 36)
        if volts is not None and volts - volts == 0:
            self._count(2 + out, coulombs * volts, 3600)

    def _count(self, i, more, unit):
        rest = self._rest[i] + more
        n = int(rest / unit)
        self.whole[i] += n
        self._rest[i] = rest - n * unit


class _Told:
    """What the broker knows of one battery."""

    def __init__(self, battery, board):
        self.battery = battery
        self.counters = Counters()
        self.topic = "batmon/%s/%s/" % (board, battery.store.name)
        self.forget()

    def forget(self):
        """The broker, too, may have forgotten."""
        self.announced = False
        self.due = self.battery.sample is not None
        self.fresh = None
        self.link = self.log = None
        self.state_s = -_REFRESH_S
        self.lifetime_s = 0  # when lifetime counters are told next


class Mqtt:
    """Publishes the values of `batteries` to the broker of the settings, over `wifi`."""

    def __init__(self, settings, clock, batteries, wifi, version):
        self.published = 0
        self._version = version
        self._settings = settings
        self._clock = clock
        self._batteries = batteries
        self._wifi = wifi
        self._board = hexlify(machine.unique_id()).decode()
        self._status = "batmon/%s/status" % self._board
        self._client = mqtt.Client()
        self._told = []
        self._news = False
        self._wait_s = _RETRY_S
        self._said = ""

    # ---- the sink: raises nothing, waits for nothing

    def frames(self, battery, buf, n):
        """Take note that frames of `battery` were stored: its next sample is told."""
        told = self._of(battery)
        if told:
            told.due = True

    def sample(self, battery, uptime_ms, sample):
        """Take a poll's sample, aiobmsble's dict; its frames came before."""
        told = self._of(battery)
        if told:
            told.counters.add(uptime_ms, sample.get("voltage"), sample.get("current"))
            told.due = told.due or self._settings["mqtt.polls"]
            self._news = self._news or told.due

    def close(self):
        """Hang up; the broker then tells that the board is offline."""
        self._client.close()

    def _of(self, battery):
        for told in self._told:
            if told.battery is battery:
                return told
        if battery.store:
            told = _Told(battery, self._board)
            self._told.append(told)
            return told

    # ---- the connection

    async def run(self):
        """Join the network, connect, publish; never ends."""
        await asyncio.sleep(_BLUETOOTH_FIRST_S)
        while True:
            await self._wifi.join()
            try:
                await self._talk()
            except OSError:
                self._say("%s does not answer" % self._settings["mqtt.host"])
            self._client.close()
            await asyncio.sleep(self._wait_s)
            self._wait_s = min(2 * self._wait_s, _RETRY_MAX_S)

    async def _talk(self):
        """Publish whatever is new, until the connection fails."""
        problem = await once("discovery").connect(
            self._client, self._settings, self._wifi.dns(), self._board, self._status
        )
        if problem:
            self._say(problem)
            return
        await self._publish(self._status, "online")
        self._say("sending to " + self._settings["mqtt.host"])
        self._wait_s = _RETRY_S
        for told in self._told:
            told.forget()
        ping_s = self._clock.uptime_s()
        while True:
            self._news = False
            before = self.published
            for battery in self._batteries:
                told = self._of(battery)
                if told:
                    await self._tell(told)
            now_s = self._clock.uptime_s()
            if self.published != before:
                ping_s = now_s
            elif now_s - ping_s >= _PING_S:
                await self._client.ping()
                ping_s = now_s
            for _ in range(_TICKS):
                if self._news:
                    break
                await asyncio.sleep_ms(_TICK_MS)

    async def _publish(self, topic, text):
        await self._client.publish(topic, text)
        self.published += 1

    def _say(self, text):
        if text != self._said:
            self._said = text
            print("MQTT:", text)

    # ---- one battery

    async def _tell(self, told):
        """Publish what the broker does not know yet of a battery: values first."""
        battery = told.battery
        now_s = self._clock.uptime_s()
        if not told.announced:
            if self._settings["mqtt.discovery"]:
                about = battery, self._status, told.topic, self._version
                await once("discovery").announce(self._client, self._settings, *about)
            told.announced = True
        fresh = battery.sample is not None
        fresh = fresh and now_s - battery.sample_s <= max(_STALE_S, 3 * self._settings["poll_s"])
        if fresh and (told.due or now_s - told.state_s >= _REFRESH_S):
            told.due = False  # what comes while this is under way is told next
            told.state_s = now_s
            text = _values(battery.sample, battery.status.alarm, told.counters.whole)
            await self._publish(told.topic + "state", text)
        if fresh != told.fresh:
            await self._publish(told.topic + "status", "online" if fresh else "offline")
            told.fresh = fresh
        link = battery.status.link.split(", retry ")[0]  # not each attempt
        log = battery.store.message
        if link != told.link or log != told.log:
            words = once("discovery").words(link, log)
            await self._publish(told.topic + "diagnostics", words)
            told.link = link
            told.log = log
        if now_s >= told.lifetime_s:
            about = battery, self._status, told.topic, self._version
            again_s = await once("lifetime").tell(self._client, self._settings, *about)
            told.lifetime_s = now_s + again_s


def _values(sample, alarm, counted):
    """Return the values of a sample as JSON; what is unknown is null."""
    volts = _known(sample.get("voltage"))
    amps = _known(sample.get("current"))
    cells = [cell for cell in sample.get("cell_voltages") or () if cell is not None]
    low = round(min(cells) * 1000) if cells else None
    high = round(max(cells) * 1000) if cells else None
    watts = None if volts is None or amps is None else volts * amps
    charge_in, charge_out, energy_in, energy_out = counted
    return (
        '{"soc":%s,"voltage":%s,"current":%s,"power":%s,"temperature":%s,'
        '"cell_min":%s,"cell_max":%s,"cell_spread":%s,'
        '"charge_in":%d.%02d,"charge_out":%d.%02d,'
        '"energy_in":%d.%03d,"energy_out":%d.%03d,'
        '"charging":"%s","problem":"%s"}'
    ) % (
        _number(sample.get("battery_level"), 1),
        _number(volts, 3),
        _number(amps, 3),
        _number(watts, 1),
        _number(sample.get("temperature"), 1),
        "null" if low is None else low,
        "null" if low is None else high,
        "null" if low is None else high - low,
        charge_in // 100,
        charge_in % 100,
        charge_out // 100,
        charge_out % 100,
        energy_in // 1000,
        energy_in % 1000,
        energy_out // 1000,
        energy_out % 1000,
        "None" if amps is None else "ON" if amps > 0 else "OFF",
        "ON" if alarm else "OFF",
    )


def _known(value):
    return value if value is not None and value - value == 0 else None


def _number(value, digits):
    return "null" if _known(value) is None else "%.*f" % (digits, value)
