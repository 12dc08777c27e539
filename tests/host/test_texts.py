"""Short texts of modules that are loaded for a moment: the same program, without them."""

import ast

import pytest

from batmon.firmware import build, texts
from batmon.paths import ROOT

_PROGRAM = '''# a module
"""Its doc."""
SIZE = "ab"
def f(x, y="-"):
    "doc"
    words = {"a": 1, 'b"': 2}
    return ("%s,%d" % (x, len(y)), words["a"], x == "ä" or "b" in x, "a sentence that is long")
result = [f("abc"), f("ä", "--"), f""]
'''


def test_a_program_does_the_same_on_the_same_lines():
    short = texts.in_one(_PROGRAM)
    assert short.count("\n") == _PROGRAM.count("\n")
    told = []
    for text in (_PROGRAM, short):
        names = {}
        exec(compile(text, "a", "exec"), names)
        told.append((names["result"], names["f"].__doc__))
    assert told[0] == told[1]
    assert all(len(text) > 10 for text in _texts(short))


def test_a_constant_of_the_compiler_stays():
    assert "const('x')" in texts.in_one("# module\n_A = const('x')\nb = 'yz'\n").replace('"', "'")


def test_one_without_a_comment_to_give_place_stays():
    assert texts.in_one("a = 'b'\n") == "a = 'b'\n"


@pytest.mark.parametrize("name", build._MOMENTARY)
def test_each_that_is_named_is_there_and_has_none_left(name):
    if name != "aiobmsble/matchers.py":  # which the translator makes
        short = texts.in_one((ROOT / name).read_text(encoding="utf-8"))
        assert not list(texts._short(ast.parse(short)))


def _texts(source):
    tree = ast.parse(source)
    docs = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [node.value for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            and node.value and node not in docs]  # fmt: skip
