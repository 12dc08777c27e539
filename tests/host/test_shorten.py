"""Short names: a program does the same with them on the same lines; nobody else's are touched."""

import ast
import re
import sys
import types

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from batmon.firmware.shorten import renamed, shorten

_NAMES = ("_n", "_number", "_step", "_total", "_clock")
_ARGUMENTS = ("many", "step_a", "x", "_number", "total")


def _run(texts):
    """Run modules in order; return what the last one has as `result`, or the kind of error."""
    before = dict(sys.modules)
    try:
        for path, text in texts.items():
            name = path[:-3].replace("/", ".")
            module = sys.modules[name] = types.ModuleType(name)
            exec(compile(text, path, "exec"), module.__dict__)
        return module.result
    except Exception as error:
        return type(error)
    finally:
        for name in set(sys.modules) - set(before):
            del sys.modules[name]


def _both(texts, kept=None):
    """Shorten, check that it does the same, and return what is new."""
    texts, kept = dict(texts), dict(kept or {})
    short = shorten(texts, kept)
    assert _run({**texts, **kept}) == _run({**short.texts, **kept})
    for path, text in texts.items():
        assert short.texts[path].count("\n") == text.count("\n")
    return short


# ---- programs made at random

_attribute = st.sampled_from(_NAMES)
_argument = st.sampled_from(_ARGUMENTS)
_expression = st.recursive(
    st.one_of(
        st.integers(0, 9).map(str),
        _argument,
        _attribute.map("self.{}".format),
        st.just("_helper(1)"),
        _attribute.map("getattr(self, '{}', 5)".format),
        st.builds("_helper(value={})".format, _argument),
    ),
    lambda inner: st.one_of(
        st.builds("({} + {})".format, inner, inner),
        st.builds("sum([{} for x in range(2)])".format, inner),
        st.builds("(lambda many: many + {})({})".format, inner, inner),
        st.builds("max([{}], key=lambda step_a: -step_a)".format, inner),
    ),
    max_leaves=5,
)
_statement = st.one_of(
    st.builds("self.{} = {}".format, _attribute, _expression),
    st.builds("{} = {}".format, _argument, _expression),
    st.builds("self.{} += {}".format, _attribute, _expression),
)


@st.composite
def _method(draw, name):
    first, second = draw(st.lists(_argument, min_size=2, max_size=2, unique=True))
    body = draw(st.lists(_statement, min_size=1, max_size=4))
    inner = draw(st.sampled_from(["", f"        def inner():\n            return {first}\n"]))
    tail = "inner() + " if inner else ""
    lines = "".join(f"        {line}\n" for line in body)
    # an argument that is not there is a name of the module
    return (
        f"    def {name}(self, {first}, {second}=4):\n{lines}{inner}"
        f"        return {tail}{first} + {draw(_expression)}\n"
    )


@st.composite
def _programs(draw):
    globals_ = "".join(f"{name} = {n}\n" for n, name in enumerate(_ARGUMENTS))
    helper = "def _helper(value, _number=2):\n    return value * _number\n"
    fields = "".join(f"    {name} = {n}\n" for n, name in enumerate(_NAMES))
    one = f"{globals_}{helper}class First:\n{fields}{draw(_method('_work'))}{draw(_method('work'))}"
    base = draw(st.sampled_from(["First", "object"]))
    fields = fields if base == "object" else draw(st.sampled_from(["", "    _step = 7\n"]))
    two = f"from one import First, _helper\n{globals_}class Second({base}):\n{fields}"
    two += draw(_method("_work")) + draw(_method("go"))
    main = (
        "from one import First\nfrom two import Second\n"
        "a, b = First(), Second()\n"
        f"result = [a.work(3), a.work(1, 2), b.go(5), b.go(5, {draw(st.integers(0, 9))})]\n"
    )
    return {"one.py": one, "two.py": two}, {"main.py": main}


@given(_programs())
@settings(max_examples=60, phases=[Phase.generate])
def test_a_program_does_the_same(program):
    texts, kept = program
    short = _both(texts, kept)
    for text in (*texts.values(), *kept.values()):
        for string in (n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant)):
            assert string not in short.names
    assert shorten(texts, kept) == short


# ---- what is shortened, and what is not


def _names(text, kept=""):
    return set(shorten({"a.py": text}, {"main.py": kept}).names)


def test_private_names_are_short():
    text = (
        "_long_list = []\n"
        "class _Private:\n"
        "    _constant = 1\n"
        "    def _method(self):\n"
        "        self._attribute = self._constant\n"
        "        return [self._attribute, _Private._constant]\n"
        "def _function():\n"
        "    global _long_list\n"
        "    _long_list = _Private()._method\n"
        "    return 3\n"
        "result = _function()\n"
    )
    # one is called on something that may be anything
    assert set(_both({"a.py": text}).names) == {
        "_long_list", "_Private", "_constant", "_attribute", "_function",
    }  # fmt: skip


@pytest.mark.parametrize(
    "code",
    [
        "class A:\n    def f(self, other):\n        self._name = other._name\n",
        "class A:\n    def f(self):\n        self._name = getattr(self, '_name', 0)\n",
        "class A:\n    def f(self):\n        return 'no _name here %s' % self._name\n",
        "import strange\nclass A(strange.B):\n    def f(self):\n        self._name = 1\n",
        "import strange\nclass A(strange.B): pass\nclass C(A):\n    _name = 1\n",
        "from a import b\nb._name = 1\nclass A:\n    _name = 2\n",
        "class A:\n    @staticmethod\n    def f(self):\n        return self._name\n",
        "class A:\n    def f(this):\n        return this._name\n",
        "_name = 1\ndef f(_name=4):\n    return _name\n",
        "_name = const(1)\n",
    ],
)
def test_a_name_that_may_be_another_s_stays(code):
    assert "_name" not in _names(code)


def test_a_user_s_names_stay():
    assert _names("_one = _two = 1\n", "from a import _one\n") == {"_two"}


def test_arguments_of_public_functions_are_reached_by_name():
    text = (
        "def scan(duration_ms, active=False, *rest):\n"
        "    return duration_ms, active, rest\n"
        "def _scan(duration_ms, active=False, *, only=0):\n"
        "    return duration_ms, active, only\n"
        "result = scan(1, 2, 3), _scan(1, 2), _scan(1, only=2)\n"
    )
    new = _both({"a.py": text}).texts["a.py"]
    assert re.match(r"def scan\(\w+, active=False, \*\w+\):", new)
    assert "duration_ms" not in new and "_scan" not in new
    assert re.search(r"def \w+\(\w+, (?!active)\w+=False, \*, only=0\):", new)


def test_an_argument_that_is_bound_again_further_in_keeps_its_name():
    text = (
        "def _f(value):\n"
        "    def g():\n"
        "        nonlocal value\n"
        "        value += 1\n"
        "        return value\n"
        "    return g() + sum([value for value in (1, 2)]) + (lambda value: value)(5)\n"
        "result = _f(3)\n"
    )
    _both({"a.py": text})


def test_two_objects_share_names_and_one_does_not():
    text = (
        "class Base:\n"
        "    def __init__(self):\n"
        "        self._first = 1\n"
        "class Left(Base):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self._second = 2\n"
        "    def sum(self):\n"
        "        return self._first * 10 + self._second\n"
        "result = Left().sum()\n"
    )
    other = "class Other:\n    def __init__(self):\n        self._third = 3\n"
    short = _both({"a.py": other, "b.py": text})
    names = short.names
    assert short.by_module()["a.py"] == {names["_third"]: "_third"}
    assert names["_first"] != names["_second"]
    assert names["_third"] in (names["_first"], names["_second"])


def test_tests_find_what_they_look_into():
    names = {"_number": "_a", "_copy": "_b"}
    text = "from store import _copy\nassert getattr(app.store, '_number') == _copy(x._number)\n"
    assert renamed(text, names) == (
        "from store import _b\nassert getattr(app.store, '_a') == _b(x._a)\n"
    )


def test_names_that_a_test_gives_two_things_of_a_class_stay_two():
    names = {"_tick": "_a", "_pack": "_a", "_hold": "_b"}
    text = (
        "class Run:\n"
        "    def _tick(self):\n"
        "        self._pack(self._hold)\n"
        "    def _pack(self, hold):\n"
        "        pass\n"
    )
    assert renamed(text, names) == text.replace("_hold", "_b")


def test_arguments_of_others_stay():
    theirs = (
        "def _helper(many):\n    return many\n\n\ndef scan(many):\n    return _helper(many) + 1\n"
    )
    texts = {"a/b.py": theirs, "c.py": theirs + "result = scan(2)\n"}
    short = shorten(texts, {}, "a/").texts
    assert "(many)" in short["a/b.py"] and "_helper" not in short["a/b.py"]
    assert "many" not in short["c.py"]
    assert _run(texts) == _run(short) == 3
