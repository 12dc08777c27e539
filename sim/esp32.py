# Stand-in for the esp32 module: how much memory the system has left for its radios
import sysmem

WAKEUP_ALL_LOW = False

HEAP_DATA = 4
HEAP_EXEC = 1


button = None  # (pin, level) that ends a deep sleep, if the board asked for it


def wake_on_ext0(pin, level):
    """End a deep sleep when a pin is at that level."""
    global button
    button = pin.number, level


def idf_heap_info(capabilities):
    """Return (size, free, largest free, least ever free) of each area."""
    return sysmem.areas()
