"""The second interpreter: that it is there, and what host/micropython32.sh says when it cannot be.

If the first test passes, the script has worked; below, apt is a stand-in that has other answers.
"""

import os
import platform
import re
import shutil
import subprocess

import pytest

from batmon.board.flash import OLDEST
from batmon.console import UserError
from batmon.firmware import interpreter
from batmon.firmware.build import ROOT

_OLDEST = ".".join(map(str, OLDEST))


def test_the_32_bit_one_is_there():
    if "32" in interpreter.present():
        assert interpreter.label("32").startswith(f"32-bit {_OLDEST}.")
        return
    sentence = "no 32-bit MicroPython: the device tests run on one interpreter only"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)


def test_the_readme_asks_for_what_is_tested():
    for name in ("README.md", "docs/HARDWARE.md"):
        text = " ".join((ROOT / name).read_text().split())
        assert re.search(rf"MicroPython {_OLDEST} or newer|at least {_OLDEST} ", text), name


def test_another_one_can_be_chosen(monkeypatch):
    usual = interpreter.micropython()
    monkeypatch.setenv("MICROPYTHON32", usual)
    assert interpreter.micropython("32") == usual and interpreter.present() == ["64", "32"]
    monkeypatch.setenv("MICROPYTHON32", "/nowhere/micropython")
    with pytest.raises(UserError, match="MICROPYTHON32=/nowhere/micropython is no program"):
        interpreter.micropython("32")
    assert interpreter.label("32") == "32-bit missing"  # the tests say the rest


@pytest.fixture
def fetch(tmp_path):
    """Return a function that runs the script in an empty checkout with a stand-in for apt."""
    shutil.copytree(ROOT / "host", tmp_path / "host", ignore=shutil.ignore_patterns("batmon"))
    programs = tmp_path / "bin"
    programs.mkdir()

    def fetch(**answers):
        for name, body in {"sleep": "exit 0", **answers}.items():
            program = programs / name.replace("_", "-")
            program.write_text(f"#!/bin/sh\n{body}\n")
            program.chmod(0o755)
        environment = {"PATH": f"{programs}:{os.environ['PATH']}"}
        command = ["sh", str(tmp_path / "host/micropython32.sh")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0
        assert not list((tmp_path / "build").iterdir()), "something was left behind"
        return done.stderr.removeprefix("batmon: no 32-bit MicroPython, its tests are left out: ")

    return fetch


_MIRROR = 'case $1 in indextargets) . /etc/os-release; echo "$VERSION_CODENAME main file:/m/" ;;\n'
_SHOWS = "echo 'Package: micropython'; echo 'Version: {}'"
on_debian = pytest.mark.skipif(
    platform.system() != "Linux" or platform.freedesktop_os_release()["ID"] != "debian",
    reason="this is no Debian",
)


def test_elsewhere_it_is_left_out(fetch):
    assert fetch(uname="echo aarch64") == "it comes from Debian, and this is no Debian on x86_64.\n"


@on_debian
def test_without_network_it_is_left_out(fetch):
    fails = "echo 'E: Failed to fetch file:/m/ no route'; exit 100"
    said = fetch(uname="echo x86_64", apt_get=f"{_MIRROR} *) {fails} ;; esac")
    assert said == "apt cannot read Debian trixie: Failed to fetch file:/m/ no route\n"


@on_debian
def test_another_version_is_named(fetch):
    said = fetch(
        uname="echo x86_64",
        apt_get=f"{_MIRROR} *) exit 0 ;; esac",
        apt_cache=_SHOWS.format("1.26.1+ds-1"),
    )
    assert said.startswith("Debian trixie has version 1.26.1+ds-1 now instead of 1.25.0+ds-1;")


@on_debian
def test_a_damaged_package_is_named(fetch):
    said = fetch(
        uname="echo x86_64",
        apt_get=f"{_MIRROR} *download*) ;; esac\n[ $3 = update ] || echo no >libc6_2_i386.deb",
        apt_cache=_SHOWS.format("1.25.0+ds-1"),
    )
    assert said == "libc6_2_i386.deb is damaged.\n"
