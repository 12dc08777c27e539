# Refreshes a display on the virtual bus and prints what that took: run by bench/lcd.py
# Usage: micropython refresh.py SIM BOARD COLS ROWS
import sys

sys.path[:] = [sys.argv[1], sys.argv[2], sys.argv[2] + "/lib", ".frozen"]

import vclock

vclock.install()

import asyncio
import gc
import json

import battery
import lcd
import machine

_SECONDS = 600
_POLL_S = 2


class Status:
    link = "connected"
    connected = True
    beats = 0
    age_s = 1
    message = ""
    alarm = ""
    past = ""
    frames = 48213
    days_stored = 48
    days_left = 131
    flushed_s = 100


def used():
    gc.collect()
    return gc.mem_alloc()


class Wire:
    """A bus that takes no memory itself."""

    def writeto(self, addr, buf):
        return 0

    def readfrom_into(self, addr, buf):
        buf[0] = 0


def sample_of(cell, t_ms):
    cell.advance(t_ms)
    volts = cell.voltage_mv / 1000
    amps = cell.current_ma / 1000
    return {
        "voltage": volts,
        "current": amps,
        "power": volts * amps,
        "battery_level": cell.soc_milli / 1000,
        "temperature": sum(cell.temp_dc) / len(cell.temp_dc) / 10,
        "cycle_charge": 280 * cell.soc_milli / 100000,
        "design_capacity": 280,
        "cell_voltages": [mv / 1000 for mv in cell.cells_mv],
    }


async def main():
    cols, rows = int(sys.argv[3]), int(sys.argv[4])
    before = used()
    import lcd_hd44780
    from screen import pages

    code = used() - before
    before = used()
    bus = machine.I2C(0, freq=100_000)
    display = lcd_hd44780.LCD(bus, 0x27, cols, rows)
    picture = pages.Screen(cols, rows)
    objects = used() - before
    module = machine.i2c_devices[0x27] = lcd.LCD(cols, rows)
    await display.start()

    quiet = lcd_hd44780.LCD(Wire(), 0x27, cols, rows)
    await quiet.start()
    blank = bytearray(b" " * (cols * rows))

    def cost(text):
        start = module.bytes, vclock.now_us()
        display.show(text, pages.GLYPHS)
        return module.bytes - start[0], vclock.now_us() - start[1]

    def allocated(sample, t):
        # by a new sample, and by a refresh; garbage included
        gc.collect()
        gc.disable()
        start = gc.mem_alloc()
        picture.render(sample, Status, t)
        middle = gc.mem_alloc()
        quiet.show(picture.render(sample, Status, t), pages.GLYPHS)
        end = gc.mem_alloc()
        gc.enable()
        return middle - start, end - middle

    cell = battery.make("van", 1)
    sample = sample_of(cell, 0)
    cost(picture.render(sample, Status, 0))  # with the glyphs
    spent = []
    taken = []
    for t in range(_SECONDS):
        if t % _POLL_S == 0:
            sample = sample_of(cell, 1000 * t)
            Status.beats += 1
        spent.append(cost(picture.render(sample, Status, t)))
        quiet.show(blank)
        taken.append(allocated(dict(sample), t))
        vclock.spend_us(1_000_000)
    full = cost(["x" * cols] * rows)
    assert module.violations == [], module.violations
    times = sorted(us for _, us in spent)
    result = {
        "typical_bytes": sorted(n for n, _ in spent)[_SECONDS // 2],
        "typical_ms": times[_SECONDS // 2] / 1000,
        "mean_ms": sum(times) / _SECONDS / 1000,
        "most_ms": times[-1] / 1000,
        "full_bytes": full[0],
        "full_ms": full[1] / 1000,
        "heap_refresh": max(refresh for _, refresh in taken),
        "heap_sample": max(new for new, _ in taken),
        "heap_code": code,
        "heap_objects": objects,
    }
    json.dump(result, sys.stdout)


asyncio.run(main())
