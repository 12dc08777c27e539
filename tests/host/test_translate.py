"""Each pass of the translator alone: what goes in, what comes out, what it refuses."""

import ast
import types
from pathlib import Path

import pytest

from batmon.drivers import emit
from batmon.drivers.allowlist import check
from batmon.drivers.matchers import pack
from batmon.drivers.module import Module, Tables, Unsupported, tables_of
from batmon.drivers.passes import (
    PASSES,
    classes,
    constants,
    imports,
    numbers,
    order,
    strip,
    syntax,
    values,
)


def _module(source: str, name: str = "aiobmsble.bms.x_bms") -> Module:
    host = types.ModuleType("x_bms")
    exec(source, host.__dict__)
    tree = ast.parse(source)
    tables = Tables().joined(tables_of(tree, host))
    return Module(name, Path("x_bms.py"), tree, host, tables, source=source)


def _after(source: str, *passes) -> str:
    module = _module(source)
    for run in passes:
        run(module)
    return ast.unparse(ast.fix_missing_locations(module.tree))


_HEAD = "import asyncio\nfrom typing import NamedTuple\nfrom enum import IntEnum\n"


@pytest.mark.parametrize(
    ("run", "source", "expected"),
    [
        (strip.Docstrings.run, '"""Text."""\nx = 1', "x = 1"),
        (
            strip.Logging.run,
            "def f(self):\n    self._log.debug('a')\n    self._log.warning('b')",
            "def f(self):\n    self._log.warning('b')",
        ),
        (
            strip.Annotations.run,
            "type T = int\nx: int = 1\ndef f(a: int) -> int:\n    b: int\n    return a",
            "x = 1\n\ndef f(a):\n    return a",
        ),
        (
            strip.Decorators.run,
            "from functools import cache\n@cache\ndef f(a):\n    return a\n"
            "@cache\ndef g():\n    return 1",
            "from functools import cache\n\ndef f(a):\n    return a\n\n"
            "@once\ndef g():\n    return 1",
        ),
        (strip.Causes.run, "def f(e):\n    raise ValueError from e",
         "def f(e):\n    raise ValueError"),
        (strip.Asserts.run, "assert 1 in (1,), 'no'",
         "if 1 not in (1,):\n    raise AssertionError('no')"),
        (strip.Asserts.run, "assert True",
         "if not True:\n    raise AssertionError()"),
        (strip.empty_blocks, "if 1:\n    pass\nelse:\n    pass", "if 1:\n    pass"),
        (syntax.Stars.run, "a = (1,)\nb = [*a, 2]", "a = (1,)\nb = list(a) + [2]"),
        (syntax.Slices.run, "a = slice(1)\nb = slice(1, None)\nc = [1][::2]",
         "a = cut[:1]\nb = cut[1:]\nc = every_nth([1], None, None, 2)"),
        (syntax.FormatStrings.run, "x = 1\ny = f'{x:02X}{{{x!r}'",
         "x = 1\ny = '{:02X}{{{!r}'.format(x, x)"),
        (syntax.Matches.run,
         "x = 1\nmatch x:\n    case 1:\n        y = 1\n    case _:\n        y = 2",
         "x = 1\nif x == 1:\n    y = 1\nelse:\n    y = 2"),
        (syntax.SliceDeletes.run, "def f(self):\n    del self._frame[1:], self.a",
         "def f(self):\n    self._frame[1:] = b''\n    del self.a"),
        (values.Views.run, "d = {}\nx = d.keys() == {1}\ny = 1 in d.keys()",
         "d = {}\nx = set(d.keys()) == {1}\ny = 1 in d.keys()"),
        (values.IntBytes.run,
         "x = int.from_bytes(b'a')\ny = int.from_bytes(b'a', byteorder='little', signed=True)\n"
         "z = (1).to_bytes(length=2)",
         "x = int.from_bytes(b'a', 'big')\ny = signed_from_bytes(b'a', 'little', True)\n"
         "z = 1 .to_bytes(2, 'big')"),
        (values.Methods.run, "x = b'a'.decode(errors='ignore')",
         "x = decoded_leniently(b'a', 'ignore')"),
        (values.Methods.run, "x = b'a'.decode()\ny = b'a'.decode('ascii', errors='ignore')",
         "x = decoded(b'a', 'utf-8', 'strict')\ny = decoded(b'a', 'ascii', 'ignore')"),
        (values.Searches.run, "x = b'ab'.rfind(0xFF)\ny = 'ab'.find('b')",
         "x = b'ab'.rfind(b'\\xff')\ny = 'ab'.find('b')"),
        (values.Bytearrays.run, "x = bytearray([1])", "x = bytearray(bytes([1]))"),
        (values.BufferSums.run, "def f(self, x):\n    self._frame += x",
         "def f(self, x):\n    self._frame.extend(x)"),
        (values.Builtins.run, "x = int('1', 16)\ny = isinstance(1, (str, int))\n"
         "z = zip([], [], strict=True)",
         "x = int_base('1', 16)\ny = is_instance(1, (str, int))\nz = zip_strict([], [])"),
        (values.UnixTime.run, "from datetime import datetime\nx = int(datetime.now().timestamp())",
         "x = unix_time()"),
        (values.Uuids.run, "from bleak.uuids import normalize_uuid_str\n"
         "x = normalize_uuid_str('FFE0')",
         "from bleak.uuids import normalize_uuid_str\nx = '0000ffe0-0000-1000-8000-00805f9b34fb'"),
        (numbers.SharedLambdas.run, "f = lambda x: x / 10\ng = lambda x: x / 7",
         "f = div10\ng = lambda x: x / 7"),
        (numbers.Quotients.run, "f = lambda x: (x + 1) / 1e6\ng = lambda x: x * 0.5",
         "f = lambda x: quotient(x + 1, 1000000)\ng = lambda x: as_float(exact_mul(x, 0.5))"),
        (numbers.ExactNumbers.run, "a, b = 3, 2\nx = int(a / b * 3)\ny = round(a, 2)\nz = int(a)",
         "a, b = (3, 2)\nx = trunc(exact_mul(exact_div(a, b), 3))\n"
         "y = exact_round(a, 2)\nz = int(a)"),
        (imports.Constants.run, "from string import digits\nx = digits",
         "x = '0123456789'"),
        (imports.Renames.run, "import contextlib\nfrom struct import error as E\n"
         "x = contextlib.suppress\ny = E",
         "x = suppress\ny = ValueError"),
        (imports.Sources.run, "from bleak.exc import BleakError", "from bleak import BleakError"),
        (imports.drop_unused, "import asyncio\nimport struct\nx = struct",
         "import struct\nx = struct"),
        (classes.Bases.run, "from abc import ABC\nclass A(ABC):\n    x = 1",
         "from abc import ABC\n\nclass A:\n    x = 1"),
        (classes.DataClasses.run,
         "from dataclasses import dataclass\n@dataclass\nclass C:\n    x: int\n    y: int = 2",
         "class C:\n\n    def __init__(self, x, y=2):\n        self.x = x\n        self.y = y"),
    ],
)  # fmt: skip
def test_a_pass(run, source, expected):
    assert _after(source, run) == expected


def test_typed_dicts_are_dicts():
    source = "from typing import TypedDict\nclass S(TypedDict):\n    a: int\nx = S(a=1)\ny = S()"
    assert _after(source, classes.TypedDicts.run).endswith("x = {'a': 1}\ny = {}")


def test_named_tuples_get_all_arguments_by_position():
    source = _HEAD + "class P(NamedTuple):\n    a: int\n    b: int = 7\nx = P(b=1, a=2)\ny = P(3)"
    text = _after(source, classes.NamedTuples.run)
    assert text.endswith("P = namedtuple('P', ('a', 'b'))\nx = P(2, 1)\ny = P(3, 7)")


def test_enums_are_values():
    source = _HEAD + (
        "class Cmd(IntEnum):\n    A = 3\n    B = 1\nx = Cmd.A\ny = 1 in Cmd\nz = Cmd(3)\n"
        "def f(c: Cmd):\n    return c.value"
    )
    text = _after(
        source,
        classes.enum_names,
        strip.Annotations.run,
        classes.Enums.run,
        constants.EnumMembers.run,
        imports.drop_unused,
        constants.define,
    )
    assert text == (
        "_Cmd_A = const(3)\nx = _Cmd_A\ny = 1 in (3, 1)\nz = enum_member(3, (3, 1))\n\n"
        "def f(c):\n    return c"
    )


def test_class_constants_move_unless_an_instance_reads_them():
    source = "class BMS:\n    _A = 0x10\n    _B = _A + 1\n    _C = 5\n    x = BMS._A if 0 else _B"
    module = _module(source)
    module.shared_attributes = {"_C"}
    constants.ClassConstants.run(module)
    constants.define(module)
    text = ast.unparse(ast.fix_missing_locations(module.tree))
    assert text == (
        "_A = const(16)\n_B = const(17)\n\nclass BMS:\n    _C = 5\n    x = _A if 0 else _B"
    )


def test_iterated_sets_get_the_order_of_the_pc():
    source = "class BMS:\n    S = frozenset({130, 17, 64})\nfor x in BMS.S:\n    pass"
    order_on_pc = tuple(frozenset({130, 17, 64}))
    assert f"for x in {order_on_pc!r}:" in _after(source, order.note_kinds, order.HostOrder.run)


def test_salted_sets_are_sorted():
    assert order.host_order({(2, b"a"), (1, b"b")}) == ((1, b"b"), (2, b"a"))
    assert order.host_order(frozenset({"b", "a"})) == ("a", "b")


def test_iterated_dicts_keep_their_order():
    source = "a: dict[int, int] = {1: 2}\nb: dict[int, int] = {}\nx = [k for k in a]"
    text = _after(source, order.note_kinds, order.OrderedDicts.run, strip.Annotations.run)
    assert text == "a = OrderedDict(((1, 2),))\nb = {}\nx = [k for k in a]"


@pytest.mark.parametrize(
    ("source", "line", "what"),
    [
        ("import socket\nx = socket", 1, "import socket"),
        ("from os import path\nx = path", 1, "from os import path"),
        ("y = 0\nx = memoryview(b'')", 2, "unknown name memoryview"),
        ("y = 0\nx = 'a'.casefold()", 2, r"method casefold\(\)"),
        ("x = (1).__class__.__mro__", 1, "attribute __mro__"),
        ("def f():\n    global x\n    x = 1", 2, "Global"),
        ("import asyncio\nx = asyncio.Queue", 2, "asyncio.Queue"),
        ("def f():\n    yield 1", 2, "Yield"),
        ("async def f(a):\n    async for x in a:\n        x", 2, "AsyncFor"),
        ("def f(x):\n    return x // 0.5", 2, "floor of a float"),
        ("a = [1, 2]\ndel a[1:]", 2, "del of a slice"),
        ("x = 3\ny = f'{1:{x}}'", 2, "computed format"),
        ("def f(self):\n    self._log.debug(x := 1)", 2, r"effect inside debug\(\)"),
        ("from functools import wraps\n@wraps(print)\ndef f():\n    return 1", 3, "wraps"),
        ("y = 0\nx = lambda: b''.decode('ascii', 'replace')", 2, "decode"),
        ("y = 0\nx = lambda: (1).to_bytes(2, signed=True)", 2, "to_bytes"),
        ("y = 0\ndef f(data, part):\n    return data.rfind(part)", 3, r"rfind\(\)"),
    ],
)
def test_what_is_not_known_is_refused_with_file_and_line(source, line, what):
    module = _module(source)
    with pytest.raises(Unsupported, match=rf"^x_bms\.py:{line}: .*{what}"):
        for run in PASSES:
            run(module)


def test_the_check_accepts_what_it_lists():
    check(_module("x = max(1, 2)\ny = b''.startswith(b'')"))


def test_source_is_readable_and_carries_the_licence():
    source = '"""M.\n\nProject: p\nLicense: Apache-2.0, here\n"""\nx = 0xFF\ny = 255\n' + (
        f"z = ({', '.join(str(i) for i in range(60))})"
    )
    module = _module(source)
    strip.Docstrings.run(module)
    text = emit.source_of(module, "0.31.0")
    assert text.startswith("# Translated for MicroPython by batmon, do not edit. From aiobmsble.")
    assert "Project: p License: Apache-2.0, here" in text
    assert "x = 0xFF\ny = 255\n" in text
    assert max(len(line) for line in text.splitlines()) <= 100
    assert ast.dump(ast.parse(text)) == ast.dump(_module(text).tree)


def test_source_without_licence_is_refused():
    with pytest.raises(Unsupported, match="licence"):
        emit.source_of(_module("x = 1"), "0.31.0")


def test_matchers_that_the_table_cannot_hold_are_refused():
    with pytest.raises(ValueError, match="unknown matcher keys"):
        pack({"x_bms": [{"rssi": 1}]})
    with pytest.raises(ValueError, match="normal form"):
        pack({"x_bms": [{"service_uuid": "0000FFE0-0000-1000-8000-00805F9B34FB"}]})
