# An entry of the error log: its words, and the two small files that take turns
# Loaded for each entry and dropped, see app/errorlog.py.
import io
import os
import sys
import time

from app.version import VERSION
from micropython import const

_SIZE = const(4096)  # bytes per file
_ENTRY = const(600)  # characters of an entry; a traceback names the culprit at its end


def write(folder, clock, boot, where, what):
    """Append `what`, an exception or a sentence, to errors.txt in `folder`, which need not exist.

    When that is full it becomes errors.old. Raises OSError.
    """
    text = what
    if isinstance(what, Exception):
        out = io.StringIO()
        sys.print_exception(what, out)
        text = out.getvalue().strip()
    if len(text) > _ENTRY:
        text = "..." + text[-_ENTRY:]
    entry = "%s batmon %s boot %d +%d s %s: %s\n" % (
        _date(clock.unix_s()), VERSION, boot, clock.uptime_s(), where, text
    )  # fmt: skip
    path = folder + "/errors.txt"
    try:
        full = os.stat(path)[6] + len(entry) > _SIZE
    except OSError:
        full = False  # the first
        try:
            os.mkdir(folder)
        except OSError:
            pass  # it is there
    if full:
        os.rename(path, folder + "/errors.old")  # in place of the one before, on FAT too
    with open(path, "a") as f:
        f.write(entry)


def _date(known):
    if not known:
        return "time unknown,"
    return "%d-%02d-%02d %02d:%02d:%02dZ" % time.gmtime()[:6]
