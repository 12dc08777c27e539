"""The table of chips: every name, the pins that are safe, and what HARDWARE.md says of them."""

import re

import pytest

from batmon.firmware import boards
from batmon.paths import ROOT
from batmon.virtual import process

_BOARDS = boards.load()
_HARDWARE = (ROOT / "docs/HARDWARE.md").read_text()


@pytest.mark.parametrize(
    "machine, name, pins",
    [
        ("Generic ESP32 module with ESP32", "ESP32", (21, 22)),
        ("ESP32C3 module with ESP32C3", "ESP32C3", (6, 7)),
        ("Generic ESP32S3 module with ESP32S3", "ESP32S3", (8, 9)),
        ("Generic ESP32-S3 module with ESP32-S3", "ESP32S3", (8, 9)),  # since 1.29
        ("LOLIN C3 mini with ESP32-C3FH4", "ESP32C3", (6, 7)),
        ("M5Stack NanoC6 with ESP32-C6", "ESP32C6", (6, 7)),
        ("esp32-c6", "ESP32C6", (6, 7)),
        ("M5Stack Atom with ESP32-PICO-D4", "ESP32PICO", (21, 22)),
        ("Generic ESP32 module with SPIRAM with ESP32", "SPIRAMWITHESP32", (21, 22)),
        (
            "Generic ESP32S3 module with Octal-SPIRAM with ESP32S3",
            "OCTALSPIRAMWITHESP32S3",
            (8, 9),
        ),
        ("something else", "ESP32", (21, 22)),
    ],
)
def test_a_board_is_known_by_what_it_calls_itself(machine, name, pins):
    row = _BOARDS.row(machine)
    assert (row[0], _BOARDS.pins(row)) == (name, pins)


@pytest.mark.parametrize("release", [0, 1])
@pytest.mark.parametrize("chip", process.CHIPS)
def test_the_table_and_the_virtual_chips_agree(chip, release):
    truth = process.CHIPS[chip]
    row = _BOARDS.row(process.machine_name(chip, release))
    assert list(_BOARDS.flash_pins(row)) == [truth["flash"]]
    assert int(row[4]) <= truth["limit"] / 1000
    for pin in _BOARDS.pins(row):
        assert truth["pins"][0] <= pin <= truth["pins"][1]
        assert not truth["flash"][0] <= pin <= truth["flash"][1]
        assert pin < truth["inputs"][0]


def test_the_default_pins_are_nobody_elses():
    for row in _BOARDS.rows():
        for first, last in _BOARDS.flash_pins(row):
            assert not any(first <= pin <= last for pin in _BOARDS.pins(row)), row[0]


def test_hardware_says_what_the_table_says():
    said = {}
    for line in _HARDWARE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 8 and cells[1].startswith("GPIO"):
            said[cells[0]] = cells[1:]
    names = {
        "ESP32": "ESP32",
        "ESP32-PICO": "ESP32PICO",
        "ESP32 with PSRAM": "SPIRAMWITHESP32",
        "ESP32-C3": "ESP32C3",
        "ESP32-S3": "ESP32S3",
        "ESP32-S3 with octal PSRAM": "OCTALSPIRAMWITHESP32S3",
        "ESP32-C6": "ESP32C6",
    }
    assert set(said) == set(names)
    table = {row[0]: row for row in _BOARDS.rows()}
    for name, key in names.items():
        sda, scl, _, heap, wifi, at, _, cable = table[key][1:]
        flash = ", ".join(f"{a} to {b}" for a, b in _BOARDS.flash_pins(table[key]))
        heap = f"{heap} kB" if int(heap) < 1000 else "megabytes"
        at = at.replace("0x0", "0")
        cable = cable.replace("-", " to ").replace(",", ", ")
        pins = f"GPIO{sda}, GPIO{scl}", f"GPIO{flash}", f"GPIO{cable}"
        assert said[name] == [*pins, heap, wifi, f"`{at}`", "2 MB"], name
    assert {row[7] for row in table.values()} == {"2048"}


def test_the_settings_name_the_pins():
    text = (ROOT / "docs/SETTINGS.md").read_text()
    for at, what in ((0, "data"), (1, "clock")):
        (line,) = re.findall(rf"I2C {what}: (.*) \|", text)
        for chip, name in (("ESP32", "ESP32"), ("S3", "ESP32S3"), ("C3 and C6", "ESP32C3")):
            assert f"{_BOARDS.pins(_BOARDS.row(name))[at]} on {chip}" in line
