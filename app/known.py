# Where the battery was found before: its address, so that another of the same name is not taken
# Loaded for the start, and when it is found for the first time.
from micropython import const

_MOST = const(8)  # batteries of a board


def read(folder, name, index=0):
    """Return (address, name) that `folder`, "/data", remembers of the battery, or (None, None).

    `name` is what the user calls it, "" for the nearest of any name; `index` counts from 0 where
    there are several.
    """
    try:
        with open(_file(folder, index)) as f:
            whose, address, called = f.read(300).split("\n")[:3]
        if whose == name:
            return address, called
    except (OSError, ValueError):
        pass  # found never yet, or a power cut while this was written
    return None, None


def write(folder, name, address, called, log, index=0):
    """Remember it, and what its log is called."""
    try:
        with open(_file(folder, index), "w") as f:
            f.write("%s\n%s\n%s\n%s\n" % (name, address, called, log))
    except OSError:
        pass  # a full or broken volume; the next connection writes it


def logs(folder):
    """Return {address: what its log is called} of all batteries that are remembered."""
    out = {}
    for index in range(_MOST):
        try:
            with open(_file(folder, index)) as f:
                address, _, log = f.read(300).split("\n")[1:4]
            if log:
                out.setdefault(address, log)
        except (OSError, ValueError):
            pass  # as above
    return out


def _file(folder, index):
    return "%s/bms%s" % (folder, index or "")
