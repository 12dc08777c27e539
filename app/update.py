# Puts an update that is complete into its place; can be cut off anywhere and run again
# The installer runs it, and boot.py when the installer did not live to.
import os

JOURNAL = "/update.txt"  # there when all is: a line -PATH for each file to remove, +PATH for
# each that lies ready as PATH.new, in its own folder: littlefs renames there at one stroke


def finish():
    """Carry out the journal, if there is one, and remove it."""
    try:
        with open(JOURNAL) as f:
            lines = f.read().split("\n")
    except OSError:
        return
    for line in lines:
        path = line[1:]
        if line[:1] == "-" and _exists(path):
            os.remove(path)
        elif line[:1] == "+" and _exists(path + ".new"):
            os.rename(path + ".new", path)
    os.remove(JOURNAL)


def _exists(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True
