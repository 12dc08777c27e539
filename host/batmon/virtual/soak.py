"""Weeks of random radio faults on the virtual board, and whether it took harm.

The board's own code logs a simulated Jikong BMS while sim/faults.py makes the radio misbehave.
"""

import json
import shutil
import statistics
import time
from pathlib import Path

from batmon.console import UserError
from batmon.firmware.build import build
from batmon.log.stream import read
from batmon.paths import BUILD
from batmon.virtual import process, sim

POLL_S = 8
# From what the BMS said to its frame, in seconds. Answers may be late, and when the same is said
# again and again, the link takes a minute to know that it is not true any more.
_EARLIEST_S, _LATEST_S = -2, 180

_MEDIAN_S = 15
_WORST_S = 150
_CALM_PERCENT = 99.9
# The peer is in reach all the time, the board's own radio is not: the worst counts, not the median.
_OWN = ("end not told", "dead link kept", "radio deaf")
# A link that was refused waits up to 60 s and a quarter of jitter, and ends so long a fault at any
# moment of that wait: half of it is what the median may be.
_REFUSED = ("connect refused", "phone has it")
_REFUSED_MEDIAN_S = 37.5
# From so many faults on a median is no luck: of all one recovery in five takes longer, of no kind
# more than three in ten. P(half of 100) is 1e-10 and 2e-5 then; of 8 faults it was one in 12.
_ENOUGH = 100
_HEAP_BYTES = 2048


def soak(
    days: float,
    seed: int,
    faults: bool = True,
    poll_s: float = POLL_S,
    interpreter: str = "64",
    chip: str = process.CHIP,
    heap: str = process.HEAP,
    batteries: int = 1,
) -> dict:
    """Run the board for `days` and return the figures; `missed` lists the targets not reached.

    Of several `batteries` the first has the faults, and the figures are its own; `others` tells how
    long the longest gap in the polls of each of the others was. Raises UserError when the board
    crashes.
    """
    kind = ("" if faults else "calm-") + ("" if interpreter == "64" else f"{interpreter}-bit-")
    kind += "" if batteries == 1 else f"{batteries}-"
    out = BUILD / "soak" / f"{kind}{seed}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    board = BUILD / "board-jikong"
    build(board, ["jikong_bms"])
    config = process.configure(
        out,
        board,
        days=days,
        seed=seed,
        chip=chip,
        heap=heap,
        faults=faults,
        interpreter=interpreter,
        settings={"poll_s": poll_s, "lcd": {"fitted": False}},
    )
    if batteries > 1:
        _add_batteries(config, batteries)
    healed = []
    looks = {"first_hour": [], "end": []}
    starved = []

    def record(one: dict):
        if one["type"] == "look":
            looks[one["at"]].append(one)
        elif one["type"] == "fault":
            healed.append((one["kind"], one["ms"] / 1000))
            print(json.dumps(one), file=faults_file)

    def words(line: str):
        print(line, file=repl)
        if "MemoryError" in line:
            starved.append(line)

    began = time.monotonic()
    with open(out / "repl.txt", "w") as repl, open(out / "faults.jsonl", "w") as faults_file:
        try:
            end = process.run(config, record, words)
        except UserError as error:
            raise UserError(f"{error} Its last words are in {out}/repl.txt.", error.code) from None
    result = _figures(end, healed, looks, poll_s)
    result |= {"seed": seed, "seconds": round(time.monotonic() - began, 1), "out": str(out)}
    result["others"] = [link["longest_gap_s"] for link in end["links"][1:]]
    result["wrong_samples"] = _wrong(out)
    result["memory_errors"] = len(starved)
    result["missed"] = _missed(result)
    return result


def _add_batteries(config: Path, count: int):
    """Let the board of a configuration have so many Jikongs, all of them vans'."""
    several = sim.several(",".join(["jikong"] * count), "van")
    changed = json.loads(config.read_text())
    changed["bms"] = ",".join(one["bms"] for one in several)
    changed["battery"] = ",".join(one["battery"] for one in several)
    changed["names"] = [one["dev_name"] for one in several]
    changed["settings"]["batteries"] = sim.entries(several)
    config.write_text(json.dumps(changed, indent=2))


def _figures(end: dict, healed: list[tuple[str, float]], looks: dict, poll_s: float) -> dict:
    played = end["faults"]
    kinds = {}
    for kind in sorted({kind for kind, _ in healed}):
        times = [s for k, s in healed if k == kind]
        kinds[kind] = {
            "faults": len(times),
            "median_s": round(statistics.median(times), 2),
            "worst_s": round(max(times), 2),
        }
    times = [s for _, s in healed]
    expected = max(1, played["expected"])
    healing = sum(times) / poll_s
    then, last = (_least(looks[at] or looks["end"]) for at in ("first_hour", "end"))
    return {
        "days": round(end["t_s"] / 86400, 4),
        "poll_s": poll_s,
        "faults": played["faults"],
        "healed": len(healed),
        "median_s": round(statistics.median(times), 2) if times else None,
        "worst_s": round(max(times), 2) if times else None,
        "kinds": kinds,
        "calm_polls_percent": round(100 * min(1, played["samples"] / expected), 3),
        "reachable_polls_percent": round(100 * min(1, played["samples"] / (expected + healing)), 3),
        "longest_gap_s": end["stats"]["longest_gap_s"],
        "leaked_connections": played["leaks"],
        "tasks_left": last["tasks"] - then["tasks"],
        "heap_growth_bytes": last["heap"] - then["heap"],
        "panics": end["panics"],
        "memory": end["memory_at"],
        "dropped": end["dropped"],
        "link": end["stats"],
    }


def _least(looks: list[dict]) -> dict:
    """Return what was left between polls: they take memory and tasks for a while."""
    return {name: min(look[name] for look in looks) for name in ("heap", "tasks")}


def _wrong(out: Path) -> int:
    """Return how many stored samples are none that the BMS sent around their time.

    A value may be unknown alone, where the BMS told one that cannot be.
    """
    import numpy as np
    import pandas as pd

    table = read(out / "data")
    table = table[table["battery"] == "jk_pak01"]  # which has the faults, if there are others
    told = pd.read_csv(out / "truth.csv")
    if not len(table) or not len(told):
        return len(table)
    times = table["time_utc"].astype("datetime64[s, UTC]").astype("int64").to_numpy()
    first = np.searchsorted(told["time_s"], times - _LATEST_S)
    last = np.searchsorted(told["time_s"], times - _EARLIEST_S)
    columns = (("cell_min_mV", "cell_min_mv"), ("cell_max_mV", "cell_max_mv"))
    stored = [(table[a].to_numpy(float), told[b].to_numpy(float), 0.5) for a, b in columns]
    volts = table["voltage_V"].to_numpy(float)
    # the sampler rounds to the half float below or above, whichever serves the line better,
    # and counts in whole millivolts
    step = np.spacing(np.nan_to_num(volts).astype(np.float16)).astype(float) + 0.0005
    stored.append((volts, told["voltage"].to_numpy(), step))
    good = np.zeros(len(table), bool)
    for shift in range(int((last - first).max())):
        at = np.minimum(first + shift, len(told) - 1)
        same = first + shift < last
        for kept, true, tolerance in stored:
            same &= np.isnan(kept) | (np.abs(kept - true[at]) <= tolerance)
        good |= same
    return int((~good).sum())


def _missed(result: dict) -> list[str]:
    """Return what is not as it should be, in sentences."""
    checks = [
        (result["healed"] == result["faults"], "a fault did not heal"),
        (result["leaked_connections"] == 0, "connections were left behind"),
        (not result["panics"], "the chip panicked"),
        (not result["memory_errors"], "memory ran out"),
        (result["tasks_left"] <= 0, "tasks were left behind"),
        (result["heap_growth_bytes"] <= _HEAP_BYTES, "the heap grew by more than 2 kB"),
        (result["wrong_samples"] == 0, "samples were stored that the BMS never sent"),
        (
            result["calm_polls_percent"] >= _CALM_PERCENT,
            f"less than {_CALM_PERCENT} % of the polls between faults were answered",
        ),
    ]
    if result["worst_s"] is not None:
        checks += [(result["worst_s"] <= _WORST_S, f"a recovery took over {_WORST_S} s")]
    if result["healed"] >= _ENOUGH:
        median_s = result["median_s"]
        checks += [(median_s <= _MEDIAN_S, f"the median recovery takes over {_MEDIAN_S} s")]
    for kind, one in result["kinds"].items():
        if one["faults"] >= _ENOUGH and kind not in _OWN:
            most_s = _REFUSED_MEDIAN_S if kind in _REFUSED else _MEDIAN_S
            sentence = f"{kind}: the median recovery takes over {most_s} s"
            checks += [(one["median_s"] <= most_s, sentence)]
    return [sentence for good, sentence in checks if not good]
