"""BTHome broadcasts, decoded by the parser that Home Assistant has: right values, or none."""

import itertools
import json
import math
import random
import subprocess

import pytest
from bthome_ble import BTHomeBluetoothDeviceData
from habluetooth import BluetoothServiceInfoBleak

from batmon.firmware import build, interpreter
from batmon.paths import BOARD

_SCRIPT = build.ROOT / "tests/device/bthome_packets.py"
_UUID = "0000fcd2-0000-1000-8000-00805f9b34fb"
_ADDRESS = "AA:BB:CC:DD:EE:FF"
_NAN = "nan"  # which JSON does not have


@pytest.fixture(params=interpreter.present())
def broadcasts(request, tmp_path):
    """Return a function: banks, one for each broadcast of a board -> [(payload, is it new)]."""
    build.build()

    def run(banks):
        path = tmp_path / "banks"
        path.write_text("".join(json.dumps(bank) + "\n" if bank else "\n" for bank in banks))
        paths = [str(path) for path in (build.ROOT / "sim", BOARD, BOARD / "lib", ".frozen")]
        command = [interpreter.micropython(request.param), str(_SCRIPT), str(path), *paths]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        lines = [line[1:].split() for line in done.stdout.split("\n") if line.startswith("\x1e")]
        assert len(lines) == sum(map(bool, banks)), done.stdout + done.stderr
        return [(bytes.fromhex(payload), new == "1") for payload, new in lines]

    return run


class _Receiver:
    """Home Assistant's side, which knows the board by its address and keeps what it heard."""

    def __init__(self):
        self._parser = BTHomeBluetoothDeviceData()
        self._time = 0.0

    def hears(self, payload: bytes) -> dict:
        """Return what is shown after one more advertisement, by the parser's keys."""
        assert len(payload) + 3 <= 31 and payload[0] == len(payload) - 1
        self._time += 1
        told = {_UUID: payload[4:]}
        info = BluetoothServiceInfoBleak(
            "batmon", _ADDRESS, -60, {}, told, [_UUID], "local", None, None, False, self._time, None
        )
        assert self._parser.supported(info)
        update = self._parser.update(info)
        shown = {**update.entity_values, **update.binary_entity_values}
        shown = {key.key: value.native_value for key, value in shown.items()}
        return {key: shown[key] for key in shown.keys() - {"signal_strength", "packet_id"}}


def _told(payload: bytes) -> dict:
    """Return what is in one advertisement, by the parser's keys."""
    return _Receiver().hears(payload)


def _expected(sample, alarm):
    """What a receiver may show of a sample, or within what of it; unknown values are absent."""
    known = {k: float(v) for k, v in sample.items() if v is not None and not math.isnan(float(v))}
    soc, degc = known.get("battery_level"), known.get("temperature")
    volts, amps = known.get("voltage"), known.get("current")
    expected = {"problem": (bool(alarm), 0)}
    if soc is not None and 0 <= soc <= 100:
        expected["battery"] = soc, 0.5
    if degc is not None and -273 <= degc <= 327:
        expected["temperature"] = degc, 0.0051
    if volts is not None and 0 <= volts <= 6550:
        expected["voltage"] = volts, 0.0006 if volts <= 65.5 else 0.051
    if amps is not None and abs(amps) <= 10_000:
        expected["battery_charging"] = amps > 0, 0
        if volts is not None and 0 <= volts <= 1000:
            expected["power"] = volts * amps, 0.0051 + abs(volts * amps) * 1e-6
        if abs(amps) <= 32:
            expected["current"] = amps, 0.0006
    return expected


def _check(found, expected):
    assert found.keys() == expected.keys(), (found, expected)
    for key, (value, within) in expected.items():
        assert abs(found[key] - value) <= within, (key, found[key], value)


_VALUES = {
    "voltage": [None, _NAN, -1, 0, 2.5, 13.2345, 51.2, 65.5, 65.501, 65.536, 96.4, 400, 6549, 7000],
    "current": [None, _NAN, 0, -0.001, 4e-4, 1.234, -32, 32, -32.01, 32.768, 99, -2000, 2e4],
    "temperature": [None, _NAN, 0, -0.5, -40, 21.37, 85, 327, 328, -300],
    "battery_level": [None, _NAN, 0, 0.4, 50, 99.6, 100, 101, -1],
}  # fmt: skip


def test_every_value_is_right_or_absent(broadcasts):
    samples = [
        dict(zip(("voltage", "current"), pair, strict=True))
        for pair in itertools.product(_VALUES["voltage"], _VALUES["current"])
    ]
    samples += [{name: value} for name, values in _VALUES.items() for value in values]
    chance = random.Random(24)
    samples += [{name: chance.choice(v) for name, v in _VALUES.items()} for _ in range(300)]
    samples += [
        {
            "voltage": chance.uniform(0, 100),
            "current": chance.uniform(-40, 40),
            "temperature": chance.uniform(-40, 85),
            "battery_level": chance.uniform(0, 100),
        }
        for _ in range(300)
    ]
    cases = [(sample, chance.choice(("", "cell low"))) for sample in samples]
    banks = [bank for case in cases for bank in ([[*case, 280]], None)]
    for (payload, new), case in zip(broadcasts(banks), cases, strict=True):
        assert new
        _check(_told(payload), _expected(*case))


def test_a_current_that_did_not_fit_once_is_not_told_again(broadcasts):
    amps = (5, 31.9, 33, 5, -40, 1)
    told = broadcasts([[[{"voltage": 13, "current": i}, "", 100]] for i in amps])
    found = [_told(payload) for payload, _ in told]
    assert [values.get("current") for values in found] == [5, 31.9, None, None, None, None]
    assert [values["power"] for values in found] == [13 * i for i in amps]


def test_the_packet_is_numbered_anew_only_with_what_is_new(broadcasts):
    banks = [[[{"voltage": 13 + i // 3 / 100}, "", 100]] for i in range(900)]
    told = broadcasts(banks)
    assert [new for _, new in told] == [i % 3 == 0 for i in range(900)]
    assert [payload[6] for payload, _ in told] == [(1 + i // 3) % 256 for i in range(900)]
    receiver = _Receiver()
    for i, (payload, _) in enumerate(told):
        assert receiver.hears(payload)["voltage"] == round(13 + i // 3 / 100, 3)


def test_a_bank_is_one_and_its_batteries_keep_their_numbers(broadcasts):
    chance = random.Random(7)
    for n in range(2, 9):
        banks = [
            [
                [
                    {
                        "voltage": chance.uniform(12, 14),
                        "current": chance.uniform(-200, 200),
                        "battery_level": chance.choice((None, 0, 100, chance.uniform(0, 100))),
                        "temperature": 20,
                    },
                    chance.choice(("", "", "hot")),
                    chance.choice((100, 280)),
                ]
                for _ in range(n)
            ]
            for _ in range(60)
        ]
        for (payload, _), bank in zip(broadcasts(banks), banks, strict=True):
            found = _told(payload)
            watts = sum(sample["voltage"] * sample["current"] for sample, _, _ in bank)
            assert abs(found.pop("power") - watts) < 0.1
            assert found.pop("battery_charging") == (watts > 0)
            assert found.pop("problem") == any(alarm for _, alarm, _ in bank)
            socs = [sample["battery_level"] for sample, _, _ in bank]
            if None in socs:
                assert not found
                continue
            weights = [capacity for _, _, capacity in bank]
            whole = sum(s * w for s, w in zip(socs, weights, strict=True)) / sum(weights)
            expected = [whole, *socs[:5]]
            assert found.keys() == {f"battery_{i + 1}" for i in range(len(expected))}
            for i, soc in enumerate(expected):
                assert abs(found[f"battery_{i + 1}"] - soc) <= 0.5001


def test_polls_and_frames_are_as_without_on_the_smallest_chip(run, tmp_path):
    logs = []
    for bthome in (False, True):
        _, words, _ = run(30, settings={"poll_s": 8, "bthome": bthome}, chip="esp32")
        assert "Traceback" not in words  # and memory did not run out
        shards = {path.name: path.read_bytes() for path in (tmp_path / "data").glob("*.[rb]*")}
        logs.append(((tmp_path / "truth.csv").read_bytes(), shards))
        (tmp_path / "flash.img").unlink()
        (tmp_path / "truth.csv").unlink()
    assert logs[0] == logs[1] and logs[0][1]
