"""Every command line of README.md and docs/PC.md works, and every command is told there.

The lines run in the order of the documents, in one folder, with one virtual board on the USB, so
that what one makes the next can use. What a line names and nothing has made is put there first.
"""

import contextlib
import csv
import functools
import http.server
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from homeassistant_server import TOKEN, home_assistant
from shardfiles import anchor, data, write
from test_flash import firmware

import batmon
from batmon import clidoc
from batmon.board import blelog, remote
from batmon.cli import main, make_parser
from batmon.paths import BOARD, ROOT
from batmon.virtual.serialboard import SerialBoard

pytestmark = pytest.mark.xdist_group("documents")

_PROGRAMS = ("batmon", "install.sh", "mpremote", "duckdb", "make")
_START = 1_767_247_200
# A simulated day takes a minute: these run for some minutes of one.
_DAYS = {"sim": "0.005", "soak": "0.005"}


def _blocks(path: Path):
    """Yield the lines of a document that are to be typed, without what explains them."""
    fence = None
    for line in path.read_text().splitlines():
        if line.startswith("```"):
            fence = None if fence is not None else line[3:]
        elif (fence is None and line.startswith("    ")) or fence == "sh":
            yield re.split(r"\s{2,}", line.strip())[0]


def _program(line: str) -> str:
    words = [word for word in line.split() if not re.match(r"[A-Z_]+=", word)]
    return words[0].rpartition("/")[2]


_LINES = [line for name in ("README.md", "docs/PC.md") for line in _blocks(ROOT / name)]


class _Influx(http.server.BaseHTTPRequestHandler):
    """Takes whatever is written, as an InfluxDB of version 1 or 2 does."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder to type in: a board is on the USB, and an InfluxDB runs."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "docs").mkdir()
    board = SerialBoard(tmp_path_factory.mktemp("board"))
    influx = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Influx)
    influx.asked = []
    threading.Thread(target=influx.serve_forever, daemon=True).start()
    with board, influx, home_assistant() as filled, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("AIOBLE", str(ROOT / "sim"))  # the stand-in
        patch.setenv("HOME_ASSISTANT_TOKEN", TOKEN)
        ports = [SimpleNamespace(device=board.port, vid=1)]
        patch.setattr(remote.list_ports, "comports", lambda: ports)
        yield SimpleNamespace(
            folder=folder,
            port=board.port,
            influx=f"127.0.0.1:{influx.server_port}",
            asked=influx.asked,
            filled=filled,
        )
        influx.shutdown()


@pytest.mark.parametrize("line", _LINES)
def test_a_line_of_the_documents(place, line, capfd, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))  # nothing has been sent yet
    program = {"install.sh": _install, "duckdb": _duckdb, "mpremote": _mpremote, "make": _make}
    for part in line.split(" && "):
        command = re.sub(r"/dev/ttyUSB0|COM7|\bPORT\b", place.port, part)
        server = rf"http://\g<1>{place.influx}"
        command = re.sub(r"\bhttps?://(me:password@)?[a-z.]+:8086", server, command)
        command = command.replace("http://homeassistant.local:8123", place.filled.url)
        words = shlex.split(command)
        _provide(place.folder, words)
        code = program.get(_program(part), _batmon)(place, words)
        said = capfd.readouterr()
        assert code == 0, said.out + said.err
        assert "left out" not in said.err  # of what batmon itself put there


def _batmon(place, words: list[str]) -> int:
    """Run `batmon`, in this process because each would take a second to begin."""
    out = None
    with pytest.MonkeyPatch.context() as patch:
        while "=" in words[0]:
            patch.setenv(*words.pop(0).split("="))
        if ">" in words:
            out = Path(words.pop())
            words.pop()
        if "<" in words:
            patch.setattr(sys, "stdin", io.StringIO(Path(words.pop()).read_text()))
            words.pop()
        name, *rest = words[1:]
        if name == "board":
            return _board(rest)
        if name in _DAYS:
            # as slow as it was, a second is enough; the last one counts
            rest += ["--days", "0.00002" if "--realtime" in rest else _DAYS[name]]
        if name == "sim" and "--out" not in rest:
            rest += ["--out", "simulated"]
        if name == "build" and "--out" not in rest:
            rest += ["--out", "one"]  # build/board is what the other tests use
        if any(word.startswith("--ble") for word in rest):
            patch.setattr(blelog, "BleLog", _AirLog)  # test_pull_ble.py reaches one
        if name in ("install", "doctor") and "--help" not in rest:
            rest += ["--wait", "0"]
        if name == "doctor":  # the board may be set to a BMS that is not there
            rest += ["--wait", "1"]
        if "--flash" in rest:  # it has its own tests
            rest.append("--yes")
            patch.setattr("batmon.board.flash.write", lambda firmware, port: None)
        asked = len(place.asked)
        with contextlib.redirect_stdout(io.StringIO()) if out else contextlib.nullcontext() as text:
            code = main([name, *rest])
        if name == "send" and "--home-assistant" not in rest:  # that takes whole hours only
            assert out or len(place.asked) > asked
    if out:
        out.write_text(text.getvalue())
        assert text.getvalue()
    return code


class _AirLog:
    """The log of a board in reach that has none yet."""

    def __init__(self, name: str, code: str):
        self.board = name
        assert len(code) == 6

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def files(self) -> dict[str, int]:
        return {}

    def told(self) -> tuple[str, str]:
        return "", ""


def _install(place, words: list[str]) -> int:
    """Run install.sh itself where its first sample can be waited for, else what it calls."""
    if not words[1:] or "--bms" not in words or "jikong" not in words:
        return _batmon(place, ["batmon", "install", *words[1:]])
    command = [str(ROOT / "install.sh"), place.port, *words[1:]]
    return subprocess.run(command, stdin=subprocess.DEVNULL, timeout=300).returncode


def _board(options: list[str]) -> int:
    """Start it, wait for its port, stop it as Ctrl-C does."""
    command = [sys.executable, "-m", "batmon", "board", *options, "--dir", "its flash"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        said = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert re.search(r" at /dev/\S+;", said)
    return process.returncode - 130


def _mpremote(place, words: list[str]) -> int:
    connect = [] if "connect" in words else ["connect", place.port]
    command = [str(Path(sys.executable).with_name("mpremote")), *connect, *words[1:]]
    return subprocess.run(command, timeout=300).returncode


def _duckdb(place, words: list[str]) -> int:
    import duckdb  # its program is no package; the library reads the same words

    option, query = words[1:]
    rows = duckdb.sql(query).fetchall()
    return 0 if option == "-c" and rows else 1


def _make(place, words: list[str]) -> int:
    """Make `run` for some simulated minutes; of others, see that make knows what to do."""
    more = ["DAYS=0.005"] if words[1] == "run" else ["--dry-run"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    command = ["make", *words[1:], *more]
    return subprocess.run(command, cwd=ROOT, env=environment, timeout=300).returncode


def _provide(folder: Path, words: list[str]):
    """Make what a command reads and is not there; what follows an option is written."""
    for word, before in zip(words[1:], words, strict=False):
        path = folder / word
        if before in ("-o", "--out", "--table", ">") or path.is_file():
            continue
        if path.suffix in (".raw", ".bts"):
            path.parent.mkdir(exist_ok=True)
            write(path.parent, path.name, _frames(int(path.stem[-5:])))
        elif path.suffix == ".txt":
            path.write_bytes((BOARD / "names.txt").read_bytes() if word == "names.txt" else b"-\n")
        elif path.suffix == ".bin":
            path.write_bytes(firmware())
        elif re.search(r"\.csv(\.gz)?$", word):
            path.write_bytes(_polls(word.endswith(".gz")))
        elif word.startswith("build/board"):
            path.mkdir(parents=True, exist_ok=True)
            (path / "example.txt").write_text("example\n")
        elif word.rstrip("/") in ("data", "van", "house", "fleet") and words[1] != "pull":
            path.mkdir(exist_ok=True)
            if not any(path.glob("*-*")):
                write(path, f"{path.name}-00003.raw", _frames(3))


def _frames(number: int) -> list[bytes]:
    up = 4000 * number
    rows = [data(up + 30 * i, 13.2 + i / 1000, i % 9 - 4) for i in range(100)]
    return [anchor(up, _START + up, 1), *rows]


def _polls(gzipped: bool) -> bytes:
    import gzip

    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow("time_s voltage current temperature soc c1_mv c2_mv".split())
    for i in range(200):
        rows.writerow([_START + 2 * i, 6.6, i % 7 - 3, 20, 50 + i / 100, 3300, 3301 + i % 3])
    data = text.getvalue().encode()
    return gzip.compress(data) if gzipped else data


def test_lines_are_of_programs_that_the_tests_know():
    assert {_program(line) for line in _LINES} == set(_PROGRAMS)


def test_reading_in_python(place):
    (code,) = re.findall(
        r"```python\n(import batmon.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    _provide(place.folder, ["batmon", "verify", "data"])
    names = {}
    exec(code, names)
    assert len(names["table"]) == len(batmon.read("data")) > 0


@functools.cache
def _options(command: str) -> set[str]:
    return {
        name for each in clidoc.arguments(clidoc.parsers()[command]) for name in each.option_strings
    }


def test_what_is_named_within_a_sentence_or_elsewhere_exists():
    checked = 0
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for line in _blocks(path):
            if _program(line) == "batmon" and "=" not in line.split()[0]:
                for part in re.split(" [<>] ", line)[0].split(" && "):
                    make_parser().parse_args(shlex.split(part)[1:])
        for words in re.findall(
            r"`(?:\S*/)?((?:batmon|install\.sh)(?: [^`]+)?)`", path.read_text()
        ):
            words = words.replace("install.sh", "batmon install").split()
            if len(words) < 2 or not words[1].islower():
                continue
            for option in re.findall(r"(?<!\S)--?[a-z][a-z-]*", " ".join(words[2:])):
                assert option == "--help" or option in _options(words[1]), (path.name, words)
                checked += 1
    assert checked > 5


def test_every_command_is_told_with_its_options_and_examples():
    text = clidoc.PATH.read_text()
    assert clidoc.document(text) == text, "run python -m batmon.clidoc"
    assert set(re.findall(r"^## batmon (\w+)", text, re.M)) == set(clidoc.parsers())
    for name in clidoc.parsers():
        assert any(f"batmon {name}" in line or name == "install" for line in _LINES)
