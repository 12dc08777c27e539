"""The report's figures without its page: its own scripts, run by node or a browser."""

import http.server
import json
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

from batmon.console import UserError
from batmon.web import report

_LONGEST_S = 300
_BROWSERS = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge",
    "microsoft-edge", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)  # fmt: skip
EACH = """
async function all(data) {
  const batteries = [];
  for (const battery of data.batteries) {
    battery.counted = await count(battery, data.tz);
    const { found, answers, zone, rows } = battery.counted;
    batteries.push({ name: battery.name, tz: zone.name, wild: rows.wild, answers, figures: found });
  }
  const bank = await bankOf(data.batteries, data.tz);
  const { figures } = bank ?? {};
  return JSON.stringify({ batteries, bank: bank && { answers: bankAnswers(figures), figures } });
}
"""
_IN_NODE = """
const data = JSON.parse(require("fs").readFileSync(0, "utf8"));
all(data).then((text) => process.stdout.write(text));
"""
_IN_BROWSER = """
fetch("data").then((answer) => answer.json()).then(all)
  .then((text) => fetch("counted", { method: "POST", body: text }),
        (error) => fetch("counted", { method: "POST", body: "" }));
"""


def count(batteries: list[dict], tz: str | None) -> dict:
    """Return what the page would count of `batteries`.

    "batteries" has of each name, tz, wild, answers, figures; "bank" answers and figures of those
    that are parallel, or None if fewer than two know the time. Raises UserError when there is
    neither node nor a browser that can.
    """
    scripts = "".join(map(report.script, report.COUNTING)) + EACH
    data = report.data(batteries, tz)
    ways = [(path, _node) for path in _there(("node", "nodejs"))]
    ways += [(path, _browser) for path in _there(_BROWSERS)]
    for path, run in ways:
        if counted := run(path, scripts, data):
            return json.loads(counted)
    raise UserError(
        "--json takes node 18 or newer, Chromium, Chrome or Edge to count, and none that works is "
        "here; the page of -o shows the same figures in any browser."
    )


def _there(names) -> list[str]:
    return [path for path in map(shutil.which, names) if path]


def _node(path: str, scripts: str, data: str) -> str:
    with tempfile.TemporaryDirectory(prefix="batmon-") as folder:
        script = Path(folder, "count.cjs")
        script.write_text(scripts + _IN_NODE, encoding="utf-8")
        done = subprocess.run(
            [path, str(script)], input=data.encode(), capture_output=True, timeout=_LONGEST_S
        )
    return done.stdout.decode() if done.returncode == 0 else ""


def _browser(path: str, scripts: str, data: str) -> str:
    counted: list[str] = []
    done = threading.Event()
    page = f"<!doctype html><meta charset=utf-8><script>{scripts}{_IN_BROWSER}</script>"

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            kind, text = ("application/json", data) if self.path == "/data" else ("text/html", page)
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(text.encode())

        def do_POST(self):
            counted.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()
            done.set()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="batmon-", ignore_cleanup_errors=True) as folder:
        browser = subprocess.Popen(
            [
                path, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
                f"--user-data-dir={folder}", f"http://127.0.0.1:{server.server_address[1]}/",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            done.wait(_LONGEST_S)
        finally:
            browser.kill()
            browser.wait()
            server.shutdown()
    return counted[0] if counted else ""
