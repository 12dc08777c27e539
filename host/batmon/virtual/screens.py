"""The screens of the documentation and of the tests, drawn by the code that runs on the board.

`python -m batmon.virtual.screens` writes docs/LCD.md, docs/lcd*.png and tests/data/screens/*.txt
anew: look at what changed before you keep it.
"""

import json
import subprocess
from pathlib import Path

from batmon.firmware.interpreter import micropython
from batmon.paths import ROOT
from batmon.virtual import glass

DOCS = ROOT / "docs"
GOLDEN = ROOT / "tests" / "data" / "screens"
SIZES = ((16, 2), (20, 2), (16, 4), (20, 4))

# What the owner of a 16-cell pack with a Jikong BMS sees on a good day.
SAMPLE = {
    "voltage": 52.971,
    "current": 2.329,
    "power": 123.369,
    "battery_level": 56,
    "temperature": 19.833,
    "cycle_charge": 113.245,
    "design_capacity": 202,
    "cell_voltages": [3.31, 3.314, 3.313, 3.312, 3.312, 3.308, 3.312, 3.309],
    "problem": False,
    "problem_code": 0,
}
_HEAVY = {
    "voltage": 102.44,
    "current": -123.44,
    "power": -12345.0,
    "battery_level": 100,
    "temperature": -12.0,
    "cycle_charge": 280.0,
    "cell_voltages": [3.192, 3.199, 3.204] * 10 + [3.187, 3.206],
}
_LOW = {
    "voltage": 12.07,
    "current": -0.62,
    "power": -7.48,
    "battery_level": 8,
    "temperature": 4.2,
    "cycle_charge": 8.1,
    "cell_voltages": [3.021, 3.044, 2.961, 3.044],
}

# title, sample, what differs from _STATUS, seconds to show on 16x2 and on 20x4
_STATUS = {
    "link": "connected",
    "connected": True,
    "beats": 1,
    "age_s": 1,
    "message": "",
    "alarm": "",
    "seen": "",
    "past": "",
    "frames": 48213,
    "days_stored": 48,
    "days_left": 131,
    "flushed_s": 190,
}
_LOST = {"link": "no answer from jk-pak01, retry 3 in 4 s", "connected": False, "age_s": 47}
_ALARM = {"alarm": "cell over-volt\novercurrent in", "beats": 2}
_NO_DRIVER = {
    "message": "conn.py: there is no BMS driver jikon_bms, see docs/BMS.md for names",
    "link": "starting",
    "age_s": None,
}
_CASES = (
    ("A good day, charging", SAMPLE, {}, (0, 4, 12, 28, 44, 60), (0, 8)),
    ("The widest numbers: a 32-cell pack under load", _HEAVY, {}, (0, 4, 12, 44), (0, 8)),
    ("Nearly empty: the battery blinks", _LOW, {"days_left": None}, (0, 5, 12), (0, 9)),
    ("A value that the BMS does not tell", {"voltage": 13.3, "current": 0.0}, {}, (0, 4), (0,)),
    (
        "The BMS reports a fault",
        SAMPLE,
        _ALARM,
        (0, 4, 8, 12),
        (0, 4, 12),
    ),
    ("No data for 47 s", SAMPLE, _LOST, (0, 4, 8, 12), (0, 4, 8)),
    ("No data for two hours", SAMPLE, _LOST | {"age_s": 7300}, (0, 4, 8), (0,)),
    (
        "After the start",
        None,
        {"link": "looking for jk-pak01", "connected": False, "age_s": None},
        (0,),
        (0,),
    ),
    ("A sentence, read in pages of words", None, _NO_DRIVER, (0, 4, 8), (0, 4)),
)
_CELLS = [3.31, 3.314, 3.313, 3.312, 3.312, 3.308, 3.312, 3.309]

# What may happen to a display: title, sample, what differs from _STATUS. Each page is kept.
SWEEP = (
    ("charging", SAMPLE, {}),
    ("discharging", SAMPLE | {"current": -12.5, "power": -662.1, "runtime": 32600}, {}),
    ("empty", _LOW | {"battery_level": 0, "cycle_charge": 0.0, "current": -1.0}, {}),
    ("full", SAMPLE | {"battery_level": 100, "current": 0.0, "power": 0.0}, {}),
    ("99.95 %", SAMPLE | {"battery_level": 99.95}, {}),
    ("a trickle out", SAMPLE | {"battery_level": 99.4, "current": -0.004, "power": -0.2}, {}),
    ("-40 degC", SAMPLE | {"temperature": -40.0}, {}),
    ("105 degC", SAMPLE | {"temperature": 105.0}, {}),
    ("1000 A in", SAMPLE | {"current": 1000.0, "power": 52971.0}, {}),
    ("1000 A out", SAMPLE | {"current": -1000.0, "power": -52971.0}, {}),
    ("500 V, 9999 W", SAMPLE | {"voltage": 500.0, "current": -20.0, "power": -9999.0}, {}),
    ("1 cell", SAMPLE | {"voltage": 3.302, "cell_voltages": [3.302]}, {}),
    ("2 cells", SAMPLE | {"voltage": 6.6, "cell_voltages": [3.302, 3.298]}, {}),
    ("32 cells", _HEAVY, {}),
    ("cells far apart", SAMPLE | {"cell_voltages": [3.65, 0.0, *_CELLS]}, {}),
    ("nothing known", {}, {"days_stored": None, "days_left": None, "flushed_s": None}),
    ("no cells known", {"voltage": 13.3, "current": -0.8, "battery_level": 71}, {}),
    ("a young log", SAMPLE, {"frames": 7, "days_stored": 0, "days_left": None, "flushed_s": 9}),
    ("an old log", SAMPLE, {"frames": 1 << 24, "days_stored": 3650, "days_left": 7300}),
    ("an alarm", SAMPLE, _ALARM),
    ("a sentence", SAMPLE, {"message": "Flash is full: delete files that are not from batmon"}),
    ("stale", SAMPLE, _LOST),
    ("gone", SAMPLE, _LOST | {"age_s": 7300}),
    ("after the start", None, {"link": "looking for jk-pak01", "age_s": None}),
    ("no driver", None, _NO_DRIVER),
)
_SWEEP_S = 120  # in which every page comes
_PICTURES = {  # name: columns, rows, sample, status, second
    "lcd": (16, 2, SAMPLE, {}, 0),
    "lcd-cells": (16, 2, SAMPLE, {}, 4),
    "lcd-low": (16, 2, _LOW, {}, 12),
    "lcd-alarm": (16, 2, SAMPLE, _ALARM, 4),
    "lcd-lost": (16, 2, SAMPLE, _LOST, 12),
    "lcd-20x2": (20, 2, SAMPLE, {}, 4),
    "lcd-16x4": (16, 4, SAMPLE, {}, 0),
    "lcd-20x4": (20, 4, SAMPLE, {}, 0),
    "lcd-20x4-log": (20, 4, SAMPLE, {}, 8),
}
_FRAMES_IN_A_LINE = {16: 4, 20: 3}

_TEXT = """# What the display says

Made by `python -m batmon.virtual.screens` with the code that runs on the board; a test compares.

![16x2](lcd.png)
![16x2, the cells](lcd-cells.png)
![16x2, nearly empty](lcd-low.png)
![16x2, an alarm](lcd-alarm.png)
![16x2, old data](lcd-lost.png)
![20x2](lcd-20x2.png)
![16x4](lcd-16x4.png)
![20x4](lcd-20x4.png)
![20x4, the log](lcd-20x4-log.png)

The first line: a battery that shows the state of charge, fills while charging and blinks at 10 %
and below; a heart that changes with every answer of the BMS, so that it stands still when data
stop; state of charge; power, positive when charging, in kW from 10 kW. `?` in the heart's place
marks data older than 15 seconds, or than two polls where `poll_s` is longer, `!` an alarm. After
ten minutes without data the numbers go.

The last line turns every four seconds. It tells voltage and current, the lowest and the highest
cell and which they are, temperature, time to full or empty at the present current, the spread of
the cells, for how many days there is a log and for how many more there is room, and when it was
last written to flash. A display with four rows has some of that above, all the time. Modules with
the character ROM A02 instead of the usual A00 show `ß` for `°`.

An alarm takes every second turn, in words: those of the BMS (in full for Jikong, JBD and Daly, as
a code for other makes), that discharge is switched off, and the limits in
[SETTINGS.md](SETTINGS.md). For a day after a fault its words go on taking that turn, with how long
ago it was and how far a cell went, without the `!`. A sentence, such as what is wrong with a
setting, alternates with the battery. Dashes are what the BMS does not tell.

A 20x4 with one battery has a page of its [lifetime counters](FORMAT.md#counters) every half
minute, unless there is an alarm or a sentence: energy in and out, full charges, and how long ago
the last one was. They are brought up to date a minute after the start and every four hours.

```
┌──────────────────────┐
│ ▅♥ 56 %  20°  +123 W │
│ ever in    1234.6kWh │
│ ever out   1198.0kWh │
│ full 123x   26 h ago │
└──────────────────────┘
```

**Several batteries** ([BATTERIES.md](BATTERIES.md)) take turns, on four rows two at once: two
letters of the name, from the first on that differs, stand in the place of battery and heart, or
`#1`, `#2` where names differ in none. Before them come the sums: how many of them there are, their
charge by capacity, their power, and where the cells are furthest apart; dashes where one does not
tell its part. A battery counts whose data are not older than two and a half minutes, or two polls.
Behind the sums comes an alarm, another one each turn: the name of its battery, and the words. On
four rows it stands below them.

**Backlight.** `lcd.backlight` is `"auto"`, `"on"` or `"off"`. On `"auto"` it is lit for
`lcd.backlight_s` seconds after the start, when the link is found or lost, when a sentence comes,
when the current has changed by a hundredth of the capacity (2.8 A of 280 Ah), and while there is
an alarm that nobody has acknowledged.

**Acknowledging.** A long press of the [button](HARDWARE.md#button-and-buzzer), or `Seen` on a
[phone](PHONE.md): the alarm is still shown in words, but the `!` no longer blinks, and light and
buzzer are off, until it is another alarm.

**What may go wrong.** The display may be unplugged and put back at any time; it is right again
within five seconds. A disturbance that garbles it without a trace is gone after three minutes at
most, when everything is sent again. One that was absent at the start is looked for every
quarter of a minute. Without a display everything else works.
"""

# Runs under MicroPython: the board's screen and driver on the simulated bus and module.
_ON_THE_BOARD = """
import json, sys
root = sys.argv[1]
sys.path[:] = [root + "/sim", root, ".frozen"]
import vclock
vclock.install()
import asyncio, machine, lcd, lcd_hd44780
from screen import pages

class Status:
    pass

async def main():
    for line in sys.stdin:
        cols, rows, sample, status, tick_s = json.loads(line)
        for name in status:
            setattr(Status, name, status[name])
        module = machine.i2c_devices[0x27] = lcd.LCD(cols, rows)
        display = lcd_hd44780.LCD(machine.I2C(0, freq=100000), cols=cols, rows=rows)
        picture = pages.Screen(cols, rows)
        display.show(picture.render(sample, Status, tick_s), pages.GLYPHS)
        await display.start()
        assert not module.violations, module.violations
        print(json.dumps(module.snapshot()))

asyncio.run(main())
"""


def from_board(cases: list[tuple[int, int, dict | None, dict, int]]) -> list[dict]:
    """Return snapshots of the glass, one for each case, as the board's own code fills it.

    A case is (columns, rows, the BMS driver's sample or None, what differs from the usual
    status, the second that is shown). Raises RuntimeError when the board's code fails.
    """
    lines = [json.dumps([cols, rows, s, _STATUS | st, t]) for cols, rows, s, st, t in cases]
    command = [micropython(), "-c", _ON_THE_BOARD, str(ROOT)]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the board's code failed:\n{done.stdout}{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def page() -> str:
    """Return docs/LCD.md."""
    cases = [
        (cols, rows, sample, status, second)
        for _, sample, status, *seconds in _CASES
        for (cols, rows), times in zip(((16, 2), (20, 4)), seconds, strict=True)
        for second in times
    ]
    frames = iter([glass.frame(snapshot) for snapshot in from_board(cases)])
    text = _TEXT
    for title, _, _, *seconds in _CASES:
        text += f"\n## {title}\n\n```\n"
        for cols, times in zip((16, 20), seconds, strict=True):
            shown = [next(frames) for _ in times]
            for at in range(0, len(shown), _FRAMES_IN_A_LINE[cols]):
                side_by_side = zip(*shown[at : at + _FRAMES_IN_A_LINE[cols]], strict=True)
                text += "".join("  ".join(lines) + "\n" for lines in side_by_side)
        text += "```\n"
    return text


def golden(cols: int, rows: int) -> str:
    """Return every page of every case of SWEEP, on a display of that size."""
    seconds = range(0, _SWEEP_S, 4)
    cases = [(cols, rows, s, status, second) for _, s, status in SWEEP for second in seconds]
    shots = iter(from_board(cases))
    text = ""
    for title, *_ in SWEEP:
        pages = {}
        for _ in seconds:
            lines = glass.frame(next(shots))
            # the battery that fills is at another step each time
            pages.setdefault((lines[1][3:], *lines[2:]), lines)
        pages = list(pages.values())
        text += f"{title}\n"
        for at in range(0, len(pages), 4):
            side_by_side = zip(*pages[at : at + 4], strict=True)
            text += "".join("  ".join(lines) + "\n" for lines in side_by_side)
        text += "\n"
    return text


def pictures(folder: Path):
    """Write the pictures into `folder`."""
    for name, snapshot in zip(_PICTURES, from_board(list(_PICTURES.values())), strict=True):
        glass.png(snapshot, folder / f"{name}.png")


if __name__ == "__main__":
    (DOCS / "LCD.md").write_text(page())
    pictures(DOCS)
    GOLDEN.mkdir(exist_ok=True)
    for size in SIZES:
        (GOLDEN / "{}x{}.txt".format(*size)).write_text(golden(*size))
