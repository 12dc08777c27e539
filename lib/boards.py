# What the chips are and bear, in one table: for the board, the installer and docs/HARDWARE.md
# Read for one question and dropped; to keep it would take a kilobyte.
import sys

# name: it is part of what MicroPython calls the board, there in any case and with hyphens since
#   1.29; the first row that fits counts, the last one fits all.
# sda, scl: I2C pins that the chip's usual boards have and use for nothing else.
# flash: pins of the flash, and of the PSRAM if there is any: whoever touches one crashes the chip
#   at every start. From the datasheets; a PICO has two pins elsewhere, octal PSRAM takes five more.
# heap: kB that a program gets once Bluetooth is on, as people see it and sim/chips.py has it: 56 or
#   64 KiB, doubled if the system has such a block; a C3 has none and gives the largest it has. With
#   PSRAM it is megabytes.
# wifi: whether WiFi's 40 kB are left then. Not on an ESP32 or C3; see docs/HARDWARE.md.
# at: where esptool writes the firmware, by the chip's ROM.
# volume: kB of a file system that the firmware makes in 4 MB of flash (its partition table).
# cable: pins by which a PC talks to the board: to the chip for USB, of others their own USB.
#
# name                sda scl flash       heap wifi at     volume cable
TABLE = """
OCTALSPIRAMWITHESP32S3 8 9 26-37      2000 yes  0x0    2048   19-20
SPIRAMWITHESP32S3     8   9 26-32       2000 yes  0x0    2048   19-20
ESP32S3               8   9 26-32       128  yes  0x0    2048   19-20
ESP32C3               6   7 11-17       112  no   0x0    2048   18-19
ESP32C6               6   7 24-30       128  yes  0x0    2048   12-13
ESP32PICO             21 22 6-11,16-17  112  no   0x1000 2048   1,3
SPIRAMWITHESP32       21 22 6-11,16-17  2000 yes  0x1000 2048   1,3
ESP32                 21 22 6-11        112  no   0x1000 2048   1,3
"""


def rows():
    """Yield [name, sda, scl, flash, heap, wifi, at, volume, cable] of each row of the table."""
    for line in TABLE.split("\n"):
        if line:
            yield line.split()


def row(machine=None):
    """Return the row of the board that MicroPython calls `machine`, by default this one."""
    if machine is None:
        machine = getattr(sys.implementation, "_machine", "")
    plain = machine.upper().replace("-", "").replace(" ", "")
    for each in rows():
        if each[0] in plain:
            break
    return each


def pins(board):
    """Return (SDA, SCL) of a row."""
    return int(board[1]), int(board[2])


def flash_pins(board):
    """Yield (first, last) of the pins that nobody may touch."""
    return _ranges(board[3])


def refuses(board, pin):
    """Return why nobody should use the pin of that number for something else, or ""."""
    for what, some in (("the flash", board[3]), ("the cable to the PC", board[8])):
        for first, last in _ranges(some):
            if first <= pin <= last:
                return "GPIO%s are for %s" % (some.replace("-", " to ").replace(",", ", "), what)
    return ""


def _ranges(some):
    for each in some.split(","):
        first, _, last = each.partition("-")
        yield int(first), int(last or first)
