"""`batmon soak`: weeks of random radio faults on the virtual board, and whether it took harm.

The board's own code logs a simulated Jikong BMS while sim/faults.py makes the radio misbehave.
Exit code 1 when a target is missed.
"""

import json
import shutil
import statistics
import time
from pathlib import Path

import batmon
from batmon import settingsdoc, virtual
from batmon.build import BUILD, build
from batmon.cli import UserError, subcommand
from batmon.sim import _days, _seed

_POLL_S = 8
_HEAP = "320k"  # the board's, on the 64-bit port, with what records the faults
# From what the BMS said to its frame, in seconds. Answers may be late, and when the same is said
# again and again, the link takes a minute to know that it is not true any more.
_EARLIEST_S, _LATEST_S = -2, 95

_MEDIAN_S = 15
_WORST_S = 150
_CALM_PERCENT = 99.9
# The peer is in reach all the time, the board's own radio is not: the worst counts, not the median.
_OWN = ("end not told", "dead link kept", "radio deaf")
_HEAP_BYTES = 2048


def _run(args) -> int:
    if problems := settingsdoc.problems({"poll_s": args.poll_s}):
        what = problems[0].removeprefix("settings.json: poll_s").partition(";")[0]
        raise UserError(f"--poll-s{what}.")
    result = soak(args.days, args.seed, not args.calm, args.poll_s, args.interpreter)
    if args.json:
        print(json.dumps(result))
    else:
        _print(result)
    return 1 if result["missed"] else 0


def soak(
    days: float,
    seed: int,
    faults: bool = True,
    poll_s: float = _POLL_S,
    interpreter: str = "64",
) -> dict:
    """Run the board for `days` and return the figures; `missed` lists the targets not reached.

    Raises UserError when the board crashes.
    """
    kind = ("" if faults else "calm-") + ("" if interpreter == "64" else f"{interpreter}-bit-")
    out = BUILD / "soak" / f"{kind}{seed}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    board = BUILD / "board-jikong"
    build(board, ["jikong_bms"])
    config = virtual.configure(
        out,
        board,
        days=days,
        seed=seed,
        heap=_HEAP,
        faults=faults,
        interpreter=interpreter,
        settings={"poll_s": poll_s, "lcd": {"fitted": False}},
    )
    healed = []
    looks = {"first_hour": [], "end": []}

    def record(one: dict):
        if one["type"] == "look":
            looks[one["at"]].append(one)
        elif one["type"] == "fault":
            healed.append((one["kind"], one["ms"] / 1000))
            print(json.dumps(one), file=faults_file)

    began = time.monotonic()
    with open(out / "repl.txt", "w") as repl, open(out / "faults.jsonl", "w") as faults_file:
        try:
            end = virtual.run(config, record, lambda line: print(line, file=repl))
        except UserError as error:
            raise UserError(f"{error} Its last words are in {out}/repl.txt.", error.code) from None
    result = _figures(end, healed, looks, poll_s)
    result |= {"seed": seed, "seconds": round(time.monotonic() - began, 1), "out": str(out)}
    result["wrong_samples"] = _wrong(out)
    result["missed"] = _missed(result)
    return result


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
        "dropped": end["dropped"],
        "link": end["stats"],
    }


def _least(looks: list[dict]) -> dict:
    """Return what was left between polls: they take memory and tasks for a while."""
    return {name: min(look[name] for look in looks) for name in ("heap", "tasks")}


def _wrong(out: Path) -> int:
    """Return how many stored samples are none that the BMS sent around their time."""
    import numpy as np
    import pandas as pd

    table = batmon.read(out / "data")
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
    step = np.spacing(volts.astype(np.float16)).astype(float) + 0.0005
    stored.append((volts, told["voltage"].to_numpy(), step))
    good = np.zeros(len(table), bool)
    for shift in range(int((last - first).max())):
        at = np.minimum(first + shift, len(told) - 1)
        same = first + shift < last
        for kept, true, tolerance in stored:
            same &= np.abs(kept - true[at]) <= tolerance
        good |= same
    return int((~good).sum())


def _missed(result: dict) -> list[str]:
    """Return what is not as it should be, in sentences."""
    checks = [
        (result["healed"] == result["faults"], "a fault did not heal"),
        (result["leaked_connections"] == 0, "connections were left behind"),
        (result["tasks_left"] <= 0, "tasks were left behind"),
        (result["heap_growth_bytes"] <= _HEAP_BYTES, "the heap grew by more than 2 kB"),
        (result["wrong_samples"] == 0, "samples were stored that the BMS never sent"),
        (
            result["calm_polls_percent"] >= _CALM_PERCENT,
            f"less than {_CALM_PERCENT} % of the polls between faults were answered",
        ),
    ]
    if result["median_s"] is not None:
        checks += [
            (result["median_s"] <= _MEDIAN_S, f"the median recovery takes over {_MEDIAN_S} s"),
            (result["worst_s"] <= _WORST_S, f"a recovery took over {_WORST_S} s"),
        ]
        checks += [
            (one["median_s"] <= _MEDIAN_S, f"{kind}: the median recovery takes over {_MEDIAN_S} s")
            for kind, one in result["kinds"].items()
            if one["faults"] >= 20 and kind not in _OWN
        ]
    return [sentence for good, sentence in checks if not good]


def _print(result: dict):
    print(
        f"{result['days']:g} days with a poll every {result['poll_s']:g} s,"
        f" seed {result['seed']}, in {result['seconds']} s; {result['faults']} faults"
    )
    if result["kinds"]:
        print(f"  {'time to the next sample':26} faults  median     worst")
        for kind, one in result["kinds"].items():
            times = f"{one['median_s']:5.1f} s  {one['worst_s']:6.1f} s"
            print(f"  {kind:26} {one['faults']:6}  {times}")
        times = f"{result['median_s']:5.1f} s  {result['worst_s']:6.1f} s"
        print(f"  {'all':26} {result['healed']:6}  {times}")
    print(f"  polls answered     {result['calm_polls_percent']} % in calm,", end="")
    print(f" {result['reachable_polls_percent']} % of all while the BMS was in reach")
    print(f"  longest gap        {result['longest_gap_s']} s, faults included")
    print(f"  left behind        {result['leaked_connections']} connections,", end="")
    print(f" {result['tasks_left']} tasks, {result['heap_growth_bytes']} bytes of heap")
    print(f"  stored and wrong   {result['wrong_samples']} samples")
    for sentence in result["missed"]:
        print(f"MISSED: {sentence}")


def add_parser(subparsers):
    """Add `batmon soak`."""
    parser = subcommand(
        subparsers,
        "soak",
        "let the radio misbehave for weeks and see whether the link heals",
        "  batmon soak --days 30 --seed 7\n"
        "  batmon soak --days 30 --calm   no faults: does every poll get its answer?",
    )
    add = parser.add_argument
    add("--days", type=_days, default=30.0, metavar="N", help="how long, in simulated days (30)")
    add("--seed", type=_seed, default=1, metavar="N", help="another sequence of faults (1)")
    add("--poll-s", type=float, default=_POLL_S, metavar="S", help="seconds between polls (8)")
    add("--calm", action="store_true", help="without faults")
    virtual.add_interpreter(parser)
    add("--json", action="store_true", help="print the figures as one JSON object, nothing else")
    parser.set_defaults(run=_run)
