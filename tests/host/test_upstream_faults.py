"""Faults of upstream's that docs/PORTING.md tells: these tests end when upstream mends them."""

import differential
import releases
from aiobmsble.bms import jikong_bms
from bleak.backends.device import BLEDevice

from aiobmsble import basebms
from batmon.firmware import build
from batmon.paths import PLAIN

# positions of the driver's fields: a byte of sign and 16 bits of current at 12
_LIPOWER = """
from aiobmsble.bms.lipower_bms import BMS
for sign in (0, 1):
    frame = bytearray(30)
    frame[12:15] = bytes((sign, 0x04, 0xD2))
    print(round(100 * BMS._decode_data(BMS._FIELDS, bytes(frame))["current"]))
"""


def test_the_current_of_lipower_is_negative_whatever_its_sign(capsys):
    build.build(PLAIN, short=False)
    board = differential.run_on_board(_LIPOWER, PLAIN)
    exec(_LIPOWER, {})
    pc = capsys.readouterr().out
    assert board == pc
    assert pc == "-1234\n-1234\n", "mended: take it out of docs/PORTING.md and docs/BMS.md"


def test_jikong_takes_an_old_frame_for_new_when_other_bytes_come_behind_it(monkeypatch):
    monkeypatch.setattr(basebms, "BleakClient", lambda *_, **options: None)
    cells = bytearray(b"\x55\xaa\xeb\x90\x02" + bytes(295))
    cells[-1] = sum(cells) & 0xFF
    bms = jikong_bms.BMS(BLEDevice("11:22:33:44:55:66", "x", None))
    for data in (cells, bytearray(b"+CONNECTED")):
        bms._msg_event.clear()
        bms._notification_handler(None, data)
        assert bms._msg_event.is_set(), "mended: take it out of docs/PORTING.md and taken.py"


def test_the_check_of_releases_tells_what_is_new():
    old = releases.Result(drivers=["abc_bms", "old_bms"], keys=["current", "voltage"])
    new = releases.Result(drivers=["abc_bms", "new_bms"], keys=["current", "heater", "voltage"])
    assert releases.news(old, new) == [
        "new drivers: new_bms", "drivers gone: old_bms", "new keys: heater"
    ]  # fmt: skip
    assert releases.news(old, old) == ["no driver and no key is new"]
