"""The pictures of the display: what is drawn is what is on the glass."""

import struct
import zlib

import pytest

from batmon.virtual import font5x8, glass


def snapshot(*rows: str, backlight=True, cgram=None) -> dict:
    cells = [[ord(c) for c in row] for row in rows]
    return {
        "cols": len(rows[0]),
        "rows": len(rows),
        "cells": cells,
        "cgram": cgram or [0] * 64,
        "backlight": backlight,
    }


def read_png(path) -> tuple[int, int, list[list[bytes]]]:
    """Read a PNG as rows of RGB triples, checking its structure on the way."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, body, kinds, size = 8, b"", [], ()
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (crc,) = struct.unpack_from(">I", data, at + 8 + length)
        assert crc == zlib.crc32(kind + content)
        kinds.append(kind)
        if kind == b"IHDR":
            size = struct.unpack(">IIBBBBB", content)
        elif kind == b"IDAT":
            body += content
        at += 12 + length
    assert kinds[0] == b"IHDR" and kinds[-1] == b"IEND"
    width, height = size[:2]
    assert size[2:] == (8, 2, 0, 0, 0)
    raw = zlib.decompress(body)
    assert len(raw) == height * (1 + 3 * width)
    rows = []
    for y in range(height):
        line = raw[y * (1 + 3 * width) :][: 1 + 3 * width]
        assert line[0] == 0
        rows.append([line[1 + 3 * x : 4 + 3 * x] for x in range(width)])
    return width, height, rows


def count_lit(path) -> int:
    _, _, rows = read_png(path)
    return sum(row.count(bytes((226, 240, 255))) for row in rows)


def dots(text: str) -> int:
    return sum(bits.bit_count() for c in text for bits in font5x8.glyph(ord(c)))


def test_every_dot_is_drawn(tmp_path):
    path = tmp_path / "a.png"
    for text in ("Hello, world", "0123456789 V", "            ", "abcdefghijkl", "ABC%&@#$!?{}"):
        glass.png(snapshot(text, text[::-1]), path, scale=4)
        # a dot at scale 4 is 3 x 4 pixels, one is left between dots
        assert count_lit(path) == 2 * dots(text) * 3 * 4


def test_custom_glyphs_are_drawn_from_their_ram(tmp_path):
    cgram = list(range(32)) + [0] * 32
    shown = snapshot("\x00\x01\x02\x03\x0b", cgram=cgram)
    glass.png(shown, tmp_path / "a.png", scale=4)
    ones = sum(n.bit_count() for n in range(32)) + sum(n.bit_count() for n in range(24, 32))
    assert count_lit(tmp_path / "a.png") == ones * 3 * 4


def test_picture_grows_with_the_glass_and_the_scale(tmp_path):
    sizes = {}
    for cols, rows, scale in ((16, 2, 3), (20, 4, 3), (16, 2, 6)):
        path = tmp_path / "a.png"
        glass.png(snapshot(*[" " * cols] * rows), path, scale=scale)
        sizes[cols, rows, scale] = read_png(path)[:2]
    small, large, fine = sizes.values()
    assert large[0] > small[0] and large[1] > small[1]
    assert fine[0] == pytest.approx(2 * small[0], rel=0.05)


@pytest.mark.parametrize("colour", ["blue", "green"])
def test_colours_and_backlight(tmp_path, colour):
    def light(backlight):
        glass.png(snapshot("x" * 16, backlight=backlight), tmp_path / "a.png", 3, colour)
        _, _, rows = read_png(tmp_path / "a.png")
        return sum(sum(pixel) for row in rows for pixel in row)

    assert light(False) < light(True)


def test_characters_of_the_font_differ():
    codes = [*range(0x20, 0x80), 0xDF, 0xE4, 0xF4, 0xFF]
    glyphs = [font5x8.glyph(code) for code in codes]
    assert len(set(glyphs)) == len(codes)
    for glyph in glyphs:
        assert len(glyph) == 8 and all(0 <= bits < 32 for bits in glyph)
    assert font5x8.glyph(0x20) == (0,) * 8 != font5x8.glyph(0x21)


def test_frame_shows_the_text():
    lines = glass.frame(snapshot("Hello \\", "20\xdfC \x7e\x7f"))
    assert [len(line) for line in lines] == [11] * 4
    assert lines[1:3] == ["│ Hello ¥ │", "│ 20°C →← │"]


def test_frame_finds_characters_that_look_alike():
    letter_r = list(font5x8.glyph(ord("R")))
    smudged = [letter_r[0] ^ 1, *letter_r[1:]]
    heart = [0, 10, 31, 31, 14, 4, 0, 0]
    cgram = letter_r + smudged + heart + [0] * 40
    assert glass.frame(snapshot("\x00\x01\x02\x03", cgram=cgram))[1] == "│ RR♥  │"
