# Frames from pieces, for drivers that take them whole only
# A link without a large MTU brings 20 bytes at a time. host/batmon/drivers/pieces.py says whose.
import time

from micropython import const

_APART_MS = const(500)  # a piece that comes later begins a frame, or belongs to none


def assembled(handler, heads, position, extra):
    """Return `handler`, a driver's for notifications, as one that waits for the whole frame.

    `heads` are the first two bytes of frames. Of the byte at `position`, the length, a frame has
    `extra` bytes more. What is no frame goes to the driver as it came.
    """

    def take(self, sender, data):
        now_ms = time.ticks_ms()
        so_far, last_ms = getattr(self, "_pieces", (b"", now_ms))
        if time.ticks_diff(now_ms, last_ms) > _APART_MS:
            so_far = b""
        frame = so_far + data
        if so_far and len(frame) > position and len(frame) > frame[position] + extra:
            frame = data  # a piece was lost: this one begins the next frame
        if bytes(frame[:2]) not in heads:
            self._pieces = b"", now_ms
            handler(self, sender, data)
        elif len(frame) > position and len(frame) >= frame[position] + extra:
            self._pieces = b"", now_ms
            handler(self, sender, bytearray(frame))
        else:
            self._pieces = bytes(frame), now_ms

    return take
