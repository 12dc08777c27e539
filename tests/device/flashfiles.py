# Files in the flash image of a virtual board; and updates there, the power cut at each operation
# Usage: micropython flashfiles.py SIM REQUEST.json, which tests/host/flashimage.py does.
import hashlib
import json
import os
import sys
from binascii import hexlify

import vfs

sys.path[:] = [sys.argv[1], ".frozen"]
from flash import Flash, PowerCut

_PC = "/pc"  # where the PC's own files are meanwhile
_BLOCK = 4096


class Sheet(Flash):
    """A flash on which nothing stays: what is written covers an image that does not change.

    `written`: what another sheet of this image had written; it is carried on.
    """

    def __init__(self, image, written=None):
        self.block_size = _BLOCK
        self.blocks = len(image) // _BLOCK
        self.reads = self.programs = self.erases = self.bytes_programmed = 0
        self.erases_of = bytearray(2 * self.blocks)
        self.cut_in = None
        self._file = self  # reads and writes through what follows
        self._image = image
        self.written = {} if written is None else written  # block: its content
        self._at = 0

    def seek(self, at):
        self._at = at

    def readinto(self, buf):
        block, offset = divmod(self._at, _BLOCK)
        if block in self.written:
            buf[:] = memoryview(self.written[block])[offset : offset + len(buf)]
        else:
            buf[:] = memoryview(self._image)[self._at : self._at + len(buf)]

    def write(self, buf):
        block, offset = divmod(self._at, _BLOCK)
        if block not in self.written:
            self.written[block] = bytearray(self._image[block * _BLOCK : (block + 1) * _BLOCK])
        self.written[block][offset : offset + len(buf)] = buf
        self._at += len(buf)


def files():
    """Return {path: SHA-256} of all files of the volume."""
    return {path: _digest(path) for path in _paths("")}


def damaged():
    """Return (the same, None where a file cannot be read; can littlefs find room to write?)."""
    found = {}
    for path in _paths(""):
        try:
            found[path] = _digest(path)
        except OSError:
            found[path] = None
    try:
        os.statvfs("/")
    except OSError:
        return found, False
    return found, True


def _paths(folder):
    for entry in os.ilistdir(folder or "/"):
        path = folder + "/" + entry[0]
        if path == _PC:
            continue
        if entry[1] == 0x4000:
            yield from _paths(path)
        else:
            yield path


def _digest(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        chunk = f.read(4096)
        while chunk:
            digest.update(chunk)
            chunk = f.read(4096)
    return hexlify(digest.digest()).decode()


def blocking(image):
    """Return of which blocks, each spoilt alone, littlefs then finds no room to write."""
    found = []
    for block in range(len(image) // _BLOCK):
        sheet = Sheet(image)
        sheet.seek(block * _BLOCK)
        sheet.write(b"\xff" * _BLOCK)
        try:
            vfs.mount(vfs.VfsLfs2(sheet), "/")
        except OSError:
            continue  # nothing can be read either
        try:
            os.statvfs("/")
        except OSError:
            found.append(block)
        vfs.umount("/")
    return found


def put(new, gone):
    """Write files, given as {path: file of the PC}; remove `gone`."""
    for path in gone:
        os.remove(path)
    for path in sorted(new):
        at = path.find("/", 1)
        while at > 0:
            try:
                os.mkdir(path[:at])
            except OSError:
                pass  # it is there
            at = path.find("/", at + 1)
        _copy(_PC + new[path], path)


def get(folder, out):
    """Copy the files of a folder to the PC."""
    for name in os.listdir(folder):
        _copy(folder + "/" + name, _PC + out + "/" + name)


def _copy(source, target):
    with open(source, "rb") as f, open(target, "wb") as out:
        chunk = f.read(4096)
        while chunk:
            out.write(chunk)
            chunk = f.read(4096)


def cuts(image, program, at, again):
    """Run `program`, and after a power cut boot.py; say what is then on the flash.

    The power goes at operation `at` of the program and `again` of the first boot (0: not), of
    those that write or erase. Returns ({path: SHA-256}, operations that the program came to).
    """
    written = {}
    sheet = _power(image, written, program, at)
    came_to = sheet.programs + sheet.erases
    if again:
        _power(image, written, _boot, again)
    _power(image, written, _boot, 0)
    vfs.mount(vfs.VfsLfs2(Sheet(image, written)), "/")
    found = files()
    vfs.umount("/")
    return found, came_to


def _power(image, written, program, cut_in):
    """Switch on, run until it ends or the power is cut; return the chip, which is dead then."""
    sheet = Sheet(image, written)
    vfs.mount(vfs.VfsLfs2(sheet), "/")
    os.chdir("/")
    sheet.cut_in = cut_in or None
    try:
        program()
    except (PowerCut, OSError):
        pass
    sheet.cut_in = 0  # what is still open must never write
    vfs.umount("/")
    return sheet


def _boot():
    before = set(sys.modules)
    sys.path[:] = ["", "/lib"]
    try:
        with open("/boot.py") as f:
            exec(compile(f.read(), "/boot.py", "exec"), {"__name__": "__main__"})
    finally:
        for name in set(sys.modules) - before:
            del sys.modules[name]


def main():
    with open(sys.argv[2]) as f:
        request = json.load(f)
    vfs.umount("/")
    vfs.mount(vfs.VfsPosix("/"), _PC)
    if "cuts" in request or "blocking" in request:
        with open(_PC + request["image"], "rb") as f:
            image = f.read()
    if "blocking" in request:
        _answer(blocking(image))
    elif "cuts" in request:
        code = compile(request["program"], "update.py", "exec")
        for at, again in request["cuts"]:
            _answer(cuts(image, lambda: exec(code, {}), at, again))
    else:
        flash = Flash(_PC + request["image"], request["size"], _BLOCK)
        try:
            vfs.mount(vfs.VfsLfs2(flash), "/")
        except OSError:
            _answer((None, False))  # the volume is gone
            return
        os.chdir("/")
        put(request.get("put", {}), request.get("gone", ()))
        if "get" in request:
            get(request["get"], request["out"])
        if "read" in request:
            with open(request["read"]) as f:
                _answer(f.read())
        else:
            _answer(damaged() if request.get("damaged") else files())
        vfs.umount("/")
        flash.close()


def _answer(what):
    print("\x1e" + json.dumps(what))


main()
