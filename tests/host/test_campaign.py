"""The long runs: every power cut, and a week in the heap of a day."""

import json
import os
import subprocess

import pytest

from batmon.cli import main
from batmon.firmware import build
from batmon.firmware.interpreter import micropython
from batmon.paths import PLAIN

pytestmark = pytest.mark.campaign


def note(campaign: str, told: list[str]):
    """Write what a campaign told (seed, positions, failures) and the commit to campaign.json."""
    path = build.ROOT / "build/campaign.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=build.ROOT, capture_output=True)
    kept[campaign] = {"commit": git.stdout.decode().strip(), "told": told}
    path.write_text(json.dumps(kept, indent=2))


# With a number behind it, a file's campaign is run in so many parts, of some ten minutes each.
_STORE = "cuts", "fat", "resets", "damage", "years", "calls/4", "rescue", "loss"
_PARTS = [
    (file, f"{part}/{parts or 1}")
    for file, _, parts in (word.partition("/") for word in _STORE)
    for part in range(1, int(parts or 1) + 1)
]


_TOLD = "cuts", "SEED", "failure", "seed", "longest gap", "heap"


def _run(file: str, environment: dict[str, str]) -> tuple[list[dict], list[str]]:
    """Run a file of tests/device; return its results and the lines that tell something."""
    build.build(PLAIN, short=False)  # the tests look into objects
    tests = build.ROOT / "tests" / "device"
    done = subprocess.run(
        [micropython(), "-X", "heapsize=64M", tests / "runner.py", tests / file],
        env={**os.environ, "BOARD": str(PLAIN), **environment},
        capture_output=True,
        timeout=7200,
    )
    lines = done.stdout.decode(errors="replace").split("\n")  # splitlines() splits at \x1e too
    told = [line for line in lines if any(word in line for word in _TOLD)]
    print("\n".join(told))
    return [json.loads(line[1:]) for line in lines if line.startswith("\x1e")], told


@pytest.mark.parametrize(("file", "part"), _PARTS)
def test_the_store_survives(file, part):
    results, told = _run(f"test_store_{file}.py", {"CAMPAIGN": "1", "PART": part})
    note(f"store {file}" + f" {part}" * (part != "1/1"), told)
    assert results and all(result["ok"] for result in results), results


@pytest.mark.parametrize("file", ["phone", "phone_link"])
def test_phones(file):
    """A year of two batteries by a phone that vanishes, and 100,000 writes of garbage."""
    results, told = _run(f"test_{file}.py", {"CAMPAIGN": "1"})
    note(file, told)
    assert results and all(result["ok"] for result in results), results


def test_a_week_leaves_the_heap_as_a_day_does(tmp_path, capsys):
    sim = ["sim", "--days", "7", "--heap", "208k", "--json", "--out", str(tmp_path)]
    assert main(sim) == 0
    assert "Error" not in (tmp_path / "repl.txt").read_text()
    week = json.loads(capsys.readouterr().out)
    assert week["heap_days"][6] <= week["heap_days"][0] + 1024, week
    assert week["charge_error_percent"] <= 0.1
