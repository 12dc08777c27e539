# The virtual clock: time stands still while code runs and jumps while everybody waits
# asyncio's time source and idle wait are replaced, so that a month passes in minutes.
import sys

import tasks
import utime
from micropython import const

_MP_STREAM_POLL = const(3)
_POLLIN = const(1)
_SPIN_PASSES = const(64)  # so many passes without a wait cost a millisecond, as they do on a board

_now_us = 0  # below one millisecond
now = 0  # virtual ms since the simulation began; others read it, only this module moves it
boot = 0  # when the board booted last
unset = 0  # when the board's clock began to count, if it was never set: at a boot
_rtc_ms = None  # unix time of the board's clock at virtual time 0, None: never set
_events = []  # [t_ms, fn, args], soonest first
_realtime = False
real_sleep_ms = utime.sleep_ms  # how real time passes; a REPL listens meanwhile
_spins = 0


def now_ms():
    """Virtual milliseconds since the simulation began; grows without bound."""
    return now


def now_us():
    """Virtual microseconds since the simulation began."""
    return now * 1000 + _now_us


def uptime_us():
    """Virtual microseconds since the board's last boot."""
    return now_us() - boot * 1000


def call_at(t_ms, fn, *args):
    """Run `fn(*args)` from the idle wait when virtual time reaches `t_ms`; returns a handle."""
    event = [max(t_ms, now), fn, args]
    i = len(_events)
    while i and _events[i - 1][0] > event[0]:
        i -= 1
    _events.insert(i, event)
    return event


def call_later(delay_ms, fn, *args):
    """Run `fn(*args)` from the idle wait in `delay_ms`; returns a handle."""
    return call_at(now + delay_ms, fn, *args)


def cancel(handle):
    """Forget a call; harmless when it has run already."""
    if handle in _events:
        _events.remove(handle)


def spend_us(us):
    """Let blocking code take its time, e.g. a transfer on the I2C bus."""
    global now, _now_us
    _now_us += us
    if _now_us >= 1000:
        now += _now_us // 1000
        _now_us %= 1000


def sleep_ms(ms):
    """A blocking sleep: the stack's events go on, the tasks do not."""
    end_ms = now + ms
    while _events and _events[0][0] <= end_ms:
        _advance(_events[0][0])
        _run_due()
    _advance(end_ms)


def set_rtc(unix_ms):
    """Set the board's real-time clock (unix milliseconds, UTC); None makes it forget."""
    global _rtc_ms
    _rtc_ms = None if unix_ms is None else unix_ms - now


def rtc_ms():
    """Unix milliseconds of the board's clock, or None when it was never set."""
    return None if _rtc_ms is None else _rtc_ms + now


def _advance(t_ms):
    global now, _now_us, _spins
    if t_ms > now:
        if _realtime:
            real_sleep_ms(t_ms - now)
        now = t_ms
        _now_us = 0
        _spins = 0


def _run_due():
    while _events and _events[0][0] <= now:
        _, fn, args = _events.pop(0)
        fn(*args)


def install(realtime=False, start_ms=0):
    """Put the virtual clock under asyncio; must come before anything imports asyncio.

    `start_ms` is where virtual time begins: a board that was reset goes on where it was.
    """
    global _realtime, now, boot, unset
    _realtime = realtime
    now = boot = unset = start_ms
    tasks.clock = sys.modules[__name__]
    sys.modules["_asyncio"] = tasks
    import asyncio.core as core

    base = core.IOQueue

    class IdleWait(core.IOQueue):
        def __init__(self):
            base.__init__(self)
            self._flags = []  # (task, flag, its ioctl)

        def _enqueue(self, s, idx):
            if hasattr(s, "ioctl"):
                # a ThreadSafeFlag: the poller would sleep a real millisecond over it
                self.map[id(s)] = [core.cur_task, None, s]
                self._flags.append((core.cur_task, s, s.ioctl))
                core.cur_task.data = self
            else:
                base._enqueue(self, s, idx)

        def _dequeue(self, s):
            for i, flag in enumerate(self._flags):
                if flag[1] is s:
                    del self._flags[i]
                    del self.map[id(s)]
                    return
            base._dequeue(self, s)

        def wait_io_event(self, dt):
            global _spins
            if _events and _events[0][0] <= now:
                _run_due()
            if self.map:
                for flag in self._flags:
                    if flag[2](_MP_STREAM_POLL, _POLLIN):
                        self._wake(flag)
                        dt = 0
                        break
                if len(self.map) > len(self._flags):
                    base.wait_io_event(self, 0)
                    head = core._task_queue.peek()
                    if head and core.ticks_diff(head.ph_key, core.ticks()) <= 0:
                        dt = 0
            if dt == 0:
                _spins += 1
                if _spins >= _SPIN_PASSES:
                    _advance(now + 1)
            elif _events and (dt < 0 or _events[0][0] <= now + dt):
                _advance(_events[0][0])
                _run_due()
            elif dt > 0:
                _advance(now + dt)
            else:  # only real file descriptors are waited for
                base.wait_io_event(self, 10)

        def _wake(self, flag):
            self._dequeue(flag[1])
            core._task_queue.push(flag[0])

    core.IOQueue = IdleWait
    core.new_event_loop()
