"""`python -m batmon.firmware.settingsdoc`: docs/SETTINGS.md from the table of settings."""

import importlib.util
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from batmon.paths import ROOT

PATH = ROOT / "docs/SETTINGS.md"

_HEAD = """# Settings

Made by `python -m batmon.firmware.settingsdoc` from the table in
[app/settings.py](../app/settings.py).

The three lines at the top of `conn.py` name the battery; nothing else is needed. A file
`settings.json` on the board changes more. It holds what differs from the defaults, for example:

```json
{
  "dev_name": "jk-pak01",
  "lcd": {"cols": 20, "rows": 4, "backlight": "on"},
  "wifi": {"ssid": "boat", "password": "..."}
}
```

`install.sh` writes it from its options, or copy your own: `mpremote cp settings.json :`, then
`mpremote reset`. A wrong value is refused with a sentence on the REPL and on the display, such as
`settings.json: lcd.cols is 21, must be 16 or 20; using 16`. The rest of the file counts, and the
board logs in any case. A text has at most 64 characters.

| key | allowed | default | unit | meaning |
|---|---|---|---|---|
"""
_WORDS = {"secret": "text", "pairing": '"off"|"just works"|six digits as text'}


def load() -> ModuleType:
    """Return the board's module `settings` of the checkout."""
    spec = importlib.util.spec_from_file_location("batmon_settings", ROOT / "app/settings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def problems(settings: dict[str, object]) -> list[str]:
    """Return the board's sentences about `settings`, {key: value}; none if all are right."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "settings.json"
        path.write_text(json.dumps(settings), encoding="utf-8")
        return load().load(str(path))[1]


def kinds() -> dict[str, str]:
    """Return what each setting may be, as the table has it: "text", "secret", "1..65535" …"""
    return {key: allowed for key, _, allowed, _, _ in load().rows()}


def is_harmless(kind: str) -> bool:
    """Is a setting of that kind nobody's secret: a name, a number, a choice?"""
    return kind == "text" or ".." in kind or "|" in kind


def flat(given: dict) -> Iterable[tuple[str, object]]:
    """Yield the settings in a settings.json by their keys, those in groups with a dot."""
    for key, value in given.items():
        if isinstance(value, dict):
            for name, inner in value.items():
                yield f"{key}.{name}", inner
        else:
            yield key, value


def document() -> str:
    """Return the text of docs/SETTINGS.md."""
    lines = []
    for key, default, allowed, unit, meaning in load().rows():
        allowed = _WORDS.get(allowed, allowed).replace("|", ", ").replace("..", " to ")
        default = {"conn.py": "that of `conn.py`", "chip": "by chip"}.get(default, f"`{default}`")
        lines.append(f"| `{key}` | {allowed} | {default} | {unit.strip('-')} | {meaning} |\n")
    return _HEAD + "".join(lines)


if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf-8")
