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
                a = bytes(random.getrandbits(8) for _ in range(random.randrange(longest)))
                b = bytes(random.getrandbits(8) for _ in range(random.randrange(3)))
                tag = random.getrandbits(16)
                if ring.put(tag, memoryview(a), b):
                    queue.append((tag, a + b))
                    taken += 1
                else:
                    assert queue or len(a) + len(b) > _SIZE // 2 - 6
            if random.getrandbits(1):
                data = ring.get()
                if queue:
                    assert (ring.tag, bytes(data)) == queue.pop(0)
                else:
                    assert data is None
        assert taken > 40


def test_room_is_used_again():
    ring = Ring(_SIZE)
    for i in range(500):
        for size in (0, 1, 2, 10):
            ring.put(i, bytes(size))
        for size in (0, 1, 2, 10):
            assert len(ring.get()) == size and ring.tag == i
        assert ring.get() is None


def test_every_size_that_can_fit_fits_into_an_empty_ring():
    for start in range(_SIZE // 2):
        ring = Ring(_SIZE)
        for _ in range(start):
            ring.put(0, b"xyz")
            ring.get()
        for size in range(_SIZE // 2 - 5):
            ring.put(size, bytes(size))
            assert len(ring.get()) == size


def test_clear_forgets_what_is_in_it():
    ring = Ring(_SIZE)
    for i in range(100):
        ring.put(i, b"old")
        ring.clear()
        assert ring.get() is None
        ring.put(i, b"new")
        assert bytes(ring.get()) == b"new"
