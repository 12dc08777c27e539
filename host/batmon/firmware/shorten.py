"""Shortens names over the whole board tree: each costs its length and a place in a table, for ever.

Private names (`_x`: attributes, methods, functions, classes) and arguments are replaced in the
text, so that every line stays where it was: by names that MicroPython has anyway (rom.py), then by
short ones. Only what cannot matter to anybody else is touched:

- a private attribute, if the tree uses it on `self`, `cls`, `super()` or a class of the tree and
  nowhere else, in classes whose bases are all known;
- a private name of a module that no other module takes from it with a dot;
- an argument that no call names; of public functions only those without a default, for a user
  may name the others on the REPL.

A name in any string, and one that a user's file has, stays. Two names get the same short one if no
module and no family of classes has both, so that a module's tracebacks can be read again; a short
name occurs nowhere in the tree before.
"""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from batmon.firmware import rom, spelling

_SELF = {"self", "cls"}


@dataclass
class Shortened:
    """The tree's new texts, and its private names: long → short."""

    texts: dict[str, str]
    names: dict[str, str]
    _before: dict[str, str]

    def by_module(self) -> dict[str, dict[str, str]]:
        """Return {path: {short name: long name}} of the names in each module."""
        longs = {path: spelling.words([text]) for path, text in self._before.items()}
        return {
            path: {short: long for long, short in self.names.items() if long in words}
            for path, words in longs.items()
        }


def shorten(texts: dict[str, str], kept: dict[str, str], others: str = "\n") -> Shortened:
    """Shorten the names in `texts`, {path below the tree: source}.

    `kept` are sources that stay as they are and whose names have to stay therefore: a user's.
    Arguments stay in what lies below `others`: their documentation is somebody else's.
    """
    modules = [Module(path, text) for path, text in sorted(texts.items())]
    users = [ast.parse(text) for text in kept.values()]
    taken = spelling.taken([*(module.tree for module in modules), *users])
    names = _private_names(modules, spelling.words(kept.values()), taken)
    ours = [module for module in modules if not module.path.startswith(others)]
    arguments = _Arguments(modules, ours, users, names, taken)
    return Shortened(
        {module.path: _edited(module, names, arguments) for module in modules}, names, texts
    )


def renamed(text: str, names: dict[str, str]) -> str:
    """Return a source that uses private names of a shortened tree, with the names it has now.

    For tests, which look into objects: their other names stay, and so do those that they give
    themselves, at the top level or in one class, where two of them may have become the same short
    one.
    """
    tree = ast.parse(text)
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    own = {name for node in tree.body for name in _given(node)} - attributes
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            given = {name for part in node.body for name in _given(part) if name in names}
            shorts = [names[name] for name in given]
            own |= {name for name in given if shorts.count(names[name]) > 1}
    names = {name: short for name, short in names.items() if name not in own}
    edits = [(place, names.get(name, name)) for name, place in spelling.places(tree)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):  # for getattr
            words = sorted(set(re.findall(r"\w+", node.value)) & set(names))
            edits += [((node.lineno, node.col_offset, word), names[word]) for word in words]
    return spelling.replaced(text, edits)


def _given(node: ast.stmt) -> list[str]:
    """Return the names that a statement gives to something."""
    if isinstance(node, (*spelling.FUNCTIONS, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else ()
    return [target.id for target in targets if isinstance(target, ast.Name)]


class Module:
    """A source and what it says about names."""

    def __init__(self, path: str, text: str):
        self.path = path
        self.text = text
        self.tree = ast.parse(text, path)
        self.on_classes: dict[str, set[str]] = defaultdict(set)  # class: private names it has
        self.elsewhere: set[str] = set()  # private names used on anything else
        self.own: set[str] = set()  # private names of the module
        self.strings: set[str] = set()  # words in strings
        self._visit(self.tree, None, None)

    def _visit(self, node: ast.AST, klass: str | None, this: str | None):
        """Note the names below `node`, which is in the class `klass` with `this` as its self."""
        if isinstance(node, ast.ClassDef):
            self._note_own(node.name, klass)
            klass, this = node.name, None
        elif isinstance(node, spelling.FUNCTIONS):
            self._note_own(node.name, klass if this is None else None)
            if klass and this is None:
                static = "staticmethod" in map(spelling.last, node.decorator_list)
                first = [] if static else [arg.arg for arg in node.args.args[:1]]
                this = first[0] if first and first[0] in _SELF else ""
        elif isinstance(node, ast.Attribute):
            self._note_attribute(node, klass, this)
        elif isinstance(node, ast.Name):
            in_body = klass and this is None
            self._note_own(node.id, klass if in_body and isinstance(node.ctx, ast.Store) else None)
        elif isinstance(node, ast.alias):
            for part in f"{node.name}.{node.asname or ''}".split("."):
                self._note_own(part, None)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            for name in node.names:
                self._note_own(name, None)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            self.strings.update(re.findall(r"\w+", text))
        for child in ast.iter_child_nodes(node):
            if not _is_docstring(child):
                self._visit(child, klass, this)

    def _note_own(self, name: str, klass: str | None):
        if _is_private(name):
            (self.on_classes[klass] if klass else self.own).add(name)

    def _note_attribute(self, node: ast.Attribute, klass: str | None, this: str | None):
        if not _is_private(node.attr):
            return
        base = node.value
        itself = isinstance(base, ast.Name) and this and base.id == this
        if klass and (
            itself or (isinstance(base, ast.Call) and spelling.last(base.func) == "super")
        ):
            self.on_classes[klass].add(node.attr)
        elif isinstance(base, ast.Name) and base.id.lstrip("_")[:1].isupper():
            self.on_classes[base.id].add(node.attr)
        else:
            self.elsewhere.add(node.attr)


# ---- private names


def _private_names(modules: list[Module], stay: set[str], taken: set[str]) -> dict[str, str]:
    """Return a short name for each private one that may have one."""
    families = spelling.families(module.tree for module in modules)
    places = defaultdict(set)  # name: modules and families that have it
    stay = stay | {name for module in modules for name in spelling.constants(module.tree)}
    for module in modules:
        stay |= module.elsewhere | module.strings
        stay |= {node.arg for node in ast.walk(module.tree) if isinstance(node, ast.arg)}
        for name in module.own:
            places[name].add(module.path)
        for klass, names in module.on_classes.items():
            family = families.get(klass)
            if family is None:
                stay |= names
            for name in names:
                places[name] |= {module.path, f"class {family}"}  # in a module each has its own
    for importer in modules:  # what one imports from another is one thing
        for node in ast.walk(importer.tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    places[alias.name] |= {m.path for m in modules if alias.name in m.own}
    count = Counter(word for module in modules for word, _ in spelling.places(module.tree))
    wanted = [name for name in places if _is_private(name) and name not in stay]
    wanted.sort(key=lambda name: (-len(places[name]), -count[name], name))
    used = defaultdict(set)  # place: short names
    names = {}
    for name in wanted:
        for short in spelling.fresh(taken):
            if short not in rom.ALL and len(short) >= len(name):
                break
            if not any(short in used[place] for place in places[name]):
                names[name] = short
                for place in places[name]:
                    used[place].add(short)
                break
    return dict(sorted(names.items()))


# ---- arguments


class _Arguments:
    """Which arguments get which names: the same few in every function."""

    def __init__(
        self,
        modules: list[Module],
        ours: list[Module],
        kept: list[ast.Module],
        names: dict[str, str],
        taken: set[str],
    ):
        self._named = {
            node.arg
            for tree in (*(module.tree for module in modules), *kept)
            for node in ast.walk(tree)
            if isinstance(node, ast.keyword) and node.arg
        }
        self._names = names
        self._taken = taken
        self.new: dict[ast.AST, dict[str, str]] = {}  # by function
        for module in ours:
            self._scan(module.tree, {}, public=True)

    def _scan(self, node: ast.AST, outer: dict[str, str], public: bool):
        for child in ast.iter_child_nodes(node):
            names, inner_public = outer, public
            if isinstance(child, (*spelling.FUNCTIONS, ast.Lambda)):
                names = self._of(child, outer, public and not isinstance(child, ast.Lambda))
                self.new[child] = names
                inner_public = False  # nobody reaches what is inside a function
            elif isinstance(child, ast.ClassDef):
                inner_public = public and not _is_private(child.name)
            self._scan(child, names, inner_public)

    def _of(self, function, outer: dict[str, str], public: bool) -> dict[str, str]:
        name = getattr(function, "name", "_")
        public = public and (not _is_private(name))
        args = function.args
        plain = [*args.posonlyargs, *args.args]
        optional = plain[len(plain) - len(args.defaults) :] if args.defaults else []
        keep = {arg.arg for arg in (*optional, *args.kwonlyargs)} if public else set()
        keep |= self._named | _SELF
        rest = [arg for arg in (args.vararg, args.kwarg) if arg]
        bound = _bound(function)
        names = {old: new for old, new in outer.items() if old not in bound}
        # not what is used inside: arguments of the functions around it, names of the module
        inside = {self._names.get(node.id) for node in ast.walk(function)
                  if isinstance(node, ast.Name)}  # fmt: skip
        inside |= set(outer.values())
        unused = (short for short in spelling.fresh(self._taken) if short not in inside)
        for arg in (*plain, *args.kwonlyargs, *rest):
            if arg.arg in keep or _declared(function, arg.arg):
                continue
            names[arg.arg] = next(unused)
        return names


def _bound(function) -> set[str]:
    """Return the names that are local to a function."""
    names = set()
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
    return names


def _declared(function, name: str) -> bool:
    """Whether something below the function binds the name again, so that it means two things."""
    for node in ast.walk(function):
        if node is function:
            continue
        if isinstance(node, ast.Nonlocal | ast.Global) and name in node.names:
            return True
        if isinstance(node, (*spelling.FUNCTIONS, ast.ClassDef)) and name == node.name:
            return True
        if isinstance(node, ast.alias) and name in (node.asname, node.name.split(".")[0]):
            return True
        if isinstance(node, ast.ExceptHandler) and name == node.name:
            return True
        if isinstance(node, (*spelling.FUNCTIONS, *_INNER)) and name in _bound(node):
            return True
    return False


_INNER = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


# ---- the text


def _edited(module: Module, names: dict[str, str], arguments: _Arguments) -> str:
    edits = [(place, names.get(name, name)) for name, place in spelling.places(module.tree)]
    edits += _argument_edits(module.tree, {}, arguments)
    return spelling.replaced(module.text, edits)


def _argument_edits(node: ast.AST, names: dict[str, str], arguments: _Arguments) -> Iterator:
    """Yield (place, new name) of arguments and what uses them."""
    if isinstance(node, (*spelling.FUNCTIONS, ast.Lambda)):
        outside = names
        names = arguments.new.get(node, {})
        args = node.args
        for part in (*getattr(node, "decorator_list", ()), *args.defaults, *args.kw_defaults):
            if part:
                yield from _argument_edits(part, outside, arguments)
        for arg in ast.walk(args):
            if isinstance(arg, ast.arg) and arg.arg in names:
                yield (arg.lineno, arg.col_offset, arg.arg), names[arg.arg]
        body = node.body if isinstance(node.body, list) else [node.body]
        for part in body:
            yield from _argument_edits(part, names, arguments)
        return
    if isinstance(node, ast.Name) and node.id in names:
        yield (node.lineno, node.col_offset, node.id), names[node.id]
    for child in ast.iter_child_nodes(node):
        yield from _argument_edits(child, names, arguments)


# ---- words


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and len(name) > 1


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
