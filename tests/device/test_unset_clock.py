# A BMS that takes its clock from ours (Saftkiste, with its password) is not set to the year 2000
import air
import vclock
from aiobmsble import BMSConfig
from aiobmsble.bms import saftkiste_bms
from bleak_peer import Peer, find, fresh, raises

_RX, _TX = 2, 10
_NOW_S = 1_780_000_000
_LOGIN = b"\xf0\xff\x10ABC123"


def _peer():
    services = list(saftkiste_bms.BMS.uuid_services())
    rx, tx = saftkiste_bms.BMS.uuid_rx(), saftkiste_bms.BMS.uuid_tx()
    chars = [[rx, _RX, ["notify"], False], [tx, _TX, ["write", "write-without-response"], False]]
    return fresh(Peer("saft", services=[[services[0], chars]]))


async def _logins(peer):
    """What was sent as password and time, and the exception, of a poll that nobody answers."""
    bms = saftkiste_bms.BMS(await find("saft"), BMSConfig(True, "ABC123"))
    error = await raises(Exception, bms.async_update(), 60_000)
    await bms.disconnect()
    return [data for _, data, _ in peer.written if data.startswith(_LOGIN)], error


async def test_a_clock_that_was_never_set_is_not_sent():
    was_ms = vclock.rtc_ms()
    try:
        vclock.set_rtc(None)
        logins, error = await _logins(_peer())
        assert not logins
        assert isinstance(error, OSError) and "clock, which is not set" in str(error), error
        vclock.set_rtc(_NOW_S * 1000)
        logins, error = await _logins(_peer())
        sent_s = int.from_bytes(logins[0][9:13], "little")
        assert _NOW_S <= sent_s < _NOW_S + 60, sent_s
    finally:
        vclock.set_rtc(was_ms)
        air.reset()
