# Keeps the board in a WiFi network, as far as Bluetooth leaves room for it
# Imported only where it is used: the driver takes its memory when the first network is joined.
import asyncio

import network
from micropython import const

try:
    from esp32 import idf_heap_info
except ImportError:
    idf_heap_info = None  # the radios of other boards have memory of their own

_JOIN_S = const(30)
_RETRY_S = const(30)  # doubled after every failure
_RETRY_MAX_S = const(600)
# Of what Bluetooth takes its memory from: to begin, and to go on. Chosen with room to spare,
# for a connection takes a few kB and a scan less.
_BEGIN_BYTES = const(72 * 1024)
_KEEP_BYTES = const(24 * 1024)
_INTERNAL = const(0x804)  # ESP-IDF's name for memory that radios can use


class Wifi:
    """The network `ssid`; `password` may be "". Says on the REPL what happens, never secrets."""

    def __init__(self, ssid, password):
        self._ssid = ssid
        self._password = password
        self._wlan = None
        self._wait_s = _RETRY_S
        self._short = False  # of memory
        self._said = ""

    async def join(self):
        """Return when the board is in the network: at once, or after many attempts."""
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

    def connected(self):
        """Is the board in the network? Where memory runs short it leaves it."""
        if not (self._wlan and self._wlan.isconnected()):
            return False
        free = _free_bytes()
        if free < _KEEP_BYTES:
            self._short = True
            self.off("switched off, only %d bytes were free and Bluetooth needs them" % free)
            return False
        return True

    def dns(self):
        """Return the address of the network's name server."""
        return self._wlan.ifconfig()[3]

    async def _attempt(self):
        """Try to join; return what went wrong, or ""."""
        free = _free_bytes()
        if free < _BEGIN_BYTES:
            return "not started, it needs %d free bytes and there are %d" % (_BEGIN_BYTES, free)
        try:
            wlan = self._wlan = network.WLAN(network.STA_IF)
            wlan.active(True)
            wlan.config(reconnects=0)  # else the radio tries for ever, at Bluetooth's cost
            wlan.connect(self._ssid, self._password or None)
            for _ in range(_JOIN_S):
                await asyncio.sleep(1)
                if wlan.isconnected():
                    return ""
                if wlan.status() != network.STAT_CONNECTING:
                    break
            status = wlan.status()
        except (OSError, RuntimeError) as exc:
            return "error: %s" % exc
        if status == network.STAT_NO_AP_FOUND:
            return "finds no network " + self._ssid
        if status == network.STAT_CONNECTING:
            return self._ssid + " does not answer"
        return "%s does not let the board in (%d), check the password" % (self._ssid, status)

    def off(self, why):
        """Leave the network and give its memory back; `why` is said."""
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


def _free_bytes():
    return sum(area[1] for area in idf_heap_info(_INTERNAL)) if idf_heap_info else _BEGIN_BYTES
