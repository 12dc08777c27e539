# An attempt to join a WiFi network, and the board's clock set by a server there
# Loaded for each and dropped.
import asyncio
import sys

import bleradio
import network
from micropython import const

_JOIN_S = const(30)
_NTP_S = const(86_400)
_NTP_RETRY_S = const(60)  # doubled after every failure
_NTP_RETRY_MAX_S = const(3600)


async def attempt(wlan, ssid, password, keep_free):
    """Try to join; return (the station or None, is it in, a sentence).

    `wlan` is the station of before, if there is one: making it takes WiFi's memory. `keep_free`
    bytes of the system's are to be left for Bluetooth.
    """
    try:
        if not wlan:
            bleradio.claim(bleradio.WIFI)
        elif bleradio.left()[0] < keep_free:
            return wlan, False, "not started, Bluetooth needs the memory that is left"
        wlan = wlan or network.WLAN(network.STA_IF)
        wlan.active(True)
        wlan.config(reconnects=0)  # else the radio tries for ever, at Bluetooth's cost
        before = wlan.status()  # an old failure, told until there is an address
        wlan.connect(ssid, password or None)
        for _ in range(_JOIN_S):
            await asyncio.sleep(1)
            if wlan.isconnected():
                return wlan, True, "joined " + ssid
            status = wlan.status()
            if status != network.STAT_CONNECTING and status != before:
                break
    except bleradio.Short as exc:
        return wlan, False, "not started, " + str(exc)
    except (OSError, RuntimeError) as exc:
        return wlan, False, "error: %s" % exc
    if status == network.STAT_NO_AP_FOUND:
        return wlan, False, "finds no network " + ssid
    if status in (network.STAT_CONNECTING, network.STAT_IDLE):
        return wlan, False, ssid + " does not answer"
    words = "%s does not let the board in (%d), check the password" % (ssid, status)
    return wlan, False, words


async def set_clock(clock, host, dns, waited_s):
    """Set the board's clock by the time server `host`; return in how many seconds to ask again.

    `waited_s` is what it returned before.
    """
    import ntp
    import setclock

    del sys.modules["ntp"], sys.modules["setclock"], sys.modules["udpask"]
    offset_ms = await ntp.unix_offset_ms(clock, host, dns)
    if offset_ms is not None:  # a time to trust
        setclock.set_clock(clock.uptime_ms() + offset_ms)
        return _NTP_S
    if not _NTP_RETRY_S <= waited_s <= _NTP_RETRY_MAX_S:
        return _NTP_RETRY_S
    return min(2 * waited_s, _NTP_RETRY_MAX_S)
