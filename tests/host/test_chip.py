"""The board on chips as poor as the real ones: Bluetooth before the heap, WiFi's memory, panics."""

import json

import pytest

from batmon.virtual import process


@pytest.mark.parametrize("chip", process.CHIPS)
def test_every_chip_polls(run, chip):
    end, words, glass = run(10, chip=chip)
    assert end["connected"] and end["panics"] == [] and "Error" not in words
    memory = end["memory_at"]["end"]
    spec = process.CHIPS[chip]
    taken = spec["block"] + spec["rest"] - memory["system_free"]
    assert taken == spec["bluetooth"] + spec["link"]
    assert "13." in glass  # the display is at the chip's own pins


def test_wifi_that_a_soft_reset_left_is_given_back_before_the_start(run, tmp_path):
    soft = 5
    (tmp_path / "rtc.bin").write_bytes(bytes([soft]))
    past = {"t_ms": 0, "unix_ms": None, "wifi": True}
    (tmp_path / "rtc.bin.world").write_text(json.dumps(past))
    end, words, _ = run(10)
    said = "the start needs 110 kB of system memory, there are 85 (70 in one block)"
    assert f"{said}; the board resets to get it back" in words
    assert end["connected"] and end["panics"] == []
    assert words.count("press Ctrl-C now") == 2
