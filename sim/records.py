# What the simulator tells its caller, between the lines that the board prints
# Told at once and not kept: the heap is the board's, and what grows on it counts as the board's.
import json
import sys


def send(kind, record):
    """Print `record`, a dict that may be changed, as a line that begins with \\x1e."""
    record["type"] = kind
    sys.stdout.write("\x1e")
    json.dump(record, sys.stdout)  # piece by piece: the heap may have no large holes left
    print()
