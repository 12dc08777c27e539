# The ring between the radio's task and ours, against a plain queue
import random

from bleak.radio import Ring

_SIZE = 64


def test_what_was_taken_in_comes_out_whole_and_in_order():
    for seed in range(60):
        random.seed(seed)
        ring = Ring(_SIZE)
        queue = []
        longest = 1 + seed % 40
        taken = 0
        for _ in range(400):
            if random.getrandbits(1):
                data = bytes(random.getrandbits(8) for _ in range(random.randrange(longest)))
                tag = random.getrandbits(24)
                if ring.put(tag, memoryview(data)):
                    queue.append((tag, data))
                    taken += 1
                else:
                    assert queue or len(data) > _SIZE // 2 - 7
            if random.getrandbits(1):
                tag = ring.peek()
                if queue:
                    assert (tag, bytes(ring.get())) == queue.pop(0)
                else:
                    assert tag is None
        assert taken > 40


def test_room_is_used_again():
    ring = Ring(_SIZE)
    for i in range(500):
        for size in (0, 1, 2, 10):
            ring.put(i, bytes(size))
        for size in (0, 1, 2, 10):
            assert ring.peek() == i and len(ring.get()) == size
        assert ring.peek() is None


def test_every_size_that_can_fit_fits_into_an_empty_ring():
    for start in range(_SIZE // 2):
        ring = Ring(_SIZE)
        for _ in range(start):
            ring.put(0, b"xyz")
            ring.peek()
            ring.get()
        for size in range(_SIZE // 2 - 6):
            ring.put(size, bytes(size))
            assert ring.peek() == size and len(ring.get()) == size
