# The flash chip: a block device on a file, which counts what it does
# Serves both of MicroPython's block protocols; the file outlives a reset as flash does.
from micropython import const


class PowerCut(BaseException):
    """The power went away in the middle of an operation."""


_EIO = const(-5)
_CHIP_BLOCK = const(4096)  # what the chip erases at a time, whatever the file system's sector
_BLANK = b"\xff" * 128  # written in pieces: large ones would need a large hole in the heap


class Flash:
    """`size` bytes in `path`, erase blocks of `block_size` (4096 for lfs2, 512 sectors for FAT).

    With `cut_in` = n the n-th program or erase from now is the last: half of it happens, and
    it raises PowerCut. Later accesses fail, or do the same if it `stays_cut`: power up with a new
    Flash on the same file.
    """

    def __init__(self, path, size, block_size):
        self.block_size = block_size
        self.blocks = size // block_size
        self.reads = self.programs = self.erases = self.bytes_programmed = 0
        self.erases_of = bytearray(2 * (size // _CHIP_BLOCK))  # u16 each, saturating
        self.cut_in = None
        self.stays_cut = False
        self.blank = False  # nobody has written anything yet
        try:
            self._file = open(path, "r+b")
        except OSError:
            self.blank = True
            with open(path, "wb") as f:
                for _ in range(size // len(_BLANK)):
                    f.write(_BLANK)
            self._file = open(path, "r+b")

    def readblocks(self, block, buf, offset=0):
        if self.cut_in == 0:
            return self._gone()
        self.reads += 1
        self._file.seek(block * self.block_size + offset)
        self._file.readinto(buf)

    def writeblocks(self, block, buf, offset=None):
        if self.cut_in == 0:
            return self._gone()
        self.programs += 1
        self.bytes_programmed += len(buf)
        if offset is None:  # the simple protocol erases what it writes
            for i in range(len(buf) // self.block_size):
                self._erased(block + i)
        cut = self._last_operation()
        self._file.seek(block * self.block_size + (offset or 0))
        self._file.write(memoryview(buf)[: len(buf) // 2] if cut else buf)
        if cut:
            raise PowerCut

    def ioctl(self, op, arg):
        if op == 4:
            return self.blocks
        if op == 5:
            return self.block_size
        if op == 6:
            if self.cut_in == 0:
                return self._gone()
            cut = self._last_operation()
            self._erased(arg)
            self._file.seek(arg * self.block_size)
            for _ in range((self.block_size // 2 if cut else self.block_size) // len(_BLANK)):
                self._file.write(_BLANK)
            if cut:
                raise PowerCut
        return 0

    def _gone(self):
        if self.stays_cut:
            raise PowerCut
        return _EIO

    def _last_operation(self):
        """Count down to the cut; True when this operation is cut."""
        if self.cut_in is None:
            return False
        self.cut_in -= 1
        return self.cut_in == 0

    def _erased(self, block):
        self.erases += 1
        at = 2 * (block * self.block_size // _CHIP_BLOCK)
        low = self.erases_of[at] + 1
        self.erases_of[at] = low & 255
        if low > 255 and self.erases_of[at + 1] < 255:
            self.erases_of[at + 1] += 1

    def most_erased(self):
        """Erases of the block that was erased most."""
        counts = self.erases_of
        return max(counts[i] + 256 * counts[i + 1] for i in range(0, len(counts), 2))

    def close(self):
        self._file.close()
