# The display of several batteries: which is shown when, under which letters, and what the sums say
import random

from screen.several import Several, _labels

_WANT = {"lcd.cols": 16, "lcd.rows": 2, "poll_s": 2, "lcd.backlight": "auto", "lcd.backlight_s": 60}


class _Link:
    def __init__(self, capacity_ah):
        self.capacity_ah = capacity_ah


class _Status:
    link = "connected"
    connected = True
    beats = 1
    age_s = 1
    message = alarm = seen = past = ""
    frames = 5
    days_stored = days_left = flushed_s = None


class _Battery:
    def __init__(self, name, capacity_ah=100, **sample):
        self.name = name
        self.link = _Link(capacity_ah)
        self.status = _Status()
        self.sample = {"voltage": 13.2, "current": -1.0, "power": -13.2, "battery_level": 50}
        self.sample["cell_voltages"] = [3.3, 3.301]
        self.sample.update(sample)

    def update(self):
        pass


def _glass(batteries, cols=16, rows=2, seconds=600):
    """Return the pictures in the order in which they come, as lists of rows."""
    want = dict(_WANT)
    want["lcd.cols"], want["lcd.rows"] = cols, rows
    several = Several(want["lcd.cols"], want["lcd.rows"], want, batteries)
    pictures = []
    for now_s in range(seconds):
        text = several.render(None, None, now_s)
        assert len(text) == cols * rows
        text = "".join([chr(c) if 32 <= c < 127 else "." for c in text])
        picture = [text[row * cols : row * cols + cols] for row in range(rows)]
        if picture not in pictures:
            pictures.append(picture)
    return pictures


def test_first_the_sums_then_each_with_the_letters_that_differ():
    van = _Battery("jk_van", 300, power=-100.0, battery_level=80, cell_voltages=[3.3, 3.35])
    house = _Battery("jk_house", 100, power=40.0, battery_level=40, cell_voltages=[3.3, 3.31])
    pictures = _glass([van, house])
    assert pictures[0] == ["2x 70 %    -60 W", "va spread 50mV  "]  # 80 and 40 % by capacity
    heads = [picture[0] for picture in pictures[1:]]
    assert {head[:2] for head in heads} == {"va", "ho"}, heads
    for letters, percent in (("va", " 80 %"), ("ho", " 40 %")):
        mine = [picture for picture in pictures if picture[0][:2] == letters]
        assert all([picture[0][2:7] == percent for picture in mine])
        assert len({picture[1] for picture in mine}) >= 4, mine  # all pages that one has alone


def test_names_that_do_not_differ_in_letters_have_numbers():
    for names, letters in (
        (("jk_pak01", "jk_pak02"), {"1 ", "2 "}),
        (("pack", "pack_2"), {"#1", "#2"}),
        (("", "b"), {"#1", "#2"}),
    ):
        pictures = _glass([_Battery(name) for name in names])
        assert {p[0][:2] for p in pictures if "x" not in p[0][:2]} == letters, names


def test_each_alarm_is_told_in_full_under_the_name_of_its_battery():
    for rows in (2, 4):
        for cols in (16, 20):
            van, house = _Battery("van"), _Battery("house")
            pictures = _glass([van, house], cols, rows)
            assert pictures[0][1].strip() == "ho spread 1mV"
            told = {
                (van, "discharge is off"),
                (house, "too much current"),
                (house, "cell under-volt"),
                (van, "BMS fault"),
            }
            for one, words in told:
                one.status.alarm += ("\n" if one.status.alarm else "") + words
            pictures = _glass([van, house], cols, rows, 1000)
            for one, words in told:
                alarm = [line + " " * (cols - len(line)) for line in (one.name + ":", words)]
                assert alarm in [picture[-2:] for picture in pictures], (cols, rows, words)
            assert pictures[0][0][:3] == "2x "


def test_four_rows_show_two_at_once_and_three_in_turns():
    batteries = [_Battery(name, battery_level=n) for n, name in enumerate(("van", "house", "bow"))]
    for cols in (16, 20):
        pictures = _glass(batteries, cols, 4)
        shown = {(picture[0][:2], picture[2][:2]) for picture in pictures[1:]}
        assert shown == {("va", "ho"), ("bo", "  ")}, shown


def test_one_without_data_is_not_counted_and_says_so_in_words():
    van, house = _Battery("van", power=-10.0), _Battery("house", power=-20.0)
    house.sample = None
    house.status.age_s = None
    house.status.link = "house: looking for house"
    pictures = _glass([van, house])
    assert pictures[0][0] == "1x 50 %    -10 W"
    assert ["house: looking  ", "for house       "] in pictures
    house.sample, house.status.age_s = {"power": -20.0}, 700  # too old
    assert _glass([van, house])[0][0] == "1x 50 %    -10 W"
    van.sample = None
    assert _glass([van, house])[0] == ["0x -- %     -- W", "                "]


def test_what_happens_to_one_lights_the_display():
    van, house = _Battery("van"), _Battery("house")
    several = Several(_WANT["lcd.cols"], _WANT["lcd.rows"], _WANT, [van, house])
    assert several.lit(None, None, 0) and not several.lit(None, None, 100)
    house.sample = dict(house.sample)
    house.sample["current"] = 20.0
    assert several.lit(None, None, 101) and several.lit(None, None, 160)
    assert not several.lit(None, None, 162)


def test_what_one_does_not_tell_is_in_no_sum():
    def first(**sample):
        return _glass([_Battery("van"), _Battery("house", **sample)])[0]

    assert first()[0] == "2x 50 %    -26 W"
    for power in (None, float("nan"), float("-inf"), 1e9):
        assert first(power=power)[0] == "2x 50 %     -- W"
    assert first(battery_level=None)[0] == "2x -- %    -26 W"
    for cells in (None, [], [None, None]):
        assert first(cell_voltages=cells)[1] == "va spread 1mV   "
    assert first(cell_voltages=[1.2, None, 3.4])[1] == "ho spread 2200mV"


def test_old_data_are_in_no_sum_unless_it_is_polled_as_seldom():
    van, house = _Battery("van"), _Battery("house")
    for age_s, poll_s, count in ((100, 2, 2), (200, 2, 1), (200, 120, 2), (590, 3600, 2)):
        house.status.age_s = age_s
        want = dict(_WANT, poll_s=poll_s)
        glass = Several(16, 2, want, [van, house]).render(None, None, 0)
        assert bytes(glass[:2]) == b"%dx" % count, (age_s, poll_s)


def test_each_has_letters_of_its_own_that_a_display_has():
    letters = ("a", "b", " ", "_", "\u4f5b", "\xe9", "A")
    for _ in range(300):
        names = []
        for _ in range(2 + random.getrandbits(2)):
            name = "".join([random.choice(letters) for _ in range(random.getrandbits(2))])
            if name not in names:
                names.append(name)
        labels = _labels([_Battery(name) for name in names])
        assert len(set(labels)) == len(names), (names, labels)
        for label in labels:
            assert len(label) == 2 and label.strip(), (names, labels)
            assert not [c for c in label if not 32 <= ord(c) < 126], (names, labels)
