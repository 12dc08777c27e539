# The shards of a folder: what is known of those that are full, and where they are
# docs/FORMAT.md specifies the files. What is hardly ever done with them is in shards/room.py.
import os

from micropython import const

STATES = ("/state.bak", "/state")  # no rename: on FAT a cut can leave both names for one cluster
PACKING = "/packing"  # what app/packing.py has to carry over two resets
_SHARD_BYTES = const(262_144)
_EEXIST = const(17)
_SEALED_MILLIBYTES = const(3000)  # per frame; until a shard was sealed


class Shards:
    """The files in the folder `path`, but for the shard that is being written.

    `clock` has `uptime_s()`. Nothing raises for a full or broken volume, if it does not say so.
    """

    def __init__(self, path, clock):
        self.path = path
        self.shards = 0  # files on flash, and their bytes
        self.bytes = 0
        self.free = 0  # bytes; asked at the start and before a shard is sealed, else counted
        self.oldest_unix_s = 0  # when the log begins, unix time; 0 = unknown
        self.limit = _SHARD_BYTES  # a shard is full
        self.unsealed = []  # (number, name, committed bytes), oldest first
        self.kept = []  # (number, name, bytes, "bts", "bad", or "raw" if it cannot be sealed)
        self.states = STATES  # to be written in this order: a good one last
        self.events = []  # to be stored at the next tick
        self.millibytes = _SEALED_MILLIBYTES  # that a sealed frame takes
        self.names = ()  # of all batteries that are logged here, if they are several
        self._clock = clock
        self.block = 1  # bytes; of the volume

    def file(self, number, name, kind):
        """Return the path of a shard."""
        return "%s/%s-%05d.%s" % (self.path, name, number, kind)

    def make_folder(self):
        """Make the folder unless it exists; raises OSError."""
        try:
            os.mkdir(self.path)
        except OSError as exc:
            if exc.errno != _EEXIST:
                raise

    def ask_free(self):
        """Ask the volume how much of it is free; return the bytes of all of it."""
        st = os.statvfs(self.path)
        self.block = st[0]
        # littlefs counts a block of two files twice: full, it may have -1 free, or 4e9 in 64 bits
        self.free = st[3] * st[0] if 0 <= st[3] <= st[2] else 0
        return st[2] * st[0]
