"""install.py, which runs on a board's REPL and fetches over WiFi, with the network of this PC."""

import json
import subprocess

import mipindex
import pytest

from batmon.firmware import aioble
from batmon.firmware.build import build
from batmon.firmware.interpreter import micropython
from batmon.paths import BOARD, ROOT

_LONG_S = 300
_NETWORK = """
STA_IF = 0
class WLAN:
    joined = False
    def __init__(self, interface): pass
    def active(self, on): pass
    def connect(self, ssid, password):
        if not isinstance(ssid, str) or not isinstance(password, str):
            raise TypeError("can't convert")
        WLAN.joined = (ssid, password) == ("boat", "secret")
    def isconnected(self): return WLAN.joined
"""
# Importing it runs it, with its own patience and index: without settings it gives up at once.
_START = """
import os, sys
os.chdir({folder!r})
sys.path[:] = ["", ".frozen", {lib!r}, {folder!r}, {root!r}]
import install
install._JOIN_S = 1
print("---")
"""


@pytest.fixture
def board(tmp_path):
    """Return a function that runs lines on a MicroPython whose files are in tmp_path."""
    build()
    (tmp_path / "network.py").write_text(_NETWORK)

    def run(wifi, index, files=()):
        for name in files:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        (tmp_path / "settings.json").unlink(missing_ok=True)
        code = _START.format(folder=str(tmp_path), lib=str(tmp_path / "lib"), root=str(ROOT))
        if wifi:
            (tmp_path / "wifi.json").write_text(json.dumps({"wifi": wifi}))
            code += "os.rename('wifi.json', 'settings.json')\n"
        code += f"install.run({index!r})"
        command = [micropython(), "-X", "heapsize=1M", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LONG_S)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.split("---\n")[1]

    return run


_WIFI = {"ssid": "boat", "password": "secret"}


def test_it_installs_checks_and_says_what_remains(board, tmp_path):
    mipindex.make(tmp_path / "index")
    other = tmp_path / "lib/aioble/central.py"  # of the same package, but nobody's
    other.parent.mkdir(parents=True)
    other.write_text("raise MemoryError")
    with mipindex.serve(tmp_path / "index") as url:
        said = board(_WIFI, url, ["boot.py", "main.py"])
        assert "aioble is there" in said and "secret" not in said
        assert "to copy from a computer: conn.py, app, link, lib/bleak, aiobmsble" in said
        rest = ["conn.py", "app", "link", "lib/bleak", "aiobmsble"]
        assert "everything is there" in board(_WIFI, url, rest)
    assert not other.exists() and (tmp_path / "lib/aioble/core.py").exists()


@pytest.mark.parametrize("wifi", [None, 5, {}, {"ssid": 5}, {"ssid": "boat", "password": 12345678}])
def test_without_credentials(board, wifi):
    assert 'settings.json must say {"wifi"' in board(wifi, None)


def test_wrong_password(board):
    said = board({"ssid": "boat", "password": "wrong"}, None)
    assert "boat was not joined in 1 s; check its name and password" in said
    assert "wrong" not in said


def test_a_server_that_is_not_there(board):
    assert "run this again" in board(_WIFI, "http://127.0.0.1:9")


def test_a_package_that_is_not_there(board, tmp_path):
    (tmp_path / "empty").mkdir()
    with mipindex.serve(tmp_path / "empty") as url:
        # mip says nothing about it; importing does
        assert "does not start" in board(_WIFI, url)


def test_the_packages_are_those_of_the_installer():
    text = (ROOT / "install.py").read_text()
    assert f'("{mipindex.PACKAGE}", "{aioble.VERSION}")' in text


def test_what_it_looks_for_is_in_the_build():
    build()
    line = (ROOT / "install.py").read_text().partition("_OURS = ")[2].splitlines()[0]
    assert all((BOARD / name).exists() for name in json.loads(f"[{line.strip('()')}]"))
    assert not (BOARD / "install.mpy").exists()
