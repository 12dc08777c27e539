# The time from a server of the network (NTP)
# Loaded once a day and dropped.
import os
import struct

import udpask
from micropython import const

_NTP_MS = const(1000)  # and so never more than half a second wrong
_NTP_UNIX_S = const(2208988800)  # from 1900 to 1970
_UNIX_2024_S = const(1704067200)
_UNIX_2100_S = const(4102444800)
_AGREE_MS = const(1000)


async def unix_offset_ms(clock, name, dns):
    """Return unix time minus `clock`'s uptime by NTP, None if there is no time to trust.

    It takes two answers that agree: of two servers where the name stands for many.
    """
    first = await _offset_ms(clock, await udpask.lookup(name, dns))
    if first is not None:
        second = await _offset_ms(clock, await udpask.lookup(name, dns))
        if second is not None and abs(second - first) <= _AGREE_MS:
            return second
    return None


async def _offset_ms(clock, ip):
    if ip is None:
        return None
    question = bytearray(48)
    question[0] = 0x23  # version 4, from a client
    question[40:] = os.urandom(8)  # the answer repeats it: no old or foreign one is taken
    asked_ms = clock.uptime_ms()
    answer = await udpask.ask(ip, 123, question, _NTP_MS)
    now_ms = clock.uptime_ms()
    if answer is None or len(answer) < 48 or answer[24:32] != question[40:]:
        return None
    # from a server, one that knows the time and is not telling us to go away
    if answer[0] & 7 != 4 or answer[0] >> 6 == 3 or not 1 <= answer[1] <= 15:
        return None
    seconds, fraction = struct.unpack_from(">II", answer, 40)
    unix_s = seconds - _NTP_UNIX_S
    if unix_s < _UNIX_2024_S:
        unix_s += 1 << 32  # the count begins anew in 2036
    if unix_s > _UNIX_2100_S:
        return None
    # the answer was half of the time on its way
    return unix_s * 1000 + (fraction >> 16) * 1000 // 65536 - (asked_ms + now_ms) // 2
