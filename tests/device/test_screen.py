# The text of the display: width, columns, rounding, words, for any sample whatever
import gc
import random

from screen import lifetime, pages

_SIZES = ((16, 2), (20, 2), (16, 4), (20, 4))
_SCREENS = {size: pages.Screen(*size) for size in _SIZES}
_HEART = "\x06"

# a 16-cell pack as a Jikong BMS reported it
_RECORDED = {
    "voltage": 52.971, "current": 2.329, "power": 123.369, "battery_level": 56,
    "temperature": 19.833, "cycle_charge": 113.245, "design_capacity": 202, "problem": False,
    "problem_code": 0,
    "cell_voltages": [3.31, 3.314, 3.313, 3.312, 3.312, 3.308, 3.312, 3.309],
}  # fmt: skip

_KEYS = ("voltage", "current", "power", "battery_level", "temperature", "cycle_charge",
         "design_capacity", "runtime", "problem_code", "problem")

_ODD = (None, float("nan"), float("inf"), -float("inf"), "text", True, False, [], -0.0, 0, 0.0,
        -0.004, -0.0049, 0.005, -0.4, -0.5, 0.5, 9.995, -9.995, 99.95, 99.995, 999.5, -999.95,
        9999.6, -99999.5, 100000, 123456.7, -1e6, 1e9, -1e30, 1 << 40, -(1 << 70))  # fmt: skip


class Status:
    link = "connected"
    connected = True
    beats = 1
    age_s = 1
    message = ""
    alarm = ""
    seen = ""
    past = ""
    frames = 1234
    days_stored = 45
    days_left = 123
    flushed_s = 190

    def __init__(self, **kwargs):
        for name in kwargs:
            setattr(self, name, kwargs[name])


def lines_of(cols, rows, sample, tick_s=0, **status):
    """Render, and check what must hold for every screen."""
    text = _SCREENS[cols, rows].render(sample, Status(**status), tick_s)
    assert len(text) == cols * rows
    if not random.randrange(16):  # nothing is left of what was shown before
        again = pages.Screen(cols, rows).render(sample, Status(**status), tick_s)
        assert text == again, (text, again)
    lines = ["".join(chr(code) for code in text[i : i + cols]) for i in range(0, len(text), cols)]
    assert all(code < 8 or 32 <= code < 126 or code == 0xDF for code in text), lines
    for line in lines:
        check_no_minus_zero(line)
    return lines


def check_no_minus_zero(line):
    if "-" not in line:
        return
    for i in range(len(line)):
        if line[i] == "-":
            j = i + 1
            while j < len(line) and line[j] in "0123456789.":
                j += 1
            number = line[i + 1 : j]
            assert not number.strip(".") or float(number) != 0, line


def views(cols, rows, sample, seconds=64, **status):
    return [lines_of(cols, rows, sample, t, **status) for t in range(0, seconds, 4)]


def random_sample():
    sample = {}
    for key in _KEYS:
        kind = random.randrange(4)
        if kind == 1:
            sample[key] = random.choice(_ODD)
        elif kind > 1:
            sample[key] = (random.random() - 0.5) * 10 ** random.randrange(-4, 8)
    kind = random.randrange(4)
    if kind:
        sample["cell_voltages"] = [
            random.choice(_ODD) if kind == 1 and not random.randrange(3) else random.random() * 4.3
            for _ in range(random.randrange(33))
        ]
    return sample


def random_sentence(cols, words=12):
    chars = "abcdefgXYZ0123456789.,:!_"
    return " ".join(
        "".join(random.choice(chars) for _ in range(random.randrange(1, cols + 1)))
        for _ in range(random.randrange(1, words))
    )


def test_the_recorded_sample():
    for cols, rows in _SIZES:
        shown = [" ".join(lines) for lines in views(cols, rows, _RECORDED, 96)]
        for text in shown:
            assert "56 %" in text and "+123 W" in text
        for wanted in ("52.97 V", "2.33 A", "3308/3314mV", "20\xdf", " 6", "low #6", "high #2",
                       "full in  38h07", "123"):  # fmt: skip
            assert any(wanted in text for text in shown), wanted
    shown = views(16, 2, _RECORDED)
    assert shown[0][1] == "52.97 V  +2.33 A"
    assert shown[1][1] == "3308/3314mV  20\xdf"
    for lines in views(20, 4, _RECORDED):  # all of it at once
        text = " ".join(lines)
        for wanted in ("56 %", "+123 W", "52.97 V", "2.33 A", "3308/3314mV", "20\xdf", "6mV"):
            assert wanted in text


def test_any_sample_fits():
    random.seed(1)
    for _ in range(600):
        cols, rows = random.choice(_SIZES)
        lines_of(
            cols,
            rows,
            random.choice((random_sample(), random_sample(), None, {})),
            random.randrange(100000),
            age_s=random.choice((None, 0, 1, 15, 16, 119, 600, 601, 100000, 10**7)),
            message=random.choice(("", random_sentence(cols))),
            link=random_sentence(cols),
            frames=random.choice((0, 1, 999999, 1000000, 10**9)),
            days_left=random.choice((None, 0, 1, 9999, 10000, 10**6)),
            alarm=random.choice(("", random_sentence(cols))),
            beats=random.randrange(100),
            days_stored=random.choice((None, 0, 1, 9999, 10000, 10**6)),
            flushed_s=random.choice((None, 0, 99, 100, 5999, 6000, 10**6, 10**9)),
        )


def test_every_odd_value_in_every_place():
    for cols, rows in _SIZES:
        for key in _KEYS:
            for odd in _ODD:
                for tick_s in (0, 5, 15):
                    sample = dict(_RECORDED)
                    sample[key] = odd
                    lines_of(cols, rows, sample, tick_s)
        for odd in _ODD:
            for t in (0, 5, 10, 15):
                lines_of(cols, rows, dict(_RECORDED, cell_voltages=[odd, 3.3, odd]), t)
                lines_of(cols, rows, dict(_RECORDED, cell_voltages=[odd]), t)


def test_unknown_values_are_dashes():
    for cols, rows in _SIZES:
        for unknown in ({}, {key: float("nan") for key in _KEYS}):
            seen = views(cols, rows, unknown)
            for lines in seen:
                assert "-- %" in lines[0] and "-- W" in lines[0]
            text = " ".join(" ".join(lines) for lines in seen)
            assert "--.-- V" in text and "--.-- A" in text and "--/  --mV" in text
            assert "time     --h--" in text and "cells unknown" in text and "--\xdf" in text


def test_units_stay_in_their_columns():
    random.seed(2)
    for soc, wanted in ((999, "999"), (1000, " --"), (-99, "-99"), (-100, " --")):
        assert lines_of(16, 2, {"battery_level": soc})[0][1:7] == _HEART + wanted + " %"
    for _ in range(400):
        sample = {
            "voltage": random.choice((12.8, 9.999, 99.994, 99.996, 102.44, random.random() * 500)),
            "current": random.choice((-123.44, 0, -9.999, 1000, (random.random() - 0.5) * 1999)),
            "power": random.choice((-12345, 0, 99999, -100000, (random.random() - 0.5) * 2e5)),
            "battery_level": random.choice((0, 9.5, 99.95, 100, random.random() * 100)),
            "temperature": random.choice((-40, -12, -0.4, 9.6, 105, random.random() * 140 - 40)),
            "cell_voltages": [random.random() * 4.5 for _ in range(random.randrange(1, 33))],
        }
        for cols, rows in _SIZES:
            for t in range(0, 16, 4):
                lines = lines_of(cols, rows, sample, t)
                assert lines[0][5:7] == " %" and lines[0][-1] == "W"
                assert lines[0][cols - 2] in " k"
                if rows == 4 or t == 0:
                    assert lines[1][5:7] == " V" and lines[1][-2:] == " A"
                if rows == 4 or t == 4:
                    cells = lines[rows // 2]
                    assert cells[4] == "/" and cells[9:11] == "mV"
                    assert cells[-1] == ("V" if cols == 20 else "\xdf")


def test_numbers_are_rounded_not_cut():
    random.seed(3)
    for _ in range(500):
        volts = random.choice((9.99, 99.9, 999.0)) * random.random()
        amps = random.choice((9.99, 99.9, 999.0, 0.01, 0)) * (2 * random.random() - 1)
        line = lines_of(16, 4, {"voltage": volts, "current": amps})[1]
        for shown, value in ((line[:5].strip(), volts), (line[8:14].strip(), amps)):
            places = len(shown) - shown.find(".") - 1 if "." in shown else 0
            assert abs(float(shown) - value) <= 0.56 * 10**-places, (shown, value)
            assert places >= 1
            # signed unless it is shown as zero, and voltages are not signed
            if value is amps and float(shown):
                assert shown[0] == ("-" if amps < 0 else "+")
            else:
                assert shown[0] in "0123456789"


def test_a_sentence_is_read_in_words():
    random.seed(4)
    for _ in range(12):
        for cols, rows in _SIZES:
            sentence = random_sentence(cols)
            words = sentence.split()
            for sample, status in (
                (None, {"link": sentence}),
                (None, {"link": "", "message": sentence}),
                (None, {"link": sentence, "message": "A sentence of " + "x" * cols}),
                (_RECORDED, {"message": sentence}),
            ):
                below = 2 if rows == 4 and sample else 0
                seen = [lines[below:] for lines in views(cols, rows, sample, 120, **status)]
                # values between two readings of the sentence
                read = " ".join(
                    " ".join(page) for page in seen if " mV" not in page[-1] and "%" not in page[0]
                ).split()
                joined = " %s " % " ".join(read)
                assert " %s " % " ".join(words) in joined, (words, seen)


def test_no_page_is_a_mere_rest_of_a_sentence():
    # "4 s" or "3 in 4 s" alone says nothing to who looks up just then
    for cols, rows in _SIZES:
        for seconds in (4, 10, 59):
            link = "no answer from jk-pak01, retry 3 in %d s" % seconds
            shown = [line for lines in views(cols, rows, None, 16, link=link) for line in lines]
            last = [line.rstrip() for line in shown if line.rstrip().endswith(" s")]
            assert last and all(line == "retry 3 in %d s" % seconds for line in last), shown


def test_values_are_shown_between_the_sentences():
    sentence = "The driver jikong_bms is not on the board, see docs/BMS.md for names."
    for cols, rows in _SIZES:
        for words in range(1, 13):
            message = " ".join(sentence.split()[:words])
            seen = " ".join(" ".join(p) for p in views(cols, rows, _RECORDED, 400, message=message))
            for wanted in ("56 %", "52.97 V", "3308/3314mV" if rows == 2 else "123 W"):
                assert wanted in seen
            # every value in its turn, and above the sentence where there is room
            said = views(cols, rows, _RECORDED, 400, message=message)
            plain = [lines[-1] for lines in views(cols, rows, _RECORDED, 400)]
            values = [lines[-1] for lines in said if lines[-1] in plain]
            assert values == plain[: len(values)]
            assert rows == 2 or all("56 %" in lines[0] for lines in said)


def test_words_longer_than_the_glass_and_strange_characters():
    for cols, rows in _SIZES:
        for length in range(cols - 1, 3 * cols):
            seen = views(cols, rows, None, 12, link="x" * length)
            if length > cols * rows:
                seen = seen[:2]
            else:
                seen = seen[:1]
            assert "".join("".join(page) for page in seen).strip() == "x" * length
        text = " ".join(lines_of(cols, rows, None, link="Zo\u00eb\u2019s\tpack\n\x01 \\ ~"))
        assert text.split()[:2] == ["Zo?", "s"] or "Zo??s" in text


def test_the_heart_beats_only_while_data_come():
    for cols, rows in _SIZES:
        fresh = [lines_of(cols, rows, _RECORDED, t, beats=t // 2)[0][1] for t in range(8)]
        assert fresh == [" ", " ", _HEART, _HEART] * 2
        held = [lines_of(cols, rows, _RECORDED, t, beats=7)[0][1] for t in range(8)]
        assert held == [_HEART] * 8
        for age_s in (16, 100, 600, None):
            for t in range(8):
                assert lines_of(cols, rows, _RECORDED, t, age_s=age_s)[0][1] == "?"


def test_nothing_moves_when_data_are_stale():
    for current in (5.0, -5.0):
        sample = {"battery_level": 8, "current": current}
        seen = {lines_of(16, 2, sample, t, age_s=60)[0] for t in range(8)}
        assert len(seen) == 1, seen


def test_stale_data_are_marked_then_dropped():
    for cols, rows in _SIZES:
        seen = [" ".join(p) for p in views(cols, rows, _RECORDED, 40, age_s=47, link="no answer")]
        assert all("56 %" in text for text in seen)
        assert any("no answer" in text for text in seen)
        assert any("data 47 s old" in text for text in seen)
        assert "56 %" in lines_of(cols, rows, _RECORDED, age_s=600)[0]
        assert "56 %" not in lines_of(cols, rows, _RECORDED, age_s=601)[0]
        seen = [" ".join(p) for p in views(cols, rows, _RECORDED, 40, age_s=7300, link="no answer")]
        assert not any("56 %" in text or "52.97" in text for text in seen)
        assert any("no answer" in text for text in seen)
        assert any("last data 2 h ago" in " ".join(text.split()) for text in seen)


def test_the_age_that_is_marked_goes_with_the_polls():
    for poll_s, stale_s in ((1.0, 15), (7.5, 15), (8, 16), (60.0, 120)):
        for size in _SIZES:
            shown = pages.Screen(*size, poll_s)
            for age_s in (0, stale_s - 1, stale_s, stale_s + 1):
                head = shown.render(_RECORDED, Status(age_s=age_s), 0)
                assert (head[1] == ord("?")) == (age_s > stale_s)


def test_alarms_are_seen():
    for cols, rows in _SIZES:
        for words in ("BMS alarm", "too hot\nlow", "cell over-volt\novercurrent in\nload too hot"):
            alarm = {"alarm": words}
            seen = views(cols, rows, _RECORDED, 400, **alarm)
            shown = [lines[-1] for lines in seen[1::2]]  # every second page
            for word in words.split():
                assert any(word in line for line in shown), (word, shown)
            # and the values in between
            assert {line for lines in views(cols, rows, _RECORDED, 200) for line in lines} <= {
                line for lines in seen for line in lines
            }
            marks = [lines_of(cols, rows, _RECORDED, 0, beats=i, **alarm)[0][1] for i in range(4)]
            assert marks == ["!", _HEART] * 2
            alarm["seen"] = words  # acknowledged: still shown, but it does not blink
            seen = views(cols, rows, _RECORDED, 400, **alarm)
            assert [lines[-1] for lines in seen[1::2]] == shown
            marks = [lines_of(cols, rows, _RECORDED, 0, beats=i, **alarm)[0][1] for i in range(4)]
            assert marks == [" ", _HEART] * 2
        assert lines_of(cols, rows, _RECORDED, 1, beats=0)[0][1] == " "


def test_the_battery_fills_charges_and_blinks():
    def battery(tick_s, **sample):
        return ord(lines_of(16, 2, sample, tick_s)[0][0])

    levels = [battery(0, battery_level=soc) for soc in range(0, 101)]
    assert levels == sorted(levels) and set(levels) == set(range(6))
    assert [battery(t, battery_level=56, current=5.0) for t in range(6)] == [3, 4, 5] * 2
    assert [battery(t, battery_level=56, current=-5.0) for t in range(6)] == [3] * 6
    assert [battery(t, battery_level=8, current=-5.0) for t in range(4)] == [0, 32] * 2
    assert [battery(1, battery_level=soc) for soc in (10, 10.6)] == [32, 1]
    # at rest it stands still, as the line of the time left says
    for current, goal in ((0.04, "at rest"), (0.06, "full in   0h00")):
        sample = {"battery_level": 56, "current": current, "cycle_charge": 9, "design_capacity": 9}
        moves = len({battery(t, **sample) for t in range(6)}) > 1
        assert goal in lines_of(20, 4, sample)[3] and moves == (current > 0.05)
    for soc in (-1e5, 1e5, 101, -3):
        assert 0 <= battery(0, battery_level=soc) <= 5 or battery(0, battery_level=soc) == 32


def test_time_to_full_and_empty():
    for sample, wanted in (
        ({"current": 2.0, "cycle_charge": 100, "design_capacity": 105}, "full in   2h30"),
        ({"current": 2.0, "cycle_charge": 106, "design_capacity": 105}, "full in   0h00"),
        ({"current": 2.0, "battery_level": 100}, "full          "),
        ({"current": 2.0, "cycle_charge": 100}, "full in  --h--"),
        ({"current": -2.0, "cycle_charge": 100, "runtime": 36 * 3600}, "empty in 36h00"),
        ({"current": -2.0, "cycle_charge": 100}, "empty in 50h00"),
        ({"current": -0.1, "cycle_charge": 100}, "empty in   41d"),
        ({"current": -1.0, "cycle_charge": 99.9}, "empty in 99h54"),
        ({"current": -1.0, "cycle_charge": 100}, "empty in    4d"),
        ({"current": -2.0}, "empty in --h--"),
        ({"current": 0.04, "cycle_charge": 100, "design_capacity": 105}, "at rest       "),
        ({"current": 0, "cycle_charge": 100, "design_capacity": 105}, "at rest       "),
    ):
        assert lines_of(20, 4, sample)[3][:14] == wanted, (sample, lines_of(20, 4, sample)[3])


def test_what_the_log_says():
    frames = {"days_left": None, "days_stored": None}
    for page, wanted in (
        ({}, ("room for  123 d", "log   45d room  123d")),
        ({"days_left": None}, ("room for   -- d", "log   45d room   --d")),
        ({"days_stored": None}, ("room for  123 d", "log   --d room  123d")),
        (frames, ("log   1234fr", "log   1234fr")),
        (dict(frames, frames=999999), ("log 999999fr", "log 999999fr")),
        (dict(frames, frames=1000999), ("log  1000kfr", "log  1000kfr")),
    ):
        shown = [
            lines_of(16, 2, _RECORDED, 4 * 15, **page)[1],
            lines_of(20, 4, _RECORDED, 4 * 2, **page)[3],
        ]
        assert [line.rstrip() for line in shown] == list(wanted), shown


def test_how_long_ago():
    for flushed_s, wanted in (
        (None, "-- min"), (0, " 0 s"), (99, "99 s"), (100, " 1 min"), (5999, "99 min"),
        (6000, " 1 h"), (359999, "99 h"), (360000, " 4 d"), (8639999, "99 d"),
        (8640000, " 100 d"),
    ):  # fmt: skip
        line = lines_of(20, 4, _RECORDED, 4 * 5, flushed_s=flushed_s)[3]
        assert line.rstrip() == "saved %s ago" % wanted, line


def test_power_beyond_the_columns_is_in_kilowatts():
    for power, wanted in (
        (9999, " +9999 W"),
        (-9999.4, " -9999 W"),
        (9999.6, " +10.0kW"),
        (-12345, " -12.3kW"),
        (-123456, "-123.5kW"),
        (1e9, "    -- W"),
    ):
        assert lines_of(16, 2, {"power": power})[0].endswith(wanted)


def test_lowest_and_highest_cell():
    for cells, wanted in (
        ([3.3], "3300/3300mV"),
        ([3.31, 3.3, 3.3, 3.31], "3300/3310mV"),
        ([0, 3.3], "   0/3300mV"),
        ([None, 3.3, float("nan"), 3.2, -1, 12, "x"], "3200/3300mV"),
        ([-1, 12, None], "  --/  --mV"),
        ([], "  --/  --mV"),
    ):
        assert lines_of(20, 4, {"cell_voltages": cells})[2][:11] == wanted
    # the first of equal ones, counted from 1
    assert lines_of(20, 4, {"cell_voltages": [3.3, 3.31, 3.31, 3.2, 3.2]}, 4)[3][:15] == (
        "low #4  high #2"
    )
    cells = [3.3] * 32
    cells[30], cells[31] = 3.2, 3.4
    assert lines_of(20, 4, {"cell_voltages": cells}, 4)[3][:16] == "low #31 high #32"


def units(line):
    """Where the letters are, numbers and signs left out."""
    return "".join(" " if c in "+-0123456789." else c for c in line)


def test_every_page_keeps_its_columns():
    # whatever the numbers, each page looks like itself: units do not move, nothing else appears
    random.seed(5)
    kinds = {}
    for cells in range(1, 33):
        sample = {
            "voltage": random.random() * 999,
            "current": random.choice((1000, -1000, (random.random() - 0.5) * 800)),
            "power": random.choice((9999, -9999, (random.random() - 0.5) * 40000)),
            "battery_level": random.choice((0, 99.95, 100, random.random() * 100)),
            "temperature": random.choice((-40, 105, random.random() * 140 - 40)),
            "cycle_charge": random.random() * 280,
            "design_capacity": 280,
            "cell_voltages": [2 + random.random() * 1.65 for _ in range(cells)],
        }
        status = {
            "days_stored": random.randrange(9999),
            "days_left": random.randrange(9999),
            "flushed_s": random.randrange(60, 6000),
        }
        for size in _SIZES:
            for i in range(24):
                lines = lines_of(*size, sample, 4 * i, **status)
                for row in range(size[1]):
                    line = units(lines[row])[2:] if row == 0 else units(lines[row])
                    kinds.setdefault((size, row), set()).add(line)
    for size, row in kinds:
        # W or kW above; what turns has a page for each letter, full, empty, in hours or days
        most = 2 if row == 0 else {2: 11, 4: 1 if row < 3 else 9}[size[1]]
        assert len(kinds[size, row]) <= most, (size, row, kinds[size, row])


def test_the_sample_is_left_alone():
    sample = dict(_RECORDED)
    for cols, rows in _SIZES:
        views(cols, rows, sample)
    assert sample == _RECORDED


def test_glyphs_are_eight_different_pictures():
    glyphs = {pages.GLYPHS[8 * i : 8 * i + 8] for i in range(8)}
    assert len(pages.GLYPHS) == 64 and len(glyphs) == 8
    assert max(pages.GLYPHS) < 32


class Lit:
    """A policy and the clock that it is asked at."""

    def __init__(self, *args):
        self.light = pages.Light(*args)
        self.now_s = 1000

    def after(self, seconds, current=0.0, **status):
        lit = False
        for _ in range(seconds):
            self.now_s += 1
            lit = self.light.lit({"current": current}, Status(**status), self.now_s)
        return lit


def test_the_light_goes_out_and_comes_back():
    lit = Lit("auto", 120, 2.8)
    assert lit.after(119) and not lit.after(3)
    for event in ({"alarm": "too hot"}, {"message": "Flash is full"}, {"connected": False}):
        assert lit.after(1, **event)
        assert lit.after(300, **event) == ("alarm" in event)
        lit.after(1)
        assert lit.after(100) and not lit.after(30), event
    seen = {"alarm": "too hot", "seen": "too hot"}  # which somebody has acknowledged
    assert not lit.after(200, **seen) and lit.after(1, alarm="too hot\nlow", seen="too hot")
    assert not lit.after(200)
    # a load is switched on, stays on, and off
    assert lit.after(1, -40.0) and not lit.after(200, -40.0) and lit.after(1, -1.0)
    assert not lit.after(200, 1.0), "noise"
    assert lit.after(1, float("nan")) is False and lit.after(1, None) is False
    # the sun rises slowly
    seen = [lit.after(1, 0.01 * i) for i in range(1000)]
    assert True in seen and False in seen


def test_the_light_that_is_always_on_or_off():
    for mode in ("on", "off"):
        lit = Lit(mode, 5, 1)
        assert lit.after(1000) == (mode == "on")
        assert lit.after(1, -100.0, alarm="too hot") == (mode == "on")


def test_lifetime_counters_have_a_page_on_20x4():
    values = [0.0] * 14
    values[2], values[3], values[7], values[9] = 1234.56, 1198.04, 123, 26.4
    status = Status()
    picture = lifetime.WithLifetime(pages.Screen(20, 4), status)
    most = "full 9999x9999 d ago"
    for told, last in ((values, "full 123x   26 h ago"), ([1e9] * 14, most), (None, "")):
        status.counted = lifetime.lines(told) if told else b""
        seen = []
        for tick_s in range(160):
            text = picture.render(_RECORDED, status, tick_s)
            lines = ["".join(chr(code) for code in text[i : i + 20]) for i in range(0, 80, 20)]
            if "ever" in lines[1]:
                seen.append(lines)
            else:
                assert text == pages.Screen(20, 4).render(_RECORDED, status, tick_s)
        assert len(seen) == (20 if told else 0)
        assert not told or seen[0][3] == last, seen[0]
        if told is values:
            assert seen[0][1:3] == ["ever in    1234.6kWh", "ever out   1198.0kWh"], seen[0]
    for hidden in ({"alarm": "too hot"}, {"message": "Flash is full"}, {"age_s": 700}):
        status = Status(**hidden)
        status.counted = lifetime.lines(values)
        for tick_s in range(64):
            assert b"ever" not in picture.render(_RECORDED, status, tick_s)
    values[9] = 24.0 * 400
    assert lifetime.lines(values)[40:] == b"full 123x  400 d ago"
    values[9] = None
    assert lifetime.lines(values)[40:] == b"full 123x           "


def test_a_refresh_takes_no_memory():
    for size in _SIZES:
        shown = pages.Screen(*size)
        for status in (
            Status(),
            Status(alarm="cell over-volt\novercurrent in"),
            Status(message="Flash is full: delete files that are not from batmon"),
            Status(age_s=100, link="no answer from jk-pak01, retry 3 in 4 s"),
            Status(age_s=7300, link="no answer from jk-pak01, retry 3 in 4 s"),
            Status(days_left=None, days_stored=None, flushed_s=None),
        ):
            light = pages.Light("auto", 60, 1)
            for turn in range(2):  # the first meets everything once
                gc.collect()
                gc.disable()
                before = gc.mem_alloc()
                for t in range(0, 200):
                    shown.render(_RECORDED, status, t)
                    light.lit(_RECORDED, status, t)
                taken = gc.mem_alloc() - before
                gc.enable()
            assert taken == 0, (size, taken)
