# The error log: bounded, rotating, in time and boot, and never in the way
import os

import machine
import vfs
from app import errorlog
from app.errorlog import ErrorLog
from app.version import VERSION


class Clock:
    now_s = 100
    unix = 0

    def uptime_s(self):
        return self.now_s

    def unix_s(self):
        return self.unix


class Ram:
    """A volume in memory."""

    def __init__(self, blocks, size):
        self._size = size
        self._data = bytearray(blocks * size)

    def readblocks(self, n, buf, offset=0):
        at = n * self._size + offset
        buf[:] = memoryview(self._data)[at : at + len(buf)]

    def writeblocks(self, n, buf, offset=0):
        at = n * self._size + offset
        self._data[at : at + len(buf)] = buf

    def ioctl(self, op, arg):
        if op == 4:
            return len(self._data) // self._size
        if op == 5:
            return self._size
        return 0


def _fresh(kind=vfs.VfsLfs2):
    flash = Ram(128, 512)
    kind.mkfs(flash)
    try:
        vfs.umount("/log")
    except OSError:
        pass
    vfs.mount(kind(flash), "/log")
    clock = Clock()
    return ErrorLog("/log/data", clock), clock


def _text(name="errors.txt"):
    with open("/log/data/" + name) as f:
        return f.read()


def _raise(exc):
    try:
        raise exc
    except Exception as caught:
        return caught


def test_an_entry_has_time_version_boot_place_and_traceback():
    log, clock = _fresh()
    log.note("link", _raise(ValueError("short")))
    log.boot = 7
    clock.unix = 1
    log.note("sealing", "it ended")
    first, _, last = _text().partition("Z batmon %s boot 7" % VERSION)
    assert first.startswith("time unknown, batmon %s boot 0 +100 s link: Traceback" % VERSION)
    assert "in _raise" in first and "ValueError: short" in first
    assert last == " +100 s sealing: it ended\n", last


def test_two_files_take_turns_and_stay_small():
    for kind in (vfs.VfsLfs2, vfs.VfsFat):
        log, clock = _fresh(kind)
        for n in range(2000):
            clock.now_s += 600
            log.note("part", "number %d %s" % (n, "x" * (n % 90)))
            sizes = [os.stat("/log/data/" + f[0])[6] for f in os.ilistdir("/log/data")]
            assert len(sizes) <= 2 and max(sizes) <= 4096
        assert "number 1999" in _text() and "number 1950" in _text("errors.old") + _text()


def test_a_fault_that_repeats_does_not_wear_out_the_flash():
    log, clock = _fresh()
    for _ in range(86400):
        clock.now_s += 1
        log.note("display", "broken")
    lines = (_text("errors.old") + _text()).split("\n")
    assert len(lines) <= 12 + 144 + 1
    assert "(599 not logged)" in lines[-2]
    # nor does one after a month of peace
    log, clock = _fresh()
    clock.now_s += 30 * 86400
    for _ in range(1000):
        log.note("display", "broken")
    assert len(_text().split("\n")) <= 12 + 1


def test_no_memory_no_flash_no_trouble():
    log, clock = _fresh()
    vfs.umount("/log")
    log.note("link", "nowhere")
    assert log.why() == ""

    def no_memory():
        raise MemoryError

    log, clock = _fresh()
    clock.unix_s = no_memory
    log.note("link", "nowhere")
    del clock.unix_s
    log.note("link", "fine")
    assert "(1 not logged)" in _text() and "fine" in _text()


def test_a_long_traceback_keeps_its_end():
    log, clock = _fresh()
    log.note("link", _raise(ValueError("y" * 2000 + "the end")))
    assert len(_text()) < 700 and _text().endswith("the end\n")


def test_the_reason_of_a_restart_is_told_once():
    log, clock = _fresh()
    try:
        log.restart("no data for 2 h (no answer)")
    except machine.Reset:
        pass
    log = ErrorLog("/log/data", clock)
    assert log.why() == "no data for 2 h (no answer)"
    assert log.why() == ""
    assert "restart: no data for 2 h" in _text()
    # even after so many errors that no more are logged, and however long it is
    for _ in range(20):
        log.note("link", "trouble")
    try:
        log.restart("x" * 500)
    except machine.Reset:
        pass
    assert "restart (8 not logged): xxx" in _text() and 40 < len(log.why()) < 100


def test_a_restart_that_cannot_be_explained_happens_all_the_same():
    for kind in (MemoryError, OSError, ValueError):
        log, clock = _fresh()

        def fails(*args):
            raise kind

        errorlog.open = fails
        try:
            log.restart("no data")
            raise AssertionError("no reset")
        except machine.Reset:
            pass
        finally:
            del errorlog.open
        assert log.why() == ""


def test_a_reason_that_is_no_text_does_no_harm():
    log, clock = _fresh()
    os.mkdir("/log/data")
    with open("/log/data/restart.txt", "wb") as f:
        f.write(b"\xff\xfe\x00" * 9)
    assert log.why() == ""
