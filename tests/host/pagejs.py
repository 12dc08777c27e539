"""Runs the page's own scripts in node: what they make of shards, for comparison with Python."""

import base64
import json
import subprocess
from pathlib import Path

import needs

from batmon.web import phone

_HEAD = """
const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
const files = given.files.map(([name, text]) => [name, bytes(text)]);
const tell = (x) => process.stdout.write(JSON.stringify(x));
"""


def run(folder: Path, code: str, files: list[tuple[str, bytes]], **given):
    """Return what `code` gives to tell(), knowing `files` and `given`; it is run from `folder`."""
    node = needs.program("node", "nodejs")
    script = folder / "page.cjs"
    script.write_text(phone.reading() + _HEAD + code, encoding="utf-8")
    given["files"] = [(name, base64.b64encode(data).decode()) for name, data in files]
    done = subprocess.run(
        [node, str(script)], input=json.dumps(given), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
