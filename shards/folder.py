# The shards of a folder that are full: what is known of them, and deleting the oldest to make room
# docs/FORMAT.md specifies the files. shards/packing.py makes sealed shards of raw ones.
import os

from micropython import const
from shards import frame

STATES = ("/state.bak", "/state")  # no rename: on FAT a cut can leave both names for one cluster
PACKING = "/packing"  # what app/packing.py has to carry over two resets
INDEX = "/index"  # of the sealed shards, see docs/FORMAT.md
_SHARD_BYTES = const(262_144)
_ENOENT = const(2)
_EEXIST = const(17)
_FILLERS = const(2000)  # twice the entries of the largest cluster
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
        self._block = 1  # bytes; of the volume

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

    def make_entry(self, number, name):
        """Make the folder list the next file that is made for this shard; raises OSError.

        FAT links a new cluster to a folder and then clears it. After a power cut in between, an
        entry of zeros may stand before old bytes. It ends every listing, and what is entered
        behind it is lost at the next start. So a probe of the same length goes first: while it
        is not found, the gaps before it are filled.
        """
        probe = self.file(number, "~" * len(name), "tmp")
        fillers = 0
        try:
            _make_empty(probe)
            while not _exists(probe) and fillers < _FILLERS:
                fillers += 1
                _make_empty(self.file(fillers, "~", "tmp"))  # 8.3, so it goes into any gap
            os.remove(probe)
        finally:
            for i in range(fillers):
                _remove(self.file(i + 1, "~", "tmp"))

    # ---- room

    def ask_free(self):
        """Ask the volume how much of it is free; return the bytes of all of it."""
        st = os.statvfs(self.path)
        self._block = st[0]
        # littlefs counts a block of two files twice: full, it may have -1 free, or 4e9 in 64 bits
        self.free = st[3] * st[0] if 0 <= st[3] <= st[2] else 0
        return st[2] * st[0]

    def measure(self, size, frames):
        """Learn from a sealed shard what a frame takes; a file takes whole blocks."""
        blocks = (size + self._block - 1) // self._block
        self.millibytes = blocks * self._block * 1000 // max(1, frames)

    def make_room(self):
        """Keep free what a raw shard and its sealed form take; raises OSError."""
        self.ask_free()
        while self.free < 2 * self.limit and self.delete_oldest():
            self.ask_free()  # a file takes whole blocks

    def delete_oldest(self):
        """Delete the oldest shard that is not in use; return whether there was one."""
        if self.kept:
            first = 0
            if self.names:
                from shards import several

                first = several.first_to_go(self)
            number, name, size, kind = self.kept.pop(first)
        elif len(self.unsealed) > 1:  # sealing fails again and again
            number, name, size = self.unsealed.pop(0)
            kind = "raw"
        else:
            return False
        path = self.file(number, name, kind)
        self.events.append((frame.SHARD_DELETED, number, size))  # first: whatever interrupts it
        try:
            os.remove(path)
        except OSError as exc:
            if _exists(path):
                self.events[-1] = (frame.FLASH_ERROR, exc.errno)
                return False
        if kind != "bad":
            self.shards -= 1
            self.bytes -= size
        self.free += size
        self.find_oldest()
        return True

    def find_oldest(self):
        """Look up when the oldest shard begins, or the next if it does not know."""
        self.oldest_unix_s = 0
        mine = self.kept
        if self.names:
            mine = [shard for shard in mine if shard[1] == self.name]
        for number, name, _, kind in mine[:2]:
            if kind == "bts":
                self.oldest_unix_s = known(self.path, number)[1]
            elif kind == "raw":
                self.oldest_unix_s = first_unix_s(self.file(number, name, kind))
            if self.oldest_unix_s:
                return
        for number, name, _ in self.unsealed[:1]:
            self.oldest_unix_s = first_unix_s(self.file(number, name, "raw"))


def known(path, number):
    """Return (frames, unix time of the anchor that begins it) of a sealed shard; 0 = unknown."""
    try:
        with open(path + INDEX) as f:
            for line in f:
                fields = line.split()
                if len(fields) == 3 and fields[0] == str(number):
                    return int(fields[1]), int(fields[2])
    except (OSError, ValueError):
        pass  # it was never written, or torn: the next packing writes it anew
    return 0, 0


def first_unix_s(raw):
    """Return the unix time of the anchor that begins a raw shard, 0 if it does not know."""
    first = bytearray(frame.SIZE)
    try:
        with open(raw, "rb") as f:
            f.readinto(first)
    except OSError:
        pass  # it stays unknown
    return frame.unix_s(first)


def _make_empty(name):
    open(name, "w").close()


def _exists(name):
    try:
        os.stat(name)
        return True
    except OSError as exc:
        return exc.errno != _ENOENT


def _remove(name):
    try:
        os.remove(name)
    except OSError:
        pass  # it was not made, or the volume is gone: the next start looks again
