# The virtual clock: time stands still while code runs and jumps while everybody waits
# asyncio's time source and idle wait are replaced, so that a month passes in minutes.
import sys

_SPIN_PASSES = 64  # so many passes without a wait cost a millisecond, as they do on a board

_now_us = 0  # below one millisecond, see now_ms
_now_ms = 0
_boot_ms = 0
_rtc_ms = None  # unix time of the board's clock at virtual time 0, None: never set
_events = []  # [t_ms, fn, args], soonest first
_realtime = False
_spins = 0


def now_ms():
    """Virtual milliseconds since the simulation began; grows without bound."""
    return _now_ms


def now_us():
    """Virtual microseconds since the simulation began."""
    return _now_ms * 1000 + _now_us


def uptime_us():
    """Virtual microseconds since the board's last boot."""
    return now_us() - _boot_ms * 1000


def call_at(t_ms, fn, *args):
    """Run `fn(*args)` from the idle wait when virtual time reaches `t_ms`; returns a handle."""
    event = [max(t_ms, _now_ms), fn, args]
    i = len(_events)
    while i and _events[i - 1][0] > event[0]:
        i -= 1
    _events.insert(i, event)
    return event


def call_later(delay_ms, fn, *args):
    """Run `fn(*args)` from the idle wait in `delay_ms`; returns a handle."""
    return call_at(_now_ms + delay_ms, fn, *args)


def cancel(handle):
    """Forget a call; harmless when it has run already."""
    if handle in _events:
        _events.remove(handle)


def spend_us(us):
    """Let blocking code take its time, e.g. a transfer on the I2C bus."""
    global _now_ms, _now_us
    _now_us += us
    if _now_us >= 1000:
        _now_ms += _now_us // 1000
        _now_us %= 1000


def sleep_ms(ms):
    """A blocking sleep: the stack's events go on, the tasks do not."""
    end_ms = _now_ms + ms
    while _events and _events[0][0] <= end_ms:
        _advance(_events[0][0])
        _run_due()
    _advance(end_ms)


def set_rtc(unix_ms):
    """Set the board's real-time clock (unix milliseconds, UTC); None makes it forget."""
    global _rtc_ms
    _rtc_ms = None if unix_ms is None else unix_ms - _now_ms


def rtc_ms():
    """Unix milliseconds of the board's clock, or None when it was never set."""
    return None if _rtc_ms is None else _rtc_ms + _now_ms


def _advance(t_ms):
    global _now_ms, _now_us, _spins
    if t_ms > _now_ms:
        if _realtime:
            import utime

            utime.sleep_ms(t_ms - _now_ms)
        _now_ms = t_ms
        _now_us = 0
        _spins = 0


def _run_due():
    while _events and _events[0][0] <= _now_ms:
        _, fn, args = _events.pop(0)
        fn(*args)


def install(realtime=False, start_ms=0):
    """Put the virtual clock under asyncio; must come before anything imports asyncio.

    `start_ms` is where virtual time begins: a board that was reset goes on where it was.
    """
    global _realtime, _now_ms, _boot_ms
    _realtime = realtime
    _now_ms = _boot_ms = start_ms
    import tasks

    sys.modules["_asyncio"] = tasks
    import asyncio.core as core

    wait_real = core.IOQueue.wait_io_event

    class IdleWait(core.IOQueue):
        def wait_io_event(self, dt):
            global _spins
            _run_due()
            if self.map:
                wait_real(self, 0)
                head = core._task_queue.peek()
                if head and core.ticks_diff(head.ph_key, core.ticks()) <= 0:
                    dt = 0
            if dt == 0:
                _spins += 1
                if _spins >= _SPIN_PASSES:
                    _advance(_now_ms + 1)
            elif _events and (dt < 0 or _events[0][0] <= _now_ms + dt):
                _advance(_events[0][0])
                _run_due()
            elif dt > 0:
                _advance(_now_ms + dt)
            else:  # only real file descriptors are waited for
                wait_real(self, 10)

    core.IOQueue = IdleWait
    core.new_event_loop()
