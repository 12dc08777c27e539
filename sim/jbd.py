# A JBD BMS on the air: its serial protocol in notifications of 20 bytes over a simulated battery
# Answers 0x03 (status), 0x04 (cells) and 0x05 (name); currents and charges in steps of 10 mA(h).
import struct

import air
import vclock
from micropython import const

_NOTIFY = const(16)  # value handle of ff01
_WRITE = const(20)  # value handle of ff02
_STATUS = const(3)
_CELLS = const(4)
_NAME = const(5)
_KELVIN_DC = const(2731)


def make(battery, name="JBD-SP25S020"):
    """Return a JBD peripheral for `battery`, not yet on the air."""
    return Jbd(battery, name)


class Jbd(air.Peripheral):
    """`on_sample(t_ms, battery)` is called whenever a status is sent.

    Cells belong to the moment of the status before them: a real one measures all at once.
    """

    chunk = 20

    def __init__(self, battery, name):
        services = [
            [
                "ff00",
                [
                    ["ff01", _NOTIFY, ["read", "notify"], 0],
                    ["ff02", _WRITE, ["read", "write-without-response", "write"], 0],
                ],
            ]
        ]
        super().__init__(
            name,
            b"\xa4\xc1\x37\x12\x34\x56",
            services,
            adv=air.adv(services16=(0xFF00,)),
            scan_rsp=air.adv(name=name, flags=False),
        )
        self.battery = battery
        self.on_sample = None

    def on_write(self, value_handle, data, response):
        if (
            value_handle != _WRITE
            or len(data) < 7
            or data[:2] != b"\xdd\xa5"
            or len(data) != 7 + data[3]
            or data[-1] != 0x77
            or data[-3:-1] != _checksum(data[2:-3])
        ):
            return  # as a real one: no word about bad requests
        if data[2] == _STATUS:
            self._status()
        elif data[2] == _CELLS:
            cells = self.battery.cells_mv
            self._send(_CELLS, struct.pack(">%dH" % len(cells), *cells))
        elif data[2] == _NAME:
            self._send(_NAME, self.name.encode())
        else:
            self._send(data[2], b"", 0x80)

    def _status(self):
        now_ms = vclock.now_ms()
        b = self.battery
        b.advance(now_ms)
        temps = b.temp_dc
        data = struct.pack(
            ">HhHHHHIHBBBBB",
            (b.voltage_mv + 5) // 10,
            (b.current_ma + 5) // 10,
            (b.remaining_mah + 5) // 10,
            b.design_mah // 10,
            b.cycles,
            25 << 9 | 6 << 5 | 15,  # made on 2025-06-15
            0,
            b.problem,
            0x28,
            (b.soc_milli + 500) // 1000,
            3,
            len(b.cells_mv),
            len(temps),
        )
        data += struct.pack(">%dH" % len(temps), *[t + _KELVIN_DC for t in temps])
        self._send(_STATUS, data)
        if self.on_sample:
            self.on_sample(now_ms, b)

    def _send(self, command, data, status=0):
        body = bytes((status, len(data))) + data
        self.notify(_NOTIFY, b"\xdd" + bytes((command,)) + body + _checksum(body) + b"\x77")


def _checksum(body):
    return (0x10000 - sum(body) & 0xFFFF).to_bytes(2, "big")
