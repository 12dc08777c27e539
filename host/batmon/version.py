"""Which batmon this is: what app/version.py says, on the PC as on the board."""

import re

from batmon.paths import ROOT

_TEXT = (ROOT / "app/version.py").read_text(encoding="utf-8")
VERSION = re.search(r'^VERSION = "(.+)"$', _TEXT, re.M)[1]


def parts(version: str) -> tuple[int, ...]:
    """Return a version such as "0.10.2" so that newer ones are larger."""
    return tuple(map(int, re.findall(r"\d+", version)))
