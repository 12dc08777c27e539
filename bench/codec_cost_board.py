# Seals a file of frames on MicroPython as the store does; prints speed and memory as JSON
# Arguments: the built board tree, the file.
import gc
import json
import sys
import time

sys.path[:] = [sys.argv[1], sys.argv[1] + "/lib", ".frozen"]
# What the store has loaded already.
import binascii  # noqa: F401
import struct  # noqa: F401

from shards import frame

gc.collect()
before = gc.mem_alloc()
from shards import codec

gc.collect()
module = gc.mem_alloc() - before
before = gc.mem_alloc()
chunk = bytearray(codec.CHUNK_FRAMES * frame.SIZE)
encoder = codec.Encoder()
gc.collect()
held = gc.mem_alloc() - before
total = longest = 0
start = time.ticks_us()
with open(sys.argv[2], "rb") as f:
    n = f.readinto(chunk) // frame.SIZE
    while n:
        began = time.ticks_us()
        for _ in encoder.encode(chunk, n):
            now = time.ticks_us()
            longest = max(longest, time.ticks_diff(now, began))
            began = now
        total += n
        n = f.readinto(chunk) // frame.SIZE
encoder.end()
elapsed = time.ticks_diff(time.ticks_us(), start)
print(
    json.dumps(
        {
            "frames_per_s": total / elapsed * 1e6,
            "module_bytes": module,
            "sealing_bytes": held,
            "longest_slice_us": longest,
        }
    )
)
