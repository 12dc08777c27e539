# Whether the log on flash may be written on: not when a newer batmon wrote it in a way unknown here
# Loaded for the start only.
import os

from app.version import VERSION
from shards import frame


def claim(folder):
    """Note in the folder of the log, "/data", that this version writes it.

    Raises ValueError with a sentence for the user when a version with a newer format did so: what
    it left on flash and in RTC memory would not be understood, and lost.
    """
    path = folder + "/version"
    theirs, number = _read(path)
    if number > frame.VERSION:
        raise ValueError(
            "the log is of batmon %s, this is %s, which cannot write it: install %s or newer"
            % (theirs, VERSION, theirs)
        )
    if (theirs, number) == (VERSION, frame.VERSION):
        return
    try:
        try:
            os.mkdir(folder)
        except OSError:
            pass  # it is there
        with open(path, "w") as f:
            f.write("%s %d\n" % (VERSION, frame.VERSION))
    except OSError:
        pass  # a full or broken volume; the next start writes it


def _read(path):
    """Return (version, number of its format) of what wrote the log last."""
    try:
        with open(path) as f:
            version, number = f.read(40).split()
        return version, int(number)
    except (OSError, ValueError):
        return "", 0  # a new log, that of version 0.1.0, or a power cut while this was written
