# A Jikong BMS on the air: the JK02 protocol of its 32-cell hardware over a simulated battery
# Answers 0x97 with device info and 0x96 with cell info, or streams cell info like a real one.
import struct

import air
import vclock
from micropython import const

_CHAR = const(3)  # value handle of ffe1, which takes requests and notifies
_REQUEST_LEN = const(20)
_FRAME_LEN = const(300)
_GET_INFO = const(0x97)
_GET_CELLS = const(0x96)
_DEVICE_INFO = const(3)
_CELL_INFO = const(2)
_AT = b"AT\r\n"  # chatter of the Bluetooth module that leaks into the data
_READY_DELAY_MS = const(60)
_BALANCE_FROM_MV = const(3400)
_BALANCE_DELTA_MV = const(10)
_BALANCE_MA = const(950)
_ABSENT_DC = const(-2000)


def make(battery, name="jk-pak01", stream_ms=0):
    """Return a Jikong peripheral for `battery`, sw version 15, not yet on the air.

    `stream_ms`: cell info is repeated this often once it was asked for; 0: one answer each.
    """
    return Jikong(battery, name, stream_ms)


class Jikong(air.Peripheral):
    """`on_sample(t_ms, battery)` is called whenever a cell info is sent."""

    def __init__(self, battery, name, stream_ms):
        addr = b"\xc8\x47\x80\x12\x34\x56"
        services = [["ffe0", [["ffe1", _CHAR, ["write-without-response", "write", "notify"], 0]]]]
        super().__init__(
            name,
            addr,
            services,
            adv=air.adv(services16=(0xFFE0,), manufacturer=(0x0B65, b"\x88\xa0" + addr)),
            scan_rsp=air.adv(name=name, flags=False),
        )
        self.battery = battery
        self.stream_ms = stream_ms
        self.on_sample = None
        self._timer = None
        self._count = 0
        self._frame = bytearray(_FRAME_LEN)

    def on_disconnect(self):
        self._stop()

    def on_subscribe(self, value_handle, on):
        if not on:
            self._stop()

    def on_write(self, value_handle, data, response):
        if (
            len(data) != _REQUEST_LEN
            or data[:4] != b"\xaa\x55\x90\xeb"
            or sum(data[:-1]) & 0xFF != data[-1]
        ):
            return  # as a real one: no word about bad requests
        if data[4] == _GET_INFO:
            self.notify(_CHAR, _AT)
            self.notify(_CHAR, self._device_info())
            self.notify(_CHAR, ready(), _READY_DELAY_MS)
        elif data[4] == _GET_CELLS:
            self._stop()
            self._send_cells()

    def _stop(self):
        if self._timer:
            vclock.cancel(self._timer)
            self._timer = None

    def _send_cells(self):
        now_ms = vclock.now_ms()
        self.battery.advance(now_ms)
        frame = self._cell_info()
        if self._count & 15 == 1:
            self.notify(_CHAR, _AT)
            frame = _AT + frame
        self.notify(_CHAR, frame)
        if self.on_sample:
            self.on_sample(now_ms, self.battery)
        if self.stream_ms:
            self._timer = vclock.call_later(self.stream_ms, self._send_cells)

    def _start(self, kind):
        frame = self._frame
        frame[:] = bytes(_FRAME_LEN)
        self._count = self._count + 1 & 0xFF
        frame[:6] = b"\x55\xaa\xeb\x90" + bytes((kind, self._count))
        return frame

    def _finish(self):
        self._frame[-1] = sum(memoryview(self._frame)[:-1]) & 0xFF
        return self._frame

    def _device_info(self):
        frame = self._start(_DEVICE_INFO)
        for offset, text in (
            (6, "JK_PB2A16S20P"),  # model, which the vendor calls vendor id
            (22, "15A"),
            (30, "15.38"),
            (46, self.name[:16]),
            (62, "1234"),
            (78, "250101"),
            (86, "2501012345"),
            (102, "Input Userdata"),
        ):
            frame[offset : offset + len(text)] = text.encode()
        struct.pack_into("<II", frame, 38, vclock.now_ms() // 1000, 1)  # uptime, power-ons
        return self._finish()

    def _cell_info(self):
        b = self.battery
        cells = b.cells_mv
        count = len(cells)
        voltage_mv = b.voltage_mv
        current_ma = b.current_ma
        least = min(cells)
        most = max(cells)
        temps = b.temp_dc
        balance_ma = 0
        if most > _BALANCE_FROM_MV and most - least > _BALANCE_DELTA_MV:
            balance_ma = _BALANCE_MA

        frame = self._start(_CELL_INFO)
        struct.pack_into("<%dH" % count, frame, 6, *cells)
        struct.pack_into(
            "<IHHBB", frame, 70,
            (1 << count) - 1, voltage_mv // count, most - least,
            cells.index(most), cells.index(least),
        )  # fmt: skip
        for c in range(count):
            frame[80 + 2 * c] = 55 + c % 5  # wire resistances, mohm
        struct.pack_into(
            "<hIIIihhIhBB", frame, 144,
            temps[0], 0, voltage_mv, voltage_mv * abs(current_ma) // 1000, current_ma,
            temps[1] if len(temps) > 1 else _ABSENT_DC,
            temps[2] if len(temps) > 2 else _ABSENT_DC,
            b.problem, balance_ma, balance_ma > 0, (b.soc_milli + 500) // 1000,
        )  # fmt: skip
        struct.pack_into(
            "<IIIIBBHIBB", frame, 174,
            b.remaining_mah, b.design_mah, b.cycles, b.charge_out_mas // 3600,
            100, 0, 0, vclock.now_ms() // 1000, 1, getattr(b, "discharges", 1),
        )  # fmt: skip
        frame[214] = (1 << min(3, len(temps))) - 1  # which sensors are there
        struct.pack_into("<H", frame, 234, voltage_mv // 10)
        struct.pack_into("<hhh", frame, 254, _ABSENT_DC, _ABSENT_DC, _ABSENT_DC)
        return self._finish()


def ready():
    """The message that tells that the BMS takes requests."""
    body = b"\xaa\x55\x90\xeb\xc8\x01\x01" + bytes(12)
    return body + bytes((sum(body) & 0xFF,))
