# The board's start: an update that was cut off anywhere, and crashes that are counted
import asyncio
import builtins
import os
import sys

import flash
import machine
import vclock
import vfs
from app import run, start, update

_PATH = "/tmp/batmon-test-start-%s.img" % os.urandom(4).hex()  # of this process
_OLD = {"/a.py": "old a", "/lib/b.mpy": "old b", "/main.py": "old m", "/gone.py": "x"}
_OLD["/data/1"] = "log"
_NEW = {"/a.py": "new a", "/lib/b.mpy": "new b", "/lib/c/d.mpy": "new d", "/main.py": "new m"}
_NEW["/boot.py"] = "new boot"
_NEW["/app/update.mpy"] = "new update"

for _folder in sys.path:
    try:
        with open(_folder + "/boot.py") as _f:
            _BOOT = _f.read()
    except OSError:
        pass


class _Volume:
    """A littlefs volume mounted at /; the PC's files are at /pc meanwhile."""

    def __enter__(self):
        self.flash = flash.Flash(_PATH, 1 << 18, 4096)
        vfs.VfsLfs2.mkfs(self.flash)
        vfs.umount("/")
        vfs.mount(vfs.VfsLfs2(self.flash), "/")
        return self

    def cycle(self):
        """Power up again after a cut; what it left open must not write to the new chip."""
        self._off()
        self.flash = flash.Flash(_PATH, 1 << 18, 4096)
        vfs.umount("/")
        vfs.mount(vfs.VfsLfs2(self.flash), "/")

    def _off(self):
        self.flash.cut_in = 0
        vfs.umount("/")
        self.flash.close()
        vfs.mount(vfs.VfsPosix("/"), "/")

    def __exit__(self, *_):
        self._off()
        os.remove(_PATH)


def _write(files, root=""):
    for path in files:
        folder = root
        for part in path.split("/")[1:-1]:
            folder += "/" + part
            try:
                os.mkdir(folder)
            except OSError:
                pass
        with open(root + path, "w") as f:
            f.write(files[path])


def _stage(complete):
    _write({path + ".new": _NEW[path] for path in _NEW})
    if complete:
        with open("/update.txt", "w") as f:
            f.write("-/gone.py\n-/never.py\n" + "\n".join("+" + path for path in _NEW))


def _tree_bytes(folder=""):
    files = {}
    for entry in os.ilistdir(folder or "/"):
        path = folder + "/" + entry[0]
        if entry[1] == 0x4000:
            files.update(_tree_bytes(path))
        else:
            with open(path, "rb") as f:
                files[path] = f.read()
    return files


def _tree():
    files = _tree_bytes()
    return {path: files[path].decode() for path in files}


def _after():
    files = dict(_OLD)
    files.update(_NEW)
    del files["/gone.py"]
    return files


def test_an_update_replaces_adds_and_removes():
    with _Volume():
        _write(_OLD)
        _stage(True)
        update.finish()
        assert _tree() == _after()
        update.finish()
        assert _tree() == _after()


def test_an_update_that_is_not_complete_changes_nothing():
    with _Volume():
        _write(_OLD)
        _stage(False)
        update.finish()
        assert {p: t for p, t in _tree().items() if not p.endswith(".new")} == _OLD


def test_an_update_is_finished_after_a_cut_anywhere():
    cut = 1
    while True:
        with _Volume() as volume:
            _write(_OLD)
            _stage(True)
            volume.flash.cut_in = cut
            try:
                update.finish()
                done = True
            except (flash.PowerCut, OSError):
                done = False
            volume.cycle()
            exec(_BOOT, {})
            assert _tree() == _after(), cut
        if done:
            assert cut > 8
            return
        cut += 1


# What ends the boot.py of version 0.1.0, and where that has its modules; some hide from `import`
# when there is a folder of their name
_BOOT_0_1_0 = """
try:
    with open("/update.txt"):
        import update

    update.finish()
except (OSError, ImportError):
    pass
"""
_FLAT = {"/boot.py": _BOOT_0_1_0, "/main.py": "import start", "/app.mpy": "old a"}
_FLAT.update({"/link.mpy": "old l", "/store.mpy": "old s", "/lib/frame.mpy": "old f"})
_ROOMS = {
    "/main.py": "from app import start",
    "/app/app.mpy": "new a",
    "/link/__init__.mpy": "new l",
}
_ROOMS.update({"/store.mpy": "new s", "/shards/frame.mpy": "new f"})
# as tests/host/test_install.py has it from the installer
_READY = ("/app.new/update.mpy", "/app.new/app.mpy", "/boot.py.new", "/link.new/__init__.mpy")
_READY += ("/main.py.new", "/shards/frame.mpy.new", "/store.mpy.new")
_TO_ROOMS = "+/app\n+/boot.py\n-/app.mpy\n-/lib/frame.mpy\n-/link.mpy\n-/update.mpy\n"
_TO_ROOMS += "+/link\n+/shards/frame.mpy\n+/store.mpy\n+/main.py\n"


def _update_mpy():
    for folder in sys.path:
        for name in ("/app/update.mpy", "/app/update.py"):
            try:
                with open(folder + name, "rb") as f:
                    return f.read()
            except OSError:
                pass


def _power_up():
    """Run the volume's own boot.py, with the volume's own modules."""
    path = sys.path[:]
    known = {name: sys.modules.pop(name) for name in ("app", "app.update") if name in sys.modules}
    sys.path[:] = [""]
    os.chdir("/")
    try:
        with open("/boot.py") as f:
            exec(f.read(), {})
    finally:
        sys.path[:] = path
        for name in ("app", "app.update", "update"):
            sys.modules.pop(name, None)
        sys.modules.update(known)


def test_an_update_from_flat_modules_is_finished_after_a_cut_anywhere():
    code = _update_mpy()
    new_boot = dict(_ROOMS)
    new_boot["/boot.py"] = _BOOT
    kept = os.getcwd()
    finished = 0
    cut = 1
    while True:
        with _Volume() as volume:
            _write(_FLAT)
            with open("/update.mpy", "wb") as f:
                f.write(code)
            volume.flash.cut_in = cut
            try:
                for path in _READY:
                    place = path.replace(".new", "")
                    _write({path: "" if place == "/app/update.mpy" else new_boot[place]})
                    if place == "/app/update.mpy":
                        with open(path, "wb") as f:
                            f.write(code)
                _write({"/update.part": _TO_ROOMS})
                os.rename("/update.part", "/update.txt")
                update.finish()
                done = True
            except (flash.PowerCut, OSError):
                done = False
            volume.cycle()
            _power_up()
            found = _tree_bytes()
            if found.pop("/update.mpy", None):
                assert {path: found[path].decode() for path in _FLAT} == _FLAT, cut
                folders = [entry[0] for entry in os.ilistdir("/") if entry[1] == 0x4000]
                assert "app" not in folders and "link" not in folders, (cut, folders)
            else:
                assert found.pop("/app/update.mpy") == code, cut
                assert {path: found[path].decode() for path in found} == new_boot, cut
                finished += 1
        if done:
            os.chdir(kept)
            assert finished > 8 and cut > finished + 8, (finished, cut)
            return
        cut += 1


class _Machine:
    PWRON_RESET = 1
    DEEPSLEEP_RESET = 4

    def __init__(self, cause=1):
        self.cause = cause

    def reset_cause(self):
        return self.cause

    def reset(self):
        raise machine.Reset


def test_starts_are_counted_until_one_is_good_or_the_power_goes():
    real, start.machine = start.machine, _Machine()
    try:
        with _Volume():
            assert start._count_start() == 1
            start.machine.cause = 3
            assert [start._count_start() for _ in range(6)] == [2, 3, 4, 5, 6, 7]
            run.forget_crashes()
            assert start._count_start() == 1
            with open("/crashes", "w") as f:
                f.write("rubbish")
            assert start._count_start() == 1 and start._count_start() == 2
            start.machine.cause = 1
            assert start._count_start() == 1
    finally:
        start.machine = real


class _App:
    """Ends after `after_s` with `end`; stopping raises `stop_end` if there is one."""

    def __init__(self, after_s, end, stop_end=None):
        self.errors = self
        self.noted = None
        self.stopped = False
        self._after_s = after_s
        self._end = end
        self._stop_end = stop_end

    async def run(self):
        await asyncio.sleep(self._after_s)
        raise self._end

    def note(self, where, what):
        self.noted = what

    def stop(self):
        self.stopped = True
        if self._stop_end:
            raise self._stop_end


def test_a_program_that_fails_is_stopped_noted_and_starts_again_not_at_once():
    real, start.machine = start.machine, _Machine(3)
    try:
        for after_s, counted in ((1, True), (100, True), (200, False)):
            for stop_end in (None, MemoryError()):
                with _Volume():
                    asyncio.new_event_loop()
                    start._count_start()
                    app = _App(after_s, ValueError("x"), stop_end)
                    start_ms = vclock.now_ms()
                    try:
                        run.run(app)
                        raise AssertionError("no reset")
                    except machine.Reset:
                        pass
                    took_s = (vclock.now_ms() - start_ms) // 1000
                    assert app.stopped and app.noted is app._end
                    assert took_s >= after_s + 10, "a storm of restarts"
                    assert ("crashes" in os.listdir("/")) == counted, after_s
    finally:
        start.machine = real


def test_it_starts_again_even_if_nothing_can_be_noted_or_said():
    whole = print

    def short(*args):
        raise MemoryError

    for say in (whole, short):
        with _Volume():
            asyncio.new_event_loop()
            app = _App(1, MemoryError(), MemoryError())
            app.note = short
            builtins.print = say
            try:
                run.run(app)
                raise AssertionError("no reset")
            except machine.Reset:
                pass
            finally:
                builtins.print = whole
            assert app.stopped


def test_ctrl_c_is_no_crash():
    real, start.machine = start.machine, _Machine(3)
    try:
        with _Volume():
            start._count_start()
            app = _App(5, KeyboardInterrupt())
            run.run(app)
            assert app.stopped and app.noted is None and "crashes" not in os.listdir("/")

            def interrupted():
                raise KeyboardInterrupt

            for _ in range(9):  # none of them a reset, or safe mode
                vclock.call_later(1000, interrupted)
                assert start.make_app() is None
                assert start._count_start() == 1
    finally:
        start.machine = real
