"""Fills hours into Home Assistant's long-term statistics over its WebSocket API.

What is there already is read first, and only what differs is written: run again, it goes on where
it stopped, and changes nothing where nothing is new.
"""

import bisect
import datetime
import getpass
import json
import os
import sys
import urllib.parse

from batmon.console import UserError, printable
from batmon.log.hourly import KINDS, Kind

TOKEN = "HOME_ASSISTANT_TOKEN"
_TIMEOUT_S = 60
_BATCH_ROWS = 20_000  # of 100 bytes; Home Assistant takes messages of up to 4 MiB
_SOURCE = "batmon"
# Units that it would convert for us, percent to a ratio too, unless it is told which one we want.
_UNIT_CLASSES = {"V": "voltage", "mV": "voltage", "A": "electric_current", "W": "power",
                 "°C": "temperature", "kWh": "energy", "%": "unitless"}  # fmt: skip
# (ours, theirs): factor and offset, where somebody has Home Assistant show another unit
_CONVERSIONS = {
    ("V", "mV"): (1000, 0),
    ("mV", "V"): (0.001, 0),
    ("A", "mA"): (1000, 0),
    ("W", "kW"): (0.001, 0),
    ("kWh", "Wh"): (1000, 0),
    ("kWh", "MWh"): (0.001, 0),
    ("°C", "°F"): (1.8, 32),
    ("°C", "K"): (1, 273.15),
}
_SAME = 1e-6


class HomeAssistant:
    """A connection to the Home Assistant at an address such as http://homeassistant.local:8123."""

    def __init__(self, address: str):
        """Connect and log in; raises UserError in a sentence."""
        import websocket

        self.name = address
        url = urllib.parse.urlsplit(address)
        if url.scheme not in ("http", "https") or not url.hostname or url.username:
            raise UserError(
                f"--home-assistant {address} is not like http://homeassistant.local:8123."
            )
        kind = "wss" if url.scheme == "https" else "ws"
        where = f"{kind}://{url.netloc}{url.path.rstrip('/')}/api/websocket"
        token = _token()
        self._trouble = (OSError, websocket.WebSocketException, ValueError)
        self._id = 0
        try:
            self._socket = websocket.create_connection(where, timeout=_TIMEOUT_S)
            hello = json.loads(self._socket.recv())
            self._send({"type": "auth", "access_token": token})
            answer = json.loads(self._socket.recv())
        except self._trouble as error:
            words = printable(str(error)) or type(error).__name__
            raise UserError(f"no Home Assistant answers at {address}: {words}.", 1) from None
        if hello.get("type") != "auth_required" or "type" not in answer:
            raise UserError(f"what answers at {address} is no Home Assistant.", 1)
        if answer["type"] != "auth_ok":
            raise UserError(
                f"{address} does not take the token: make a long-lived access token on the page of "
                "your Home Assistant profile, as an administrator."
            )
        self.version = tuple(
            int(word) for word in str(answer.get("ha_version", "0.0")).split(".")[:2]
        )

    def ask(self, kind: str, **arguments):
        """Return the result of a command; raises UserError when it is refused."""
        self._id += 1
        try:
            self._send({"id": self._id, "type": kind, **arguments})
            while (answer := json.loads(self._socket.recv())).get("id") != self._id:
                pass
        except self._trouble as error:
            words = printable(str(error)) or type(error).__name__
            raise UserError(
                f"the connection to {self.name} failed: {words}. "
                "Run the same command again, it goes on where it stopped.",
                1,
            ) from None
        if not answer.get("success"):
            said = printable(str(answer.get("error", {}).get("message", "no reason")))
            raise UserError(f"{self.name} refuses {kind}: {said}.", 1)
        return answer["result"]

    def _send(self, message: dict):
        self._socket.send(json.dumps(message))

    def close(self):
        """Hang up."""
        self._socket.close()


def _token() -> str:
    token = os.environ.get(TOKEN)
    if not token and sys.stdin.isatty():
        token = getpass.getpass("Access token of Home Assistant (it is not shown): ")
    if not token:
        raise UserError(
            f"set {TOKEN} in the environment: a long-lived access token, made on the page of your "
            "Home Assistant profile."
        )
    return token.strip()


def statistic_ids(server: HomeAssistant, battery: str) -> dict[str, str]:
    """Return by key where the values of a battery go: its MQTT sensors, else batmon:NAME_KEY.

    Raises UserError if two boards have sensors of that battery.
    """
    ids = {}
    for entity in server.ask("config/entity_registry/list"):
        words = str(entity.get("unique_id", "")).split("_", 2)
        if entity.get("platform") != "mqtt" or words[0] != "batmon" or len(words) != 3:
            continue
        for kind in KINDS:
            if words[2] == f"{battery}_{kind.key}":
                if kind.key in ids:
                    raise UserError(
                        f"Home Assistant has sensors of {battery} from two boards: "
                        f"{ids[kind.key]} and {entity['entity_id']}. Remove the device whose "
                        "board is not in use."
                    )
                ids[kind.key] = entity["entity_id"]
    slug = "".join(c if c.isalnum() else "_" for c in battery.lower()).strip("_") or "battery"
    while "__" in slug:
        slug = slug.replace("__", "_")
    return {kind.key: ids.get(kind.key, f"{_SOURCE}:{slug}_{kind.key}") for kind in KINDS}


def fill(server: HomeAssistant, battery: str, where: str, kind: Kind, table) -> int:
    """Write the hours of `table`, see hourly.statistics, to the statistic `where`.

    Returns how many rows were written; those that are there are left alone.
    """
    if table.empty:
        return 0
    there = server.ask("recorder/get_statistics_metadata", statistic_ids=[where])
    unit = there[0].get("statistics_unit_of_measurement") if there else kind.unit
    factor, offset = (1, 0) if unit == kind.unit else _CONVERSIONS.get((kind.unit, unit), (0, 0))
    if not factor:
        raise UserError(
            f"Home Assistant keeps {where} in {unit}, batmon has {kind.unit}: "
            "choose that unit for the sensor, then run the same command again."
        )
    have = _rows(server, where, kind, unit)
    wanted = {
        int(start): {name: float(row[name]) * factor + offset for name in table.columns}
        for start, row in table.iterrows()
    }
    if kind.sums:
        wanted = _joined(wanted, have)
    new = [(start, row) for start, row in sorted(wanted.items()) if not _same(have.get(start), row)]
    metadata = _metadata(server, battery, where, kind, unit)
    for first in range(0, len(new), _BATCH_ROWS):
        batch = new[first : first + _BATCH_ROWS]
        rows = [{"start": _iso(start), **row} for start, row in batch]
        server.ask("recorder/import_statistics", metadata=metadata, stats=rows)
    return len(new)


def _rows(server: HomeAssistant, where: str, kind: Kind, unit: str) -> dict[int, dict]:
    """Return by unix second the hours that Home Assistant has, in the unit it keeps."""
    types = ["sum", "state"] if kind.sums else ["mean", "min", "max"]
    result = server.ask(
        "recorder/statistics_during_period",
        start_time=_iso(0),
        statistic_ids=[where],
        period="hour",
        types=types,
        units={_UNIT_CLASSES[kind.unit]: unit} if kind.unit in _UNIT_CLASSES else {},
    )
    rows = {}
    for row in result.get(where, ()):
        start = (
            row["start"] / 1000 if isinstance(row["start"], int | float) else _unix(row["start"])
        )
        rows[int(start)] = {name: row[name] for name in types if row.get(name) is not None}
    return rows


def _joined(wanted: dict[int, dict], have: dict[int, dict]) -> dict[int, dict]:
    """Return the sums of the log so that Home Assistant's own join them without a step.

    It counts on from its newest hour, so the log's are moved to meet that: at their end, or at the
    next hour there is. What it has of earlier hours is moved to meet their beginning.
    """
    starts, sums = sorted(wanted), [wanted[start]["sum"] for start in sorted(wanted)]
    own = sorted(start for start in have if "sum" in have[start])

    def log_at(start):  # 0 before the first hour
        at = bisect.bisect_right(starts, start)
        return sums[at - 1] if at else 0.0

    shift = 0.0
    if own:
        at = bisect.bisect_left(own, starts[-1])
        meeting = own[min(at, len(own) - 1)]
        shift = have[meeting]["sum"] - log_at(meeting)
    joined = {
        start: {"state": row["sum"], "sum": row["sum"] + shift} for start, row in wanted.items()
    }
    before = [start for start in own if start < starts[0]]
    earlier = shift - have[before[-1]]["sum"] if before and own[-1] >= starts[0] else 0.0
    for start in own:
        if start not in wanted and start < starts[-1]:
            at = have[start]["sum"] + earlier if start < starts[0] else log_at(start) + shift
            joined[start] = {**have[start], "sum": at}
    return joined


def _same(there: dict | None, row: dict) -> bool:
    return there is not None and all(
        name in there and abs(there[name] - value) <= _SAME * max(1.0, abs(value))
        for name, value in row.items()
    )


def _metadata(server: HomeAssistant, battery: str, where: str, kind: Kind, unit: str) -> dict:
    external = ":" in where
    metadata = {
        "has_sum": kind.sums,
        "name": f"{battery} {kind.name}" if external else None,
        "source": _SOURCE if external else "recorder",
        "statistic_id": where,
        "unit_of_measurement": unit,
    }
    if server.version >= (2025, 11):
        metadata["mean_type"] = 0 if kind.sums else 1  # 1: the arithmetic mean
        metadata["unit_class"] = _UNIT_CLASSES.get(kind.unit)
    else:
        metadata["has_mean"] = not kind.sums
    return metadata


def _iso(unix: int) -> str:
    return datetime.datetime.fromtimestamp(unix, datetime.UTC).isoformat()


def _unix(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()
