# Writes the logs of simulated batteries through the board's own sampler and store, quickly:
# micropython fleet.py BUILD OUT DAYS POLL_S SEAL KIND...; prints the truth, JSON, a line each
import sys

_BUILD = sys.argv[1]
sys.path[:] = [_BUILD + "/sim"]
import battery

# The simulator's own time and asyncio must not be found: no clock ticks here.
sys.path[:] = [_BUILD + "/board", _BUILD + "/board/lib", ".frozen"]
import json
from time import gmtime

from sampling.sampler import Sampler
from shards import packing
from store import Store

START_UNIX = 1_764_201_600  # 2025-11-27: a few days reach two months


class _Clock:
    """The board's clock, as far as the polls have come."""

    def __init__(self, start_unix):
        self.now_ms = 0
        self._start_unix = start_unix

    def uptime_ms(self):
        return self.now_ms

    def uptime_s(self):
        return self.now_ms // 1000

    def unix_s(self):
        return self._start_unix + self.now_ms // 1000


def _log(out, kind, seed, days, poll_s, seal):
    """Log `days` of one battery; return what really went in and out, by month."""
    pack = battery.make(kind, seed)
    clock = _Clock(START_UNIX)
    store = Store(out, kind, clock)
    sampler = Sampler(pack.design_mah // 1000)
    pack.advance(0)
    store.cells = len(pack.cells_mv)
    store.open()
    months = {}
    sample = {}
    charge, volts = 0, pack.voltage_mv
    for now_s in range(0, days * 86400, poll_s):
        clock.now_ms = now_s * 1000
        pack.advance(clock.now_ms)
        if now_s % 3600 == 0:
            key = "%04d-%02d" % gmtime(START_UNIX + now_s)[:2]
            month = months.setdefault(
                key, {"charge_in_Ah": 0, "charge_out_Ah": 0, "energy_in_Wh": 0, "energy_out_Wh": 0}
            )
        mean = (volts + pack.voltage_mv) / 2000 / 3_600_000
        volts = pack.voltage_mv
        charge, before = pack.charge_in_mas - pack.charge_out_mas, charge
        moved = charge - before
        way = "in" if moved > 0 else "out"
        month["charge_%s_Ah" % way] += abs(moved) / 3_600_000
        month["energy_%s_Wh" % way] += abs(moved) * mean
        sample["voltage"] = volts / 1000
        sample["current"] = moved / 1000 / poll_s if now_s else pack.current_ma / 1000
        sample["temperature"] = pack.temp_dc[1] / 10
        sample["battery_level"] = pack.soc_milli / 1000
        sample["cell_voltages"] = [mv / 1000 for mv in pack.cells_mv]
        n = sampler.poll(clock.now_ms, sample)
        if n:
            store.append(sampler.frames, n)
        store.tick()
        if seal and store.packing_due:
            store.packing_due = False
            packing.pack(store, int)
    n = sampler.finish()
    store.append(sampler.frames, n)
    store.flush()
    return {"battery": kind, "frames": store.frames, "months": months}


def main():
    out = sys.argv[2]
    days, poll_s, seal = map(int, sys.argv[3:6])
    for seed, kind in enumerate(sys.argv[6:], 1):
        print(json.dumps(_log(out + "/" + kind, kind, seed, days, poll_s, seal)))


main()
