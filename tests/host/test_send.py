"""`batmon send` into a real InfluxDB 1, and to a stand-in that speaks the write API of 2."""

import base64
import gzip
import http.server
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time

import pytest
from influx_server import influx
from shardfiles import anchor, data, write

import batmon
from batmon.cli import main

_START = 1_767_247_200
_IN_PARTS = """
import itertools, sys, time
from batmon.cli import main
from batmon.log import influx

influx.BATCH_ROWS = 300
write, count = influx.Server.write, itertools.count(1)

def some(server, lines):
    write(server, lines)
    while next(count) >= int(sys.argv[1]):
        time.sleep(1)  # until it is killed, however slow the killer is

influx.Server.write = some
sys.exit(main(sys.argv[2:]))
"""
_ROWS = "SELECT * FROM battery WHERE battery = '{}'"


def _log(folder, battery, count, per_shard, first=0):
    """Write rows every 2 s, two of them in each tenth second."""
    frames = [anchor(0, _START)]
    for i in range(count):
        frames.append(data(2 * (i - i % 10 // 9), 13 + i % 100 / 100, i / 1000))
    for number, at in enumerate(range(0, len(frames), per_shard), 1):
        write(folder, f"{battery}-{number:05}.raw", frames[at : at + per_shard])


def _check(server, folder, battery):
    """Compare what the server has with what the log holds."""
    table = batmon.read(folder)
    table = table[table["battery"] == battery]
    stored = server.query(_ROWS.format(battery))
    assert len(stored) == len(table)
    times = table["time_utc"].astype("datetime64[s, UTC]").astype("int64").tolist()
    assert [row["time"] for row in stored] == times
    for name in ("voltage_V", "current_A", "soc_percent", "cell_min_mV", "interval_s"):
        assert [row[name] for row in stored] == pytest.approx(table[name].tolist(), rel=1e-5)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with influx(tmp_path_factory.mktemp("influx")) as running:
        yield running


def _send(server, folder, state, *more):
    return main(["send", str(folder), "--influx", server.url, "--state", str(state), *more])


def test_every_row_once_with_its_time_and_only_what_is_new(server, tmp_path, capsys):
    folder, state = tmp_path / "log", tmp_path / "state.json"
    folder.mkdir()
    _log(folder, "van", 500, 200)
    _log(folder, "boat", 300, 200)
    assert _send(server, folder, state) == 0
    assert "800 new rows" in capsys.readouterr().out
    _check(server, folder, "van")
    _check(server, folder, "boat")
    assert _send(server, folder, state) == 0
    assert " 0 new rows" in capsys.readouterr().out
    _log(folder, "van", 700, 200)  # the last shard has grown and there is a new one
    assert _send(server, folder, state) == 0
    assert " 200 new rows" in capsys.readouterr().out
    assert _send(server, folder, state, "--again") == 0
    assert " 1000 new rows" in capsys.readouterr().out
    _check(server, folder, "van")


def test_killed_at_any_moment_and_run_again(server, tmp_path):
    folder, state = tmp_path / "log", tmp_path / "state.json"
    folder.mkdir()
    _log(folder, "bus", 9000, 1000)
    python = [sys.executable, "-c", _IN_PARTS]
    words = ["send", str(folder), "--influx", server.url, "--state", str(state)]
    for rows in (1, 4000):
        process = subprocess.Popen([*python, "20", *words])  # parts of 30
        end = time.monotonic() + 120
        # as soon as it has come so far
        while process.poll() is None and time.monotonic() < end:
            count = server.query("SELECT count(voltage_V) FROM battery WHERE battery = 'bus'")
            if count and count[0]["count"] >= rows:
                break
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert subprocess.run([*python, "99", *words]).returncode == 0
    _check(server, folder, "bus")


def test_rows_without_a_sure_time_wait_for_it(server, tmp_path, capsys):
    state = tmp_path / "state.json"
    frames = [anchor(0, 0)] + [data(10 * i) for i in range(1, 50)]
    path = write(tmp_path, "tent-00001.raw", frames)
    assert _send(server, path, state) == 0
    said = capsys.readouterr()
    assert " 0 new rows" in said.out and "49 rows from before" in said.err
    write(tmp_path, "tent-00001.raw", [*frames, anchor(600, _START), data(600)])
    assert _send(server, path, state) == 0
    assert " 50 new rows" in capsys.readouterr().out
    _check(server, path, "tent")


def test_shards_that_come_late_or_anew_are_not_forgotten(server, tmp_path, capsys):
    folder, state = tmp_path / "log", tmp_path / "state.json"
    folder.mkdir()
    for number in (1, 2, 3):
        up = 900 * number
        frames = [data(up + 2 * i, 13 + i / 500) for i in range(100 * number)]
        write(folder, f"ship-0000{number}.raw", [anchor(up, _START + up, number), *frames])

    def sent(path, *more):
        assert _send(server, path, state, *more) == 0
        return int(capsys.readouterr().out.rpartition(": ")[2].split()[0])

    assert sent(folder / "ship-00002.raw") == 200
    assert sent(folder) == 400 and sent(folder) == 0
    _check(server, folder, "ship")
    # one had lost its middle by damage, of which there is a better copy now
    content = (folder / "ship-00002.raw").read_bytes()
    (folder / "ship-00002.raw").write_bytes(content[:1000] + b"?" + content[1001:])
    assert _send(server, folder, state, "--again") == 1
    (folder / "ship-00002.raw").write_bytes(content)
    capsys.readouterr()
    assert sent(folder) == 200
    # the board was erased: its numbers begin anew
    frames = [anchor(0, _START + 10**6)] + [data(3 * i) for i in range(600)]
    (tmp_path / "new").mkdir()
    assert sent(write(tmp_path / "new", "ship-00001.raw", frames)) == 600


@pytest.mark.parametrize(
    "answer, words",
    [
        (b"SSH-2.0-OpenSSH\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "answers 200"),
    ],
)
def test_what_is_no_influxdb_has_taken_nothing(tmp_path, capsys, answer, words):
    class Other(socketserver.StreamRequestHandler):
        def handle(self):
            while self.rfile.readline().strip():
                pass
            self.wfile.write(answer)

    write(tmp_path, "a-00001.raw", [anchor(0, _START), data(1)])
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        arguments = ["send", str(tmp_path), "--influx", url, "--state", str(tmp_path / "s")]
        assert main(arguments) == 1
        server.shutdown()
    error = capsys.readouterr().err
    assert words in error and len(error.splitlines()) == 1
    assert not (tmp_path / "s").exists()


def test_no_such_database(server, tmp_path, capsys):
    write(tmp_path, "a-00001.raw", [anchor(0, _START), data(1)])
    assert _send(server, tmp_path, tmp_path / "s", "--db", "absent") == 1
    error = capsys.readouterr().err
    assert "database not found" in error and len(error.splitlines()) == 1


class _Version2(http.server.BaseHTTPRequestHandler):
    """Keeps the requests it gets; is out of order for the first."""

    def do_POST(self):
        body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
        asked = self.server.asked
        asked.append((self.path, self.headers["Authorization"], body.decode()))
        self.send_response(503 if len(asked) == 1 else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_version_2_and_a_server_out_of_order(tmp_path, monkeypatch):
    write(tmp_path, "my_van-00001.raw", [anchor(0, _START), data(1, 13.2, -2.5), data(1)])
    monkeypatch.setenv("INFLUX_TOKEN", "secret")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Version2) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        arguments = ["send", str(tmp_path), "--influx", url, "--org", "my home", "--bucket", "bat"]
        arguments += ["--tag", "board=the attic", "--state", str(tmp_path / "s")]
        assert main(arguments) == 0
        server.shutdown()
    path, login, body = server.asked[1]
    assert server.asked[0] == server.asked[1] and len(server.asked) == 2
    assert path == "/api/v2/write?org=my+home&bucket=bat&precision=ns"
    assert login == "Token secret"
    first, second = body.splitlines()
    assert first.startswith("battery,battery=my_van,board=the\\ attic voltage_V=13.2031,")
    assert first.endswith(f" {_START + 1}000000000") and second.endswith(f" {_START + 1}001000000")


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_version_1_with_a_login_below_a_path(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    frames = [anchor(0, 0, 1), data(5), anchor(0, _START, 2), data(7), data(9)]
    path = write(tmp_path, "a-00001.raw", frames)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Version2) as server:
        server.asked = [None]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://me:p%40ss@127.0.0.1:{server.server_port}/my db/"
        for more in ([], [], ["--tag", "board=x"]):  # with another tag they are others
            assert main(["send", str(path), "--influx", url, *more]) == 0
        server.shutdown()
    assert "1 row from before" in capsys.readouterr().err
    assert [asked[0] for asked in server.asked[1:]] == ["/my%20db/write?db=batmon&precision=ns"] * 2
    assert server.asked[1][1] == "Basic " + base64.b64encode(b"me:p@ss").decode()
    times = [int(line.split()[-1]) // 10**9 for line in server.asked[1][2].splitlines()]
    assert times == [_START + 7, _START + 9]
    assert server.asked[2][2].count("battery,battery=a,board=x ") == 2


def test_boots_that_share_seconds_lose_no_row(tmp_path, capsys):
    # the clock of the second start was 300 s behind, that of the third is right again
    minute = [data(10 * i) for i in range(1, 61)]
    for boot, late in ((1, 0), (2, 300), (3, 900)):
        frames = [anchor(0, _START + late, boot), *minute, data(600)]
        write(tmp_path, f"a-0000{boot}.raw", frames)
    write(tmp_path, "b-00001.raw", [anchor(0, _START), *minute])
    for more in ([], [], ["a-00001.raw"]):
        arguments = [str(tmp_path / name) for name in more] or [str(tmp_path)]
        assert main(["send", *arguments, "--influx", "-"]) == 0
        lines = capsys.readouterr().out.splitlines()
        points = {(line.split()[0], line.split()[2]) for line in lines}
        assert len(points) == len(lines) == (61 if more else 3 * 61 + 60)
        # what is there alone has the second itself, as the board's own lines have
        assert sum(line.endswith("000000000") for line in lines) >= 60


def test_line_protocol_to_stdout(tmp_path, capsys):
    write(tmp_path, "a-00001.raw", [anchor(0, _START), data(1), data(3, current=float("nan"))])
    assert main(["send", str(tmp_path), "--influx", "-"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2 and "current_A=-2.5" in out[0] and "current_A" not in out[1]


@pytest.mark.parametrize(
    "arguments, word",
    [
        (["--influx", "localhost"], "http://localhost:8086"),
        (["--influx", "http://"], "http://localhost:8086"),
        (["--influx", "http://[::1"], "http://[::1 is not like"),
        (["--influx", "http://x:y"], "http://x:y is not like"),
        (["--influx", "http://my van:8086"], "http://my van:8086 is not like"),
        (["--influx", "http://x..y"], "http://x..y is not like"),
        (["--influx", "http://x", "--bucket", "b"], "--org"),
        (["--influx", "http://x", "--bucket", "b", "--org", "o"], "INFLUX_TOKEN"),
        (["--influx", "-", "--tag", "x"], "--tag x"),
    ],
)
def test_mistakes(tmp_path, capsys, monkeypatch, arguments, word):
    monkeypatch.delenv("INFLUX_TOKEN", raising=False)
    write(tmp_path, "a-00001.raw", [anchor(0, _START), data(1)])
    assert main(["send", str(tmp_path), *arguments]) == 2
    error = capsys.readouterr().err
    assert word in error and len(error.splitlines()) == 1


def test_a_server_that_is_not_there(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("batmon.log.influx._TRIES", 1)
    write(tmp_path, "a-00001.raw", [anchor(0, _START), data(1)])
    arguments = ["--influx", "http://127.0.0.1:9", "--state", str(tmp_path / "s")]
    assert main(["send", str(tmp_path), *arguments]) == 1
    assert "did not take the rows" in capsys.readouterr().err


def test_memory_that_cannot_be_read_sends_again(server, tmp_path, capsys):
    write(tmp_path, "a-00001.raw", [anchor(0, _START), data(1)])
    state = tmp_path / "state.json"
    state.write_text("{garbage")
    assert _send(server, tmp_path / "a-00001.raw", state) == 0
    said = capsys.readouterr()
    assert "sent again" in said.err and " 1 new row of" in said.out
    assert os.path.getsize(state) > 2
