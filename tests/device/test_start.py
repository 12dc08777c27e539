# The board's start: an update that was cut off anywhere, and crashes that are counted
import os

import flash
import start
import update
import vfs

_PATH = "/tmp/batmon-test-start.img"
_OLD = {"/a.py": "old a", "/lib/b.mpy": "old b", "/main.py": "old m", "/gone.py": "x"}
_OLD["/data/1"] = "log"
_NEW = {"/a.py": "new a", "/lib/b.mpy": "new b", "/lib/c/d.mpy": "new d", "/main.py": "new m"}
_NEW["/boot.py"] = "new boot"
_NEW["/update.mpy"] = "new update"


class _Volume:
    """A littlefs volume mounted at /; the PC's files are at /pc meanwhile."""

    def __enter__(self):
        self.flash = flash.Flash(_PATH, 1 << 18, 4096)
        vfs.VfsLfs2.mkfs(self.flash)
        self.mount()
        return self

    def mount(self):
        vfs.umount("/")
        vfs.mount(vfs.VfsLfs2(self.flash), "/")

    def cycle(self):
        """Power up again after a cut."""
        self.flash.cut_in = None
        self.mount()

    def __exit__(self, *_):
        self.flash.close()
        vfs.umount("/")
        vfs.mount(vfs.VfsPosix("/"), "/")
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


def _tree(folder=""):
    files = {}
    for entry in os.ilistdir(folder or "/"):
        path = folder + "/" + entry[0]
        if entry[1] == 0x4000:
            files.update(_tree(path))
        else:
            with open(path) as f:
                files[path] = f.read()
    return files


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
            update.finish()
            assert _tree() == _after(), cut
        if done:
            assert cut > 8
            return
        cut += 1


class _Machine:
    PWRON_RESET = 1

    def __init__(self):
        self.cause = 1

    def reset_cause(self):
        return self.cause


def test_starts_are_counted_until_one_is_good_or_the_power_goes():
    real, start.machine = start.machine, _Machine()
    try:
        with _Volume():
            assert start._count_start() == 1
            start.machine.cause = 3
            assert [start._count_start() for _ in range(6)] == [2, 3, 4, 5, 6, 7]
            start._forget_crashes()
            assert start._count_start() == 1
            with open("/crashes", "w") as f:
                f.write("rubbish")
            assert start._count_start() == 1 and start._count_start() == 2
            start.machine.cause = 1
            assert start._count_start() == 1
    finally:
        start.machine = real
