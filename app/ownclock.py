# A clock of the board's own, a DS3231: the time is taken from it, and it is set by who knows better
# Loaded for each time, and dropped. docs/HARDWARE.md tells how it is wired.
import sys

from micropython import const

_STEP_S = const(2)  # both count whole seconds
_DRIFT_S = const(60)  # so far the board's clock may have gone wrong by itself
_SLEPT_S = const(600)  # and that in a sleep of an hour


def is_there(i2c):
    """Is what answers at its address a DS3231? Says so if it is another device."""
    import ds3231

    del sys.modules["ds3231"]
    try:
        ds3231.DS3231(i2c).read()
    except ds3231.Stranger:
        print("what answers at I2C address 0x68 is no DS3231, and left alone")
        return False
    except OSError:
        pass  # it may answer the next time
    return True


def agree(clock, i2c, ahead_s, slept=False):
    """Let both clocks agree; return by how much unix time is ahead of uptime then, else `ahead_s`.

    `ahead_s` is that of the last time; then somebody has set the board's clock. None if they never
    agreed: then it may have gone wrong by itself, more if the board `slept` for up to an hour.
    """
    drift_s = _SLEPT_S if slept else _DRIFT_S
    import ds3231

    del sys.modules["ds3231"]
    chip = ds3231.DS3231(i2c)
    unix_s = clock.unix_s()
    try:
        told_s = chip.read()
        if told_s and (not unix_s or ahead_s is None and abs(told_s - unix_s) <= drift_s):
            if abs(told_s - unix_s) >= _STEP_S:
                import setclock

                del sys.modules["setclock"]
                setclock.set_clock(told_s * 1000)
        elif unix_s:
            chip.write(unix_s)
            print("the DS3231 was set")
        else:
            return ahead_s  # nobody knows
    except OSError:
        return ahead_s
    return clock.unix_s() - clock.uptime_s()
