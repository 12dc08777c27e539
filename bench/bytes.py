"""Bytes a day at which errors: ours, the ancestor's rule, a fixed interval, the least possible.

Sampler and codec as one instrument. `ancestor` stores by its own rule and packs its own way
(differences, varints, tamp), `fixed` stores every so often what our codec then packs into as many
bytes as ours takes, `optimal` are the fewest frames that keep our bounds (bench/optimum.py), packed
by our codec. `bytes_to_ancestor` and `frames_to_optimal` are ours in parts of theirs.
The rows `geomean` are means over the logs: against the ancestor over those polled every 5 s or
more often, for it polls every two seconds; errors as in the section `sampler`.
"""

import numpy as np

from batmon.log import fidelity
from batmon.log.polllog import PollLog
from batmon.log.timeline import kinds
from batmon.virtual import replay
from bench import optimum, rules, sampler
from bench.logs import logs, replayed

_OFTEN_S = 5
_STEPS = 14  # of a search for the interval at which the bytes are equal


def measure() -> dict[str, dict[str, float]]:
    """Return the figures of every log in tests/data/logs, or in the folder $LOGS."""
    rows, names, often = {}, [], []
    for name, log in logs():
        rows |= {f"{name}/{kind}": row for kind, row in _measured(log, name).items()}
        names.append(name)
        if len(log) > 1 and np.median(np.diff(log.time_s)) <= _OFTEN_S:
            often.append(name)
    for other, over in (("ancestor", often), ("fixed", names), ("optimal", names)):
        if over:
            rows[f"geomean/{other}"] = sampler.ratios(rows, over, other)
    for name in names:
        del rows[f"{name}/floor"]
    return rows


def _measured(log: PollLog, name: str) -> dict[str, dict[str, float]]:
    stored = replayed(name, log)
    ours = replay.score(log, stored)
    data = int(np.count_nonzero(kinds(stored.frames) == 0))
    ours["frames_per_day"] = data / fidelity.days_of(log)  # of which the others have nothing else
    ancestor_rows, ancestor_means = rules.ancestor(log, stored.capacity_ah)
    ancestor = rules.frames(log, ancestor_rows, ancestor_means)
    theirs = _scored(log, ancestor, ancestor_rows)
    theirs["bytes_per_day"] = rules.packed(ancestor) / fidelity.days_of(log)
    theirs["years_in_2_mib"] = ours["years_in_2_mib"] * ours["bytes_per_day"]
    theirs["years_in_2_mib"] /= theirs["bytes_per_day"]
    best_rows = optimum.rows(log, stored.capacity_ah)
    best = _scored(log, rules.frames(log, best_rows, rules.means(log, best_rows)), best_rows)
    compared = {
        "bytes_to_ancestor": ours["bytes_per_day"] / theirs["bytes_per_day"],
        "frames_to_optimal": ours["frames_per_day"] / best["frames_per_day"],
    }
    return {
        "ours": ours | compared,
        "ancestor": theirs,
        "fixed": _fixed(log, ours["bytes_per_day"], len(stored.frames)),
        "optimal": best,
        "floor": sampler.floor(log),
    }


def _fixed(log: PollLog, bytes_per_day: float, frames: int) -> dict[str, float]:
    """Return the figures of a fixed interval that takes as many bytes, or a little less."""
    low, high = 2, max(4, min(len(log), 8 * frames))
    best = None
    for _ in range(_STEPS):
        count = (low + high) // 2
        rows = rules.fixed(log, count)[0]
        figures = _scored(log, rules.frames(log, rows, rules.means(log, rows)), rows)
        if figures["bytes_per_day"] <= bytes_per_day:
            low, best = count, figures
        else:
            high = count
    return best or figures


def _scored(log: PollLog, frames: np.ndarray, rows: np.ndarray) -> dict[str, float]:
    stored = fidelity.kept(log, frames, fidelity.seconds_of(log)[rows])
    return fidelity.density(log, frames) | fidelity.score(log, stored)
