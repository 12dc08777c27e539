"""What each way to tell others of the battery takes: heap while polling (32-bit), and flash.

Heap is what is in use between polls with it, beyond what is without it, by bench/heap.py; MQTT and
InfluxDB are in a network with a server that takes all. WiFi, its clock and the names looked up are
in both. Flash is what the files take that nothing else needs.
"""

import contextlib
import socket
import tempfile
import threading
from pathlib import Path

from batmon.paths import BUILD
from bench import heap

_NETWORK = {"ssid": "net", "password": "", "dns": {"server.lan": "127.0.0.1"}}
_START = ("app/outputs.mpy", "lib/advertising.mpy")
_WIFI = (
    *(_START[0], "app/network.mpy", "lib/udpask.mpy", "lib/ntp.mpy"),
    *("sinks/once.mpy", "sinks/wifi.mpy", "sinks/joining.mpy"),
)
_FILES = {
    "bthome": (*_START, "sinks/bthome.mpy", "sinks/bank.mpy"),
    "mqtt": (
        *(*_WIFI, "lib/mqtt.mpy", "lib/mqttopen.mpy"),
        *("sinks/mqtt.mpy", "sinks/discovery.mpy"),
    ),
    "influx": (*_WIFI, "sinks/influx.mpy", "sinks/influxnames.mpy"),
}


def measure() -> dict[str, dict[str, float]]:
    """Return heap and flash of each sink in bytes."""
    board = BUILD / "board-jikong"
    heap.build_board(board)
    with tempfile.TemporaryDirectory() as name, _broker() as port:
        wifi = {"ssid": "net", "ntp": ""}
        asked = {
            "bthome": {"bthome": True},
            "mqtt": {"wifi": wifi, "mqtt": {"host": "server.lan", "port": port}},
            "influx": {"wifi": wifi, "influx": {"host": "server.lan", "port": port}},
        }
        bench = heap.Bench(Path(name), board)
        without = bench.modules()["polling"]
        return {
            sink: {
                "heap": bench.modules(settings=settings, network=_NETWORK, chip="s3")["polling"]
                - without,
                "flash": sum((board / file).stat().st_size for file in _FILES[sink]),
            }
            for sink, settings in asked.items()
        }


@contextlib.contextmanager
def _broker():
    """Take MQTT connections and everything that is published; yields the port."""
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_serve, args=(server,), daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.close()


def _serve(server: socket.socket):
    with contextlib.suppress(OSError):
        while True:
            client, _ = server.accept()
            with client, contextlib.suppress(OSError, IndexError):
                _answer(client.makefile("rb"), client)


def _answer(stream, client):
    while True:
        kind = stream.read(1)[0]
        size = shift = 0
        more = 128
        while more & 128:
            more = stream.read(1)[0]
            size |= (more & 127) << shift
            shift += 7
        body = stream.read(size)
        if kind & 0xF0 == 0x10:
            client.sendall(b"\x20\2\0\0")
        elif kind & 0xF0 == 0x30:
            topic = body[0] << 8 | body[1]
            client.sendall(b"\x40\2" + body[2 + topic : 4 + topic])
        else:
            client.sendall(b"\xd0\0")
