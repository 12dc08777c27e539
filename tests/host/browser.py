"""Headless Chromium for tests, by its DevTools protocol: opens pages, runs scripts, draws.

What a page throws or complains about on the console is in `complaints`.
"""

import base64
import contextlib
import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import websocket
from needs import program

_START_S = 120
_ANSWER_S = 120


class Browser:
    """One tab."""

    def __init__(self, url: str):
        self._socket = websocket.create_connection(url, timeout=_ANSWER_S, suppress_origin=True)
        self._id = 0
        self.complaints: list[str] = []
        self._bound: dict[str, Callable[[str], None]] = {}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def _call(self, method: str, **params) -> dict:
        self._id += 1
        self._socket.send(json.dumps({"id": self._id, "method": method, "params": params}))
        while True:
            said = json.loads(self._socket.recv())
            self._hear(said)
            if said.get("id") == self._id:
                if "error" in said:
                    raise RuntimeError(f"{method}: {said['error']['message']}")
                return said["result"]

    def _hear(self, said: dict):
        params = said.get("params", {})
        match said.get("method"):
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.complaints.append(details.get("exception", details).get("description", ""))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.complaints.append(str(params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.complaints.append(params["entry"]["text"])
            case "Runtime.bindingCalled":
                self._bound[params["name"]](params["payload"])
            case "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith(("file:", "data:", "blob:")):
                    self.complaints.append(f"asks the network for {url}")

    def window(self, width: int, height: int, phone: bool = False):
        """Set the size of the window in CSS pixels; a phone has two device pixels in each."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone,
        )  # fmt: skip
        self._call("Emulation.setTouchEmulationEnabled", enabled=phone)

    def media(self, kind: str = "", scheme: str = "light"):
        """Show the page as on a screen ("") or in print, in the light or dark scheme."""
        scheme = {"name": "prefers-color-scheme", "value": scheme}
        self._call("Emulation.setEmulatedMedia", media=kind, features=[scheme])

    def open(self, path: Path):
        """Open a file."""
        self.visit(path.resolve().as_uri())

    def visit(self, url: str):
        """Open an address; what is run next is run in the new page."""
        self.run("globalThis.left = true")
        self._call("Page.navigate", url=url)  # is answered while the old page is still there
        end = time.monotonic() + _ANSWER_S
        left = True
        while left:
            assert time.monotonic() < end, f"{url} was not opened"
            with contextlib.suppress(RuntimeError):  # the old page went while it was asked
                left = self.run("globalThis.left === true")

    def inject(self, script: str, name: str, called: Callable[[str], None]):
        """Run a script in every page before its own, which may call `name` with a text."""
        self._bound[name] = called
        self._call("Runtime.addBinding", name=name)
        self._call("Page.addScriptToEvaluateOnNewDocument", source=script)

    def run(self, script: str):
        """Return the value of a JavaScript expression; waits if it is a promise."""
        result = self._call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise RuntimeError(details.get("exception", details).get("description", "failed"))
        return result["result"].get("value")

    def wait(self, condition: str, within_s: float = 120):
        """Wait until a JavaScript expression is true; returns its value."""
        end = time.monotonic() + within_s
        while not (value := self.run(condition)):
            assert time.monotonic() < end, f"{condition} never became true; {self.complaints}"
            time.sleep(0.02)
        return value

    def drag(self, x0: float, y0: float, x1: float, y1: float):
        """Press, move and release the mouse."""
        for kind, x, y, buttons in (
            ("mouseMoved", x0, y0, 0), ("mousePressed", x0, y0, 1), ("mouseMoved", x1, y1, 1),
            ("mouseReleased", x1, y1, 0),
        ):  # fmt: skip
            self._call(
                "Input.dispatchMouseEvent",
                type=kind, x=x, y=y, buttons=buttons, clickCount=1,
                button="none" if kind == "mouseMoved" and not buttons else "left",
            )  # fmt: skip

    def touch(self, kind: str, *points: tuple[float, float]):
        """Send touchStart, touchMove or touchEnd with the fingers that are down."""
        self._call(
            "Input.dispatchTouchEvent",
            type=kind, touchPoints=[{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)],
        )  # fmt: skip

    def picture(self, path: Path):
        """Write what the window shows as PNG."""
        data = self._call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self):
        self._socket.close()


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Run Chromium with its profile in `folder`; skips the test where there is none."""
    chromium = program("chromium", "chromium")
    with open(folder / "chromium.log", "w") as log:
        process = subprocess.Popen(
            [
                chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
                "--disable-dev-shm-usage", "--disable-background-networking", "--hide-scrollbars",
                "--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}",
                "about:blank",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        tab = Browser(_tab(folder / "profile/DevToolsActivePort", process))
        try:
            yield tab
        finally:
            tab.close()
    finally:
        process.kill()
        process.wait()


def _tab(file: Path, process: subprocess.Popen) -> str:
    """Return the WebSocket address of the first tab, as soon as the browser tells its port."""
    end = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < end:
        if file.exists() and len(lines := file.read_text().split()) > 1:
            with urllib.request.urlopen(f"http://127.0.0.1:{lines[0]}/json", timeout=60) as pages:
                found = [page for page in json.load(pages) if page["type"] == "page"]
            if found:
                return found[0]["webSocketDebuggerUrl"]
        time.sleep(0.05)
    raise RuntimeError("chromium did not start")
