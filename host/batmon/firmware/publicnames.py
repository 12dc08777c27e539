"""Gives public names of the board's tree those that MicroPython has in its ROM: they take no heap.

A name is one word throughout the tree, be it an attribute, a function, a class, an argument or a
local variable: it is replaced in all places or in none, so nothing has to be known of which object
has it. Two get the same new one if no module and no family of classes has both, and nobody sets
them on an object from outside. A name stays where somebody else may use it:

- a user: what her files name, and what the documentation offers (`KNOWN`);
- the system: names of its modules, keywords of its functions, all that is in its ROM, and all that
  the simulated hardware has;
- the program itself by a string: getattr, a key, a format. A sentence, which has blanks, is none.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable

from batmon.firmware import rom, spelling

# How link and store are doing, and what a program of one's own would use of the display and of a
# driver: all that the documents name of it, and what the PC asks a board for, see
# tests/host/test_publicnames.py.
KNOWN = frozenset(
    """
LCM1602 MJKDZ Store VERSION async_update batteries connected connected_s connects dropped failures
flushes implausible longest_gap_s pause refused samples silent_s status tick unix_offset_s
""".split()
)


def shorten_public(
    texts: dict[str, str], kept: Iterable[str], hardware: Iterable[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return (the tree's new texts, the names that were replaced: long → short).

    `texts` is {path below the tree: source}. `kept` are sources that stay as they are and use the
    tree, `hardware` sources of modules that stand in for the system's.
    """
    trees = {path: ast.parse(text, path) for path, text in texts.items()}
    scan = _Scan(trees)
    stay = scan.stay | rom.ALL | KNOWN
    stay |= spelling.words([*kept]) | _offered([ast.parse(text) for text in hardware])
    stay |= {part for path in texts for part in path[:-3].split("/")}
    wanted = sorted(name for name in scan.defined - stay if not name.startswith("__"))
    wanted.sort(key=lambda name: (name not in scan.loose, -len(scan.places[name]), name))
    users = [ast.parse(text) for text in kept]
    names = _assign(wanted, scan.places, spelling.taken([*trees.values(), *users]))
    return {path: _edited(texts[path], tree, names) for path, tree in trees.items()}, names


def _assign(wanted: list[str], places: dict[str, set[str]], used: set[str]) -> dict[str, str]:
    """Return {name: new one} such that names of one place differ."""
    names = {}
    taken = defaultdict(set)  # by place
    for name in wanted:
        for new in spelling.fresh(used):
            if new not in rom.ALL and len(new) >= len(name):
                break
            if not any(new in taken[place] for place in places[name]):
                names[name] = new
                for place in places[name]:
                    taken[place].add(new)
                break
    return names


class _Scan:
    """What the modules of a tree say about its public names."""

    def __init__(self, trees: dict[str, ast.Module]):
        self.defined: set[str] = set()
        self.stay: set[str] = set()
        self.places: dict[str, set[str]] = defaultdict(set)  # of a name: modules and families
        self.loose: set[str] = set()  # set on who knows what
        self._ours = {path[:-3].removeprefix("lib/").split("/")[0] for path in trees}
        calls = []
        for tree in trees.values():
            self._note_block(tree.body)
            theirs = self._imported(tree)
            for node in ast.walk(tree):
                self._note(node, theirs)
                if isinstance(node, ast.Call):
                    calls.append(node)
        self._note_places(trees)
        nodes = [node for tree in trees.values() for node in ast.walk(tree)]
        attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        arguments = {node.arg for node in nodes if isinstance(node, ast.arg)}
        # an argument that is an attribute too may be one of the system's
        self.defined |= arguments - attributes
        self.defined -= {name for tree in trees.values() for name in spelling.constants(tree)}
        for call in calls:
            if spelling.last(call.func) not in self.defined:
                self.stay |= {key.arg for key in call.keywords if key.arg}

    def _note_places(self, trees: dict[str, ast.Module]):
        families = spelling.families(trees.values())
        everywhere = {*trees, *families.values()}
        for path, tree in trees.items():
            for name in spelling.taken([tree]):
                self.places[name].add(path)
            for klass in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
                for name in _members(klass):
                    # one of a class that is not known may be anywhere
                    family = families.get(klass.name)
                    self.places[name] |= {family} if family else everywhere
            for node in ast.walk(tree):
                inside = spelling.last(getattr(node, "value", None)) in ("self", "cls")
                if _is_stored(node, ast.Attribute) and not inside:
                    self.loose.add(node.attr)
        for name in self.loose:
            self.places[name] |= everywhere

    def _note_block(self, body: list[ast.stmt]):
        """Note the names that a module or a class has."""
        for node in body:
            if isinstance(node, ast.ClassDef):
                self._note_block(node.body)
            elif not isinstance(node, spelling.FUNCTIONS):
                self.defined |= {n.id for n in ast.walk(node) if _is_stored(n, ast.Name)}

    def _imported(self, tree: ast.Module) -> set[str]:
        """Return by which names others' modules are known; what is taken from them stays."""
        theirs = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                theirs |= {(a.asname or a.name).split(".")[0] for a in node.names
                           if a.name.split(".")[0] not in self._ours}  # fmt: skip
            elif isinstance(node, ast.ImportFrom) and not node.level:
                ours = node.module.split(".")[0] in self._ours
                self.stay |= set() if ours else {alias.name for alias in node.names}
        return theirs

    def _note(self, node: ast.AST, theirs: set[str]):
        if isinstance(node, (*spelling.FUNCTIONS, ast.ClassDef)):
            self.defined.add(node.name)
        elif isinstance(node, ast.Attribute):
            if _is_stored(node, ast.Attribute):
                self.defined.add(node.attr)
            if isinstance(node.value, ast.Name) and node.value.id in theirs:
                self.stay.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.stay |= _keys(node.value)


def _members(klass: ast.ClassDef) -> set[str]:
    """Return the names that a class and its objects have."""
    names = {getattr(node, "name", "") for node in klass.body}
    names |= {node.attr for node in ast.walk(klass) if _is_stored(node, ast.Attribute)}
    return names | {node.id for node in ast.walk(klass) if _is_stored(node, ast.Name)}


def _is_stored(node: ast.AST, kind: type) -> bool:
    return isinstance(node, kind) and isinstance(node.ctx, ast.Store)


def _offered(trees: list[ast.Module]) -> set[str]:
    """Return the names that modules offer: theirs, of their classes, and of optional arguments."""
    names = set()
    for tree in trees:
        blocks = [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]
        for node in (node for block in blocks for node in block.body):
            if isinstance(node, (*spelling.FUNCTIONS, ast.ClassDef)):
                names.add(node.name)
            else:
                names |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
            args = getattr(node, "args", None)
            if isinstance(args, ast.arguments):
                optional = args.args[len(args.args) - len(args.defaults) :] + args.kwonlyargs
                names |= {arg.arg for arg in optional}
    return names


def _keys(text: str) -> set[str]:
    """Return the words in a string by which it may reach something: of a sentence none."""
    sentence = re.search(r"\s", text) and not re.search(r"\{\w|%\(", text)
    return set() if sentence else spelling.words([text])


def _edited(text: str, tree: ast.Module, names: dict[str, str]) -> str:
    places = list(spelling.places(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.keyword) and node.arg:
            places.append((node.arg, (node.lineno, node.col_offset, node.arg)))
        elif isinstance(node, ast.alias) and node.asname:
            places.append((node.asname, (node.lineno, node.col_offset + 1, node.asname)))
        elif isinstance(node, ast.ExceptHandler) and node.name:
            places.append((node.name, (node.lineno, node.col_offset, node.name)))
    return spelling.replaced(text, [(place, names.get(name, name)) for name, place in places])
