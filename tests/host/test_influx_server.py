"""The InfluxDB that other tests use: it starts, takes lines by HTTP and UDP, and answers."""

import socket
import urllib.request

from influx_server import influx


def test_takes_lines_by_http_and_udp(tmp_path):
    with influx(tmp_path) as server:
        lines = b"battery,name=van voltage=13.2 1767247200\n"
        url = f"{server.url}/write?db={server.database}&precision=s"
        urllib.request.urlopen(url, lines, timeout=60).close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(b"battery,name=boat voltage=26.4 1767247201000000000\n", server.udp)
        rows = server.wait_for('SELECT voltage, "name" FROM battery', 2)
        assert [(row["time"], row["voltage"], row["name"]) for row in rows] == [
            (1767247200, 13.2, "van"),
            (1767247201, 26.4, "boat"),
        ]
