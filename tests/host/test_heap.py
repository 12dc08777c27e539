"""The app fits the smallest chip: its heap on 32 bits stays in bounds, see bench/heap.py."""

import pytest

from batmon.firmware import interpreter
from batmon.paths import BUILD
from bench import heap

pytestmark = [
    pytest.mark.xdist_group("heap"),
    pytest.mark.skipif("32" not in interpreter.present(), reason="no 32-bit interpreter"),
]

# bytes; what it is to come to is 90,000, 104,000, 2000 and 8000
_POLLING = 97_500
_PEAK = 112_000
_LARGEST_ALLOC = 2000
_LARGEST_FREE = 6000


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    tree = BUILD / "board-heap"
    heap.build_board(tree)
    bench = heap.Bench(tmp_path_factory.mktemp("heap"), tree)
    bench.polling = bench.modules()["polling"]
    return bench


def test_polling_fits(board):
    assert board.polling <= _POLLING


def test_start_trouble_and_sealing_fit(board):
    assert board.does_in(_PEAK)


def test_less_than_is_in_use_does_not_fit(board):
    assert not board.does_in(board.polling - 4000)


def test_nothing_large_is_asked_for_after_the_start(board):
    assert board.does_with_holes(_LARGEST_ALLOC)


def test_large_pieces_stay_free(board):
    assert board.largest_free() >= _LARGEST_FREE
