"""As much of Home Assistant as `batmon send` talks to: WebSocket messages and statistics.

It checks each message as the real one does (see test_homeassistant.py, which runs that) and
can hang up in the middle.
"""

import base64
import contextlib
import datetime
import hashlib
import json
import socketserver
import struct
import threading
from collections.abc import Iterator

TOKEN = "long-lived"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_METADATA = {"has_sum", "name", "source", "statistic_id", "unit_of_measurement"}


class Server(socketserver.ThreadingTCPServer):
    """Home Assistant `version`: `entities` are (entity_id, unique_id), `rows` by statistic."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, version: str):
        super().__init__(("127.0.0.1", 0), _Connection)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.version = version
        self.entities: list[tuple[str, str]] = []
        self.rows: dict[str, dict[int, dict]] = {}
        self.metadata: dict[str, dict] = {}
        self.imports = 0
        self.hang_up_after = None  # so many imports

    def live(self, statistic: str, hours: dict[int, float], unit: str = "kWh"):
        """Have counted sums by itself, by the hour at which they stood."""
        self.metadata[statistic] = {"unit_of_measurement": unit}
        self.rows[statistic] = {at: {"sum": value, "state": value} for at, value in hours.items()}

    def answer(self, message: dict):
        """Return the result of a command, or raise ValueError."""
        kind = message["type"]
        if kind == "config/entity_registry/list":
            return [
                {"entity_id": entity, "unique_id": unique, "platform": "mqtt"}
                for entity, unique in self.entities
            ] + [{"entity_id": "sun.sun", "unique_id": "x", "platform": "sun"}]
        if kind == "recorder/get_statistics_metadata":
            return [
                {
                    "statistic_id": name,
                    "statistics_unit_of_measurement": meta["unit_of_measurement"],
                }
                for name, meta in self.metadata.items()
                if name in message["statistic_ids"]
            ]
        if kind == "recorder/statistics_during_period":
            assert message["period"] == "hour"
            first = datetime.datetime.fromisoformat(message["start_time"]).timestamp()
            return {
                name: [
                    {"start": at * 1000, "end": (at + 3600) * 1000}
                    | {key: row[key] for key in message["types"] if key in row}
                    for at, row in sorted(self.rows[name].items())
                    if at >= first
                ]
                for name in message["statistic_ids"]
                if self.rows.get(name)
            }
        if kind == "recorder/import_statistics":
            return self._take(message["metadata"], message["stats"])
        raise ValueError("Unknown command.")

    def _take(self, metadata: dict, stats: list[dict]):
        new = tuple(map(int, self.version.split(".")[:2])) >= (2025, 11)
        extra = {"mean_type", "unit_class"} if new else {"has_mean"}
        if metadata.keys() != _METADATA | extra:
            raise ValueError(f"extra keys not allowed, or missing: {sorted(metadata)}")
        name = metadata["statistic_id"]
        if metadata["source"] != ("batmon" if ":" in name else "recorder"):
            raise ValueError("Invalid source")
        self.imports += 1
        if self.hang_up_after is not None and self.imports > self.hang_up_after:
            raise ConnectionResetError
        self.metadata[name] = metadata
        for row in stats:
            start = datetime.datetime.fromisoformat(row.pop("start"))
            if start.minute or start.second or start.tzinfo is None:
                raise ValueError("Invalid timestamp: must be from the top of the hour")
            assert all(isinstance(value, int | float) for value in row.values())
            self.rows.setdefault(name, {})[int(start.timestamp())] = row


class _Connection(socketserver.StreamRequestHandler):
    """One WebSocket connection."""

    def handle(self):
        with contextlib.suppress(OSError, EOFError):
            self._talk()

    def _talk(self):
        key = b""
        assert self.rfile.readline().split()[1] == b"/api/websocket"
        while line := self.rfile.readline().strip():
            if line.lower().startswith(b"sec-websocket-key:"):
                key = line.split()[1]
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        self.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self._send({"type": "auth_required", "ha_version": self.server.version})
        if self._receive().get("access_token") != TOKEN:
            self._send({"type": "auth_invalid", "message": "Invalid access token or password"})
            return
        self._send({"type": "auth_ok", "ha_version": self.server.version})
        while True:
            message = self._receive()
            self._send({"type": "event", "id": 0})  # what others are told in between
            answer = {"id": message["id"], "type": "result"}
            try:
                answer |= {"success": True, "result": self.server.answer(message)}
            except ValueError as error:
                answer |= {"success": False, "error": {"code": "x", "message": str(error)}}
            self._send(answer)

    def _receive(self) -> dict:
        head = self.rfile.read(2)
        if len(head) < 2 or head[0] & 15 == 8:
            raise EOFError
        size = head[1] & 127
        if size > 125:
            form = ">H" if size == 126 else ">Q"
            (size,) = struct.unpack(form, self.rfile.read(struct.calcsize(form)))
        assert size < 4 << 20, "more than Home Assistant takes at once"
        mask = self.rfile.read(4)
        data = self.rfile.read(size)
        mask = mask * (size // 4 + 1)
        plain = int.from_bytes(data, "big") ^ int.from_bytes(mask[:size], "big")
        return json.loads(plain.to_bytes(size, "big"))

    def _send(self, message: dict):
        data = json.dumps(message).encode()
        size = len(data)
        if size < 126:
            head = bytes((0x81, size))
        elif size < 1 << 16:
            head = b"\x81\x7e" + struct.pack(">H", size)
        else:
            head = b"\x81\x7f" + struct.pack(">Q", size)
        self.wfile.write(head + data)


@contextlib.contextmanager
def home_assistant(version: str = "2025.4.4") -> Iterator[Server]:
    """Run one."""
    with Server(version) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
