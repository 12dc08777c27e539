"""An InfluxDB 1.x of our own for a test: on loopback, in a temporary folder, on free ports.

Its v2 write API (`/api/v2/write`) exists since 1.8 only, so tests of that one use a stand-in.
"""

import contextlib
import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import ports
from needs import program

_START_S = 120

_CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{http}"
  log-enabled = false
[[udp]]
  enabled = true
  bind-address = "127.0.0.1:{udp}"
  database = "{database}"
  batch-size = 100
  batch-timeout = "100ms"
"""


class Influx:
    """A running server with the database `database`; what comes by UDP goes there too."""

    database = "batmon"

    def __init__(self, http_port: int, udp_port: int):
        self.url = f"http://127.0.0.1:{http_port}"
        self.udp = ("127.0.0.1", udp_port)

    def query(self, text: str, epoch: str = "s") -> list[dict]:
        """Run an InfluxQL query; return its rows as dictionaries, `time` in seconds or `epoch`."""
        arguments = urllib.parse.urlencode({"db": self.database, "q": text, "epoch": epoch})
        request = urllib.request.Request(f"{self.url}/query", arguments.encode())
        with urllib.request.urlopen(request, timeout=60) as answer:
            result = json.load(answer)["results"][0]
        if "error" in result:
            raise ValueError(result["error"])
        return [
            dict(zip(series["columns"], row, strict=True)) | series.get("tags", {})
            for series in result.get("series", ())
            for row in series["values"]
        ]

    def wait_for(self, text: str, count: int, within_s: float = 120) -> list[dict]:
        """Return the rows of a query as soon as there are `count`, or those there are at the end.

        What comes by UDP is not acknowledged, so a test must look until it is there.
        """
        end = time.monotonic() + within_s
        while len(rows := self.query(text)) < count and time.monotonic() < end:
            time.sleep(0.05)
        return rows


@contextlib.contextmanager
def influx(folder: Path) -> Iterator[Influx]:
    """Run a server with its data in `folder`; skips the test where there is no influxd."""
    influxd = program("influxd", "influxdb")
    http, rpc, udp = ports.free(), ports.free(), ports.free(socket.SOCK_DGRAM)
    config = folder / "influxdb.conf"
    config.write_text(
        _CONFIG.format(folder=folder, http=http, rpc=rpc, udp=udp, database=Influx.database)
    )
    with open(folder / "influxd.log", "w") as log:
        server = subprocess.Popen([influxd, "-config", str(config)], stdout=log, stderr=log)
    try:
        client = Influx(http, udp)
        _wait_until_up(client, server, folder / "influxd.log")
        client.query(f"CREATE DATABASE {Influx.database}")
        yield client
    finally:
        server.kill()
        server.wait()


def _wait_until_up(client: Influx, server: subprocess.Popen, log: Path):
    end = time.monotonic() + _START_S
    while server.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{client.url}/ping", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"influxd did not start; its words:\n{log.read_text()}")
