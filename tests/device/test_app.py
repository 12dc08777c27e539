# App, with a link that does what a test says: what is logged, shown, said, and when it restarts
import asyncio
import os
import struct
import sys

import air
import aioble
import bleradio
import flash
import machine
import sysmem
import vclock
import vfs
from aiobmsble.bms import jikong_bms
from app.app import App
from shardlog import frames_of
from shards import frame

_IMAGE = "/tmp/batmon-test-app-%s.img" % os.urandom(4).hex()  # of this process
_SAMPLE = {"voltage": 13.2, "battery_level": 50, "cell_count": 4, "temperature": 20}


_NETWORK = {
    "wifi.ssid": "net",
    "wifi.password": "",
    "wifi.ntp": "",
    "influx.host": "10.0.0.9",
    "influx.port": 8089,
    "influx.measurement": "battery",
    "influx.battery": "",
    "influx.board": "",
    "influx.polls": False,
    "influx.cells": False,
    "mqtt.host": "10.0.0.9",
    "mqtt.port": 1883,
    "mqtt.user": "",
    "mqtt.password": "",
    "mqtt.polls": False,
    "mqtt.discovery": "homeassistant",
}


class _Link:
    """Gives a sample every 2 s, but "lost" loses the link and `hang_from` ends all."""

    def __init__(self, driver, name, poll_ms, secret, on_change, on_error, on_hopeless):
        self.name = name
        self.driver = driver
        self.turns = 0
        self.connected = False
        self.text = ""
        self.open = True
        self.address = self.called = None
        self.capacity_ah = self.widened = 0
        self.lost = False  # no samples, but it goes on trying
        self.hangs = False
        self.polled_ms = poll_ms
        self.secret = secret
        self._on_change = on_change

    def __aiter__(self):
        return self

    async def __anext__(self):
        while True:
            self.turns += 1
            await asyncio.sleep(2)
            while self.hangs:
                await asyncio.sleep(1)
            if self.connected == self.lost:
                self.connected = not self.lost
                self.text = "lost" if self.lost else "connected"
                self._on_change(self)
            if not self.lost:
                sample = dict(_SAMPLE)
                sample["current"] = self.turns % 97 / 10
                sample["cell_voltages"] = [3.3, 3.3, 3.3, 3.3]
                return sample

    def close(self):
        self.open = False


class _Conn:
    BmsLink = _Link
    BMS = object()
    dev_name = "jk-pak01"
    DESIGN_CAP = 280


class _Board:
    """An App on an empty volume."""

    def __enter__(self):
        self._flash = flash.Flash(_IMAGE, 1 << 18, 4096)
        vfs.VfsLfs2.mkfs(self._flash)
        vfs.mount(vfs.VfsLfs2(self._flash), "/data")
        machine.RTC().memory(b"")
        self.app = App(_Conn)
        (self.battery,) = self.app.batteries
        self.app.settings.update({"lcd.fitted": False, "poll_s": 2.5, "secret": "1234"})
        return self

    def __exit__(self, *_):
        vclock.cancel(machine.WDT._bite)
        self._flash.close()
        vfs.umount("/data")
        os.remove(_IMAGE)

    def stored(self):
        """The frames that are on the volume."""
        (name,) = [e[0] for e in os.ilistdir("/data") if e[0].endswith(".raw")]
        with open("/data/" + name, "rb") as f:
            return list(frames_of(name, f.read(), True))

    def live(self, *steps):
        """Run, wait so many seconds and change the link, in turn; for how long, until a reset."""
        start_ms = vclock.now_ms()

        async def main():
            asyncio.create_task(self.app.run())
            for step in steps:
                if isinstance(step, str):
                    setattr(self.battery.link, step, not getattr(self.battery.link, step))
                else:
                    await asyncio.sleep(step)

        asyncio.new_event_loop()
        try:
            asyncio.run(main())
        except machine.Reset:
            pass
        return (vclock.now_ms() - start_ms) // 1000


def test_what_becomes_of_the_link_is_in_the_log():
    with _Board() as board:
        assert board.live(100, "lost", 100, "lost", 1001) == 1201
        status = board.battery.status
        assert status.connected and status.link == "connected" and status.beats > 500
        link = board.battery.link
        assert (link.name, link.polled_ms, link.secret) == ("jk-pak01", 2500, "1234")
        assert board.battery.store.cells == 4  # for the next anchor
        for name in ("app.choice", "app.settings", "shards.recovery", "screen.panel"):
            package, module = name.split(".")  # both would keep its memory
            assert name not in sys.modules and not hasattr(sys.modules[package], module), name
        board.app.stop()
        got = board.stored()
        assert len(got) < 60  # what is small for 280 Ah is left out
        events = [i for i in range(len(got)) if frame.kind(got[i], 0) == frame.EVENT]
        codes = [got[i][4] for i in events if got[i][4] != frame.GAP]
        codes = [code for code in codes if code < 12]  # the others tell what happened
        assert codes == [frame.LINK_FOUND, frame.LINK_LOST, frame.LINK_FOUND]
        # and so is the interval that was under way when it was lost, or the board stopped
        lost = [i for i in events if got[i][4] == frame.LINK_LOST][0]
        for i, end_s in ((lost - 1, 100), (len(got) - 1, 1201)):
            assert frame.kind(got[i], 0) == 0
            assert end_s - 4 <= struct.unpack_from("<H", got[i])[0] <= end_s


def test_memory_that_runs_out_again_and_again_resets_within_minutes():
    for exc, wait_s, resets in (
        (MemoryError(), 30, True),
        (MemoryError(), 100, False),  # now and then: a driver's answer was too long
        (ValueError(), 30, False),
    ):
        with _Board() as board:

            async def fail():
                while True:
                    await asyncio.sleep(wait_s)
                    board.app.on_error(exc)

            async def main():
                asyncio.create_task(board.app.run())
                asyncio.create_task(fail())
                await asyncio.sleep(3000)

            asyncio.new_event_loop()
            start_ms = vclock.now_ms()
            try:
                asyncio.run(main())
                reset = False
            except machine.Reset:
                reset = True
            assert reset == resets, (exc, wait_s)
            if reset:
                assert (vclock.now_ms() - start_ms) // 1000 <= 200
                assert board.app.errors.why() == "memory ran out 3 times in 60 s"


class _Chip:
    """The table of chips: WiFi has room beside Bluetooth, or not."""

    def __init__(self, wifi):
        self._wifi = wifi

    def row(self):
        return [""] * 5 + [self._wifi]


def test_what_sends_over_wifi_is_loaded_only_where_it_has_room():
    short = "WiFi needs 56 kB of system memory, there are 55 (40 in one block); nothing is sent"
    off = "influx and mqtt: off, WiFi has no room beside Bluetooth on this chip; bthome needs none"
    unnamed = "settings.json: influx.host is set, but wifi.ssid is not; nothing is sent"
    for free, wifi, ssid, words in (
        (100_000, "yes", "net", ""),
        (55_000, "yes", "net", short),
        (100_000, "no", "net", off),
        (100_000, "yes", "", unnamed),
    ):
        for name in ("sinks.influx", "sinks.mqtt", "sinks.wifi"):
            sys.modules.pop(name, None)
        with _Board() as board:
            sys.modules["boards"] = _Chip(wifi)
            board.app.settings.update(_NETWORK)
            board.app.settings["wifi.ssid"] = ssid
            sysmem.power_on("s3", False)
            sysmem.hog = sysmem.free() - free
            board.live(25)
            sysmem.hog = 0
            sysmem.power_on("esp32", False)
            for name in ("sinks.influx", "sinks.mqtt", "sinks.wifi"):
                assert (name in sys.modules) == (not words)
            said = ". ".join(board.app.sentences)
            assert said == words, said
            assert len(board.app.sinks) == (0 if words else 2)
            assert board.battery.store.frames


def test_bthome_tells_what_the_battery_does_under_its_name():
    lost = 20, "lost", 20
    for steps, on_air in ((lost[:1], True), (lost, False), (lost + ("lost", 9), True)):
        with _Board() as board:
            board.app.settings["bthome"] = True
            aioble.stop()
            bleradio.on()
            board.live(*steps)
            assert bool(air.radio.advertising) == on_air
            if on_air:
                _, told, answer, connectable = air.radio.advertising
                assert told[5:8] == b"\xd2\xfc\x40" and answer[2:] == b"batmon jk-pak01"
                assert not connectable


def test_old_data_have_an_age():
    with _Board() as board:
        app, battery = board.app, board.battery
        board.live(60)
        battery.update()
        assert battery.status.age_s <= 2 and battery.status.flushed_s is None
        assert battery.status.frames == battery.store.frames > 0
        app.sentences.append("One thing")
        battery.store.message = "Another"
        battery.update()
        assert battery.status.message == "One thing. Another"
    with _Board() as board:
        board.live(60, "lost", 1000)
        battery = board.battery
        battery.update()
        assert 998 <= battery.status.age_s <= 1002 and not battery.status.connected
        assert 0 < battery.status.flushed_s < 1000


def test_only_a_link_that_makes_no_turn_is_restarted():
    with _Board() as board:
        assert board.live(1000, "lost", 7200) == 8200
    with _Board() as board:
        assert 1300 <= board.live(1000, "hangs", 7200) <= 1310
        last = board.stored()[-1]  # of what was not flushed yet
        assert 996 <= struct.unpack_from("<H", last)[0] <= 1000
        assert board.app.errors.why() == "the link hangs"
    with _Board() as board:
        board.app.settings["watchdog_s"] = 0
        assert board.live(1000, "hangs", 7200) == 8200


def test_the_watchdog_bites_a_program_that_stands_still_and_leaves_the_repl_an_hour():
    with _Board() as board:
        board.app.settings["watchdog_s"] = 20
        board.live(1000)
        start_ms = vclock.now_ms()
        try:
            vclock.sleep_ms(100_000)
        except machine.Reset:
            pass
        assert 15_000 <= vclock.now_ms() - start_ms <= 20_000
    with _Board() as board:
        board.app.settings["watchdog_s"] = 20
        board.live(1000)
        board.app.stop()
        vclock.sleep_ms(3_500_000)
        assert not board.battery.link.open
    with _Board() as board:  # and if it cannot even stop

        def fails():
            raise MemoryError

        board.app.settings["watchdog_s"] = 20
        board.live(1000)
        board.battery.store.flush = fails
        try:
            board.app.stop()
        except MemoryError:
            pass
        vclock.sleep_ms(3_500_000)


def test_a_part_that_keeps_failing_is_tried_now_and_then():
    with _Board() as board:
        times = []
        board.app.on_error(ValueError("what the driver said"))

        async def part():
            times.append(vclock.now_ms())
            return done

        async def main():
            asyncio.create_task(board.app.keep("part", part))
            await asyncio.sleep(300)

        done = True  # on purpose
        asyncio.new_event_loop()
        asyncio.run(main())
        assert len(times) == 1
        done = None
        asyncio.new_event_loop()
        asyncio.run(main())
        assert 30 <= len(times) <= 32
        with open("/data/errors.txt") as f:
            text = f.read()
        assert "part: it ended" in text and "link: ValueError: what the driver said" in text


def test_alarms_are_told_beyond_the_limits_that_are_set():
    with _Board() as board:
        app, battery = board.app, board.battery
        battery.link = _Link(object(), "", 0, "", None, None, None)

        def said(**sample):
            full = dict(_SAMPLE)
            full["cell_voltages"] = [3.3, 3.2, 3.4, 3.3]
            full.update(sample)
            return battery._alarm(full)

        assert said() == said(cell_voltages=[0.0, 65.0], battery_level=0, temperature=120) == ""
        assert battery._alarm({}) == ""
        for key, limit, words, good, bad in (
            ("alarm.soc", 20, "charge low", {"battery_level": 21}, {"battery_level": 20}),
            ("alarm.cell_low_mv", 3250, "cell low", {"cell_voltages": [3.26]}, {}),
            ("alarm.cell_high_mv", 3350, "cell high", {"cell_voltages": [3.34]}, {}),
            ("alarm.temperature_c", 45, "too hot", {"temperature": 45}, {"temperature": 46}),
            ("alarm.current_a", 90, "too much current", {"current": 90}, {"current": -90.1}),
        ):
            app.settings[key] = limit
            assert said(**good) == "" and said(**bad) == words, key
            assert battery._alarm({}) == "", key
            app.settings[key] = 0
        assert said(problem=True) == "BMS alarm"
        assert said(problem=True, problem_code=3) == "BMS alarm 0x3"
        app.settings["alarm.soc"] = 60
        assert said(problem_code=3) == "BMS alarm 0x3\ncharge low"
        battery.link.driver = jikong_bms.BMS
        assert said(problem_code=16) == "cell over-volt\ncharge low"
        board.live(10)
        assert battery.status.alarm == "charge low"
        board.live(10, "lost", 100)
        # it would light the display for as long as the BMS is away
        assert battery.status.alarm == ""


def test_a_pause_at_the_repl_is_shown_and_ends_in_a_start():
    for wrong in (0, 51, 2.5, "ten", None):
        with _Board() as board:
            board.live(10)
            board.app.stop()
            start_ms = vclock.now_ms()
            board.app.pause(wrong)  # says so, and returns
            assert vclock.now_ms() == start_ms
    with _Board() as board:
        board.live(10)
        board.app.stop()
        start_ms = vclock.now_ms()
        shown = []

        def look():
            shown.append(board.battery.status.link)
            vclock.call_later(60_000, look)

        vclock.call_later(30_000, look)
        try:
            board.app.pause(3)
            raise AssertionError("the board has to start again")
        except machine.Reset:
            pass
        assert shown == ["paused, %d min left" % n for n in (3, 2, 1)]
        assert 179_000 <= vclock.now_ms() - start_ms <= 182_000
        vclock._events.clear()
