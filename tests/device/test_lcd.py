# The LCD driver against the model of the module: what is asked for is what is seen
import asyncio
import gc
import random

import lcd as model
import machine
import sysmem
import vclock
from lcd_hd44780 import LCD, LCM1602, MJKDZ

_SIZES = ((16, 2), (20, 2), (16, 4), (20, 4))
_WIRINGS = (("lcm1602", LCM1602), ("mjkdz", MJKDZ))
_RESYNC_S = 200  # a little over the driver's period


class WriteOnlyBus:
    def __init__(self):
        self.writeto = machine.I2C(0, freq=100_000).writeto


def make(cols=16, rows=2, addr=0x27, names=_WIRINGS[0], bus=None):
    """A new module alone on the bus, and the driver for it."""
    glass = model.LCD(cols, rows, names[0])
    machine.i2c_devices.clear()
    machine.i2c_devices[addr] = glass
    bus = bus or machine.I2C(0, freq=100_000)
    return glass, LCD(bus, cols=cols, rows=rows, wiring=names[1])


def random_lines(cols, rows):
    # also too few and too many lines, too short and too long ones, and what no ROM knows
    def char():
        return chr(random.choice((random.randrange(256), random.randrange(32, 127), 0x142, 0x263A)))

    count = random.choice((rows, rows, rows, random.randrange(rows + 2)))
    return ["".join(char() for _ in range(random.randrange(cols + 4))) for _ in range(count)]


def random_glyphs():
    return bytes(random.randrange(32) for _ in range(64))


def expected(cols, rows, lines):
    cells = []
    for r in range(rows):
        line = lines[r] if r < len(lines) else ""
        codes = [ord(c) if ord(c) < 256 else ord("?") for c in line[:cols]]
        cells.append(codes + [32] * (cols - len(codes)))
    return cells


def check(glass, lines, glyphs=None):
    seen = glass.snapshot()
    assert seen["cells"] == expected(glass.cols, glass.rows, lines), glass.text()
    if glyphs is not None:
        assert bytes(seen["cgram"]) == glyphs
    assert glass.violations == [], glass.violations


async def test_any_text_ends_on_the_glass():
    random.seed(1)
    for cols, rows in _SIZES:
        for names in _WIRINGS:
            glass, display = make(cols, rows, names=names)
            assert await display.start() and display.present
            for _ in range(25):
                lines, glyphs = random_lines(cols, rows), random_glyphs()
                if random.getrandbits(1):
                    display.show(lines, glyphs)
                else:
                    await display.draw(lines, glyphs)
                check(glass, lines, glyphs)


async def test_small_changes_add_up():
    random.seed(2)
    for cols, rows in _SIZES:
        glass, display = make(cols, rows)
        await display.start()
        lines = [" " * cols] * rows
        glyphs = bytearray(64)
        for _ in range(150):
            for _ in range(random.randrange(5)):
                r, c = random.randrange(rows), random.randrange(cols)
                new = chr(random.randrange(256)) * random.randrange(1, cols - c + 1)
                lines[r] = lines[r][:c] + new + lines[r][c + len(new) :]
            glyphs[random.randrange(64)] = random.randrange(32)
            display.show(lines, glyphs)
            check(glass, lines, bytes(glyphs))


async def test_only_changes_cost_anything():
    for cols, rows in _SIZES:
        glass, display = make(cols, rows)
        await display.start()
        text = ["a" * cols] * rows
        start = glass.bytes
        display.show(text)
        full_ms = (glass.bytes - start) * 0.09
        assert full_ms <= {32: 14, 40: 17, 64: 27, 80: 34}[cols * rows]
        for changes, most in ((0, 2), (1, 13), (2, 24)):
            start = glass.bytes
            text = [chr(ord("b") + changes) * (r < changes) + t[r < changes :]
                    for r, t in enumerate(text)]
            display.show(text)
            assert glass.bytes - start <= most
            check(glass, text)
    start = glass.bytes
    text[2] = "first and the last."[:cols] + "\x07"
    display.show(text)
    start = glass.bytes
    text[2] = "F" + text[2][1:-1] + "\x06"
    display.show(text)
    assert glass.bytes - start <= 24


async def test_text_shown_before_the_start_is_there_after_it():
    glass, display = make(20, 4)
    display.show(["early"], random_glyphs())
    assert glass.bytes == 0
    await display.start()
    check(glass, ["early"])


async def test_every_address_is_found():
    for addr in list(range(0x20, 0x28)) + list(range(0x38, 0x40)):
        glass, display = make(addr=addr)
        assert await display.start()
        assert display.addr == addr
        display.show(["hi"])
        check(glass, ["hi"])


async def test_a_given_address_is_the_only_one_used():
    glass, display = make(addr=0x3F)
    other = model.LCD()
    machine.i2c_devices[0x27] = other
    display = LCD(machine.I2C(0, freq=100_000), addr=0x3F)
    await display.start()
    display.show(["hi"])
    check(glass, ["hi"])
    assert other.transfers == 0
    display = LCD(machine.I2C(0, freq=100_000), addr=0x20)
    assert not await display.start()
    assert other.transfers == 0


async def test_without_a_display_nothing_happens():
    machine.i2c_devices.clear()
    display = LCD(machine.I2C(0, freq=100_000))
    assert not await display.start()
    for i in range(3):
        display.show(["text %d" % i])
        display.backlight(i == 2)
        display.display(i == 2)
        await display.tick()
        assert not display.present
    glass = model.LCD()
    machine.i2c_devices[0x3F] = glass
    await asyncio.sleep(20)
    await display.tick()
    assert display.present
    check(glass, ["text 2"])


async def test_an_empty_bus_is_not_flooded():
    machine.i2c_devices.clear()
    probes = 0

    class Counting(machine.I2C):
        def writeto(self, addr, buf, stop=True):
            nonlocal probes
            probes += 1
            return super().writeto(addr, buf, stop)

    display = LCD(Counting(0, freq=100_000))
    for _ in range(3600):
        await display.tick()
        await asyncio.sleep_ms(100)
    assert 16 <= probes <= 360 + 16


async def test_unplugging_at_any_time_is_survived():
    random.seed(3)
    for cols, rows in _SIZES:
        glass, display = make(cols, rows)
        glyphs = random_glyphs()
        for _ in range(25):
            # from before the set-up to long after it
            vclock.call_later(random.choice((random.randrange(120), 3000)), glass.unplug)
            await display.start()
            for i in range(4):
                display.show(["n %d" % i], glyphs)
                await display.tick()
                await asyncio.sleep(1)
            assert not display.present
            glass.plug()
            lines = random_lines(cols, rows)
            display.show(lines, glyphs)
            await display.tick()
            assert display.present
            check(glass, lines, glyphs)


async def test_broken_transfers_are_repaired():
    random.seed(4)
    for cols, rows in _SIZES:
        glass, display = make(cols, rows)
        await display.start()
        noticed = 0
        for _ in range(30):
            for i in range(random.randrange(1, 6)):
                glass.break_off(random.randrange(20))
                lines, glyphs = random_lines(cols, rows), random_glyphs()
                display.show(lines, glyphs)
                noticed += not display.present
                glass.break_off(random.randrange(60))
                await display.tick()
                await asyncio.sleep(1)
            glass.break_off(-1)
            await display.tick()
            check(glass, lines, glyphs)
        assert noticed


async def test_a_slipped_nibble_heals_at_the_next_resync():
    random.seed(5)
    garbled = 0
    for cols, rows in _SIZES:
        glass, display = make(cols, rows)
        await display.start()
        for _ in range(20):
            lines, glyphs = random_lines(cols, rows), random_glyphs()
            for _ in range(random.randrange(1, 4)):
                display.show(random_lines(cols, rows), random_glyphs())
                glass.slip()
                for _ in range(random.randrange(4)):
                    display.show(random_lines(cols, rows), random_glyphs())
            display.show(lines, glyphs)
            garbled += glass.snapshot()["cells"] != expected(cols, rows, lines)
            glass.violations.clear()  # a slipped controller may be told anything
            await asyncio.sleep(_RESYNC_S)
            await display.tick()
            check(glass, lines, glyphs)
    assert garbled > 20


async def test_a_power_cycle_that_nobody_saw_heals_at_the_next_tick():
    random.seed(6)
    for cols, rows in _SIZES:
        glass, display = make(cols, rows)
        await display.start()
        lines, glyphs = random_lines(cols, rows), random_glyphs()
        display.show(lines, glyphs)
        await display.tick()
        glass.power_cycle()
        await asyncio.sleep(1)
        await display.tick()
        check(glass, lines, glyphs)


async def test_a_power_cycle_before_the_next_text_heals_at_the_next_tick():
    random.seed(7)
    for cols, rows in _SIZES:
        glass, display = make(cols, rows)
        await display.start()
        for _ in range(10):
            display.show(random_lines(cols, rows))
            glass.power_cycle()
            await asyncio.sleep_ms(random.choice((100, 1000)))
            lines, glyphs = random_lines(cols, rows), random_glyphs()
            display.show(lines, glyphs)
            await asyncio.sleep(1)
            await display.tick()
            check(glass, lines, glyphs)


async def test_a_power_cycle_during_the_setup_heals_within_ticks():
    random.seed(8)
    for resync in (False, True):
        for delay_ms in range(100):
            glass, display = make(20, 4)
            lines, glyphs = random_lines(20, 4), random_glyphs()
            display.show(lines, glyphs)
            if resync:
                await display.start()
                await asyncio.sleep(_RESYNC_S)
            vclock.call_later(delay_ms, glass.power_cycle)
            await display.tick()
            for _ in range(3):
                await asyncio.sleep(1)
                await display.tick()
            check(glass, lines, glyphs)


async def test_on_a_bus_that_cannot_read_it_heals_at_the_next_resync():
    glass, display = make(bus=WriteOnlyBus())
    await display.start()
    display.show(["text"])
    glass.power_cycle()
    await asyncio.sleep(_RESYNC_S)
    await display.tick()
    check(glass, ["text"])


async def test_an_unplugged_display_is_missed_though_nothing_changes():
    glass, display = make()
    await display.start()
    display.show(["text"])
    glass.unplug()
    assert not await display.start()
    glass.plug()
    await display.start()
    glass.unplug()
    display.show(["text"])
    await display.tick()
    assert not display.present


async def test_resync_changes_nothing_that_is_seen():
    glass, display = make()
    await display.start()
    display.show(["steady", "as she goes"])
    for _ in range(3):
        await asyncio.sleep(_RESYNC_S)
        start = glass.bytes
        task = asyncio.create_task(display.tick())
        other = asyncio.create_task(display.tick())  # of which there is but one
        while not task.done() or not other.done():
            check(glass, ["steady", "as she goes"])
            await asyncio.sleep_ms(0)
        assert 64 < glass.bytes - start < 600
        start = glass.bytes
        await asyncio.sleep(170)
        await display.tick()
        assert glass.bytes - start < 8


async def test_text_that_comes_during_the_setup_is_not_lost():
    for delay_ms in range(0, 100, 3):
        glass, display = make(20, 4)
        vclock.call_later(delay_ms, display.show, ["late", "%d" % delay_ms])
        await display.start()
        await asyncio.sleep_ms(100)
        check(glass, ["late", "%d" % delay_ms])
        await asyncio.sleep(_RESYNC_S)
        vclock.call_later(delay_ms, display.show, ["later", "%d" % delay_ms])
        await display.tick()
        await asyncio.sleep_ms(100)
        check(glass, ["later", "%d" % delay_ms])


async def test_a_cancelled_setup_is_made_up_for():
    for delay_ms in range(0, 100, 3):
        glass, display = make()
        display.show(["text"])
        task = asyncio.create_task(display.start())
        await asyncio.sleep_ms(delay_ms)
        task.cancel()
        await asyncio.sleep(20)
        await display.tick()
        check(glass, ["text"])
        await asyncio.sleep(_RESYNC_S)
        task = asyncio.create_task(display.tick())
        await asyncio.sleep_ms(delay_ms)
        assert display.present
        task.cancel()
        await asyncio.sleep_ms(10)
        display.show(["text 2"])
        if display.present:
            check(glass, ["text 2"])
        await asyncio.sleep(1)
        await display.tick()
        check(glass, ["text 2"])


class Watch:
    """How long the longest turn of the loop took, while it is entered."""

    async def _watch(self):
        while True:
            before = vclock.now_ms()
            await asyncio.sleep_ms(1)
            self.longest_ms = max(self.longest_ms, vclock.now_ms() - before)

    async def __aenter__(self):
        self.longest_ms = 0
        self._task = asyncio.create_task(self._watch())
        await asyncio.sleep_ms(5)
        return self

    async def __aexit__(self, *_):
        await asyncio.sleep_ms(5)
        self._task.cancel()


async def test_other_tasks_run_at_least_every_50_ms():
    glass, display = make(20, 4)
    async with Watch() as watch:
        display.show(["x" * 20] * 4, random_glyphs())
        await display.start()
        display.show(["y" * 20] * 4)
        await asyncio.sleep(_RESYNC_S)
        await display.tick()
    assert glass.bytes > 1500 and watch.longest_ms <= 50, watch.longest_ms


async def test_drawing_holds_nobody_up_for_longer_than_a_row():
    glass, display = make(20, 4)
    await display.start()
    for text in "ab":
        before = glass.bytes
        async with Watch() as watch:
            await display.draw([text * 20] * 4)
        check(glass, [text * 20] * 4)
        # a row is 86 bytes of 90 us, and the sleep lasts one millisecond or two
        assert glass.bytes - before >= 4 * 86 and watch.longest_ms <= 11, watch.longest_ms


async def test_a_refresh_allocates_nothing():
    class Wire:
        def writeto(self, addr, buf):
            return 0

        def readfrom_into(self, addr, buf):
            buf[0] = 0

    display = LCD(Wire(), cols=20, rows=4)
    await display.start()
    texts = [tuple("%d%s" % (i, " \x01%c %d" % (64 + r, i * r)) for r in range(4))
             for i in range(20)]
    codes = [bytearray(random.randrange(256) for _ in range(80)) for _ in range(20)]
    glyphs = (random_glyphs(), random_glyphs())
    for turn in range(2):  # single characters are interned when they are first met
        gc.collect()
        gc.disable()
        before = gc.mem_alloc()
        for i in range(20):
            display.show(texts[i], glyphs[i & 1])
            display.show(codes[i])
        used = gc.mem_alloc() - before
        gc.enable()
    assert used == 0, used


async def test_backlight_and_characters_switch_apart():
    for names in _WIRINGS:
        glass, display = make(names=names)
        await display.start()
        display.show(["text"])
        assert glass.snapshot()["backlight"]
        display.backlight(False)
        assert not glass.snapshot()["backlight"]
        display.show(["other"])
        check(glass, ["other"])
        assert not glass.snapshot()["backlight"]
        display.backlight(True)
        assert glass.snapshot()["backlight"]
        display.display(False)
        check(glass, [])
        await asyncio.sleep(_RESYNC_S)
        await display.tick()
        check(glass, [])
        display.backlight(False)
        display.display()
        check(glass, ["other"])
        assert not glass.snapshot()["backlight"]


def test_no_chip_loses_its_flash_to_the_display():
    import sys

    settings = {"lcd.wiring": "common", "lcd.address": 0, "lcd.cols": 16, "lcd.rows": 2}
    for name, chip, good, first, last in (
        ("esp32", "ESP32", (21, 22), 6, 11),
        ("s3", "ESP32S3", (8, 9), 26, 32),
        ("c3", "ESP32C3", (6, 7), 11, 17),
        ("c6", "ESP32C6", (6, 7), 24, 30),
        ("s3", "ESP32-S3", (8, 9), 26, 32),
        ("c3", "ESP32-C3FH4", (6, 7), 11, 17),
        ("c6", "ESP32-C6", (6, 7), 24, 30),
    ):
        sysmem.power_on(name, False)
        machine.pretend("Generic %s module with %s" % (chip, chip), (1, 26, 0))
        sys.modules.pop("screen.panel", None)
        from screen import panel

        for pin in range(sysmem.chip["pins"][1] + 1):
            if pin == good[0] or pin >= sysmem.chip["inputs"][0]:
                continue
            try:
                panel.make(dict({"lcd.sda_pin": good[0], "lcd.scl_pin": pin}, **settings))
                refused = False
            except ValueError as exc:
                words = "sda_pin %d, scl_pin %d: GPIO%d to %d are for the flash"
                refused = str(exc) == words % (good[0], pin, first, last)
                assert refused
            assert refused == (first <= pin <= last), (chip, pin)
    del sys.modules["sys"]
    sysmem.power_on("esp32", False)
