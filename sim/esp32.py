# Stand-in for the esp32 module: how much memory the system has left for its radios

free_bytes = 120_000  # changed by tests


def idf_heap_info(capabilities):
    """Return (size, free, largest free, least ever free) of each area, here of two."""
    return [(8000, 1000, 900, 500), (200_000, free_bytes - 1000, 60_000, 40_000)]
