# The chips that the virtual board can be: memory in bytes, pins, and what they call themselves
# Only data: the board under MicroPython reads it, and `batmon` on the PC for its options.
#
# heap: what MicroPython begins with (ports/esp32/mpconfigport.h).
# block: the largest free block of the system at boot, from which everything else is taken: people's
#   figures for ESP32, C3 and S3 without PSRAM; C6 from the heap that people see with Bluetooth on.
# rest: free in other places, in pieces that are too small for a heap. Chosen, as small as is seen.
# bluetooth: what activating it takes; people's figures are 32 to 45 kB.
# apart: how far from its start Bluetooth takes the block apart. Where it is not 0 two are left,
#   which explains why the heap of a C3 ends at 112 to 120 kB although more is free.
# wifi: what a WLAN object takes, "about as much as Bluetooth", and keeps until a hard reset.
# link: what a connection takes while it lasts: buffers and the peer's state, a few kB.
# limit: the heap once Bluetooth is on and the heap has grown as far as the radio survives: doubled
#   where a block is left that is large enough, else by all of the largest (py/gc.c).
#
# pins: those there are; inputs: those that cannot be outputs; flash: its pins, whoever uses one
#   crashes. From the datasheets; GPIO33 to 37 of an S3 are the flash's only with octal PSRAM.
# names: how sys.implementation._machine ends, recent releases of MicroPython first.

KB = 1024
# The heap that the board's code takes on the 64-bit port, in percent of a chip's: measured with one
# state of the board on both kinds of interpreter, see docs/PORTING.md.
PERCENT_64 = 150
CHIPS = {
    "esp32": {
        "heap": 56 * KB,
        "block": 110_000,
        "rest": 15_000,
        "bluetooth": 40_000,
        "apart": 0,
        "wifi": 40_000,
        "link": 3_000,
        "limit": 112 * KB,
        "pins": (0, 39),
        "inputs": (34, 39),
        "flash": (6, 11),
        "names": ("ESP32",),
    },
    "c3": {
        "heap": 64 * KB,
        "block": 139_000,
        "rest": 8_000,
        "bluetooth": 40_000,
        "apart": 47_000,
        "wifi": 40_000,
        "link": 3_000,
        "limit": 64 * KB + 52_000,
        "pins": (0, 21),
        "inputs": (22, 22),
        "flash": (11, 17),
        "names": ("ESP32-C3", "ESP32C3"),
    },
    "s3": {
        "heap": 64 * KB,
        "block": 188_000,
        "rest": 15_000,
        "bluetooth": 40_000,
        "apart": 0,
        "wifi": 45_000,
        "link": 3_000,
        "limit": 128 * KB,
        "pins": (0, 48),
        "inputs": (49, 49),
        "flash": (26, 32),
        "names": ("ESP32-S3", "ESP32S3"),
    },
    "c6": {
        "heap": 64 * KB,
        "block": 165_000,
        "rest": 15_000,
        "bluetooth": 40_000,
        "apart": 0,
        "wifi": 40_000,
        "link": 3_000,
        "limit": 128 * KB,
        "pins": (0, 30),
        "inputs": (31, 31),
        "flash": (24, 30),
        "names": ("ESP32-C6", "ESP32C6"),
    },
}
