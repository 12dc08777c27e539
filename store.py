# The store: frames into shards on flash, with nothing lost that was said to be stored
# docs/FORMAT.md specifies the files, the RTC memory, and what recovery makes of every state.
import sys

from micropython import const
from shards import frame
from shards.folder import Shards
from shards.waiting import SLOTS, Waiting

_SAFE_S = const(590)  # a power cut costs at most ten minutes; `tick` may be late
_RETRY_S = const(30)  # between attempts to write to a full or failing volume
_AT_ONCE = const(2)  # but so many are repeated at once: frames may have no place meanwhile
_SILENCE_S = const(30_000)  # the u16 time in a frame is unique for twice that
_CLOCK_STEP_S = const(2)
_RATE_S = const(3600)  # a shorter uptime says nothing about the present rate
_DAY_S = const(86400)
_FULL = (28, 13)  # ENOSPC; EACCES is what FAT says when a folder cannot grow
_EIO = const(5)
_CORRUPT = const(84)  # what littlefs says of a file that it cannot read, and then of all writing
_LOOKS = const(10)  # for what is on flash, before a shard is left as it is


class Store(Shards):
    """One battery's log in the folder `path`, e.g. "/data".

    `clock` has `uptime_s()` and `unix_s()` (0 = unknown); `rtc` is a machine.RTC or None;
    `reset_cause` goes into this boot's anchor. Call `open` once, then `append`, `hold` and
    `event` as frames come, and `tick` every few seconds. When `packing_due` says so, flush and
    let app/packing.py pack the shards that are full: that takes a start of its own. When
    `unreadable` says so, app/mending.py may help.

    Nothing here raises for a full or broken volume: `message` then holds a sentence for the
    user and frames wait in the buffer; `dropped` counts those that had to go. Nothing is decided
    by a look at the volume that failed: it is repeated before the next flush. Whatever else is
    raised (Ctrl-C, no memory), frames that were given are kept, and it can be called again.
    """

    def __init__(self, path, name, clock, rtc=None, reset_cause=0):
        super().__init__(path, clock)
        self.name = frame.shard_name(name)
        self.cells = 0  # in series, for anchors; 0 until known
        self.message = ""
        self.frames = 0  # appended since boot, control frames not counted
        self.flushes = 0
        self.flushed_s = 0  # uptime of the last flush
        self.days_stored = None  # from the oldest frame to now, None while unknown
        self.days_left = None  # at the present rate, until the oldest shard has to go
        self.boot = 0
        self.packing_due = False
        self.unreadable = False  # a file of the volume is
        self.waiting = Waiting(self.name, rtc)
        self._reset_cause = reset_cause
        self.highest = [0, 0]  # the highest number of a shard, and this boot's, for all batteries
        self._ready = False  # the folder was read
        self._unsure = False  # a flush was interrupted
        self._looks = 0  # in vain, for what it left
        self._paused = None
        self._retry_s = 0  # no flush before
        self._failures = 0  # flushes in a row
        self._state_due = False  # to be written again
        self._opened_s = 0
        self._safe_s = 0  # a power cut now would lose what came since
        self._data_s = 0  # uptime of the last data frame
        self._first_boot = 0  # of the oldest frame that waits, and its unix_offset_s
        self._first_offset_s = 0
        self.unix_offset_s = 0  # unix time minus uptime at the last anchor; 0 = unknown
        self.risk_s = _SAFE_S  # of the log are lost by a power cut, at most
        self._size = 0  # committed bytes of the active shard
        self._file = None

    @property
    def dropped(self):
        return self.waiting.dropped

    # ---- frames in; nothing here takes memory while frames only go into the buffer

    def append(self, frames, n=1):
        """Take the first `n` frames, at most 3, of the buffer `frames`; flush when that is due."""
        try:
            if self.waiting.full():
                self.flush() or self.flush()  # it failed before
        finally:  # whatever that raises, they are taken
            self._take(frames, n)
        if self.waiting.full():
            self.flush()

    def _take(self, frames, n):
        waiting = self.waiting
        now_s = self._clock.uptime_s()
        for i in range(n):
            while self._failures > _AT_ONCE and waiting.full():
                waiting.drop_oldest()  # in time, so that a restart finds its places
            waiting.put(frames, i * frame.SIZE, now_s)
            if frame.kind(frames, i * frame.SIZE) == 0:
                self.frames += 1
                self._data_s = now_s
                waiting.held = 0  # it was about the time that this frame tells of
        waiting.mirror()

    def hold(self, frames, offset=0):
        """Keep a data frame that would be stored if the board stopped now.

        It lies in RTC memory, and every ten minutes in a small file, until a data frame is
        appended or another one held; only a reset or a power cut makes it part of the log.
        """
        self.waiting.hold(frames, offset)
        self.waiting.mirror()

    def event(self, code, a=0, b=0):
        """Store an event (codes in shards/frame.py) with its two numbers."""
        control = bytearray(frame.SIZE)  # its own: appending may lead to other control frames
        frame.pack_event(control, 0, self._clock.uptime_s(), code, a, b)
        self.append(control)

    def tick(self):
        """Do what time demands: flush, retry, anchor a clock that was set."""
        waiting = self.waiting
        now_s = self._clock.uptime_s()
        unix_s = self._clock.unix_s()
        while self.events:
            self.event(*self.events.pop(0))
        if unix_s:
            step = unix_s - now_s - self.unix_offset_s
            if abs(step) > _CLOCK_STEP_S:
                if self.unix_offset_s:
                    self.event(frame.CLOCK_STEPPED, max(0, step), max(0, -step))
                self.anchor()
        if now_s - waiting.newest_s >= _SILENCE_S:
            self.anchor()
        if not waiting.n and not waiting.held:
            self._safe_s = now_s
        elif waiting.full() or not self._ready or now_s - self._safe_s >= self.risk_s:
            if self.flush():
                self._save_held(now_s)

    def _save_held(self, now_s):
        """Write the frame that is held where it outlasts a power cut."""
        if self.waiting.held:
            try:
                self.waiting.save(self._held_file())
                self.message = ""
            except OSError as exc:
                self._trouble(exc)
                now_s -= _SAFE_S - _RETRY_S  # and again
        self._safe_s = now_s

    def _held_file(self):
        return "%s/%s.held" % (self.path, self.name)

    def anchor(self):
        """Store an anchor with what is known now: the time, and how many cells there are."""
        now_s = self._clock.uptime_s()
        unix_s = self._clock.unix_s()
        self.unix_offset_s = unix_s - now_s if unix_s else 0
        self.oldest_unix_s = self.oldest_unix_s or unix_s
        control = bytearray(frame.SIZE)
        frame.pack_anchor(control, 0, now_s, unix_s, self.boot, self._reset_cause, self.cells)
        self.append(control)

    # ---- flash

    def flush(self):
        """Write the buffer and commit it; return True when nothing is left in it."""
        waiting = self.waiting
        if waiting.n == 0:
            return True
        now_s = self._clock.uptime_s()
        if now_s < self._retry_s:
            return False
        begun = self._ready or _once("boot").begin(self, True)
        if not begun or self._unsure and not self._look():
            return self._failed(now_s)
        if waiting.n == 0:
            return True  # it was on flash
        if waiting.untold and not waiting.full():
            control = bytearray(frame.SIZE)
            frame.pack_event(control, 0, now_s, frame.FRAMES_DROPPED, waiting.untold)
            waiting.untold = 0
            waiting.put(control, 0, now_s)
        error = self._write(now_s)
        if error and error.errno in _FULL and not self._unsure and self._is_full():
            if _room().delete_oldest(self):
                error = self._write(now_s)
        if error:
            self._trouble(error)
            return self._failed(now_s)
        self.message = ""
        self._failures = 0
        if self._state_due:
            self._save_state()
        self._count_days(now_s)
        if self._size + SLOTS * frame.SIZE > self.limit:
            self._roll_over()
            self.anchor()
        return True

    def _failed(self, now_s):
        self._failures += 1
        if self._failures > _AT_ONCE:
            self._retry_s = now_s + _RETRY_S
        self.waiting.mirror()
        return False

    def _write(self, now_s):
        """Append the buffer to the active shard; return None, or the error if that failed."""
        waiting = self.waiting
        if self._size == 0:
            try:
                _room().anchor_first(waiting, self._first_offset_s, self._first_boot, self.cells)
            except OSError as exc:
                return exc  # not even the program can be read
        waiting.mirror()  # in it is exactly what is written: a reset may come right after
        waiting.front = waiting.n
        self._unsure = True  # whatever happens now, the next flush looks first
        try:
            if self._file is None:
                self._open_file()
            self._file.write(waiting.commit(now_s))
            self._file.flush()
        except OSError as exc:
            return None if self._look() and waiting.n == 0 else exc
        self._stored(waiting.n)

    def _open_file(self):
        if self._size == 0:
            self.make_folder()
            _once("entries").secure(self)
        self._file = open(self._active(), "ab")
        if self._file.seek(0, 2) != self._size:
            raise OSError(_EIO)  # something told us wrong: nothing is written behind it

    def _active(self):
        return self.file(self.waiting.shard, self.name, "raw")

    def _stored(self, count):
        """Note that `count` frames, of which those in front are left, are committed."""
        waiting = self.waiting
        size = (count + 1) * frame.SIZE
        self.shards += self._size == 0
        self._size += size
        self.bytes += size
        self.free -= size
        waiting.flush += 1
        self._unsure = False
        waiting.take_out(0, waiting.front)
        waiting.front = 0
        self._first_boot = self.boot
        self._first_offset_s = self.unix_offset_s
        self.flushes += 1
        self.flushed_s = self._clock.uptime_s()
        # a held frame that was saved in a file counts as long as nothing is flushed
        self._safe_s = self._data_s if waiting.held else self.flushed_s
        waiting.mirror()

    def _close(self):
        file, self._file = self._file, None
        if file:
            try:
                file.close()
            except OSError:
                pass  # what counts is what is on flash, looked at next

    def _look(self):
        """Find out what an interrupted flush left; return whether that is known now.

        If it is on flash it counts, if nothing is it will be written again; a torn one ends the
        shard.
        """
        self._close()
        try:
            size, count = _room().flush_at(self._active(), self._size, self.waiting.flush)
        except OSError as exc:
            self._looks += 1
            if self._looks < _LOOKS:
                self._trouble(exc)
                return False
            size, count = -1, 0  # it cannot be read: the frames go to the next shard
        self._looks = 0
        if count:
            self._stored(count)
            return True
        self._unsure = False
        self.waiting.front = 0
        if size != self._size:
            self.shards += self._size == 0
            self._roll_over()
        return True

    def _is_full(self):
        """Is there really no room, as an error said?"""
        try:
            self.ask_free()
        except OSError:
            return False
        return self.free < self.limit

    def _trouble(self, error):
        if error.errno in _FULL:
            message = "Flash is full: delete files that are not from batmon"
        else:
            message = "Flash error %d: log kept in memory" % error.errno
            self.unreadable = error.errno == _CORRUPT
        if message != self.message:
            print("store:", message)
        self.message = message

    def _roll_over(self):
        self._close()
        if self._size:
            self.unsealed.append((self.waiting.shard, self.name, self._size))
            self.packing_due = True
        self.waiting.shard = self._next_number()
        self._size = 0
        self._save_state()

    def _next_number(self):
        self.highest[0] += 1  # a number is never used again
        return self.highest[0]

    def _save_state(self):
        """Remember boot and shard number: neither is ever used twice."""
        self._state_due = True
        self._state_due = not _room().save_state(self)

    def _count_days(self, now_s):
        unix_s = self._clock.unix_s()
        if unix_s and self.oldest_unix_s:
            self.days_stored = max(0, unix_s - self.oldest_unix_s) // _DAY_S
        age_s = now_s - self._opened_s
        if age_s >= _RATE_S and self.frames:
            # in the end, all but three shards' worth of the volume holds sealed shards
            room = max(0, self.free + self._size - 3 * self.limit) // max(1, len(self.names))
            a_day = self.frames * self.millibytes / age_s * (_DAY_S / 1000)
            self.days_left = int(room / a_day)

    # ---- start

    def open(self, paused=None):
        """Bring the folder into order after whatever happened, and begin this boot.

        `paused` is what app/packing.py tells: the boot goes on that it paused, and no packing
        is due until a shard is full.
        """
        self._paused = paused
        self._opened_s = self._safe_s = self._data_s = self._clock.uptime_s()
        boot = _once("boot")
        if boot.wake(self):
            return  # the next flush reads the folder
        if not boot.begin(self, False):
            self._failed(self._opened_s)
            boot.enter(self)


def _room():
    return _once("room")


def _once(name):
    """Return a module of shards/ that is loaded for one use only: its memory is free after it."""
    module = getattr(__import__("shards." + name), name)
    del sys.modules["shards." + name]
    delattr(sys.modules["shards"], name)
    return module
