# What a phone asks for, and who may: imported for a request and dropped after it
# docs/PHONE.md has every byte. sinks/phone.py is the phone.
import json
import os
import struct
import time
from binascii import crc32

import asyncio
import machine
from micropython import const
from shards import frame

_VERSION = const(1)  # of the protocol
_HELLO = const(1)
_PROVE = const(2)
_CHECK = const(4)
_READ = const(5)
_STOP = const(7)
_CLOCK = const(8)
_PAUSE = const(9)
_ACKNOWLEDGE = const(10)
_OPS_END = const(0x40)  # behind them, the answers would be taken for other things

_GOOD = const(0)
_UNKNOWN = const(1)
_MALFORMED = const(2)
_CODE_NEEDED = const(3)
_CODE_WRONG = const(4)
_SHUT = const(5)
_NO_FILE = const(6)
_BUSY = const(7)
_FLASH = const(8)
_NOT_NOW = const(9)

_PROOF_BYTES = const(16)
_NONCE_BYTES = const(12)
_PAUSE_MOST_S = const(3600)
_FIRST_UNIX_S = const(1_700_000_000)  # nobody's clock is right who tells less
_LAST_UNIX_S = const(4_000_000_000)
_ENOENT = const(2)
_FAR = const(0x3FFFFFFF)
_TEXTS = ("errors.txt", "errors.old", "version")
_KINDS = ("raw", "bts", "bad")
_SIZES = {_HELLO: 1, _PROVE: 1 + _PROOF_BYTES, _STOP: 1, _CLOCK: 7, _PAUSE: 3, _ACKNOWLEDGE: 2}


async def answer(phone, request):
    """Do what the bytes `request` of `phone` ask and answer; raises nothing for what is in them."""
    session = phone.session
    op = request[0] if request else 0
    if not 0 < op < _OPS_END:
        return  # no request at all
    body = b""
    if op not in (_CHECK, _READ) and op not in _SIZES:
        status = _UNKNOWN
    elif len(request) != _SIZES.get(op, len(request)):
        status = _MALFORMED
    elif op > _PROVE and op != _STOP and not phone.proven:
        status = _CODE_NEEDED
    elif op == _HELLO:
        phone.nonce = os.urandom(_NONCE_BYTES)
        status = _GOOD
        body = struct.pack("<BH", _VERSION, phone.lock.wait_s()) + phone.nonce
    elif op == _PROVE:
        status, body = _prove(phone, request[1:])
    elif op == _CHECK or op == _READ:
        if phone.reading:
            status = _BUSY
        else:
            phone.reading = True
            try:
                if op == _READ:
                    await _read(phone, request, session)
                    return
                status, body = await _check(phone, request)
            finally:
                phone.reading = False
    else:
        status = _GOOD if op == _STOP else _act(phone, op, request)
    await phone.notify(bytes((op | 0x80, status)) + body, session)


def _prove(phone, proof):
    nonce, phone.nonce = phone.nonce, None  # each serves once
    wait_s = phone.lock.wait_s()
    if wait_s:
        return _SHUT, struct.pack("<H", wait_s)
    if nonce is None:
        return _MALFORMED, b""
    phone.proven = phone.lock.opens(nonce, proof)
    if phone.proven:
        return _GOOD, b""
    wait_s = phone.lock.wait_s()
    return (_SHUT, struct.pack("<H", wait_s)) if wait_s else (_CODE_WRONG, b"")


def _act(phone, op, request):
    """Clock, pause, acknowledge; return the status."""
    if op == _CLOCK:
        unix_s, ms = struct.unpack_from("<IH", request, 1)
        if not _FIRST_UNIX_S < unix_s < _LAST_UNIX_S or ms > 999:
            return _MALFORMED
        now = time.gmtime(unix_s - (946684800 if time.gmtime(0)[0] == 2000 else 0))
        machine.RTC().datetime(
            (now[0], now[1], now[2], now[6], now[3], now[4], now[5], ms * 1000)
        )
        for battery in phone.batteries:
            if battery.store:
                battery.store.tick()  # it notes the time, by which frames are dated
        return _GOOD
    if op == _PAUSE:
        (s,) = struct.unpack_from("<H", request, 1)
        if s > _PAUSE_MOST_S:
            return _MALFORMED
        for battery in phone.batteries:
            if battery.link:
                battery.link.paused = s
        return _GOOD
    if request[1] >= len(phone.batteries):
        return _MALFORMED
    battery = phone.batteries[request[1]]
    if not battery.status.alarm:
        return _NOT_NOW
    phone.seen[battery.name] = battery.status.alarm
    battery.status.alarm = ""
    return _GOOD


# ---- files


async def _read(phone, request, session):
    """Answer, then send; the name is the rest of the request."""
    status = _MALFORMED
    source = None
    if len(request) > 10:
        offset, n, credits = struct.unpack_from("<IIB", request, 1)
        name = _name(request, 10)
        try:
            if name == "info":
                source = _Text(_info(phone))
            elif name == "list":
                source = _Text(_list(phone.folder))
            elif _ours(name):
                source = open(phone.folder + "/" + name, "rb")
                source.seek(min(offset, _FAR))  # more is no position on a board
            status = _GOOD if source else _NO_FILE
        except OSError as exc:
            status = _NO_FILE if exc.errno == _ENOENT else _FLASH
    try:
        phone.stopped = False
        if await phone.notify(bytes((_READ | 0x80, status)), session) and source:
            await phone.send(source, n, credits, session)
    except OSError:
        pass  # of the flash: without an end the phone knows that something is missing
    finally:
        if source:
            source.close()


async def _check(phone, request):
    """Return (status, body) with the CRC-32 of the first bytes of a file."""
    if len(request) < 6:
        return _MALFORMED, b""
    (n,) = struct.unpack_from("<I", request, 1)
    name = _name(request, 5)
    if not _ours(name):
        return _NO_FILE, b""
    view = memoryview(phone.buf)
    session = phone.session
    crc = 0
    try:
        with open(phone.folder + "/" + name, "rb") as f:
            while n and phone.session == session:
                size = f.readinto(view[: min(n, len(view))])
                if not size:
                    return _MALFORMED, b""  # it has fewer
                crc = crc32(view[:size], crc)
                n -= size
                await asyncio.sleep_ms(0)
    except OSError as exc:
        return _NO_FILE if exc.errno == _ENOENT else _FLASH, b""
    return _GOOD, struct.pack("<I", crc)


def _name(request, at):
    try:
        return str(request[at:], "utf-8")
    except UnicodeError:
        return ""


def _ours(name):
    """Is that the name of a file of the log? No other file can be asked for."""
    stem, _, kind = name.rpartition(".")
    base, _, number = stem.rpartition("-")
    if kind in _KINDS and 5 <= len(number) <= 9 and not number.strip("0123456789"):
        return len(base) <= 24 and base == frame.shard_name(base)
    return name in _TEXTS


class _Text:
    """What a generator of bytes yields, to be read like a file."""

    def __init__(self, parts):
        self._parts = parts
        self._rest = b""

    def readinto(self, buf):
        n = 0
        while n < len(buf):
            if not self._rest:
                try:
                    self._rest = next(self._parts)
                except StopIteration:
                    break
            size = min(len(self._rest), len(buf) - n)
            buf[n : n + size] = self._rest[:size]
            self._rest = self._rest[size:]
            n += size
        return n

    def close(self):
        pass


def _list(folder):
    """Yield NAME SIZE of each file that can be asked for."""
    try:
        entries = os.ilistdir(folder)
    except OSError:
        return
    while True:
        try:
            entry = next(entries)
        except StopIteration:
            return
        except UnicodeError:
            continue  # FAT may have names that a power cut tore
        if entry[1] == 0x8000 and _ours(entry[0]):
            size = entry[3] if len(entry) > 3 else os.stat(folder + "/" + entry[0])[6]
            yield ("%s %d\n" % (entry[0], size)).encode()


def _info(phone):
    """Yield JSON: what the board is and does."""
    uptime_s = phone.clock.uptime_s()
    store = phone.batteries[0].store
    try:
        with open(phone.folder + "/version") as f:
            version = f.read(16).split()[0]
    except (OSError, IndexError, UnicodeError):
        version = "unknown"  # nothing is logged yet
    head = {"version": version, "uptime_s": uptime_s, "unix_s": phone.clock.unix_s()}
    head["free_bytes"] = store.free if store else 0
    yield json.dumps(head).encode()[:-1] + b', "batteries": ['
    comma = b""
    for battery in phone.batteries:
        status = battery.status
        about = {"name": battery.name or battery.link and battery.link.name or ""}
        about["link"] = status.link
        about["message"] = status.message
        about["alarm"] = status.alarm
        yield comma + json.dumps(about).encode()
        comma = b", "
    yield b"]}\n"
