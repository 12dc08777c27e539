"""The sampler never makes an integer that a 32-bit board would have to allocate."""

import importlib.util
import itertools
import types

import pytest

from batmon.firmware import build
from batmon.log import formats

_SMALL = 1 << 30
_PART_MS = 2_000_000  # longer than the longest silence


class Small(int):
    """An integer that must stay one of MicroPython's small ones, as must all made from it."""


def _checked(name):
    plain = getattr(int, name)

    def operator(*operands):
        result = plain(*operands)
        if type(result) is int:
            assert -_SMALL <= result < _SMALL, (name, operands)
            return Small(result)
        return result

    return operator


for _pair in ("add", "sub", "mul", "floordiv", "mod", "lshift", "rshift", "and", "or"):
    for _name in (f"__{_pair}__", f"__r{_pair}__"):
        setattr(Small, _name, _checked(_name))
for _name in ("__neg__", "__abs__"):
    setattr(Small, _name, _checked(_name))


@pytest.fixture
def sampler(monkeypatch):
    shards = types.SimpleNamespace(frame=formats.frame)
    names = {"shards": shards, "half": formats.half, "micropython": formats._MICROPYTHON}
    for name, module in names.items():
        monkeypatch.setitem(__import__("sys").modules, name, module)
    spec = importlib.util.spec_from_file_location("sampler", build.ROOT / "sampling/sampler.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.round = lambda x: Small(round(x))  # where a sample's floats become integers
    return module


@pytest.mark.parametrize("period_ms", [3000, 60000])
@pytest.mark.parametrize("amps", [1000.0, -999.999, 0.001])
@pytest.mark.parametrize("capacity_ah", [1, 10000])
def test_integers_stay_small(sampler, capacity_ah, amps, period_ms):
    one = sampler.Sampler(capacity_ah)
    stored = 0
    volts = itertools.cycle([999.0, 999.5, 998.9, 1.0])
    for k in range(0, 4 * _PART_MS, period_ms):
        step = k // _PART_MS  # steady, then jumps of the voltage, of the current, of both
        sample = {
            "voltage": next(volts) if step % 2 else 900.0,
            "current": amps if step < 2 or k // period_ms % 5 else -amps,
            "battery_level": 50,
            "temperature": 20,
            "cell_voltages": [3.2, 3.4],
        }
        stored += one.poll(Small(k), sample)
        one.provisional()
    stored += one.finish()
    assert stored >= 6  # half an hour at most is silent
