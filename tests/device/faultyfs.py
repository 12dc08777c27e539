# A file system whose calls fail when a test says so: mounted over a folder of a real one
# Each call of a file system and of its files is counted, also the next of a listing
import io
import os

ERRORS = (
    lambda: OSError(5),  # EIO
    lambda: OSError(28),  # ENOSPC
    lambda: OSError(2),  # ENOENT
    UnicodeError,
    KeyboardInterrupt,
    MemoryError,
)
ONCE = 0
NEXT = 1  # the next call fails too
SAME = 2  # the next call of the same kind fails too
BEFORE = 0  # nothing was done
AFTER = 1  # all was done, in spite of the error
HALF = 2  # of what was to be written


class FaultyFs:
    """What lies in `folder`, under another path; `fail` says when a call goes wrong."""

    def __init__(self, folder):
        self._folder = folder
        self.fail(0)

    def fail(self, at, error=None, again=ONCE, when=BEFORE):
        """Let call `at`, counted from 1, raise what `error()` makes; 0: none fails."""
        self.calls = 0
        self.failed = []  # the kinds of calls that did
        self._at = at
        self._error = error
        self._again = again
        self._when = when

    def stop(self):
        """From now on no call fails."""
        self._at = 0

    def call(self, kind, function, *args):
        self.calls += 1
        if not self._is_due(kind):
            return function(*args)
        self.failed.append(kind)
        if kind == "write" and self._when == HALF:
            function(args[0][: len(args[0]) // 2])
        elif self._when or kind == "close":
            made = function(*args)
            if kind == "open":
                made.close()
        raise self._error()

    def _is_due(self, kind):
        if not self._at:
            return False
        if not self.failed:
            return self.calls == self._at
        if len(self.failed) > 1 or self._again == ONCE:
            return False
        return self.calls == self._at + 1 if self._again == NEXT else kind == self.failed[0]

    # ---- what the interpreter asks of a file system

    def mount(self, readonly, mkfs):
        pass

    def umount(self):
        pass

    def open(self, path, mode):
        return _File(self, self.call("open", open, self._folder + path, mode))

    def ilistdir(self, path):
        return _Listing(self, self.call("ilistdir", os.ilistdir, self._path(path)))

    def stat(self, path):
        return self.call("stat", os.stat, self._path(path))

    def statvfs(self, path):
        return self.call("statvfs", os.statvfs, self._path(path))

    def mkdir(self, path):
        self.call("mkdir", os.mkdir, self._path(path))

    def remove(self, path):
        self.call("remove", os.remove, self._path(path))

    def rename(self, old, new):
        self.call("rename", os.rename, self._path(old), self._path(new))

    def _path(self, path):
        return (self._folder + path).rstrip("/")


class _Listing:
    def __init__(self, fs, entries):
        self._fs = fs
        self._entries = entries

    def __iter__(self):
        return self

    def __next__(self):
        return self._fs.call("next", next, self._entries)


class _File(io.IOBase):
    def __init__(self, fs, file):
        self._fs = fs
        self._file = file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __iter__(self):
        return self

    def __next__(self):
        line = self._fs.call("read", self._file.readline)
        if not line:
            raise StopIteration
        return line

    def read(self, *n):
        return self._fs.call("read", self._file.read, *n)

    def readinto(self, buf):
        return self._fs.call("read", self._file.readinto, buf)

    def write(self, data):
        return self._fs.call("write", self._file.write, data)

    def flush(self):
        self._fs.call("flush", self._file.flush)

    def seek(self, *where):
        return self._fs.call("seek", self._file.seek, *where)

    def tell(self):
        return self._file.tell()

    def close(self):
        self._fs.call("close", self._file.close)

    def ioctl(self, request, arg):
        return 0
