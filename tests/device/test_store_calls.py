# Each call of the file system fails, once or twice in a row, at every position of a board's life
import os
import random
import struct
import sys

import machine
import vfs
from app import handover
from app import start
from faultyfs import AFTER, BEFORE, ERRORS, HALF, NEXT, ONCE, SAME, FaultyFs
from shardlog import (
    DATA,
    SEED,
    Clock,
    Rtc,
    StoredEncoder,
    Volume,
    data_frame,
    events,
    frames_of,
    numbers_of,
    pack,
    shard_files,
    stored_frames,
    stored_numbers,
)
from shards import codec, frame
from store import Store

_CAMPAIGN = os.getenv("CAMPAIGN")
_PART, _PARTS = [int(word) for word in (os.getenv("PART") or "1/1").split("/")]  # of the campaign
_SLICE = 25  # lives
_BYTES = 64 * 1024  # the store rolls over at an eighth
_FULL = 3600  # frames, and more until the newest shard is nearly full
_FLUSH = 1040  # bytes at most
_UNIX = 1_780_272_000
_HOUR_S = 3600


class Board:
    """A board that starts, logs, packs and is reset, and does about exceptions what the app does.

    `expected` are the numbers of all frames that a fault may not cost.
    """

    def __init__(self, volume, first, rtc):
        self.volume = volume
        self.expected = []
        self.next = first
        self.held = None
        self.rtc = Rtc(rtc)
        self.clock = Clock(_UNIX)
        self.clock.now_s = 100_000  # after what is on the volume
        self.store = None

    def start(self, power_cut=False):
        """Reset the board until it runs."""
        for _ in range(9):
            self.volume.replug()
            self.store = None
            if power_cut:
                self.rtc.data = b""
            power_cut = False
            if self.held is not None:
                self.expected.append(self.held)
                self.held = None
            self.clock.start_unix_s += self.clock.now_s
            self.clock.now_s = 0
            try:
                paused = start._resume()
                store = Store("/data", "jk-pak01", self.clock, self.rtc, 2)
                store.open(paused)
                self.store = store
                return
            except (Exception, KeyboardInterrupt, machine.Reset) as exc:
                self._remember(exc)
        raise RuntimeError("it does not start")

    def _remember(self, exc):
        self.last = exc

    def do(self, part, *args):
        """Run a part of the app as the app does: one that fails starts again."""
        try:
            part(*args)
        except KeyboardInterrupt:
            self._stop()
        except Exception as exc:
            self._remember(exc)
            self.clock.now_s += 10

    def _stop(self):
        try:
            self._finish()
            self.store.flush()
        except (Exception, KeyboardInterrupt) as exc:
            self._remember(exc)
        self.start()

    def _finish(self):
        if self.held is not None:
            held, self.held = self.held, None
            self.expected.append(held)
            self.store.append(data_frame(held))

    def frames(self, count, n=1, hold=False):
        """Append `count` times `n` frames, ten seconds apart, and hold one between if so."""
        for _ in range(count):
            self.wait(10, 10)
            numbers = list(range(self.next, self.next + n))
            self.next += n
            self.held = None
            self.expected += numbers
            together = b"".join(bytes(data_frame(i)) for i in numbers)
            self.do(self._append, together, n)
            if hold:
                self.hold()

    def _append(self, together, n):
        self.store.append(together, n)

    def hold(self):
        self.held = self.next
        self.next += 1
        self.do(self._hold, data_frame(self.held))

    def _hold(self, data):
        self.store.hold(data)

    def wait(self, seconds, step_s=30):
        for _ in range(0, seconds, step_s):
            self.clock.now_s += step_s
            self.do(self._tick)

    def _tick(self):
        self.store.tick()
        if self.store.packing_due:
            self._pack()

    def _pack(self):
        """What App._pack does."""
        self.store.packing_due = False
        self._finish()
        if not self.store.flush():
            return
        try:
            handover.request(self.store, self.clock)
        except OSError:
            return
        self.start()

    def live(self):
        """Start with frames in RTC memory, flush, roll over, pack and delete, reset, cut off."""
        self.start()
        self.frames(3, hold=True)
        self.wait(60)
        self.do(self._event)
        self.frames(45, 2)  # a flush, and the shard is full
        self.wait(30)  # it is packed, and the oldest makes room
        self.frames(2, hold=True)
        self.start()  # a reset that keeps RTC memory
        self.frames(5)
        self.wait(630)
        self.hold()
        self.wait(1260)
        self.start(power_cut=True)
        self.frames(1)
        self.wait(1260)
        self.start(power_cut=True)

    def _event(self):
        self.store.event(frame.LINK_LOST)


def _prepare(kind):
    """Return (volume, image, RTC memory, next number) of a full volume and frames that wait."""
    volume = Volume(kind, _BYTES)
    clock = Clock(_UNIX)
    rtc = Rtc()
    store = Store(DATA, "jk-pak01", clock, rtc)
    store.open()
    number = 0
    while number < _FULL or store._size + 2 * _FLUSH < store.limit or store.waiting.n != 5:
        clock.now_s += 2
        store.append(data_frame(number))
        store.tick()
        pack(store)
        number += 1
    store.hold(data_frame(number))
    assert stored_numbers()[0] > 0, "nothing was deleted yet"
    return volume, volume.image(), rtc.data, number + 1


class Campaign:
    """Lives of a board with one fault each."""

    def __init__(self, kind):
        codec_encoder = codec.Encoder
        self._encoder = codec_encoder
        codec.Encoder = StoredEncoder
        self.volume, self.image, self.rtc, self.number = _prepare(kind)
        self.old = stored_numbers()
        self.frames = {}  # by shard, what the log may say that it deleted
        for file in shard_files():
            with open(file, "rb") as f:
                self.frames[int(file[-9:-4])] = numbers_of(frames_of(file, f.read()))
        self.fs = FaultyFs(DATA)
        vfs.mount(self.fs, "/data")
        self.lives = 0

    def remove(self):
        vfs.umount("/data")
        codec.Encoder = self._encoder
        self.volume.remove()

    def live(self, *fault):
        """Live once; return (how many calls there were, what is wrong or None)."""
        self.lives += 1
        self.volume.replug(self.image)
        board = Board(self.volume, self.number, self.rtc)
        self.fs.fail(*fault)
        try:
            board.live()
            self.fs.stop()
            board.wait(630)
            board.start()
            board.wait(90)
            assert board.store.flush(), board.store.message
            self._check(board)
            wrong = None
        except Exception as exc:
            sys.print_exception(exc)
            wrong = repr(exc)
        return self.fs.calls, wrong

    def _check(self, board):
        store = board.store
        waits = range(self.old[-1] + 1, self.number)
        everything = self.old + list(waits) + board.expected
        got = stored_numbers()
        # Mostly the oldest. The next one too if the volume says twice that there is no such file:
        # then that stays, and is deleted another time.
        deleted = [a for code, a, _ in events() if code == frame.SHARD_DELETED]
        gone = set()
        for number in deleted:
            gone.update(self.frames.get(number, ()))
        gone -= set(got)
        assert got == [n for n in everything if n not in gone], _differ(got, everything)
        assert store.dropped == 0
        boots = [f for f in stored_frames() if frame.kind(f, 0) == frame.ANCHOR]
        boots = [struct.unpack_from("<H", f, 8)[0] for f in boots]
        assert boots[0] > 0 and boots == sorted(boots), boots
        assert boots[-1] <= store.boot


def _differ(got, want):
    """Say where two lists of numbers part, seen from the end."""
    twice = [n for i, n in enumerate(got[1:]) if n <= got[i]]
    lost = sorted(set(want[len(want) - len(got) :]) - set(got))
    return "disordered: %s, lost: %s, more: %s, last %d of %d" % (
        twice[:9], lost[:9], sorted(set(got) - set(want))[:9], got[-1], want[-1]
    )  # fmt: skip


def _faults(kind):
    """Let calls fail; return (positions, lives, failures)."""
    random.seed(int.from_bytes(SEED, "little"))
    campaign = Campaign(kind)
    failures = []
    try:
        calls, wrong = campaign.live(0)
        assert not wrong, wrong
        faults = [(error, again) for error in ERRORS for again in (ONCE, NEXT, SAME)]
        pick = random.getrandbits
        if _CAMPAIGN:
            todo = ((at, fault) for at in range(_PART, calls + 1, _PARTS) for fault in faults)
        else:
            todo = ((1 + pick(20) % calls, faults[pick(16) % len(faults)]) for _ in range(_SLICE))
        for at, fault in todo:
            when = (BEFORE, AFTER, HALF)[pick(16) % 3]
            _, wrong = campaign.live(at, *fault, when)
            if wrong:
                failures.append((at, repr(fault[0]()), fault[1], when, campaign.fs.failed))
                print("failure:", failures[-1], wrong)
        return calls, campaign.lives, len(failures)
    finally:
        campaign.remove()


def test_calls_that_fail_on_littlefs():
    positions, lives, failures = _faults("lfs2")
    print("littlefs: %d positions, %d lives, %d failures" % (positions, lives, failures))
    assert not failures


def test_calls_that_fail_on_fat():
    positions, lives, failures = _faults("fat")
    print("FAT: %d positions, %d lives, %d failures" % (positions, lives, failures))
    assert not failures
