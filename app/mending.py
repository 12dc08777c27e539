# Mends a littlefs on which nothing can be written, because a file of it cannot be read
# Loaded to ask for the start that does it, and in that start. docs/FORMAT.md says what is done.
import os

import machine
from app.run import forget_crashes
from micropython import const

_FOLDER = const("/data")
_FILE = const("/data/unreadable")  # how many starts found it so, or a path that is not ours
_FIRST = const("1")
_SECOND = const("2")
_CORRUPT = const(84)  # EILSEQ: littlefs looks at all files to find room, and cannot
_DIRECTORY = const(0x4000)  # in a listing
_STEP = const(2048)  # bytes: every block of a file has some that are a multiple of this


def request():
    """Ask for a start that mends, if nothing can be written; return whether that may help."""
    if not _is_blocked():
        return False  # what cannot be read is in nobody's way
    told = _read()
    if not told:
        told = _FIRST
        _write(told)
    return not told.startswith("/")


def resume():
    """Mend at the third start that can write nothing; after that, and before, reset the board.

    Return what the user has to do about a file that is not the log's; mostly "". Raises OSError.
    """
    if not _is_blocked():
        os.remove(_FILE)  # it has passed
        return ""
    if _read() in ("", _FIRST):
        _write(_SECOND)
        forget_crashes()
        machine.reset()
    foreign = "/"
    done = []
    for path in list(_unreadable("")):
        number = _number(path)
        if number is None:
            foreign = path
        elif _is_blocked():
            done.append(_delete(path, number))
    if not _is_blocked():
        _go_on(done)
    _write(foreign)
    if foreign == "/":
        return "nothing can be logged, the flash is damaged: save the log, erase and install again"
    return "nothing can be logged, %s cannot be read: delete it, and install batmon again" % foreign


def _delete(path, number):
    """Delete a shard, save what can be read of it, and have both told; return the words."""
    from app import handover
    from shards import frame, rescue

    size = os.stat(path)[6]
    handover.tell((frame.SHARD_UNREADABLE, number, size))  # first: whatever interrupts it
    saved = rescue.rescue(path, number)
    words = "%s could not be read: deleted, %d of %d kB are saved"
    return words % (path[len(_FOLDER) + 1 :], saved // 1000, size // 1000)


def _go_on(done):
    """Start the app: by a reset, for all this has taken memory that Bluetooth needs."""
    from app.errorlog import ErrorLog
    from clock import Clock

    os.remove(_FILE)
    forget_crashes()
    ErrorLog(_FOLDER, Clock()).restart(". ".join(done))


def _is_blocked():
    try:
        os.statvfs(_FOLDER)
        return False
    except OSError as exc:
        return exc.errno == _CORRUPT


def _unreadable(folder):
    """Yield the paths of the files in a folder, and below, that cannot be read to their end."""
    for entry in os.ilistdir(folder or "/"):
        path = folder + "/" + entry[0]
        if len(entry) < 4:
            continue  # another volume, which is mounted there
        if entry[1] == _DIRECTORY:
            yield from _unreadable(path)
        elif not _is_readable(path):
            yield path


def _is_readable(path):
    byte = bytearray(1)
    try:
        with open(path, "rb") as f:
            for at in range(0, os.stat(path)[6], _STEP):
                f.seek(at)
                f.readinto(byte)
    except OSError:
        return False
    return True


def _number(path):
    """Return the number of the shard that a path is of, finished or not; None for another file."""
    stem, _, kind = path.rpartition(".")
    name, dash, number = stem.rpartition("-")
    ours = name.startswith(_FOLDER + "/") and kind in ("raw", "bts", "tmp", "bad")
    return int(number) if ours and dash and number.isdigit() else None


def _read():
    try:
        with open(_FILE) as f:
            return f.read()
    except (OSError, UnicodeError):
        return ""


def _write(words):
    with open(_FILE, "w") as f:  # short enough for littlefs to keep it where no room is needed
        f.write(words[:100])
