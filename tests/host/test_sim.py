"""`batmon sim` against a stand-in for the interpreter that speaks the virtual board's protocol."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from shardfiles import anchor, data, write

from batmon.cli import main
from batmon.console import add_board
from batmon.firmware import interpreter
from batmon.firmware.build import build
from batmon.virtual import process, sim

_POWER = {"asleep_ms": 0, "look_ms": 0, "lit_ms": 0, "looks": 0}

# What the interpreter is told to do instead of running board.py: see the functions in _MAIN.
_STAND_IN = """#!{python}
import json, os, signal, sys, time
if sys.argv[1] == "-c":  # the build asks what it is: for another it would make build/sim anew
    os.execv({real!r}, [{real!r}, *sys.argv[1:]])
config = json.load(open(sys.argv[-1]))
assert sys.argv[1] == "-X" and sys.argv[2].startswith("heapsize="), sys.argv

def record(kind, **more):
    print("\\x1e" + json.dumps(dict(
        type=kind, t_s=43200, unix=0, link="connected", connected=True, frames=2, flushes=1,
        shards=1, bytes=52, heap=1) | more), flush=True)

def status():
    record("status", progress=0.5, lcd={{
        "cols": 16, "rows": 2, "cells": [[72, 73] + [32] * 14] * 2, "cgram": [0] * 64,
        "backlight": True}})

def end(reason):
    for at, size in (("first_hour", 1024), ("end", 2048)):
        record("heap", at=at, heap=size, system_free=9216, system_largest=3072, system_least=1024)
    record("end", reason=reason,
           power={power},
           truth={{"charge_in_ah": 3.0, "charge_out_ah": 1.0, "polls": 2}})

{behaviour}
"""

_BEHAVIOURS = {
    "done": "print('hello'); status(); end('done')",
    "samples": """
for hour in range(47):
    record("clock", t_s=3600 * hour)
    soc = 50 if hour < 4 or hour > 45 else 49
    amperes = -1.2 if hour < 19 else -0.4 if hour % 2 else 0.4
    print(f"12.90 V  {amperes:.2f} A  {soc} %  cells 1/2 mV  9 C  {hour} frames")
    print(f"my: bow: 52.80 V  2.00 A  88 %  cells 1/2 mV  9 C  {hour} frames")  # one of several
    if hour == 19:
        print("lost")
end("done")
""",
    "heap": "print(sys.argv[2]); end('done')",
    "crash": "print('Traceback: trouble'); sys.exit(1)",
    "reset once": """
first = not os.path.exists(config["rtc"])
open(config["rtc"], "w").close()
status()
if first:
    sys.exit(75)
end("done")
""",
    "reset for ever": "sys.exit(75)",
    "vanish": "status()",
    "hang": "status(); signal.pause()",
    "stop": """
print("connected")
status()
while not os.path.exists(config["out"] + "/stop"):
    time.sleep(0.01)
end("interrupted")
""",
    "ignore": """
print("connected")
status()
while not os.path.exists(config["out"] + "/stop"):
    time.sleep(0.01)
print("ignored", flush=True)
signal.pause()
""",
}


@pytest.fixture
def board(tmp_path, monkeypatch):
    """Make a stand-in behave as named."""
    parts = {"python": sys.executable, "power": _POWER, "real": interpreter.micropython()}

    def behave(name):
        path = tmp_path / "micropython"
        parts["behaviour"] = _BEHAVIOURS[name]
        path.write_text(_STAND_IN.format(**parts))
        path.chmod(0o755)
        monkeypatch.setenv("MICROPYTHON", str(path))

    return behave


def _sim(tmp_path, *more):
    return main(["sim", "--out", str(tmp_path / "out"), *more])


def test_plain_lines_and_summary(tmp_path, board, capsys):
    board("done")
    assert _sim(tmp_path) == 0
    said = capsys.readouterr().out
    assert "day 1 06:00  hello\n" in said and "\x1e" not in said and "\x1b" not in said
    assert "12.0 hours in" in said and "heap           1 kB after an hour, 2 kB at the end" in said
    system = "system         9 kB free at the end, largest block 3 kB, never less than 1 kB"
    assert system in said
    assert (tmp_path / "out" / "repl.txt").read_text() == "hello\n"


def test_a_line_per_change_with_the_time_of_day(tmp_path, board, capsys):
    board("samples")
    assert _sim(tmp_path) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(" %")[0] for line in said if "12.90 V" in line] == [
        "day 1 06:00  12.90 V  -1.20 A  50",
        "day 1 10:00  12.90 V  -1.20 A  49",
        "day 2 01:00  12.90 V  -0.40 A  49",
        "day 3 04:00  12.90 V  0.40 A  50",
    ]
    assert len([line for line in said if "my: bow: 52.80 V" in line]) == 1
    assert [line for line in said if "lost" in line] == ["day 2 01:00  lost"]
    assert len((tmp_path / "out/repl.txt").read_text().splitlines()) == 2 * 47 + 1


def test_the_last_line_opens_the_report(tmp_path, board, capsys):
    board("done")
    assert _sim(tmp_path) == 0
    (tmp_path / "out/data").mkdir()
    write(tmp_path / "out/data", "a-00001.raw", [anchor(0, 1_767_247_200), data(10), data(20)])
    command = capsys.readouterr().out.splitlines()[-1].partition(":  ")[2]
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.returncode == 0 and Path(f"{tmp_path}/out.html").exists(), done.stderr


def test_the_heap_is_as_large_as_asked_for(tmp_path, board, capsys):
    board("heap")
    sizes = []
    for heap in "256k", "512k", "1M":
        assert _sim(tmp_path, "--heap", heap) == 0
        sizes.append(int((tmp_path / "out/repl.txt").read_text()[len("heapsize=") : -2]))
    assert [size - sizes[0] for size in sizes] == [0, 256, 768]


def test_json_is_all_there_is(tmp_path, board, capsys):
    board("done")
    assert _sim(tmp_path, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) >= {
        "days", "frames", "shards", "bytes", "bytes_per_frame", "charge_in_ah", "charge_out_ah",
        "truth_charge_in_ah", "truth_charge_out_ah", "charge_error_percent",
        "voltage_max_error_mv", "heap_first_hour", "heap_end", "reason", "out", "seconds",
    }  # fmt: skip
    assert (result["reason"], result["heap_end"], result["frames"]) == ("done", 2048, 0)


def test_reset_starts_the_board_again(tmp_path, board, capsys):
    board("reset once")
    assert _sim(tmp_path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["reason"] == "done"


def test_what_other_tests_run_meanwhile_is_not_made_anew(tmp_path, board):
    build()
    board("done")
    assert _sim(tmp_path) == 0 and build().made == 0


@pytest.mark.parametrize(
    "behaviour, words",
    [
        ("crash", "crashed (exit code 1)"),
        ("vanish", "crashed (exit code 0)"),
        ("reset for ever", "reset 5 times"),
        ("hang", "said nothing"),
    ],
)
def test_a_board_that_fails(tmp_path, board, capsys, monkeypatch, behaviour, words):
    if behaviour == "hang":
        monkeypatch.setattr(process, "_SILENCE_S", 1)
    board(behaviour)
    assert _sim(tmp_path) == 1
    said = capsys.readouterr().err
    assert words in said and str(tmp_path / "out" / "repl.txt") in said
    assert len(said.splitlines()) == 1


def _started(tmp_path):
    command = [sys.executable, "-m", "batmon", "sim", "--out", str(tmp_path / "out")]
    started = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )
    assert "connected" in started.stdout.readline()
    return started


def test_ctrl_c_lets_the_board_finish(tmp_path, board):
    board("stop")
    with _started(tmp_path) as started:
        os.killpg(started.pid, signal.SIGINT)  # as a terminal does it
        said, error = started.communicate(timeout=120)
    assert started.returncode == 0, error
    assert "(stopped early)" in said and error == ""


def test_second_ctrl_c_kills_it(tmp_path, board):
    board("ignore")
    with _started(tmp_path) as started:
        started.send_signal(signal.SIGINT)
        assert started.stdout.readline() == "day 1 18:00  ignored\n"
        time.sleep(process._ECHO_S)  # within it, it would be the first one still
        started.send_signal(signal.SIGINT)
        _, error = started.communicate(timeout=120)
    assert started.returncode == 130
    assert error == "batmon: stopped\n"


def test_two_ctrl_c_at_once_are_one(tmp_path, monkeypatch):
    now_s = 100.0
    monkeypatch.setattr(process.time, "monotonic", lambda: now_s)
    stop = process._Stop(tmp_path / "stop")
    for since_s in (0, 0.01, 0.2):  # as when a shell passes it on
        now_s = 100 + since_s
        stop._press()
        assert stop.presses == 1 and (tmp_path / "stop").exists()


def test_out_must_hold_nothing_foreign(tmp_path, board, capsys):
    board("done")
    assert _sim(tmp_path) == 0  # twice into the same folder is fine
    assert _sim(tmp_path) == 0
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    capsys.readouterr()
    assert _sim(tmp_path) == 2
    assert "thesis.txt" in capsys.readouterr().err
    assert (tmp_path / "out" / "thesis.txt").read_text() == "precious"
    assert (tmp_path / "out" / "repl.txt").exists()


@pytest.mark.parametrize(
    "arguments, word",
    [
        (["--days", "0"], "0 is not a number of days"),
        (["--days", "x"], "x is not a number of days"),
        (["--size", "2T"], "2T is not a flash size"),
        (["--heap", "lots"], "lots is not a heap size"),
        (["--chip", "s2"], "s2"),
        (["--seed", "-1"], "-1 is not a whole number"),
        (["--lcd", "8x1"], "8x1"),
        (["--battery", "lemon"], "neither one of van, house, ebike, parked nor a file"),
    ],
)
def test_wrong_options_get_a_sentence(tmp_path, capsys, arguments, word):
    try:
        code = _sim(tmp_path, *arguments)
    except SystemExit as exit:
        code = exit.code
    assert code == 2
    said = capsys.readouterr().err
    assert word in said and len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_missing_interpreter_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MICROPYTHON", "/nowhere/micropython")
    assert _sim(tmp_path) == 2
    assert "/nowhere/micropython" in capsys.readouterr().err


def test_figures_against_the_truth(tmp_path):
    out = tmp_path
    (out / "data").mkdir()
    start = 1_767_247_200
    frames = [anchor(0, start), data(10, 13.2, 9.0), data(3610, 13.3, 3.0), data(7210, 13.2, -1.0)]
    write(out / "data", "a-00001.raw", frames)
    truth = ["time_s,voltage,current"]
    truth += [f"{start + t + 0.4},{v},1" for t, v in ((8, 13.1), (10, 13.2), (3610, 13.31))]
    truth += [f"{start + 7205},99,1", f"{start + 7211},13.18,1"]
    (out / "truth.csv").write_text("\n".join(truth))
    (out / "config.json").write_text('{"names": ["a"]}')
    end = {
        "t_s": 7210,
        "reason": "done",
        "heap_at": {},
        "truth": {"charge_in_ah": 3.0, "charge_out_ah": 1.004},
        "power": _POWER,
    }
    result = sim.compare(end, Path(out))
    assert (result["charge_in_ah"], result["charge_out_ah"]) == (3.0, 1.0)
    assert result["charge_error_percent"] == pytest.approx(0.1, abs=0.001)
    assert result["voltage_max_error_mv"] == pytest.approx(23.1)
    assert (result["frames"], result["shards"], result["bytes"]) == (3, 1, 65)


def test_the_options_know_every_chip():
    parser = argparse.ArgumentParser()
    add_board(parser)
    for chip in process.CHIPS:
        assert parser.parse_args(["--chip", chip]).chip == chip
    (option,) = (action for action in parser._actions if action.dest == "chip")
    assert set(option.choices) == set(process.CHIPS)
