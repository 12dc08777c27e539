"""docs/ARCHITECTURE.md holds: what imports what, and that each rule of it can be broken."""

import textwrap

import architecture
import pytest

from batmon.firmware.build import PACKAGES
from batmon.paths import ROOT


def test_the_sources_are_as_the_document_says():
    assert architecture.problems(ROOT) == []


def test_what_the_document_calls_a_room_is_built():
    text = (ROOT / "docs/ARCHITECTURE.md").read_text()
    folders = {room[:-1] for room in architecture.rooms(text, "On the board") if room[-1] == "/"}
    assert folders == {*PACKAGES, "lib", "aiobmsble"}


_PAGE = "docs/ARCHITECTURE.md"
_DOCUMENT = """
# Rooms

## On the board

| room | what is in it | may import |
|---|---|---|
| `main.py` | the start | `high/` |
| `high/` | above `low/` | `low/`, `lib/` |
| `low/` | below | `lib/`, `made/` |
| `made/` | at build time | nothing |
| `lib/` | of use to others | nothing |

The above find of it no more than these names:
`time socket`.

## On the PC

| room | what is in it | may import |
|---|---|---|
| `cli.py` | the command | `log/` |
| `__init__.py` | | nothing |
| `log/` | reads | nothing |
"""
_GOOD = {
    "main.py": "from high import top\n",
    "high/top.py": "import clock, time\nfrom low import first\nfrom low.second import Second\n",
    "low/first.py": "def run():\n    from low import second\n    return second.Second()._x\n",
    "low/second.py": "import made.later\nclass Second:\n    _x = __file__\n",
    "lib/clock.py": "# for a battery\nimport sys\n\ndef excellent(): pass\n",
    "lib/radio/__init__.py": "from .core import on\n",
    "lib/radio/core.py": "from . import wire\non = wire.on\n",
    "lib/radio/wire.py": "on = 1\n",
    "sim/time.py": "import world\n",
    "sim/world.py": "from high import top\n",
    "host/batmon/__init__.py": "",
    "host/batmon/cli.py": "from batmon.log import read\nread.table()\n",
    "host/batmon/log/read.py": "def table(): pass\n",
    _PAGE: _DOCUMENT,
}


def _problems(folder, changed):
    for name, text in (_GOOD | changed).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))
    return architecture.problems(folder)


def test_a_small_tree_that_is_good(tmp_path):
    assert _problems(tmp_path, {}) == []


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        # a room above, at the top of a file, in a function, by each form of import
        ("low/first.py", "import high.top\n", "low.first:1 in low/ imports high.top of high/"),
        ("low/first.py", "def f():\n from high import top\n", ":2 in low/ imports high.top"),
        ("low/first.py", "from high.top import x\n", "imports high.top of high/"),
        ("low/first.py", "import main\n", "low.first:1 in low/ imports main of main.py"),
        ("lib/clock.py", "from low import first\n", "clock:1 in lib/ imports low.first of low/"),
        ("host/batmon/log/read.py", "import batmon.cli\n", "in log/ imports batmon.cli of cli.py"),
        # a room below that is not its business, and one made at build time
        ("main.py", "import clock\n", "main:1 in main.py imports clock of lib/"),
        ("high/top.py", "import made.later\n", "high.top:1 in high/ imports made.later of made/"),
        ("low/first.py", "import world\n", "imports world, which only the simulator has"),
        # circles: of two, of three, within a package, through a function, in the simulator
        ("low/second.py", "import low.first\n", "low.first > low.second > low.first"),
        ("low/second.py", "def f():\n from low import first\n", "circle of imports: low.first"),
        ("lib/radio/wire.py", "from . import core\n", "radio.core > radio.wire > radio.core"),
        ("lib/radio/wire.py", "import radio\n", "radio > radio.core > radio.wire > radio"),
        ("lib/clock.py", "import clock\n", "circle of imports: clock > clock"),
        ("sim/world.py", "import time\n", "circle of imports: time > world > time"),
        ("host/batmon/log/read.py", "from batmon.log import read\n", "batmon.log.read > batmon"),
        # what begins with an underscore
        ("high/top.py", "from low.first import _x\n", "high.top:1 imports _x of low.first"),
        ("high/top.py", "from low import first\n\nfirst._x()\n", "high.top:3 uses first._x"),
        ("high/top.py", "from low import first as f\nf._x()\n", "high.top:2 uses f._x"),
        ("high/top.py", "import low.first\nlow.first._x = 1\n", "high.top:2 uses low.first._x"),
        ("host/batmon/cli.py", "from batmon.log.read import _y\n", "cli:1 imports _y of"),
        ("sim/time.py", "import world\nworld._now\n", "time:2 uses world._now"),
        # files
        ("new.py", "", "new is in no room of the table"),
        ("host/batmon/misc/x.py", "", "batmon.misc.x is in no room of the table"),
        # batteries in lib/
        ("lib/clock.py", "def bms_name(): pass\n", "lib/clock.py:1 is about bms"),
        ("lib/clock.py", "\nprint('%d cells')\n", "lib/clock.py:2 is about cells"),
        ("lib/clock.py", "def f(soc): pass\n", "lib/clock.py:1 is about soc"),
        ("lib/clock.py", "x.battery = 1\n", "lib/clock.py:1 is about battery"),
        ("lib/radio/wire.py", "class Battery: pass\n", "lib/radio/wire.py:1 is about Battery"),
        # the document itself
        (_PAGE, _DOCUMENT.replace("`lib/`, `made/`", "`high/`"), "high/, which is not below it"),
        (_PAGE, _DOCUMENT.replace("`lib/`, `made/`", "`gone/`"), "gone/, which is no room"),
        (_PAGE, "# Empty\n", "has no table of rooms"),
    ],
)  # fmt: skip
def test_each_rule_can_be_broken(tmp_path, path, text, said):
    found = _problems(tmp_path, {path: text})
    assert any(said in problem for problem in found), found


def test_the_top_level_stays_short(tmp_path):
    rows = "".join(f"| `{name}.py` | | nothing |\n" for name in "abcdefgh")
    document = _DOCUMENT.replace("| `main.py`", f"{rows}| `main.py`", 1)
    names = {f"{name}.py": "" for name in "abcdefg"}
    assert _problems(tmp_path, {_PAGE: document, **names}) == []
    (tmp_path / "h.py").touch()
    (found,) = architecture.problems(tmp_path)
    assert found.startswith("the top level has 9 Python files: a.py b.py")
