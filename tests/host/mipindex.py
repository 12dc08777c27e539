"""A package index for mip on loopback, which serves the stand-in for aioble as aioble."""

import functools
import hashlib
import http.server
import json
import threading
from pathlib import Path

from batmon.paths import SIM

PACKAGES = {"aioble-central@0.3.0": ("__init__", "core", "device", "central")}


def make(folder: Path, plain: bool = False):
    """Write the index of the pinned packages to `folder`; `plain` files need no board."""
    for package, modules in PACKAGES.items():
        title, version = package.split("@")
        files = {f"{name}.mpy": (SIM / f"aioble/{name}.mpy").read_bytes() for name in modules}
        if plain:
            files = {f"{name}.py": b"" for name in modules}
        hashes = [[f"aioble/{file}", _store(folder, code)] for file, code in files.items()]
        described = folder / "package" / "6" / title / f"{version}.json"
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
