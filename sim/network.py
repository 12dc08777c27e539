# Stand-in for the network module: a WiFi station, its network and who answers there
# Sockets are in sim/socket.py; `world` says what is there, and may change at any time.
import struct

import sysmem
import vclock
from micropython import const

STA_IF = 0
STAT_IDLE = 1000
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202

_ASSOC_LEAVE = const(8)
_BEACON_TIMEOUT = const(200)
_SCAN_MS = const(2400)
_NTP_UNIX_S = const(2208988800)

world = {
    "ssid": "",  # of the access point, "" for none
    "password": "",
    "dhcp_ms": 900,
    "drop_s": 0,  # from one loss of the link to the next, 0: never lost
    "down_s": 90,  # the access point is gone after a loss
    "dns": {},  # addresses by name; None: the name server is silent
    "unix": 0,  # the right time at virtual time 0
    "ntp": {},  # by address: see _NTP, {} is a good server
}
_NTP = {
    "delay_ms": 40,
    "wrong_s": 0,  # how far off it is
    "step_s": 0,  # and by how much more after every answer
    "jump": [0, 0],  # [since second, by how many seconds]
    "head": 0x24,  # leap indicator 0, version 4, mode 4
    "stratum": 2,
    "foreign": False,  # answers a question that nobody asked
    "silent": False,
}
answers = {}  # by address: how many were given
tcp = {}  # by address and port, who is not on this PC: a function, bytes -> its answer or None
joins = 0  # how often the board got an address


class WLAN:
    """The station; there is one, however often this is made. It keeps its memory and, until it has
    an address, the reason of its last failure: neither `connect()` nor `active()` clears it."""

    _on = False
    _up = False  # it has an address
    _asked = False  # to connect
    reason = 0  # of the last failure; kept by the port
    _coming = None  # what the radio is about to find out
    _reconnects = 0  # as ESP-IDF's driver counts: at most so many attempts, 0: no end
    _tried = 0

    def __init__(self, interface=STA_IF):
        if not sysmem.has("wifi"):
            sysmem.look()
            if not sysmem.take("wifi"):
                raise RuntimeError("Wifi Unknown Error 0x0101")  # no memory

    def active(self, on=None):
        if on is not None:
            WLAN._on = on
            if on:
                WLAN._tried = 0
            else:
                _leave()
        return WLAN._on

    def config(self, reconnects=-1):
        WLAN._reconnects = reconnects + 1

    def connect(self, ssid, key=None):
        if not WLAN._on:
            raise OSError("Wifi Not Started")
        _leave()
        WLAN._tried = 0
        WLAN._asked = True
        WLAN._coming = vclock.call_later(_SCAN_MS, _associate, ssid, key or "")

    def disconnect(self):
        WLAN._asked = False
        _leave()

    def isconnected(self):
        return WLAN._up

    def status(self):
        if WLAN._up:
            return STAT_GOT_IP
        if WLAN.reason in (STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD):
            return WLAN.reason
        if WLAN.reason == _ASSOC_LEAVE:
            return STAT_IDLE
        if WLAN._asked and (not WLAN._reconnects or WLAN._tried < WLAN._reconnects):
            return STAT_CONNECTING
        return WLAN.reason or STAT_IDLE

    def ifconfig(self):
        return ("10.0.0.7", "255.255.255.0", "10.0.0.1", "10.0.0.1")


def _forget_event():
    if WLAN._coming:
        vclock.cancel(WLAN._coming)
        WLAN._coming = None


def _leave():
    _forget_event()
    if WLAN._up:
        WLAN.reason = _ASSOC_LEAVE
    WLAN._up = False


def _failed(reason, ssid, key):
    WLAN._coming = None
    WLAN._up = False
    WLAN.reason = reason
    if WLAN._asked:
        WLAN._tried += 1
        if not WLAN._reconnects or WLAN._tried < WLAN._reconnects:
            WLAN._coming = vclock.call_later(_SCAN_MS, _associate, ssid, key)


def _associate(ssid, key):
    gone = world["drop_s"] and vclock.now_ms() // 1000 % world["drop_s"] < world["down_s"]
    if ssid != world["ssid"] or (gone and vclock.now_ms() // 1000 >= world["drop_s"]):
        _failed(STAT_NO_AP_FOUND, ssid, key)
    elif key != world["password"]:
        _failed(STAT_WRONG_PASSWORD, ssid, key)
    else:
        WLAN._coming = vclock.call_later(world["dhcp_ms"], _joined, ssid, key)


def _joined(ssid, key):
    global joins
    joins += 1
    WLAN._coming = None
    WLAN._up = True
    WLAN.reason = 0
    if world["drop_s"]:
        period_ms = world["drop_s"] * 1000
        next_ms = (vclock.now_ms() // period_ms + 1) * period_ms
        WLAN._coming = vclock.call_at(next_ms, _failed, _BEACON_TIMEOUT, ssid, key)


# ---- who answers


def answer_dns(question):
    """Return a name server's answer to `question`, None if it is silent."""
    if world["dns"] is None:
        return None
    labels = []
    at = 12
    while question[at]:
        labels.append(str(question[at + 1 : at + 1 + question[at]], "utf-8"))
        at += 1 + question[at]
    ip = world["dns"].get(".".join(labels))
    body = bytes(question[12:])
    if ip is None:
        return bytes(question[:2]) + b"\x81\x83\0\1\0\0\0\0\0\0" + body  # no such name
    # an alias first, as big sites have it
    alias = b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\4\1x\xc0\x0c"
    at = struct.pack(">H", 0xC000 | len(question) + len(alias) - 4)
    address = at + b"\0\1\0\1\0\0\0\x3c\0\4" + bytes(int(n) for n in ip.split("."))
    return bytes(question[:2]) + b"\x81\x80\0\1\0\2\0\0\0\0" + body + alias + address


def answer_ntp(ip, question):
    """Return (delay in ms, a time server's answer), or None if there is none at `ip`."""
    if ip not in world["ntp"] or not world["unix"]:
        return None
    server = dict(_NTP)
    server.update(world["ntp"][ip])
    if server["silent"]:
        return None
    given = answers[ip] = answers.get(ip, 0) + 1
    delay_ms = server["delay_ms"]
    unix_ms = world["unix"] * 1000 + vclock.now_ms() + delay_ms // 2
    since_s, jump_s = server["jump"]
    if vclock.now_ms() >= since_s * 1000:
        unix_ms += jump_s * 1000
    unix_ms += (server["wrong_s"] + server["step_s"] * given) * 1000
    stamp = struct.pack(
        ">II", unix_ms // 1000 + _NTP_UNIX_S & 0xFFFFFFFF, unix_ms % 1000 * 4294967
    )
    originate = bytes(8) if server["foreign"] else bytes(question[40:48])
    head = bytes((server["head"], server["stratum"])) + bytes(22)
    return delay_ms, head + originate + stamp + stamp
