"""A package index as mip's, on loopback, which serves the stand-in for aioble as aioble."""

import functools
import hashlib
import http.server
import json
import threading
from pathlib import Path

from batmon.firmware import aioble
from batmon.paths import ROOT

PACKAGE = "aioble-central"


def make(folder: Path):
    """Write an index of the pinned package to `folder`: for the PC the stand-in's sources, tagged
    with a version as mip's are; for a board, which compiles nothing, files that need no radio."""
    for version, tagged in (("py", True), ("6", False)):
        hashes = []
        for name in aioble.FILES:
            code = (ROOT / "sim/aioble" / name).read_bytes() if tagged else b""
            code += b"\n\n__version__ = '0.4.0'\n"
            hashes.append([f"aioble/{name}", _store(folder, code)])
        described = folder / "package" / version / PACKAGE / f"{aioble.VERSION}.json"
        described.parent.mkdir(parents=True, exist_ok=True)
        described.write_text(json.dumps({"v": 1, "hashes": hashes}))


def _store(folder: Path, code: bytes) -> str:
    digest = hashlib.sha256(code).hexdigest()[:8]
    file = folder / "file" / digest[:2] / digest
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(code)
    return digest


class serve:
    """A web server for a folder; a context manager that gives its URL."""

    def __init__(self, folder: Path):
        self._folder = folder

    def __enter__(self) -> str:
        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

        handler = functools.partial(Handler, directory=str(self._folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
