"""The Makefile's first step: host/venv.sh finds a Python, makes .venv, or says what is missing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path):
    """The files that venv.sh needs, and a PATH with no Python in it."""
    root = tmp_path / "clone"
    (root / "host").mkdir(parents=True)
    shutil.copy(_ROOT / "host/venv.sh", root / "host")
    shutil.copy(_ROOT / "pyproject.toml", root)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "cat", "cksum", "cut", "dirname", "head", "mktemp", "rm", "mkdir"):
        (programs / name).symlink_to(shutil.which(name))
    return root


def _python(path: Path, body: str):
    """A stand-in for a Python interpreter, a shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + body)
    path.chmod(0o755)


# Is at least 3.12, and does with its arguments what `case` lines say.
_GOOD = """case "$*" in
    --version) echo "Python 3.13.0" ;;
    *"import sys; sys.exit"*) exit 0 ;;
{}    *) exit 0 ;;
esac
"""


def _environment(clone: Path, body: str, made_for: Path | None = None):
    """A stand-in for .venv."""
    _python(clone / ".venv/bin/python", body)
    (clone / ".venv/bin/pip").write_text(f"#!{made_for or clone}/.venv/bin/python\n")


def _run(clone, *stage, **environment):
    environment = {"PATH": str(clone.parent / "bin"), "HOME": str(clone)} | environment
    command = ["sh", str(clone / "host/venv.sh"), *stage]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_no_python(clone):
    done = _run(clone)
    assert done.returncode == 1
    assert "needs Python 3.12 or newer" in done.stderr and not (clone / ".venv").exists()


def test_old_python_is_named(clone):
    _python(clone.parent / "bin/python3", 'test "$1" = --version && echo "Python 3.11.2"; exit 1')
    done = _run(clone)
    assert done.returncode == 1 and "found Python 3.11.2" in done.stderr


def test_chosen_python_must_work(clone):
    done = _run(clone, PYTHON="/nowhere/python")
    assert done.returncode == 1 and "PYTHON=/nowhere/python" in done.stderr


def test_a_newer_name_beside_an_old_python3_is_found(clone):
    _python(clone.parent / "bin/python3", "exit 1")
    _python(clone.parent / "bin/python3.12", _GOOD.format('    "-m venv"*) exit 3 ;;\n'))
    done = _run(clone)
    assert "python3.12 cannot make a virtual environment" in done.stderr


def test_venv_without_ensurepip(clone):
    _python(clone.parent / "bin/python3", _GOOD.format('    "-m venv"*) exit 1 ;;\n'))
    done = _run(clone)
    assert done.returncode == 1
    assert "python3-venv" in done.stderr and not (clone / ".venv").exists()


def test_pip_that_fails(clone):
    fails = '    *"pip install"*) echo "no route"; exit 1 ;;\n'
    _environment(clone, _GOOD.format(fails))
    done = _run(clone)
    assert done.returncode == 1
    assert "no route" in done.stderr and "check the network" in done.stderr


def test_current_environment_is_left_alone_and_a_changed_one_is_not(clone):
    log = clone.parent / "pip.log"
    _environment(clone, _GOOD.format(f'    *pip*) echo "$*" >>{log} ;;\n'))
    assert _run(clone).returncode == 0
    assert "--editable .[dev]" in log.read_text()
    log.unlink()
    for stage in ((), ("dev",), ("base",)):
        done = _run(clone, *stage)
        assert (done.returncode, done.stdout, log.exists()) == (0, "", False)
    with open(clone / "pyproject.toml", "a") as file:
        file.write("# changed\n")
    assert _run(clone).returncode == 0
    assert log.exists()


def test_what_only_tests_need_comes_when_they_are_wanted(clone):
    log = clone.parent / "pip.log"
    _environment(clone, _GOOD.format(f'    *pip*) echo "$*" >>{log} ;;\n'))
    assert _run(clone, "base").returncode == 0
    assert "dev" not in log.read_text()
    log.unlink()
    assert _run(clone, "base").returncode == 0 and not log.exists()
    assert _run(clone, "dev").returncode == 0
    assert "--editable .[dev]" in log.read_text()


def test_a_link_to_the_checkout_leads_to_the_same_environment(clone):
    link = clone.parent / "link"
    link.symlink_to(clone)
    log = clone.parent / "pip.log"
    _environment(clone, _GOOD.format(f'    *pip*) echo "$*" >>{log} ;;\n'))
    assert _run(clone, "base").returncode == 0 and log.exists()
    log.unlink()
    done = _run(link, "base")
    assert (done.returncode, done.stdout, log.exists()) == (0, "", False)


def test_broken_environment_is_made_anew(clone):
    (clone / ".venv/bin").mkdir(parents=True)
    (clone / ".venv/bin/python").symlink_to("/nowhere/python3")
    _python(clone.parent / "bin/python3", _GOOD.format('    "-m venv"*) exit 3 ;;\n'))
    assert "making .venv" in _run(clone).stdout


def test_environment_of_another_folder_is_made_anew(clone):
    # As after moving or copying the checkout: its programs would run the old interpreter.
    _environment(clone, _GOOD.format(""), made_for=clone.parent / "old")
    _python(clone.parent / "bin/python3", _GOOD.format('    "-m venv"*) exit 3 ;;\n'))
    assert "making .venv" in _run(clone).stdout


def test_every_target_is_explained():
    said = subprocess.run(["make", "help"], cwd=_ROOT, capture_output=True, text=True).stdout
    text = (_ROOT / "Makefile").read_text()
    (names,) = [line for line in text.splitlines() if line.startswith(".PHONY")]
    for name in set(names.split()[1:]) - {"help", "venv", "dev"}:
        assert f"make {name} " in said


def test_ci_runs_what_users_run():
    text = (_ROOT / ".ci/run").read_text()
    assert os.access(_ROOT / ".ci/run", os.X_OK)
    assert [line for line in text.splitlines() if line.startswith("make")] == ["make lint test"]
