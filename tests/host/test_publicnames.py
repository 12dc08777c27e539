"""Public names: a board's program does the same with them; those that others use stay."""

import ast
import contextlib
import re
import subprocess

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from test_shorten import _run

from batmon.firmware import interpreter, publicnames, rom
from batmon.firmware.build import PACKAGES
from batmon.paths import ROOT

_WORDS = ("beats", "front", "glyphs", "lit", "millibytes", "turns", "widened")
_word = st.sampled_from(_WORDS)


def _shortened(texts, kept=(), hardware=()):
    return publicnames.shorten_public(texts, kept, hardware)


# ---- programs made at random


@st.composite
def _programs(draw):
    """Two modules whose classes, functions and arguments have some of the same few names."""

    def words(n):
        return draw(st.lists(_word, min_size=n, max_size=n, unique=True))

    value, method, argument, function = words(4)
    one = (
        f"def {function}({argument}, {value}=3):\n    return {argument} * 2 + {value}\n"
        f"class First:\n    {value} = 1\n"
        f"    def __init__(self, {argument}=2):\n        self.{argument} = {argument}\n"
        f"    def {method}(self, {value}):\n"
        f"        return self.{argument} + {value} + {function}(self.{value})\n"
    )
    other, second, key = words(3)
    base = draw(st.sampled_from(["First", "object", "Strange"]))
    reach = draw(st.sampled_from([f"self.{other}", f"getattr(self, '{other}', 9)"]))
    call = draw(st.sampled_from([f"{function}({argument}=4)", f"{function}(4)"]))
    two = (
        f"from one import {function}, First\n"
        f"class Strange(First):\n    {key} = 8\n"
        f"class Second({base}):\n    {other} = 5\n"
        f"    def {second}(self):\n"
        f"        {key} = dict(first=self.{other}, {value}=2)\n"
        f"        return {call} + {reach} + {key}['{value}']\n"
    )
    three = (
        "from one import First\nfrom two import Second, Strange\n"
        f"a, b = First({argument}=7), Second()\n"
        f"a.{key} = 3\nb.{draw(_word)} = 4\n"
        f"parts = [getattr(b, '{draw(_word)}', 0), a.{key}, Strange().{method}(1)]\n"
        f"parts = [a.{method}(1), *parts, b.{second}() if callable(b.{second}) else 0]\n"
        "result = [part if isinstance(part, int) else 'a method' for part in parts]\n"
    )
    return {"one.py": one, "two.py": two, "three.py": three}


@given(_programs())
@settings(max_examples=200, phases=[Phase.generate])
def test_a_program_does_the_same(program):
    short, names = _shortened(program, ["result"])
    assert _run(program) == _run(short), short
    for path, text in program.items():
        assert short[path].count("\n") == text.count("\n")
    strings = {node.value for text in program.values() for node in ast.walk(ast.parse(text))
               if isinstance(node, ast.Constant)}  # fmt: skip
    assert not strings & set(names)


# ---- what is replaced, and what is not


def _names(text, kept="", hardware=""):
    return set(_shortened({"a.py": text}, [kept], [hardware])[1])


def test_names_of_the_tree_are_replaced():
    text = (
        "WIDTH = 3\n"
        "class Glass:\n"
        "    lit = False\n"
        "    def __init__(self, cells):\n"
        "        self.cells = cells\n"
        "        self._cells = cells\n"
        "    def switch(self, lit, after_s=0):\n"
        "        self.lit = lit\n"
        "        return after_s, WIDTH\n"
        "result = Glass(5).switch(lit=True)\n"
    )
    expected = {"WIDTH", "Glass", "lit", "cells", "_cells", "switch", "after_s", "result"}
    assert _names(text) == expected
    assert all(name in rom.FREE for name in _shortened({"a.py": text})[1].values())


@pytest.mark.parametrize(
    ("code", "kept", "hardware"),
    [
        ("class A:\n    beats = 1\n", "app.beats\n", ""),
        ("class A:\n    beats = 1\n", "", "class Pin:\n    def beats(self): pass\n"),
        ("class A:\n    beats = 1\n", "", "def wait(beats=3): pass\n"),
        ("class A:\n    beats = 1\nresult = getattr(A, 'beats', 0)\n", "", ""),
        ("class A:\n    beats = 1\nresult = '{beats}' % 1\n", "", ""),
        ("class A:\n    beats = 1\nresult = 'no %(beats)s of it'\n", "", ""),
        ("import machine\nclass A:\n    beats = machine.beats\n", "", ""),
        ("from machine import beats\nclass A:\n    beats = 2\n", "", ""),
        ("class A:\n    beats = dict(beats=1)\n", "", ""),
        ("def f(beats):\n    return pin.beats(beats)\n", "", ""),
        ("_X = 1\nbeats_of = const(1)\ndef f():\n    beats = 3\n    return pin.beats\n", "", ""),
    ],
)
def test_a_name_that_somebody_else_uses_stays(code, kept, hardware):
    assert "beats" not in _names(code, kept, hardware)


def test_a_name_in_a_sentence_is_none():
    assert _names("class A:\n    beats = 1\nprint('no beats of it')\n") == {"A", "beats"}


def test_names_of_strangers_to_each_other_are_shared():
    one = "class One:\n    def __init__(self):\n        self.beats = 1\n        self.front = 2\n"
    two = "class Two:\n    def __init__(self):\n        self.turns = 1\n"
    out = "def f(x):\n    x.widened = 3\n"
    names = _shortened({"a.py": one, "b.py": two, "c.py": out})[1]
    assert names["turns"] in (names["beats"], names["front"])
    assert names["beats"] != names["front"]
    assert names["widened"] not in (names["beats"], names["front"], names["turns"])


def test_what_the_documents_name_stays():
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    named = set()
    for document in documents:
        for code in re.findall(r"```python\n.*?```|`[^`\n]+`", document.read_text(), re.S):
            # what is called or reached into
            named |= set(re.findall(r"\.([a-z]\w*)\b(?!\.\w)|\b(\w+)\(", code))
    named = {name for pair in named for name in pair}
    # of the PC, of what is built with the rest, and mere words
    others = {"Counters", "bits", "check", "counted", "cut", "driver", "sample"}
    assert named & _names_of_the_board() <= others


def test_what_the_pc_asks_a_board_for_stays():
    named = set()
    for path in (ROOT / "host/batmon/board").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and "\n" in str(node.value):
                with contextlib.suppress(SyntaxError, ValueError):  # it is no program
                    program = list(ast.walk(ast.parse(node.value)))
                    named |= {getattr(part, "attr", "") for part in program}
                    named |= {str(getattr(part, "value", "")) for part in program}  # getattr's
                    named |= {part.name for part in program if isinstance(part, ast.alias)}
    assert {"VERSION", "batteries", "store"} <= named
    assert not named & _names_of_the_board()


def _names_of_the_board():
    """Return the names that a build replaces, of all but drivers and aioble."""
    paths = [*ROOT.glob("*.py"), *(p for d in (*PACKAGES, "lib") for p in (ROOT / d).rglob("*.py"))]
    texts = {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}
    kept = [texts.pop(name) for name in ("boot.py", "main.py", "conn.py")]
    del texts["install.py"]
    names = set(_shortened(texts, kept)[1])
    assert len(names) > 150
    return names


# ---- the list


@pytest.mark.parametrize("which", interpreter.present())
def test_names_in_rom_take_no_memory(which, tmp_path):
    path = tmp_path / "names"
    path.write_text("\n".join(rom.ALL))
    program = (
        "import micropython, sys\nmicropython.qstr_info()\nwith open(sys.argv[1]) as f:\n"
        "    for name in f:\n        getattr(None, name.strip(), None)\nmicropython.qstr_info()\n"
    )
    command = [interpreter.micropython(which), "-c", program, str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    before, after = (int(n) for n in re.findall(r"n_qstr=(\d+)", said))
    assert after - before <= 2, "the two names of this program itself"
