# What changes is told, bounded; the minutes around a fault are kept, and nothing else
import builtins
import gc
import struct
import sys
from binascii import crc32

import half
from app.battery import Status
from app.watching import Watching
from sampling.sampler import Sampler
from shardlog import Clock, Volume, open_store, stored_frames
from shards import frame

_DAY_S = 86400
# as docs/FORMAT.md has them
_ALARM, _SWITCHED, _HEALTH, _LIMITS, _UNTOLD, _MAKE = range(12, 18)
_NO_CODE = 0xFFFFFFFF
_RECORD = 0xFE04


class _Jikong:
    BMS = object()


sys.modules["aiobmsble.bms.jikong_bms"] = _Jikong


class _Link:
    driver = _Jikong.BMS
    peers = ()  # where there are several batteries, all of them


class _Board:
    """A battery with a real sampler and a real store, fed with samples."""

    link = _Link
    name = "van"

    def __init__(self, poll_s=2):
        self.volume = Volume("lfs2", 512 * 1024)
        self.clock = Clock(1_780_272_000)
        self.store = open_store(self.clock)
        self.store.cells = 4
        self.sampler = Sampler(100)
        self.status = Status()
        self.sample_s = 0
        self.watch = Watching(poll_s)
        self.poll_s = poll_s

    def poll(self, alarm="", **changes):
        sample = {
            "voltage": 13.2, "current": -5.0, "battery_level": 50, "temperature": 20.0,
            "cell_voltages": [3.3, 3.301, 3.302, 3.303], "chrg_mosfet": True,
            "dischrg_mosfet": True, "balancer": False, "heater": False, "problem_code": 0,
            "cycles": 12, "battery_health": 99.6, "cell_count": 4,
        }  # fmt: skip
        sample.update(changes)
        self.clock.now_s += self.poll_s
        now_s = self.sample_s = self.clock.now_s
        self.store.append(self.sampler.frames, self.sampler.poll(now_s * 1000, sample))
        self.status.alarm = alarm
        self.watch.sample(self, sample)
        self.tick()

    def tick(self):
        self.store.tick()
        self.watch.tell(self, self.clock.now_s)

    def end(self):
        """Return (events as (time, code, a, b), records as tuples)."""
        self.store.flush()
        frames = list(stored_frames())
        self.volume.remove()
        events = [struct.unpack("<HHBII", f) for f in frames if frame.kind(f, 0) == frame.EVENT]
        events = [(e[0], e[2], e[3], e[4]) for e in events if e[2] >= _ALARM]
        records = [struct.unpack("<HHHHHHB", f) for f in frames if frame.kind(f, 0) == _RECORD]
        return events, records


def _codes(events):
    return [event[1] for event in events]


def test_a_day_without_news_tells_health_once():
    board = _Board()
    for k in range(2000):
        board.poll(current=-5 + k % 7)
    events, records = board.end()
    assert events == [(2, _HEALTH, 12, 4 << 8 | 99)] and not records


def test_what_a_bms_does_not_tell_is_no_event():
    board = _Board()
    unknown = {
        key: None
        for key in ("chrg_mosfet", "dischrg_mosfet", "heater", "balancer", "cycles",
                    "battery_health", "cell_count", "problem_code")
    }  # fmt: skip
    for _ in range(100):
        board.poll(**unknown)
    assert board.end() == ([], [])


def test_alarm_and_switch_off_and_the_minutes_around():
    board = _Board()
    for k in range(300):
        board.poll(current=-5.0 - k % 3)
    mv = 3300
    for _ in range(40):
        mv -= 20
        board.poll(cell_voltages=[3.3, mv / 1000, 3.302, 3.303])
    fault_s = board.clock.now_s + 2
    off = {"problem_code": 0x800, "dischrg_mosfet": False, "current": 0.0}
    for _ in range(300):
        board.poll("cell under-volt\ndischarge is off", cell_voltages=[3.3, 2.6, 3.3, 3.3], **off)
    on_s = board.clock.now_s + 2
    board.poll()
    events, records = board.end()
    assert [event for event in events if event[1] not in (_HEALTH, _MAKE)] == [
        (fault_s, _SWITCHED, 0b01, 0b10),
        (fault_s, _ALARM, 0x800, 0),
        (on_s, _SWITCHED, 0b11, 0b10),
        (on_s, _ALARM, 0, 0),
    ], events
    makes = [event[2:] for event in events if event[1] == _MAKE]
    assert makes == [(crc32(b"jikong_bms"), 0)]
    times = [record[0] for record in records]
    assert times == sorted(times) and len(set(times)) == len(times)
    assert times[0] <= fault_s - 118 and fault_s <= times[-1] <= fault_s + 60
    told = {record[0]: record for record in records}
    assert all(fault_s - 2 * k in told for k in range(1, 40))  # each poll of the fall
    at = told[fault_s - 2]
    assert (at[4], at[5], at[6] & 15) == (mv, 3303, 1) and half.decode(at[3]) == -5


def test_what_flutters_is_counted():
    for name, most in (("heater", 21 + 48), ("balancer", 2)):
        board = _Board(poll_s=10)
        changes = 0
        for k in range(_DAY_S // 10):
            board.poll(**{name: bool(k & 1)})
            changes += k & 1 != (k - 1) & 1 and k > 0
        events, records = board.end()
        switched = _codes(events).count(_SWITCHED)
        untold = sum(event[2] for event in events if event[1] == _UNTOLD)
        assert 1 <= switched <= most and not records, (name, switched)
        left = board.watch.changes[2 if name == "heater" else 3]
        assert switched + untold + left == changes, (name, switched, untold, left, changes)


def test_what_changes_on_any_day_is_told_once_a_week():
    board = _Board(poll_s=60)
    days = 28
    for k in range(days * 1440):
        board.poll(balancer=k % 1440 < 200, cycles=12 + k // 1440)
    events, records = board.end()
    assert _codes(events).count(_HEALTH) <= 1 + days // 7 and not records, events
    assert _codes(events).count(_SWITCHED) <= 1 + days // 7, events
    assert {event[3] for event in events if event[1] == _UNTOLD} == {_SWITCHED}
    assert max(event[2] for event in events if event[1] == _HEALTH) >= 12 + days - 8


def test_two_faults_in_two_minutes_share_their_records():
    board = _Board()
    for k in range(150):
        code = 0x40 if k in (60, 105) else 0
        board.poll("overcurrent in" if code else "", problem_code=code, current=20.0 + k % 9)
    _, records = board.end()
    times = [record[0] for record in records]
    assert times == sorted(times) and len(set(times)) == len(times)
    assert times[0] <= 4 and times[-1] >= 210 + 58 and len(times) > 130, times


def test_episodes_are_bounded():
    board = _Board(poll_s=10)
    for k in range(2 * _DAY_S // 10):
        code = 0x40 if k // 60 & 1 else 0  # an overcurrent each twenty minutes
        board.poll("overcurrent in" if code else "", problem_code=code, current=20.0 + k % 9)
    _, records = board.end()
    assert 100 < len(records) <= 12 * 20, len(records)  # 4 and 4 a day, of 3 minutes


def test_an_alarm_without_a_code_and_a_long_code():
    board = _Board()
    board.poll(problem=True, problem_code=None)
    board.poll(problem_code=5 << 70)
    board.poll(problem_code=0x1234567890)
    events, _ = board.end()
    assert [event[2:] for event in events if event[1] == _ALARM] == [
        (_NO_CODE, _NO_CODE), (5 << 6, 0), (0x34567890, 0x12),
    ]  # fmt: skip


def test_limits_of_the_settings_are_told():
    board = _Board()
    board.poll()
    board.poll("cell low")
    board.poll("cell low\ncharge low")
    board.poll("")
    events, records = board.end()
    limits = [event[2:] for event in events if event[1] == _LIMITS]
    assert limits == [(2, 0), (3, 0), (0, 0)] and records


def test_the_display_is_told_of_a_fault_for_a_day():
    board = _Board(poll_s=20)
    board.poll()
    board.poll("cell under-volt", problem_code=0x800, cell_voltages=[3.3, 2.41, 3.302, 3.303])
    assert not board.status.past
    fault_s = board.clock.now_s
    seen = set()
    while board.clock.now_s < fault_s + 90_000:
        # the BMS has switched itself off: no sample comes
        board.clock.now_s += 5
        board.tick()
        seen.add((board.clock.now_s - fault_s - 65) // 3600 * bool(board.status.past))
        if board.clock.now_s == fault_s + 65:
            assert board.status.past == "lately\ncell under-volt\ncell 2 2.41 V"
        if board.clock.now_s == fault_s + 5 * 3600 + 70:
            assert board.status.past == "5 h ago\ncell under-volt\ncell 2 2.41 V"
    assert seen == set(range(24)) and not board.status.past
    board.volume.remove()


def test_a_switch_that_is_off_is_an_alarm_without_a_code():
    board = _Board()
    board.poll(dischrg_mosfet=False)
    assert board.status.alarm == "discharge is off"
    board.poll(dischrg_mosfet=False, problem_code=0x800)
    board.poll()
    assert not board.status.alarm
    board.volume.remove()


def test_of_several_batteries_the_repl_tells_which_it_is():
    said = []
    real, builtins.print = builtins.print, lambda words: said.append(words)
    try:
        for peers in ((), (_Link, _Link)):
            board = _Board()
            board.link = _Link()
            board.link.peers = peers
            board.poll(dischrg_mosfet=False)
            board.volume.remove()
    finally:
        builtins.print = real
    words = ["discharge off", "discharge is off"]
    assert said == words + ["van: " + one for one in words], said


def test_a_poll_takes_no_memory():
    board = _Board()
    board.poll()
    watch = board.watch
    sample = {"voltage": 13.2, "current": -5.0, "cell_voltages": [3.3, 3.2], "balancer": True,
              "problem_code": 0, "cycles": 12, "battery_health": 99.5}  # fmt: skip
    board.poll(**sample)
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    for _ in range(100):
        board.sample_s += 2
        watch.sample(board, sample)
    taken = gc.mem_alloc() - before
    gc.enable()
    board.volume.remove()
    assert taken == 0, taken
    assert len(watch.frames) <= 1500
