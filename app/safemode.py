# Safe mode, for a board whose start keeps failing: loaded only then
# Leaves everything alone, so that the board can be mended.
import sys
import time

from micropython import const

_SAFE_S = const(1800)


def wait(starts):
    """Say that the start failed `starts` times, on the display as well; return in half an hour."""
    print("batmon: safe mode, the start failed %d times; the log is untouched" % starts)
    print("Ctrl-C gives the REPL; the next try is in %d min" % (_SAFE_S // 60))
    try:
        from app import settings
        from screen.notice import Notice

        Notice(settings.load()[0]).show("Safe mode, start", "fails: see REPL")
    except Exception as exc:  # a damaged file may be one of these
        sys.print_exception(exc)
    time.sleep(_SAFE_S)
