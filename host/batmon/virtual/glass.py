"""Draws an LCD module from a snapshot of its glass: as a PNG picture and as text in a frame.

A snapshot is what sim/lcd.py returns: {"cols", "rows", "cells": a list of character codes for
each row, "cgram": 64 rows of dots, "backlight"}.
"""

import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

from batmon.virtual import font5x8

# Text

_CORNERS = "┌┐└┘"
_ROM_CHARS = {0x5C: "¥", 0x7E: "→", 0x7F: "←", 0xDF: "°", 0xE4: "µ", 0xF4: "Ω", 0xFF: "█"}

# Pictures that custom glyphs may resemble, beside the font's own characters.
_LOOKALIKES = {
    " ": (0, 0, 0, 0, 0, 0, 0, 0),
    "▁": (14, 31, 17, 17, 17, 17, 17, 31),
    "▂": (14, 31, 17, 17, 17, 17, 31, 31),
    "▃": (14, 31, 17, 17, 17, 31, 31, 31),
    "▅": (14, 31, 17, 17, 31, 31, 31, 31),
    "▆": (14, 31, 17, 31, 31, 31, 31, 31),
    "▇": (14, 31, 31, 31, 31, 31, 31, 31),
    "█": (31, 31, 31, 31, 31, 31, 31, 31),
    "♥": (0, 10, 31, 31, 14, 4, 0, 0),
    "Δ": (0, 4, 4, 10, 10, 17, 31, 0),
    "↑": (4, 14, 21, 4, 4, 4, 4, 0),
    "↓": (4, 4, 4, 4, 21, 14, 4, 0),
}


def _rom_char(code: int) -> str:
    if code in _ROM_CHARS:
        return _ROM_CHARS[code]
    return chr(code) if 0x20 <= code < 0x7E else "·"


def _lookalike(dots: tuple[int, ...]) -> str:
    """Return the character whose picture differs in the fewest dots."""

    def distance(item) -> int:
        return sum((a ^ b).bit_count() for a, b in zip(item[1], dots, strict=True))

    ascii_ = {chr(code): font5x8.glyph(code) for code in range(0x21, 0x7E) if code != 0x5C}
    return min((_LOOKALIKES | ascii_).items(), key=distance)[0]


def _dots(snapshot: dict, code: int) -> tuple[int, ...]:
    if code < 16:
        return tuple(snapshot["cgram"][8 * (code & 7) : 8 * (code & 7) + 8])
    return font5x8.glyph(code)


def frame(snapshot: dict) -> list[str]:
    """Return the glass as lines of text in a frame, custom glyphs as characters like them."""
    looks: dict[int, str] = {}
    for code in {c for row in snapshot["cells"] for c in row}:
        looks[code] = _lookalike(_dots(snapshot, code)) if code < 16 else _rom_char(code)
    edge = "─" * (snapshot["cols"] + 2)
    left, right, low_left, low_right = _CORNERS
    lines = ["│ " + "".join(looks[c] for c in row) + " │" for row in snapshot["cells"]]
    return [left + edge + right, *lines, low_left + edge + low_right]


# Picture

_COLOURS = {  # glass, dot on, dot off
    "blue": SimpleNamespace(glass=(22, 52, 196), on=(226, 240, 255), off=(26, 58, 206)),
    "green": SimpleNamespace(glass=(156, 196, 38), on=(30, 44, 22), off=(148, 186, 36)),
}
_DARK = 0.28  # of the light is left without the backlight
_PCB = (18, 74, 50)
_PCB_EDGE = (10, 46, 32)
_SOLDER = (198, 190, 150)
_HOLE = (244, 244, 242)
_METAL = (26, 27, 30)
_METAL_LIGHT = (66, 68, 74)
_METAL_DARK = (8, 8, 10)


class _Picture:
    """An RGB picture that knows filled rounded boxes, and how to become a PNG."""

    def __init__(self, width: int, height: int, colour: tuple[int, int, int]):
        self.width = width
        self.height = height
        self.rows = [bytearray(bytes(colour) * width) for _ in range(height)]

    def box(self, x0: int, y0: int, x1: int, y1: int, colour, radius: int = 0):
        """Fill from (x0, y0) up to, not with, (x1, y1)."""
        for y in range(max(y0, 0), min(y1, self.height)):
            # how far a corner's arc draws the edge in, at the middle of this row of pixels
            dy = max(y0 + radius - y - 0.5, y + 0.5 - (y1 - radius), 0)
            inset = radius - round((radius * radius - min(dy, radius) ** 2) ** 0.5)
            a, b = max(x0 + inset, 0), min(x1 - inset, self.width)
            if b > a:
                self.rows[y][3 * a : 3 * b] = bytes(colour) * (b - a)

    def disc(self, x: int, y: int, radius: int, colour):
        self.box(x - radius, y - radius, x + radius, y + radius, colour, radius)

    def png(self) -> bytes:
        def chunk(kind: bytes, data: bytes) -> bytes:
            crc = struct.pack(">I", zlib.crc32(kind + data))
            return struct.pack(">I", len(data)) + kind + data + crc

        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        raw = b"".join(b"\0" + row for row in self.rows)
        return (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(raw, 9))
            + chunk(b"IEND", b"")
        )


def _mix(a, b, part: float) -> tuple[int, ...]:
    return tuple(round(x + (y - x) * part) for x, y in zip(a, b, strict=True))


def png(snapshot: dict, path: str | Path, scale: int = 6, colour: str = "blue"):
    """Write a picture of the module to `path`.

    scale: pixels from dot to dot, at least 2. colour: "blue" or "green".
    """
    look = _COLOURS[colour]
    tall = round(scale * 7 / 6)  # dots are a little higher than wide
    cell_w = (font5x8.WIDTH + 1) * scale
    cell_h = font5x8.HEIGHT * tall + scale
    text_w = snapshot["cols"] * cell_w - scale
    text_h = snapshot["rows"] * cell_h - scale

    # from the outside in: circuit board, metal frame, glass, characters
    mm = scale * 10 / 6
    board = round(4.5 * mm), round(5.5 * mm)
    metal = round(4 * mm), round(4 * mm)
    glass = round(3.6 * mm), round(2.8 * mm)
    x = board[0] + metal[0] + glass[0]
    y = board[1] + metal[1] + glass[1]
    picture = _Picture(2 * x + text_w, 2 * y + text_h, _HOLE)
    _draw_board(picture, board, mm)
    light = 1 if snapshot["backlight"] else _DARK
    _draw_glass(picture, x - glass[0], y - glass[1], look, light, mm)

    gap = 1 if scale >= 4 else 0
    on, off = _mix((0, 0, 0), look.on, light), _mix((0, 0, 0), look.off, light)
    if not snapshot["backlight"] and colour == "blue":
        on = _mix(off, on, 0.35)  # light letters need the light behind them
    halo = _mix(off, on, 0.3)
    lit, dark = [], []
    for r, row in enumerate(snapshot["cells"]):
        for c, code in enumerate(row):
            for j, bits in enumerate(_dots(snapshot, code)):
                for i in range(font5x8.WIDTH):
                    place = x + c * cell_w + i * scale, y + r * cell_h + j * tall
                    (lit if bits >> (font5x8.WIDTH - 1 - i) & 1 else dark).append(place)
    for places, colour_, rim in ((dark, off, 0), (lit, halo, gap), (lit, on, 0)):
        for dot_x, dot_y in places:
            right, low = dot_x + scale - gap + rim, dot_y + tall - gap + rim
            picture.box(dot_x - rim, dot_y - rim, right, low, colour_)
    Path(path).write_bytes(picture.png())


def _draw_board(picture: _Picture, board: tuple[int, int], mm: float):
    width, height = picture.width, picture.height
    picture.box(0, 0, width, height, _PCB_EDGE, round(1.2 * mm))
    rim = max(1, round(0.2 * mm))
    picture.box(rim, rim, width - rim, height - rim, _PCB, round(mm))
    hole = round(2.5 * mm)
    for x in (hole, width - hole):
        for y in (hole, height - hole):
            picture.disc(x, y, round(1.9 * mm), _SOLDER)
            picture.disc(x, y, round(1.3 * mm), _HOLE)
    for pin in range(16):
        x = round((8 + 2.54 * pin) * mm)
        picture.disc(x, round(2.2 * mm), round(0.9 * mm), _SOLDER)
        picture.disc(x, round(2.2 * mm), round(0.4 * mm), _METAL)
    bx, by = board
    edge = max(1, round(0.3 * mm))
    radius = round(1.2 * mm)
    picture.box(bx - edge, by - edge, width - bx + edge, height - by + edge, _METAL_LIGHT, radius)
    picture.box(bx, by, width - bx + edge, height - by + edge, _METAL_DARK, radius)
    picture.box(bx, by, width - bx, height - by, _METAL, radius)


def _draw_glass(picture: _Picture, x0: int, y0: int, look, light: float, mm: float):
    x1, y1 = picture.width - x0, picture.height - y0
    edge = max(1, round(0.35 * mm))
    picture.box(x0 - edge, y0 - edge, x1 + edge, y1 + edge, _METAL_DARK, edge)
    picture.box(x0, y0, x1 + edge, y1 + edge, _METAL_LIGHT, edge)
    for y in range(y0, y1):
        # the frame throws a shadow on the upper rim, the middle is lit best
        depth = min(1, (y - y0) / (1.2 * mm)) * 0.3 + 0.7
        middle = 1 - 0.14 * (2 * (y - y0) / (y1 - y0) - 1) ** 2
        picture.box(x0, y, x1, y + 1, _mix((0, 0, 0), look.glass, light * depth * middle))
