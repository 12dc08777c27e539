# Keeps the board in a WiFi network, as far as Bluetooth leaves room for it, and its clock right
# Imported only where it is used: the driver takes its memory when the first network is joined.
import asyncio
import sys

import bleradio
import network
from micropython import const

_JOIN_S = const(30)
_RETRY_S = const(30)  # doubled after every failure
_RETRY_MAX_S = const(600)
_KEEP_FREE = const(12_000)  # bytes of what Bluetooth takes its memory from: for a connection
_NTP_S = const(86_400)
_NTP_RETRY_S = const(60)  # doubled after every failure
_NTP_RETRY_MAX_S = const(3600)


class Wifi:
    """The network `ssid`; `password` may be "". Says on the REPL what happens, never secrets.

    `ntp_host` is asked daily for the time by which the board's is set; "" asks nobody. Several may
    use the network at once.
    """

    def __init__(self, ssid, password, ntp_host="", clock=None):
        self._ssid = ssid
        self._password = password
        self._ntp_host = ntp_host
        self._clock = clock
        self._ntp_s = 0  # when to ask for the time again
        self._ntp_wait_s = _NTP_RETRY_S
        self._turn = asyncio.Lock()
        self._wlan = None
        self._wait_s = _RETRY_S
        self._short = False  # of memory
        self._said = ""

    async def join(self):
        """Return when the board is in the network: at once, or after many attempts.

        By then it has asked for the time as well, if that was due.
        """
        async with self._turn:
            while not self.connected():
                if self._short:  # it may be WiFi itself that takes too much
                    self._short = False
                    await asyncio.sleep(_RETRY_MAX_S)
                trouble = await self._attempt()
                if trouble:
                    self.off(trouble)
                    await asyncio.sleep(self._wait_s)
                    self._wait_s = min(2 * self._wait_s, _RETRY_MAX_S)
                else:
                    self._wait_s = _RETRY_S
                    self._say("joined " + self._ssid)
            if self._ntp_host and self._clock.uptime_s() >= self._ntp_s:
                await self._set_clock()

    def connected(self):
        """Is the board in the network? Where memory runs short it leaves it."""
        if not (self._wlan and self._wlan.isconnected()):
            return False
        free, _ = bleradio.left()
        if free < _KEEP_FREE:
            self._short = True
            self.off("switched off, only %d bytes were free and Bluetooth needs them" % free)
            return False
        return True

    def dns(self):
        """Return the address of the network's name server."""
        return self._wlan.ifconfig()[3]

    async def _set_clock(self):
        import ntp  # once a day
        import setclock

        del sys.modules["ntp"], sys.modules["setclock"]
        offset_ms = await ntp.unix_offset_ms(self._clock, self._ntp_host, self.dns())
        now_s = self._clock.uptime_s()
        if offset_ms is None:
            self._ntp_s = now_s + self._ntp_wait_s
            self._ntp_wait_s = min(2 * self._ntp_wait_s, _NTP_RETRY_MAX_S)
            return
        self._ntp_s = now_s + _NTP_S
        self._ntp_wait_s = _NTP_RETRY_S
        setclock.set_clock(self._clock.uptime_ms() + offset_ms)

    async def _attempt(self):
        """Try to join; return what went wrong, or ""."""
        try:
            if not self._wlan:
                bleradio.claim(bleradio.WIFI)
            elif bleradio.left()[0] < _KEEP_FREE:
                return "not started, Bluetooth needs the memory that is left"
            wlan = self._wlan = self._wlan or network.WLAN(network.STA_IF)
            wlan.active(True)
            wlan.config(reconnects=0)  # else the radio tries for ever, at Bluetooth's cost
            before = wlan.status()  # an old failure, told until there is an address
            wlan.connect(self._ssid, self._password or None)
            for _ in range(_JOIN_S):
                await asyncio.sleep(1)
                if wlan.isconnected():
                    return ""
                status = wlan.status()
                if status != network.STAT_CONNECTING and status != before:
                    break
        except bleradio.Short as exc:
            return "not started, " + str(exc)
        except (OSError, RuntimeError) as exc:
            return "error: %s" % exc
        if status == network.STAT_NO_AP_FOUND:
            return "finds no network " + self._ssid
        if status in (network.STAT_CONNECTING, network.STAT_IDLE):
            return self._ssid + " does not answer"
        return "%s does not let the board in (%d), check the password" % (self._ssid, status)

    def off(self, why):
        """Leave the network; `why` is said. Its memory comes back at the next hard reset only."""
        self._say(why)
        try:
            if self._wlan:
                self._wlan.active(False)
        except (OSError, RuntimeError):
            pass  # the next attempt starts it anew

    def _say(self, text):
        if text != self._said:
            self._said = text
            print("WiFi:", text)
