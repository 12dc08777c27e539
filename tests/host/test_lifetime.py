"""Lifetime counters on the PC: those of a pulled folder in info and report."""

import json

import numpy as np
import pagejs
import pytest
import test_happened
from shardfiles import anchor, data

from batmon.cli import main
from batmon.log import lifetime
from batmon.log.formats import counters, frame, sums


def write_counters(folder, battery, minutes=99):
    """Write the board's file: so many minutes at -36 A and 13.2 V, half full."""
    counted = counters.Counters()
    counted.begin(1)
    fields = {"soc": 100, "cell_min_mv": 3290, "cell_max_mv": 3310}
    for minute in range(minutes + 1):
        counted.put(bytearray(data(60 * minute, 13.2, -36.0, **fields)), 0)
    sums.save(str(folder), battery, counted.n)


def test_info_and_report_tell_the_boards_counters(tmp_path, capsys):
    test_happened.write_fault(tmp_path)
    assert lifetime.kept([tmp_path]) == {}
    assert main(["info", str(tmp_path)]) == 0
    assert "ever" not in capsys.readouterr().out
    write_counters(tmp_path, "van", 50)
    write_counters(tmp_path, "van")  # into the older of two files
    assert main(["info", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert (
        "van ever: 0.0 kWh (0.0 Ah) in, 0.8 kWh (59.4 Ah) out, 0 full charges, never below 50 %,"
        " cells 3290 to 3310 mV, 2 h logged\n"
    ) in said
    assert main(["info", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)[-1]
    assert told["battery"] == "van" and told["lifetime"]["rows"] == 100
    out = tmp_path / "van.html"
    assert main(["report", str(tmp_path), "-o", str(out)]) == 0
    assert '"ever": {"charge_in_Ah": 0.0,' in out.read_text(encoding="utf-8")


@pytest.mark.parametrize("seed", range(5))
def test_the_page_counts_the_same(tmp_path, seed):
    """Of random counters, whole and broken, in the two files of several batteries."""
    rng = np.random.default_rng(seed)
    for number in range(10):
        counted = counters.Counters()
        counted.begin(int(rng.integers(0, 3)))
        for _ in range(int(rng.integers(0, 30))):
            now_s = int(rng.integers(0, 1 << 16))
            if rng.random() < 0.3:
                counted.put(bytearray(anchor(now_s, int(rng.integers(0, 2)) * 1_780_272_000)), 0)
            soc = int(rng.choice([100, 200, frame.UNKNOWN_U8]))
            low_mv = int(rng.choice([3290, frame.UNKNOWN_U16]))
            fields = {"soc": soc, "cell_min_mv": low_mv, "cell_max_mv": low_mv}
            amps = float(rng.normal(0, 50))
            counted.put(bytearray(data(now_s, 13.2, amps, **fields)), 0)
        content = sums.encode(counted.n)
        content[int(rng.integers(0, 100))] ^= int(rng.random() < 0.2)
        (tmp_path / f"b{number // 3}.sum{'2' * (number & 1)}").write_bytes(content)
    files = [(path.name, path.read_bytes()) for path in sorted(tmp_path.glob("*.sum*"))]
    code = "tell(Object.fromEntries(lifetimes(files.map(([name, data]) => ({ name, data })))));"
    assert pagejs.run(tmp_path, code, files) == lifetime.kept([tmp_path])


def test_a_file_that_is_none_counts_for_nothing(tmp_path, capsys):
    test_happened.write_fault(tmp_path)
    (tmp_path / "van.sum").write_bytes(b"BSC1" + bytes(96))
    (tmp_path / "other.sum2").write_bytes(b"")
    assert main(["info", str(tmp_path)]) == 0
    assert "ever" not in capsys.readouterr().out
