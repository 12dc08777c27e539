"""aioble from an index like mip's, on loopback, with the stand-in in its place: fetched, checked,
cut, compiled."""

import hashlib
import re
import subprocess

import mipindex
import pytest

from batmon.console import UserError
from batmon.firmware import aioble
from batmon.firmware.build import build
from batmon.firmware.interpreter import micropython, present
from batmon.paths import ROOT, SIM, SIMS

_STANDIN = ROOT / "sim/aioble"
# Bytes of aioble-central 0.3.0, cut and compiled as here, on 32 bits, measured by _IMPORT.
_ORIGINAL = 671
_IMPORT = """
import sys
sys.path[:] = [sys.argv[1], ".frozen"]
import vclock
vclock.install()
import asyncio, binascii, bluetooth, gc, io, micropython, struct
asyncio.Event, asyncio.Lock, asyncio.ThreadSafeFlag, asyncio.create_task
def used():
    gc.collect()
    return gc.mem_alloc()
before = used()
micropython.qstr_info()
import aioble
print("takes", used() - before)
micropython.qstr_info()
"""


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(aioble, "BUILD", tmp_path)
    monkeypatch.delenv("AIOBLE", raising=False)


@pytest.fixture
def pinned(monkeypatch):
    """The stand-in's files are those that are expected."""
    hashes = {n: [hashlib.sha256((_STANDIN / n).read_bytes()).hexdigest()] for n in aioble.FILES}
    monkeypatch.setattr(aioble, "FILES", hashes)


@pytest.fixture
def index(tmp_path):
    folder = tmp_path / "index"
    mipindex.make(folder)
    with mipindex.serve(folder) as url:
        yield url


def test_it_is_fetched_once_and_compiled_as_our_own_files(pinned, index, tmp_path):
    folder = aioble.source(index)
    assert {path.name for path in (folder / "aioble").iterdir()} == set(aioble.FILES)
    assert aioble.source("http://127.0.0.1:9") == folder
    tree = tmp_path / "board"
    build(tree, ["jikong_bms"], radio=folder)
    made = {path.name for path in (tree / "lib/aioble").iterdir()}
    assert made == {name.replace(".py", ".mpy") for name in aioble.FILES}
    # all that the board's own code asks of it is still there
    paths = [str(tree / "lib"), str(tree), str(SIM), ".frozen"]
    code = f"import sys\nsys.path[:] = {paths!r}\nimport vclock\nvclock.install()\n"
    code += "import aioble, bleak, link\nprint(aioble.core.__file__)\n"
    said = subprocess.run([micropython(), "-c", code], capture_output=True, text=True)
    assert said.stdout.strip() == str(tree / "lib/aioble/core.mpy"), said.stderr


def test_what_nobody_calls_is_cut(tmp_path):
    user = tmp_path / "user.py"
    user.write_text("from aioble import core\ncore.stop()\n")
    aioble.cut(ROOT / "sim", tmp_path / "cut", [user])
    before = (_STANDIN / "core.py").read_text()
    after = (tmp_path / "cut/core.py").read_text()
    assert "def config" in before and "def config" not in after
    assert "def stop" in after and "def ble_irq" in after


def test_another_file_than_the_pinned_one_is_refused(index, tmp_path):
    with pytest.raises(UserError) as refusal:
        aioble.source(index)
    assert str(refusal.value) == (
        f"aioble/__init__.py from {index} is not that of aioble-central {aioble.VERSION} and was"
        " not taken; set AIOBLE to a folder that has the folder aioble of micropython-lib in it."
    )
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


@pytest.mark.parametrize("damage", ["{", "[]", '{"hashes": 5}', '{"hashes": []}'])
def test_an_index_that_talks_nonsense_is_refused(damage, index, tmp_path):
    described = tmp_path / f"index/package/py/{mipindex.PACKAGE}/{aioble.VERSION}.json"
    described.write_text(damage)
    with pytest.raises(UserError, match=f"has no package aioble-central {aioble.VERSION}"):
        aioble.source(index)


@pytest.mark.parametrize("index", ["http://127.0.0.1:9", "nonsense"])
def test_without_a_network_it_says_what_helps(index):
    with pytest.raises(UserError, match=r"which the board needs.*set AIOBLE to a folder") as caught:
        aioble.source(index)
    assert "Errno" not in str(caught.value)


def test_a_folder_of_ones_own_takes_its_place(monkeypatch, tmp_path):
    monkeypatch.setenv("AIOBLE", str(ROOT / "sim"))
    assert aioble.source("http://127.0.0.1:9") == ROOT / "sim"
    monkeypatch.setenv("AIOBLE", str(tmp_path))
    with pytest.raises(UserError, match=r"has no aioble/__init__\.py"):
        aioble.source()


@pytest.mark.skipif("32" not in present(), reason="the 32-bit MicroPython is missing")
def test_the_standin_takes_no_less_memory_than_the_original(tmp_path):
    build()
    path = tmp_path / "import.py"
    path.write_text(_IMPORT)
    command = [micropython("32"), str(path), str(SIMS["32"])]
    said = subprocess.run(command, capture_output=True, text=True).stdout
    names = [int(n) for n in re.findall(r"n_total_bytes=(\d+)", said)]
    taken = int(re.search(r"takes (\d+)", said)[1]) - (names[1] - names[0])
    assert taken >= _ORIGINAL


def test_what_only_logs_or_needs_another_part_goes():
    text = (
        "from .device import Device\n"
        "try:\n"
        "    from .central import scan\n"
        "except:\n"
        "    log_info('without')\n"
        "from .core import ble\n\n\n"
        "class C:\n"
        "    def services(self):\n"
        "        from .client import ClientDiscover\n\n"
        "        return ClientDiscover(self)\n\n"
        "    def connect(self):\n"
        "        from .core import _connect\n\n"
        "        log_info('connect')\n"
        "        return _connect(self)\n"
    )
    bare = aioble._bare(text)
    assert "Device" not in bare and "scan" not in bare and "import ble\n" in bare
    assert "services" not in bare and "log_info" not in bare and "_connect(self)" in bare
    assert bare.count("\n") == text.count("\n")
    compile(bare, "a", "exec")
