# Stand-in for the esp32 module: how much memory the system has left for its radios
import sysmem

HEAP_DATA = 4
HEAP_EXEC = 1


def idf_heap_info(capabilities):
    """Return (size, free, largest free, least ever free) of each area."""
    return sysmem.areas()
