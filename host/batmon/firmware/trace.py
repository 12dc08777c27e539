"""Reads what a board said with the names of its build as the sources have them.

`names.txt` on the board and in the build tells them: the version in its first line, then a line for
each module, `app.app _a=_show _b=_draw …`. A build leaves line numbers out: function and message
have to do.
"""

import re
from dataclasses import dataclass
from pathlib import Path

FILE = "names.txt"
_PLACE = re.compile(r'(\s*File )"([\w.]+)", line \d+(, in (\S+))?')
_ENTRY = re.compile(r" batmon (\S+) boot \d+ ")  # in errors.txt, see app/errorlog.py
_WORD = re.compile(r"\b\w+\b")


@dataclass
class Names:
    """The names of one build: by module, short → in the source."""

    version: str
    modules: dict[str, dict[str, str]]

    def text(self) -> str:
        """Return the content of `names.txt`."""
        lines = [self.version]
        for module, names in sorted(self.modules.items()):
            lines.append(" ".join([module, *(f"{k}={v}" for k, v in sorted(names.items()))]))
        return "\n".join(lines) + "\n"


def parse(text: str) -> Names:
    """Return what `names.txt` says; ValueError if it is something else."""
    version, *lines = text.splitlines() or [""]
    if not re.fullmatch(r"[\w.+-]+", version):
        raise ValueError("no names of a build")
    modules = {}
    for line in lines:
        module, *pairs = line.split()
        modules[module] = dict(pair.split("=") for pair in pairs)
    return Names(version, modules)


def as_source(text: str, names: Names) -> str:
    """Return `text`, tracebacks among other lines, with the names of the sources.

    In an error log only what the version of `names` wrote is changed.
    """
    lines, ours, module = [], True, None
    for line in text.split("\n"):
        if entry := _ENTRY.search(line):
            ours, module = entry[1] == names.version, None
        place = _PLACE.match(line)
        if place and ours:
            module = names.modules.get(place[2])
            if module is not None:
                place_in = f", in {module.get(place[4], place[4])}" if place[4] else ""
                line = f'{place[1]}"{place[2]}"{place_in}' + line[place.end() :]
        elif module and ours:  # the message, of what was raised there
            line = _WORD.sub(lambda word, known=module: known.get(word[0], word[0]), line)
            module = None
        lines.append(line)
    return "\n".join(lines)


def load(path: Path) -> Names | None:
    """Return the names in a file; None if there are none."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
