"""Rows as line protocol, to an InfluxDB or to stdout, and the memory of what has been sent.

A point is told from another by its battery and time, so sending it twice changes nothing. What
the server has acknowledged is remembered, so that only what is new is sent the next time.
"""

import base64
import gzip
import hashlib
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from batmon import files
from batmon.console import UserError, note

BATCH_ROWS = 5000  # rows; what InfluxDB recommends
_TIMEOUT_S = 30
_TRIES = 6
_LONGEST_PAUSE_S = 20
_TAKEN = 204  # a page for people, to which others may lead us, has 200
_TRY_AGAIN = (429, 500, 502, 503, 504)
_MEASUREMENT = "battery"
# As the board sends them live: InfluxDB's fields are called like our columns.
_NUMBERS = ("voltage_V", "current_A", "temperature_degC", "soc_percent", "energy_Wh")
_INDICES = ("cell_min_index", "cell_max_index")
_COUNTS = ("cell_min_mV", "cell_max_mV", *_INDICES, "interval_s")


def tags(words: list[str]) -> str:
    """Return the tags of --tag as they follow that of the battery."""
    tags = ""
    for word in words:
        key, sign, value = word.partition("=")
        if not (key and sign and value):
            raise UserError(f"--tag {word} is not like board=attic.")
        tags += f",{_escape(key)}={_escape(value)}"
    return tags


def _escape(word: str) -> str:
    # What follows a backslash, servers do not agree on.
    word = word.replace("\\", "/").replace("\n", " ")
    for special in ", =":
        word = word.replace(special, "\\" + special)
    return word


def lines(table, times, tags: str):
    """Yield a line per row, "" for one whose time is not sure; `times` from Twins."""
    import numpy as np

    known = (table["time_known"] & table["time_utc"].notna()).tolist()
    columns = []
    for name in _NUMBERS:
        values = table[name].tolist()
        columns.append([f",{name}={x:.6g}" if x - x == 0 else "" for x in values])
    for name in (*_COUNTS, *(f"{name}_to" for name in _INDICES if f"{name}_to" in table)):
        values = table[name].to_numpy("int64", na_value=-1)
        if name.endswith("_to"):  # as the board, only where it says more
            values = np.where(values == table[name[:-3]].to_numpy("int64", na_value=-1), -1, values)
        values = values.tolist()
        columns.append([f",{name}={x}i" if x >= 0 else "" for x in values])
    head = f"{_MEASUREMENT},battery={_escape(table['battery'].iloc[0])}{tags} "
    for at, sure, *fields in zip(times.tolist(), known, *columns, strict=True):
        yield f"{head}{''.join(fields)[1:]} {at}\n" if sure else ""


class Twins:
    """Gives rows of the same second different milliseconds, as the board's own lines have.

    `shared` gives the spans in which a second may come back, by battery: see stream.Logs.shared.
    """

    def __init__(self, shared):
        self._shared = shared
        self._last = (None, 0, 0)  # battery, second, millisecond
        self._spans = []
        self._seen = {}  # rows so far of each second in the spans

    def nanoseconds(self, table):
        """Return the times of the rows in ns since 1970; tables come in the order of the log."""
        import numpy as np
        import pandas as pd

        unix = pd.DatetimeIndex(table["time_utc"]).as_unit("s").asi8
        if table["battery"].iloc[0] != self._last[0]:
            self._spans, self._seen = self._shared(table["battery"].iloc[0]), {}
        battery, second, twin = self._last
        begins = np.append(True, unix[1:] != unix[:-1])
        index = np.arange(len(unix))
        twins = index - np.maximum.accumulate(np.where(begins, index, 0))
        if (battery, second) == (table["battery"].iloc[0], unix[0]):
            twins[np.cumsum(begins) == 1] += twin + 1
        self._last = (table["battery"].iloc[0], unix[-1], int(twins[-1]))
        inside = np.zeros(len(unix), bool)
        for first, last in self._spans:
            inside |= (unix >= first) & (unix <= last)
        for i in np.flatnonzero(inside).tolist():
            twins[i] = self._seen.get(unix[i], -1) + 1
            self._seen[unix[i]] = twins[i]
        return unix * 1_000_000_000 + twins * 1_000_000


class Stdout:
    """Line protocol to stdout; words go to stderr."""

    name = "stdout"
    words = sys.stderr

    def __init__(self):
        self.rows = 0

    def write(self, lines: list[str]):
        sys.stdout.write("".join(lines))
        self.rows += len(lines)


class Server:
    """An InfluxDB: its write API of version 1, or that of version 2 if a bucket is named."""

    words = None  # stdout

    def __init__(self, address: str, db: str, org: str | None, bucket: str | None):
        try:
            url = urllib.parse.urlsplit(address)
            host = url.hostname.encode("idna") if url.port != 0 else b""
        except (ValueError, AttributeError):  # AttributeError: no host
            host = b""
        if not host or b" " in host or url.scheme not in ("http", "https"):
            raise UserError(f"--influx {address} is not like http://localhost:8086, nor -.")
        self.rows = 0
        self._headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"}
        place = url.netloc.rpartition("@")[2]
        if bucket:
            if not org:
                raise UserError("--bucket needs --org too, the organisation it belongs to.")
            token = os.environ.get("INFLUX_TOKEN")
            if not token:
                raise UserError("set INFLUX_TOKEN in the environment, the token that may write.")
            self._headers["Authorization"] = f"Token {token}"
            path, words = "/api/v2/write", {"org": org, "bucket": bucket}
        else:
            path, words = "/write", {"db": db}
            if url.username:
                login = f"{url.username}:{url.password or ''}"
                login = base64.b64encode(urllib.parse.unquote(login).encode()).decode()
                self._headers["Authorization"] = f"Basic {login}"
        self._where = bucket or db
        folder = urllib.parse.quote(url.path.rstrip("/"), safe="/%")
        self.name = f"{url.scheme}://{place}{folder}"
        self._url = f"{self.name}{path}?{urllib.parse.urlencode(words | {'precision': 'ns'})}"
        self.name += f" {self._where}"

    def write(self, lines: list[str]):
        """Send lines and wait until the server has them; raises UserError if it refuses."""
        if not lines:
            return
        body = gzip.compress("".join(lines).encode(), 1)
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(min(_LONGEST_PAUSE_S, 2 ** (attempt - 1)))
            request = urllib.request.Request(self._url, body, self._headers)
            try:
                with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                    status = answer.status
                if status == _TAKEN:
                    self.rows += len(lines)
                    return
                problem = f"it answers {status}, which no InfluxDB does"
                break
            except urllib.error.HTTPError as error:
                problem = _words(error)
                if error.code not in _TRY_AGAIN:
                    break
            except (urllib.error.URLError, OSError) as error:
                problem = str(getattr(error, "reason", error))
            except http.client.HTTPException:
                problem = "it does not speak HTTP"
                break
        raise UserError(
            f"{self.name} did not take the rows: {problem}. "
            "Mend that and run the same command again, it goes on where it stopped.",
            1,
        )


def _words(error: urllib.error.HTTPError) -> str:
    """Return what the server said against it."""
    text = error.read(500).decode(errors="replace").strip()
    try:
        said = json.loads(text)
        text = said.get("error") or said.get("message") or text
    except (ValueError, AttributeError):
        pass
    return f"{error.code} {text or error.reason}"


class Memory:
    """How much of each battery's shards has been sent to one target, and the last row of that.

    By that row a shard is known again: it may be another one under the same number, of a board
    that was erased, or have lost or regained rows by damage.
    """

    def __init__(self, target: str, path: str | None, again: bool):
        digest = hashlib.sha256(target.encode()).hexdigest()[:12]
        home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
        self._path = Path(path) if path else Path(home) / f"batmon/sent-{digest}.json"
        files.check(self._path)
        self._sent = {} if again else self._load()

    def _load(self) -> dict[str, dict[str, list[int]]]:
        try:
            said = json.loads(self._path.read_text(encoding="utf-8"))
            return {
                battery: {number: [int(x) for x in row] for number, row in shards.items()}
                for battery, shards in said.items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError, TypeError):
            note(f"{self._path} is not readable; everything is sent again, which does no harm")
            return {}

    def rows(self, battery: str, number: int, table) -> int:
        """Return how many rows of a shard need not be sent."""
        sent = self._sent.get(battery, {}).get(str(number))
        return sent[0] if sent and _last(table.iloc[: sent[0]]) == sent else 0

    def sent(self, battery: str, number: int, table):
        """Remember that these rows, the first of a shard, are there."""
        self._sent.setdefault(battery, {})[str(number)] = _last(table)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot make the folder of {self._path}: {error.strerror}; name another file "
                "with --state, where to remember what was sent."
            ) from None
        with files.whole(self._path) as part:
            part.write_text(json.dumps(self._sent), encoding="utf-8")


def _last(table) -> list[int]:
    """Return the number of rows, and the boot and uptime of the last one as frames have them."""
    if not len(table):
        return []
    last = table[["boot", "uptime_s"]].iloc[-1:].fillna(-1).astype("int64")
    # they count on from the first shard that is read, which may be another one the next time
    return [len(table), *(last.to_numpy()[0] % 65536).tolist()]
