"""What MicroPython gets wrong in silence: each construct runs on both, translated on one.

A snippet prints; the same text must come from CPython and, translated, from MicroPython.
"""

import ast
import contextlib
import io
import subprocess
import types
from pathlib import Path

import pytest

from batmon.drivers import allowlist
from batmon.drivers.module import Module, Tables, tables_of
from batmon.drivers.passes import PASSES
from batmon.firmware import build, interpreter

_SNIPPETS = {
    "keys equal": r"""
d = {1: 2}
print(d.keys() == {1}, d.keys() != {1}, d.keys() >= {1, 2})
""",
    "keys joined": r"""
d = {1: 2}
s = {3}
s |= d.keys()
print(sorted(s), sorted(d.keys() | {9}))
""",
    "dict order": r"""
d: dict[int, int] = {}
for i in (5, 1, 9, 3):
    d[i] = i
print(list(d.values()), [k for k in d])
""",
    "set order": r"""
class BMS:
    CMDS = frozenset({0x82, 0x11, 0x40, 0x7E, 0x1E, 0x02})
print([c for c in BMS.CMDS])
for c in BMS.CMDS:
    print(c)
""",
    "signed from_bytes": r"""
print(int.from_bytes(b'\xff\xfe', 'little', signed=True), int.from_bytes(b'\x80',
    signed=True), int.from_bytes(b'', signed=True), int.from_bytes(b'\x7f\xff',
    byteorder='big', signed=True), int.from_bytes(b'\x01\x02'))
""",
    "to_bytes": r"""
print((258).to_bytes(2), int.to_bytes(7, 3, byteorder='little'))
try:
    (256).to_bytes(1)
except OverflowError:
    print('too big')
""",
    "int of a bytearray": r"""
print(int(bytearray(b'1F'), 16), int(b'1F', 16), int('1f', 16))
""",
    "bool is an int": r"""
print(isinstance(True, int), isinstance(False, (int, str)), isinstance(True, str),
    isinstance(1, int), isinstance(1.0, (int, float)))
""",
    "bytearray range": r"""
for v in (255, 256, -1):
    try:
        print(bytearray([1, v]))
    except ValueError:
        print('refused')
""",
    "bytearray append": r"""
b = bytearray(b'a')
b.append(98)
print(b)
try:
    b.append(300)
except ValueError:
    print('refused')
b.clear()
print(len(b))
""",
    "ascii decode": r"""
for data in (b'ab', b'a\xc3\xa9', b'\xff'):
    try:
        print(data.decode('ascii'))
    except UnicodeDecodeError:
        print('refused')
print(b'a\xc3\xa9b'.decode('ascii', errors='ignore'))
""",
    "lenient decode": r"""
def show(seed, some=b'A\x80\x8f\x90\x9f\xa0\xbf\xc1\xc3\xe0\xe2\xed\xf0\xf1\xf4\xf5\xff'):
    data = bytes([some[(seed := seed * 75 % 65537) % len(some)] for _ in range(6)])
    print([ord(c) for c in data.decode(errors='replace')],
        [ord(c) for c in data.decode('utf-8', 'ignore')])
for n in range(1, 999):
    show(n)
""",
    "ascii encode": r"""
print('ab'.encode('ASCII'))
try:
    '\xe9'.encode('ascii')
except UnicodeError:
    print('refused')
""",
    "round at halves": r"""
def show(x, y):
    print(round(x / y), round(x / y, 2), round(x * 1.0, 1))
for x, y in ((5, 2), (7, 2), (-5, 2), (2675, 1000), (1005, 1000), (125, 1000), (25, 10)):
    show(x, y)
""",
    "round to tens": r"""
for x in (65.0, 75.0, 85.0, 4.999):
    print(int(round(x / 1, -1)))
""",
    "int of a quotient": r"""
f = lambda c, i: int(c / i * 3600)
for c in (345.6, 1.0, 99.99, 0.1, 7.0):
    print([f(c, i / 100) for i in range(1, 400, 7)])
""",
    "large quotient": r"""
f = lambda x: x / 1e6
print(int(f(98765432) / 12.3 * 3600), int(f(99999999) / 0.7 * 3600))
""",
    "not a number": r"""
inf = float('inf')
def show(x, y):
    try:
        print(round(x * y, 2), round(x / y - 1, 2), round(sum([x, y]) + 0.5, 2), int(x / y))
    except (ValueError, OverflowError, ZeroDivisionError):
        print('refused')
for x, y in ((inf, 2.5), (2.5, inf), (inf, inf), (inf - inf, 1), (1, inf - inf), (inf, 0.0)):
    show(x, y)
""",
    "assert": r"""
try:
    assert 1 > 2, 'no'
except AssertionError as e:
    print('raised', e)
""",
    "f-strings": r"""
x = 255
n = 'a'
print(f'{x:0>4X} {n!r} {{}} {x}', f"{'q'}", f'{x:02x}')
""",
    "slices": r"""
s = slice(1, -1)
print(b'abcd'[s], [1, 2, 3][slice(2)], b'abc'[slice(-1, None)])
""",
    "slice step": r"""
print([1, 2, 3, 4, 5][::2], (1, 2, 3)[::2], b'abcd'[1::2], 'abcd'[::2])
""",
    "stars": r"""
a = (1, 2)
print([*a, 3], (0, *a), sorted({*a, 9}), [*b'ab', *a])
""",
    "match": r"""
def f(x):
    match x:
        case 1:
            return 'one'
        case 'a':
            return 'a'
        case _:
            return 'other'
print(f(1), f('a'), f(None))
""",
    "prefix and suffix": r"""
print(b'abc'.removeprefix(b'a'), b'abc'.removeprefix(b'x'), b'abc'.removesuffix(b'bc'),
    b'abc'.removesuffix(b''))
""",
    "count of a byte": r"""
print(b'a_b_'.count(95), b'a_b_'.count(b'_'), 'abca'.count('a'))
""",
    "search for a byte": r"""
class BMS:
    _SEP = 0x2C
print(b'a,b,\xff'.find(0x2C), b'a,b'.rfind(BMS._SEP), bytearray(b'abc').find(0xFF))
print(b'a,b,c'.rfind(b','), 'a,b'.find(','))
""",
    "bit_count": r"""
print((0).bit_count(), (255).bit_count(), (1 << 40).bit_count())
""",
    "isprintable": r"""
print([c for c in 'a\x00\x1f ~\x7f' if c.isprintable()])
""",
    "translate": r"""
t = bytes(255 - i for i in range(256))
print(b'\x00\x01\xff'.translate(t))
""",
    "zip strict": r"""
print(list(zip([1, 2], [3, 4], strict=True)))
try:
    list(zip([1], [2, 3], strict=True))
except ValueError:
    print('refused')
""",
    "renamed errors": r"""
from struct import error as StructError, unpack_from
from json import JSONDecodeError, loads
try:
    unpack_from('<f', b'a', 0)
except StructError:
    print('short')
try:
    loads(b'{')
except JSONDecodeError:
    print('bad')
print(loads(b'{"a": [1]}'))
""",
    "suppress": r"""
import contextlib
with contextlib.suppress(ValueError):
    int('x')
print('on')
try:
    with contextlib.suppress(ValueError):
        {}[1]
except KeyError:
    print('key')
""",
    "enum": r"""
from enum import IntEnum
class Cmd(IntEnum):
    A = 3
    B = 1
print(int(Cmd.A), sorted(int(m) for m in Cmd), 1 in Cmd, 2 in Cmd, int(Cmd(3)))
try:
    Cmd(2)
except ValueError:
    print('refused')
""",
    "named tuple": r"""
from typing import NamedTuple
class P(NamedTuple):
    a: int
    b: int = 7
p = P(1)
q = P(b=2, a=5)
print(p.a, p.b, q.a, q.b, p[:1])
r = q._replace(b=3)
print(r.b)
""",
    "data class": r"""
from dataclasses import dataclass
@dataclass
class C:
    x: int
    y: int = 4
    def both(self):
        return self.x + self.y
print(C(1).both(), C(1, y=2).both())
""",
    "takewhile": r"""
from itertools import takewhile
print(''.join(takewhile(str.isdigit, '12.3')))
""",
    "cached once": r"""
from functools import lru_cache
@lru_cache
def f():
    print('run')
    return 5
print(f() + f())
""",
    "del of a slice": r"""
class O:
    pass
o = O()
o._frame = bytearray(b'abcd')
del o._frame[:2]
print(o._frame)
""",
    "numbers kept": r"""
print(0xFF, 1e6, -0.1, 10**6, 5.906, 273.15, 0.005)
""",
}


def _module(source: str) -> tuple[Module, str]:
    """The snippet as a module of upstream, and what it prints on CPython."""
    host = types.ModuleType("x_bms")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(source, host.__dict__)
    tree = ast.parse(source)
    tables = Tables(functions={"split"}).joined(tables_of(tree, host))
    return Module("aiobmsble.bms.x_bms", Path("x_bms.py"), tree, host, tables), out.getvalue()


@pytest.mark.parametrize("which", interpreter.present(), ids=interpreter.label)
@pytest.mark.parametrize("name", _SNIPPETS)
def test_prints_the_same_on_micropython(name, which, tmp_path, monkeypatch):
    monkeypatch.setattr(allowlist, "BUILTINS", allowlist.BUILTINS | {"print"})
    module, expected = _module(_SNIPPETS[name])
    for run in PASSES:
        run(module)
    (tmp_path / "snippet.py").write_text(ast.unparse(module.tree))
    # The runtime's package without upstream's part of it, which no snippet needs.
    package = tmp_path / "aiobmsble"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for helper in ("compat", "exact"):
        source = build.ROOT / "aiobmsble" / f"{helper}.py"
        (package / f"{helper}.py").write_text(source.read_text())
    command = [interpreter.micropython(which), "snippet.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout == expected, ast.unparse(module.tree) + done.stderr


# Methods on the allowlist that are the runtime's or the client's, not MicroPython's.
_OURS = set(
    "disconnect error exception get_characteristic get_service read_gatt_char removesuffix "
    "start_notify stop_notify warning write_gatt_char".split()
)
_PROBE = """
import asyncio, builtins
async def nothing():
    pass
task = asyncio.new_event_loop().create_task(nothing())
owners = (str, bytes, bytearray, int, list, dict, set, asyncio.Event, asyncio.Lock, task, Exception)
absent = [n for n in names if not hasattr(builtins, n)]
absent += [n for n in methods if not any(hasattr(owner, n) for owner in owners)]
for module, parts in modules:
    absent += [n for n in parts if not hasattr(__import__(module), n)]
print(absent)
"""


@pytest.mark.parametrize("which", interpreter.present(), ids=interpreter.label)
def test_what_the_allowlist_allows_exists(which):
    names = sorted(allowlist.BUILTINS - {"None", "True", "False", "const"})
    methods = sorted(allowlist.METHODS - _OURS)
    modules = [(module, sorted(parts)) for module, parts in allowlist.MODULES.items()]
    code = f"{names = }\n{methods = }\n{modules = }\n{_PROBE}"
    command = [interpreter.micropython(which), "-c", code]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "[]\n"
