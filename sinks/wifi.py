# Keeps the board in a WiFi network, as far as Bluetooth leaves room for it, and its clock right
# Imported only where it is used: the driver takes its memory when the first network is joined.
import asyncio

import bleradio
from micropython import const
from sinks.once import once

_RETRY_S = const(30)  # doubled after every failure
_RETRY_MAX_S = const(600)
_KEEP_FREE = const(12_000)  # bytes of what Bluetooth takes its memory from: for a connection


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
        self._ntp_wait_s = 0
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
                self._wlan, joined, words = await once("joining").attempt(
                    self._wlan, self._ssid, self._password, _KEEP_FREE
                )
                if joined:
                    self._wait_s = _RETRY_S
                    self._say(words)
                else:
                    self.off(words)
                    await asyncio.sleep(self._wait_s)
                    self._wait_s = min(2 * self._wait_s, _RETRY_MAX_S)
            if self._ntp_host and self._clock.uptime_s() >= self._ntp_s:
                self._ntp_wait_s = await once("joining").set_clock(
                    self._clock, self._ntp_host, self.dns(), self._ntp_wait_s
                )
                self._ntp_s = self._clock.uptime_s() + self._ntp_wait_s

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
