# The one owner of Bluetooth: switched on here only, and only while there is memory for it
# Imported before anything large: what Bluetooth takes, a growing heap would have taken.
import bluetooth
from micropython import const

try:
    from esp32 import idf_heap_info
except ImportError:
    idf_heap_info = None  # the radios of other boards have memory of their own

_INTERNAL = const(0x804)  # ESP-IDF's name for memory that radios can use
_PLENTY = const(1 << 20)

# (what, free bytes, largest free block) of the system's memory; less is a panic, not an exception.
ON = "Bluetooth", 45_000, 32_000  # people's figures are 32 to 45 kB
LINK = "a Bluetooth connection", 8_000, 4_000  # a few kB; died at 392 bytes elsewhere
WIFI = "WiFi", 56_000, 40_000  # 40 kB or so, kept until a hard reset, and what a link needs

ble = bluetooth.BLE()
setup = []  # called after every activation, in this order: security, services, advertising


class Short(Exception):
    """The system has too little memory; the text is a sentence for the user."""


def left():
    """Return how many bytes the system has free, and how many of them in one block."""
    if not idf_heap_info:
        return _PLENTY, _PLENTY
    areas = idf_heap_info(_INTERNAL)
    return sum(area[1] for area in areas), max(area[2] for area in areas)


def claim(need):
    """Raise Short when the system has less than `need`: ON, LINK or the like."""
    what, free, largest = need
    free_now, largest_now = left()
    if free_now < free or largest_now < largest:
        raise Short(
            "%s needs %d kB of system memory, there are %d (%d in one block)"
            % (what, free // 1000, free_now // 1000, largest_now // 1000)
        )


def on():
    """Switch Bluetooth on unless it is; raises Short. What it forgets when off is set up anew."""
    if ble.active():
        return
    claim(ON)
    ble.active(True)
    for prepare in setup:
        prepare()
