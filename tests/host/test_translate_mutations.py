"""Damaged conversations: the translated driver answers as upstream's does on CPython.

The same sample or an error on both sides, in bounded time, and no undocumented error.
SEED=n starts another row of mutants, MUTANTS=n says how many the campaign makes.
"""

import copy
import os
import random

import differential
import pytest

from batmon.firmware import build, interpreter

_SEED = int(os.environ.get("SEED", "1"), 16)
_MUTANTS = int(os.environ.get("MUTANTS", "20000"))
_BATCH = 500
_YIELDS = 20  # between notifications: who wakes up when is not the question here
_CHUNKS = (1, 3, 7, 16, 20, 33, 100, 244)


def _flip(events: list, at: int, some: random.Random):
    data = bytearray.fromhex(events[at][2])
    for _ in range(some.choice((1, 1, 2, 5))):
        if data:
            data[some.randrange(len(data))] ^= 1 << some.randrange(8)
    events[at][2] = data.hex()


def _extreme(events: list, at: int, some: random.Random):
    data = bytearray.fromhex(events[at][2])
    start = some.randrange(len(data) + 1)
    data[start : start + 4] = some.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * len(
        data[start:][:4]
    )
    events[at][2] = data.hex()


def _truncate(events: list, at: int, some: random.Random):
    data = bytes.fromhex(events[at][2])
    events[at][2] = data[: some.randrange(len(data) + 1)].hex()


def _repeat(events: list, at: int, some: random.Random):
    events.insert(at, copy.copy(events[at]))


def _lose(events: list, at: int, some: random.Random):
    del events[at]


def _reorder(events: list, at: int, some: random.Random):
    end = _burst(events, at)
    part = events[at:end]
    some.shuffle(part)
    events[at:end] = part


def _rechunk(events: list, at: int, some: random.Random):
    end = _burst(events, at)
    data = "".join(event[2] for event in events[at:end])
    size = 2 * some.choice(_CHUNKS)
    events[at:end] = [
        ["notify", events[at][1], data[i : i + size]] for i in range(0, len(data), size)
    ]


def _burst(events: list, at: int) -> int:
    """Index behind the notifications that follow on this one without a pause."""
    end = at
    while end < len(events) and events[end][:2] == events[at][:2]:
        end += 1
    return end


_MUTATIONS = (_flip, _flip, _extreme, _truncate, _repeat, _lose, _reorder, _rechunk)


def _mutant(cases: list, number: int) -> differential.Case:
    """The mutant of this number; it depends on nothing else but the seed."""
    some = random.Random(f"{_SEED}/{number}")
    module, case = some.choice(cases)
    case = copy.deepcopy(case)
    case["unchecked"] = some.random() < 0.5
    case["yields"] = _YIELDS
    done = []
    for _ in range(some.choice((1, 1, 2, 4))):
        events = case["events"]
        spots = [i for i, event in enumerate(events) if event[0] == "notify"]
        if spots:
            mutate = some.choice(_MUTATIONS)
            done.append(mutate.__name__)
            mutate(events, some.choice(spots), some)
    case["case"] += f", mutant {number} of seed {_SEED}: {' '.join(done)}"
    return module, case


def _compare(first: int, count: int, folder, tree) -> dict[str, int]:
    """Play mutants on both sides; what came of the calls that upstream was asked for."""
    recorded = differential.recorded()
    mutants = [_mutant(recorded, number) for number in range(first, first + count)]
    expected = differential.on_pc(mutants, folder)
    wrong = [
        f"{module} {case['case']}, unchecked {case['unchecked']}, {which}-bit: {text}"
        for which in interpreter.present()
        for got in [differential.on_board(mutants, folder, tree, which)]
        for (module, case), want, have in zip(mutants, expected, got, strict=True)
        for text in differential.disagreements(want, have)[:1]
    ]
    assert not wrong, f"{len(wrong)} of {count} mutants\n" + "\n".join(wrong[:20])
    kinds = [kind for outcomes, _ in expected for _, kind, _ in outcomes]
    return {"samples": kinds.count("sample"), "errors": len(kinds) - kinds.count("sample")}


@pytest.fixture(scope="module")
def tree():
    """The board's files, with all drivers compiled."""
    build.build()
    return build.BOARD


def test_mutants_give_the_same_sample_or_an_error_on_both_sides(tree, tmp_path):
    counts = _compare(0, _BATCH, tmp_path, tree)
    print(_BATCH, "mutants:", counts)
    # Neither so tame that nothing happens, nor so wild that nothing comes through.
    assert min(counts.values()) > _BATCH / 10


@pytest.mark.campaign
def test_many_mutants_give_the_same_sample_or_an_error_on_both_sides(tree, tmp_path):
    total = {"samples": 0, "errors": 0}
    for first in range(0, _MUTANTS, _BATCH):
        for kind, count in _compare(first, _BATCH, tmp_path, tree).items():
            total[kind] += count
    print(_MUTANTS, "mutants:", total)
