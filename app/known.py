# Where the battery was found before: its address, so that another of the same name is not taken
# Loaded for the start, and when it is found for the first time.


def read(folder, name):
    """Return (address, name) that `folder`, "/data", remembers of the battery, or (None, None).

    `name` is what the user calls it, "" for the nearest of any name.
    """
    try:
        with open(folder + "/bms") as f:
            whose, address, called = f.read(300).split("\n")[:3]
        if whose == name:
            return address, called
    except (OSError, ValueError):
        pass  # found never yet, or a power cut while this was written
    return None, None


def write(folder, name, address, called):
    """Remember it."""
    try:
        with open(folder + "/bms", "w") as f:
            f.write("%s\n%s\n%s\n" % (name, address, called))
    except OSError:
        pass  # a full or broken volume; the next connection writes it
