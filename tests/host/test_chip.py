"""The board on chips as poor as the real ones: Bluetooth before the heap, WiFi's memory, panics."""

import json
import os
import re
import shutil

import pytest

from batmon.firmware.build import build
from batmon.paths import BUILD
from batmon.virtual import process

_DAYS = int(os.environ.get("DAYS", 30))  # of the campaign


@pytest.mark.parametrize("chip", process.CHIPS)
def test_every_chip_polls(run, chip):
    end, words, glass = run(10, chip=chip)
    assert end["connected"] and end["panics"] == [] and "Error" not in words
    memory = end["memory_at"]["end"]
    spec = process.CHIPS[chip]
    taken = spec["block"] + spec["rest"] - memory["system_free"]
    grown = memory["heap_size"] - spec["heap"]
    assert taken == spec["bluetooth"] + spec["link"] + grown
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


def test_a_board_that_was_killed_as_it_wrote_its_memory_starts_as_from_power_on(run, tmp_path):
    for name in ("rtc.bin", "rtc.bin.world"):
        (tmp_path / name).write_bytes(b"")
    end, words, _ = run(10)
    assert end["connected"] and "Error" not in words


def test_the_boards_names_fit_into_what_the_simulator_counts_for_them(run, tmp_path):
    build(BUILD / "board-jikong", ["jikong_bms"])  # with all drivers they are some more
    shutil.copytree(BUILD / "board-jikong", tmp_path / "board")
    main = tmp_path / "board/main.py"
    wait = "import asyncio, micropython\nasync def tell():\n    await asyncio.sleep(200)\n"
    wait += "    micropython.qstr_info()\nasyncio.create_task(tell())\n"
    before = "import micropython\nmicropython.qstr_info()\n"
    main.write_text(before + main.read_text().replace("app = ", wait + "app = "))
    _, words, _ = run(5)
    first, last = (int(n) for n in re.findall(r"n_qstr=(\d+)", words))
    assert 400 < last - first <= 680, "sim/world.py: _NAMES_ON_CHIP"


@pytest.mark.parametrize(("heap", "least", "most"), [("chip", 4000, 4000), ("4m", 16000, 33000)])
def test_a_large_heap_is_collected_less_often(run, tmp_path, heap, least, most):
    run(0.1)  # makes the tree
    main = tmp_path / "board/main.py"
    main.write_text(main.read_text() + "\nimport gc\nprint('collects after', gc.threshold())\n")
    (tmp_path / "flash.img").unlink()
    _, words, _ = run(0.1, heap=heap)
    words_of_8 = 2  # bytes for one of a chip's
    assert least <= int(re.search(r"collects after (\d+)", words)[1]) / words_of_8 <= most


def _at_the_limit(run, tmp_path, days, poll_s, **changes):
    """Run in the heap of the chip, with one driver as install.sh does; return memory and words."""
    build(BUILD / "board-jikong", ["jikong_bms"])
    shutil.copytree(BUILD / "board-jikong", tmp_path / "board", dirs_exist_ok=True)
    if changes.pop("small_shards", False):  # that fill, and are packed, every few days
        main = tmp_path / "board/main.py"
        main.write_text(main.read_text().replace("app = ", f"{_SMALL_SHARDS}app = "))
    end, words, _ = run(1440 * days, settings={"poll_s": poll_s}, **changes)
    assert end["panics"] == [] and end["connected"]
    assert end["memory_at"]["end"]["heap_size"] == 112 << 10, "it has grown into the radio's memory"
    return end["memory_at"], words


_SMALL_SHARDS = """import asyncio
async def small():
    store = None
    while not store:
        await asyncio.sleep(60)
        store = app.batteries[0].store
    store.limit = 8 << 10
asyncio.create_task(small())
"""


@pytest.mark.parametrize("hours", [8, pytest.param(24, marks=pytest.mark.campaign)])
def test_a_day_in_the_heap_of_an_esp32(run, tmp_path, hours):
    evening = process.START_UNIX + 14 * 3600  # midnight is among the hours
    memory = _at_the_limit(run, tmp_path, hours / 24, 30, start_unix=evening)[0]["end"]
    assert memory["chip_heap"] <= 97_000 and memory["system_least"] >= 20_000, memory


@pytest.mark.campaign
@pytest.mark.parametrize("interpreter", ["64", "32"])
def test_thirty_days_with_faults_and_packings_in_the_heap_of_an_esp32(run, tmp_path, interpreter):
    config = {"interpreter": interpreter, "battery": "ebike", "faults": True, "small_shards": True}
    memory, words = _at_the_limit(run, tmp_path, _DAYS, 60, **config)
    assert words.count("packing the log") >= _DAYS // 4
    each_day = [memory[f"day{day + 1}"]["largest_free"] for day in range(_DAYS)]
    assert min(each_day) >= 8 << 10, each_day
