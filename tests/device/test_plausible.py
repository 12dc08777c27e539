# Plausible: each value alone, whatever the others are; cells, packs, temperatures
import random

from link.plausible import Plausible
from sampling.sampler import Sampler

_NAN = float("nan")
_INF = float("inf")
# what of a kind cannot be, for a battery of 4 to 16 cells of 100 Ah
_NONSENSE = {
    "voltage": (0, 0.1, -13.2, 655.35, 6553.5, 1e9, -1e9, _NAN, _INF, -_INF),
    "current": (-3000.0, 3276.7, 6553.5, 1e30, -1e30, _NAN, _INF, -_INF),
    "battery_level": (110.5, 228, 255, 65535, -1, -0.5, _NAN, _INF),
    "temperature": (-40, -30, -273.15, -200, 215, 1e9, _NAN),
    "cell_count": (0, 1, 17, 255, 65535),
    "cycle_charge": (-1, 1e9, _NAN),
    "power": (1e9, _NAN),
    "design_capacity": (0, 65535),
}
_CELL_NONSENSE = (5.0, 6.5, 65.535, -0.001, 1e9, _NAN, _INF)


class _String:
    CELLS = 1


class _Extremes:
    CELLS = 2


class _Sensor:
    def __init__(self, value):
        self.value = value


def _any():
    n = random.randint(4, 16)
    cells = [random.randint(2800, 3600) / 1000 for _ in range(n)]
    return {
        "voltage": sum(cells),
        "current": random.randint(-20000, 20000) / 100,
        "battery_level": random.randint(1, 1000) / 10,
        "temperature": random.randint(-20, 80),
        "cell_count": n,
        "cycle_charge": random.randint(0, 10000) / 100,
        "power": 100.0,
        "design_capacity": 100,
        "cell_voltages": cells,
    }


def _copy(sample):
    sample = dict(sample)
    if sample.get("cell_voltages"):
        sample["cell_voltages"] = list(sample["cell_voltages"])
    return sample


def _stored(judge, sample):
    """What a frame would have of it: voltage, current, temperature, SoC, cells."""
    sample = _copy(sample)
    assert judge.judge(sample), sample
    sampler = Sampler(100)
    assert sampler.poll(0, sample) == 1
    frame = bytes(sampler.frames[2:13])
    return frame[:2], frame[2:4], frame[4], frame[5], sample.get("cell_voltages")


def _fresh(sample, driver=_String):
    judge = Plausible(driver, 100)
    assert judge.judge(_copy(sample)) and judge.kind == "", judge.words
    return judge


def test_one_value_of_nonsense_changes_no_other():
    places = {"voltage": 0, "current": 1, "temperature": 2, "battery_level": 3}
    for seed in range(60):
        random.seed(seed)
        sample = _any()
        for driver in (_String, _Extremes, object):
            right = _stored(_fresh(sample, driver), sample)
            for kind in _NONSENSE:
                for value in _NONSENSE[kind]:
                    bad = _copy(sample)
                    bad[kind] = value
                    # in the first sample, and when others came before
                    for judge in (Plausible(driver, 100), _fresh(sample, driver)):
                        if driver is not _String and kind == "voltage" and 1 <= value < 1000:
                            continue  # nobody knows that it is wrong
                        got = _stored(judge, bad)
                        for i in range(5):
                            if places.get(kind) != i:
                                assert got[i] == right[i], (seed, kind, value, i, got, right)
                            elif i < 2:
                                assert got[i] == b"\x00\x7e"
                            else:
                                assert got[i] == 255


def test_a_cell_of_nonsense_is_unknown_and_the_others_keep_their_places():
    for seed in range(60):
        random.seed(seed)
        sample = _any()
        right = _stored(_fresh(sample), sample)
        for value in _CELL_NONSENSE:
            i = random.randrange(len(sample["cell_voltages"]))
            bad = _copy(sample)
            bad["cell_voltages"][i] = value
            judge = _fresh(sample)
            got = _stored(judge, bad)
            assert got[:4] == right[:4]
            assert judge.kind == "cell %d" % (i + 1)
            wanted = list(sample["cell_voltages"])
            wanted[i] = None
            assert got[4] == wanted, (seed, value)


def test_a_cell_at_0_is_one_whether_dead_or_unplugged():
    for n in (4, 8, 16):
        for i in (0, n // 2, n - 1):
            for dead in (True, False):
                cells = [3.3] * n
                volts = 3.3 * (n - dead)
                cells[i] = 0.0
                judge = Plausible(_String, 100)
                sample = {"voltage": volts, "cell_voltages": cells, "current": 1}
                assert judge.judge(sample) and judge.kind == "", (n, i, dead, judge.words)
                assert sample["cell_voltages"] == cells and cells[i] == 0


def test_cells_that_do_not_add_up():
    cells = [3.3, 3.31, 3.3, 3.32]

    def judged(volts, cells, agreed):
        judge = Plausible(_String, 100)
        if agreed:
            assert judge.judge({"voltage": 13.2, "cell_voltages": [3.3] * 4})
        sample = {"voltage": volts, "cell_voltages": list(cells), "battery_level": 50}
        assert judge.judge(sample)
        return sample["voltage"], sample["cell_voltages"], judge.words

    # one that stands out
    assert judged(13.2, [3.3, 3.3, 4.9, 3.3], False)[:2] == (13.2, [3.3, 3.3, None, 3.3])
    assert judged(13.2, [3.3, 1.1, 3.3, 3.3], True)[2] == "cell 2 1.10 V cannot be"
    # all of them agree with each other, and once did so with the pack
    assert judged(16.5, cells, True) == (None, cells, "voltage 16.50 V cannot be")
    # or never did
    assert judged(16.5, cells, False) == (16.5, None, "sum of cells 13.23 V cannot be")
    assert judged(16.5, [3.9, 3.9, 2.1, 2.1], True)[:2] == (16.5, None)
    # where they are not one string, nobody adds them up
    for driver in (object, _Extremes):
        judge = Plausible(driver, 100)
        sample = {"voltage": 52.3, "cell_voltages": [3.3] * 32}
        assert judge.judge(sample) and judge.kind == ""
        assert bool(sample.get("extremes")) == (driver is _Extremes)


def test_limits_know_the_battery():
    for capacity, most in ((10, 200), (100, 1100), (304, 2000), (0, 2000)):
        judge = Plausible(object, capacity)
        for amps, good in ((most, True), (-most, True), (most + 1, False), (-most - 1, False)):
            sample = {"voltage": 13.2, "current": amps}
            assert judge.judge(sample)
            assert (sample["current"] is not None) == good, (capacity, amps)
    for n, volts, good in ((4, 1.9, False), (4, 2.1, True), (16, 81, False), (16, 79, True)):
        sample = {"voltage": volts, "cell_count": n, "current": 5}
        Plausible(_String, 100).judge(sample)
        assert (sample["voltage"] is not None) == good, (n, volts)


def test_a_little_over_100_percent_is_full():
    for told, stored in ((0, 0), (100, 100), (104, 100), (110, 100), (110.5, None), (-1, None)):
        sample = {"voltage": 13.2, "battery_level": told, "problem": True}
        assert Plausible(object, 100).judge(sample)
        assert sample["battery_level"] == stored
        assert sample["problem"] == (0 <= told <= 100)


def test_zeros_of_a_bms_that_is_asleep_leave_nothing():
    zeros = {"voltage": 0.1, "current": 0, "battery_level": 0, "temperature": 25, "cell_count": 0}
    zeros["cell_voltages"] = [0, 0, 0, 0]
    for amps in (0, -3000, None, _NAN):
        sample = _copy(zeros)
        sample["current"] = amps
        assert not Plausible(_String, 100).judge(sample)
    assert Plausible(_String, 100).judge({"battery_level": 0})  # it tells no voltage, and is empty
    assert not Plausible(_String, 100).judge({})


def test_a_socket_without_a_sensor_does_not_count():
    def judged(*values, **more):
        sample = {"voltage": 13.2, "temp_values": [_Sensor(value) for value in values]}
        sample.update(more)
        Plausible(object, 100).judge(sample)
        return sample.get("temperature"), sample["hottest"], sample["coldest"]

    assert judged(24, 25, 71, temperature=40) == (40, 71, 24)
    assert judged(24, -40, 26, temperature=3.3) == (25, 26, 24)
    assert judged(-273.15, 24, -30, 26, -200, 215, _NAN, temperature=3.3) == (25, 26, 24)
    assert judged(-40, -40, temperature=-40) == (None, None, None)
    assert judged(-31, -29, temperature=-30.5) == (-30.5, -29, -31)
    assert judged(temperature=-30) == (None, None, None)
    assert judged(temperature=33) == (33, 33, 33)
