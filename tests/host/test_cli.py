"""The command line: every mistake gets one sentence and exit code 2, never a traceback."""

import subprocess
import sys

import pytest
from shardfiles import anchor, data, write

from batmon.cli import main

pytestmark = pytest.mark.usefixtures("standin")

_DRIVERS = ["drivers", "--only", "jbd", "--out"]
_BATMON = [sys.executable, "-m", "batmon"]


def _said(capsys, *arguments):
    """Return exit code, stdout and stderr of `batmon` with `arguments`."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as exit:
        code = exit.code
    return code, *capsys.readouterr()


@pytest.mark.parametrize("command", ["sim", "pull", "export", "report", "send", "info", "build"])
def test_help_has_examples(capsys, command):
    code, out, _ = _said(capsys, command, "--help")
    assert code == 0 and "examples:" in out and f"batmon {command}" in out


@pytest.mark.parametrize(
    "arguments, word",
    [
        ([], "required"),
        (["fly"], "fly"),
        (["export", "x"], "-o"),
        (["export", "/absent", "-o", "x.csv"], "/absent does not exist"),
        (["export", "/tmp", "-o", "x.xls"], "x.xls does not end in .csv, .xlsx or .parquet"),
        (["export", "/tmp", "-o", "/absent/x.csv"], "no folder /absent"),
        (["info"], "PATH"),
        (["info", "/absent"], "/absent does not exist"),
    ],
)
def test_mistakes_get_one_sentence(capsys, arguments, word):
    code, out, error = _said(capsys, *arguments)
    assert code == 2 and out == ""
    assert word in error and len(error.splitlines()) == 1


@pytest.mark.parametrize("command", [["build", "--out"], ["board", "--dir"], _DRIVERS])
def test_a_folder_that_cannot_be_used(capsys, tmp_path, command):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", "/proc/absent"):
        code, out, error = _said(capsys, *command, folder)
        assert code == 2 and out == ""
        assert f"{folder}" in error and "cannot be used" in error and len(error.splitlines()) == 1


def test_drivers_do_not_replace_a_clone_of_aiobmsble(capsys, tmp_path):
    clone = tmp_path / "aiobmsble"
    clone.mkdir()
    (clone / "README.md").write_text("precious")
    code, _, error = _said(capsys, *_DRIVERS, tmp_path)
    assert code == 2 and f"{clone} is not from here" in error
    assert [path.name for path in clone.iterdir()] == ["README.md"]
    for _ in range(2):
        assert _said(capsys, *_DRIVERS, tmp_path / "new")[0] == 0


def test_folder_without_shards(capsys, tmp_path):
    code, _, error = _said(capsys, "info", tmp_path)
    assert code == 1 and "no shards in" in error


def test_out_that_cannot_be_written(capsys, tmp_path):
    shard = write(tmp_path, "a-00001.raw", [anchor(), data(1)])
    (tmp_path / "x.csv").mkdir()
    code, _, error = _said(capsys, "export", shard, "-o", tmp_path / "x.csv")
    assert code == 2 and "cannot write" in error and len(error.splitlines()) == 1


def test_reader_that_leaves_early_is_no_error(tmp_path):
    for number in range(300):
        write(tmp_path, f"a-{number:05}.raw", [anchor(), data(1)])
    # With the pipe closed before the first line is written, all output fails.
    code = f"import sys; sys.argv[1:] = ['info', {str(tmp_path)!r}]; sys.stdin.readline();"
    code += "from batmon.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    process.stdin.write(b"go\n")
    process.stdin.close()
    error = process.stderr.read()
    assert process.wait(timeout=120) == 0 and error == b""


def test_help_is_quick_because_pandas_waits(tmp_path):
    code = "import sys; from batmon.cli import make_parser; make_parser(); "
    code += "sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
