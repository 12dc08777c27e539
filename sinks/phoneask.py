# What a phone asks for, and who may: imported for a request and dropped before anything is sent
# docs/PHONE.md has every byte. sinks/phone.py is the phone. The code keeps neighbours out; it does
# not stop somebody who records the radio.
import asyncio
import hashlib
import json
import os
import struct
import sys
from binascii import crc32

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

_CODE = const("/phone")  # files; the second is written for a wrong code, and may be torn then
_TRIES = const("/phone.tries")
_TRIES_MOST = const(5)
_SHUT_S = const(60)
_BLOCK_BYTES = const(64)  # of SHA-256
_PROOF_BYTES = const(16)
_NONCE_BYTES = const(12)
_PAUSE_MOST_S = const(3600)
_FIRST_UNIX_S = const(1_700_000_000)  # nobody's clock is right who tells less
_LAST_UNIX_S = const(4_000_000_000)
_ENOENT = const(2)
_FAR = const(0x3FFFFFFF)
_TEXTS = ("errors.txt", "errors.old", "version")
_KINDS = ("raw", "bts", "bad")
_SUMS = ("sum", "sum2")  # lifetime counters
_SIZES = {_HELLO: 1, _PROVE: 1 + _PROOF_BYTES, _STOP: 1, _CLOCK: 7, _PAUSE: 3, _ACKNOWLEDGE: 2}


def lock(phone, code):
    """Know the code that `phone` is asked for: `code` if it is six digits, else the board's own."""
    tries = _read_text(phone.folder + _TRIES)
    phone.fresh = tries is None
    phone.wrong = int(tries) if tries and tries.isdigit() else 0
    # a restart must not be a way around
    phone.open_s = phone.clock.uptime_s() + _SHUT_S if phone.wrong >= _TRIES_MOST else 0
    phone.code = code if code.isdigit() else _read_text(phone.folder + _CODE) or ""
    if len(phone.code) != 6 or not phone.code.isdigit():
        number = os.urandom(3)
        number = number[0] << 16 | number[1] << 8 | number[2]
        phone.code = "%06d" % (number % 1_000_000)
        phone.fresh = True
        try:
            os.mkdir(phone.folder)
        except OSError:
            pass  # it is there
        _write_text(phone.folder + _CODE, phone.code)


def answer(phone, request):
    """Do what the bytes `request` ask; return (answer, file to read, bytes of it, credits or None).

    The answer is None for what is no request. A file is to be sent where there are credits, else
    the CRC-32 of its bytes comes behind the answer. Raises nothing for what is in the request.
    """
    op = request[0] if request else 0
    if not 0 < op < _OPS_END:
        return None, None, 0, None
    body = b""
    source = credits = None
    n = 0
    if op not in (_CHECK, _READ) and op not in _SIZES:
        status = _UNKNOWN
    elif len(request) != _SIZES.get(op, len(request)):
        status = _MALFORMED
    elif op > _PROVE and op != _STOP and not phone.proven:
        status = _CODE_NEEDED
    elif op == _HELLO:
        phone.nonce = os.urandom(_NONCE_BYTES)
        status = _GOOD
        body = struct.pack("<BH", _VERSION, _wait_s(phone)) + phone.nonce
    elif op == _PROVE:
        status, body = _prove(phone, request[1:])
    elif op == _CHECK or op == _READ:
        if phone.reading:
            status = _BUSY
        elif op == _READ:
            status, source, n, credits = _read(phone, request)
        else:
            status, source, n = _check(phone, request)
    else:
        status = _GOOD if op == _STOP else _act(phone, op, request)
    return bytes((op | 0x80, status)) + body, source, n, credits


async def checked(phone, session, said, source, n, buf):
    """Return the answer `said` with the CRC-32 of `n` bytes of `source`, or what it is without.

    It reads them into `buf`, and no more when the phone of that session has gone.
    """
    view = memoryview(buf)
    crc = 0
    try:
        while n and phone.session == session:
            size = source.readinto(view[: min(n, len(view))])
            if not size:
                break
            crc = crc32(view[:size], crc)
            n -= size
            await asyncio.sleep_ms(0)
    except OSError:
        return bytes((said[0], _FLASH))
    return said + struct.pack("<I", crc)


# ---- the code


def _wait_s(phone):
    """Return for how many seconds no proof is looked at."""
    return max(0, phone.open_s - phone.clock.uptime_s())


def _prove(phone, proof):
    nonce, phone.nonce = phone.nonce, None  # each serves once
    if _wait_s(phone):
        return _SHUT, struct.pack("<H", _wait_s(phone))
    if nonce is None:
        return _MALFORMED, b""
    if proof == prove(phone.code, nonce):
        phone.proven = True
        if phone.wrong or phone.fresh:
            phone.wrong = 0
            phone.fresh = False
            _write_text(phone.folder + _TRIES, "0")
        return _GOOD, b""
    if phone.wrong >= _TRIES_MOST:  # the minute is over
        phone.wrong = 0
    phone.wrong += 1
    _write_text(phone.folder + _TRIES, str(phone.wrong))
    if phone.wrong < _TRIES_MOST:
        return _CODE_WRONG, b""
    phone.open_s = phone.clock.uptime_s() + _SHUT_S
    return _SHUT, struct.pack("<H", _SHUT_S)


def prove(code, nonce):
    """Return the first 16 bytes of HMAC-SHA-256 (RFC 2104) of `nonce` under the digits `code`."""
    key = code.encode()
    key += bytes(_BLOCK_BYTES - len(key))
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in key) + nonce).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in key) + inner).digest()[:_PROOF_BYTES]


def _read_text(path):
    try:
        with open(path) as f:
            return f.read(16).strip()
    except (OSError, UnicodeError):
        return None


def _write_text(path, text):
    try:
        with open(path, "w") as f:
            f.write(text + "\n")
    except OSError as exc:
        print("phone: flash error %d" % exc.errno)


# ---- what changes something


def _act(phone, op, request):
    """Clock, pause, acknowledge; return the status."""
    if op == _CLOCK:
        unix_s, ms = struct.unpack_from("<IH", request, 1)
        if not _FIRST_UNIX_S < unix_s < _LAST_UNIX_S or ms > 999:
            return _MALFORMED
        import setclock

        del sys.modules["setclock"]
        setclock.set_clock(unix_s * 1000 + ms)
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
    status = phone.batteries[request[1]].status
    status.seen = status.alarm
    return _GOOD if status.alarm else _NOT_NOW


# ---- files


def _read(phone, request):
    """Return (status, source, bytes, credits); the name is the rest of the request."""
    if len(request) <= 10:
        return _MALFORMED, None, 0, None
    offset, n, credits = struct.unpack_from("<IIB", request, 1)
    name = _name(request, 10)
    if name == "info":
        return _GOOD, _Text(_info(phone)), n, credits
    if name == "list":
        return _GOOD, _Text(_list(phone.folder)), n, credits
    status, source = _open(phone, name)
    if source:
        source.seek(min(offset, _FAR))  # more is no position on a board
    return status, source, n, credits


def _check(phone, request):
    """Return (status, source, bytes)."""
    if len(request) < 6:
        return _MALFORMED, None, 0
    (n,) = struct.unpack_from("<I", request, 1)
    status, source = _open(phone, _name(request, 5))
    if source and n > source.seek(0, 2):
        source.close()
        return _MALFORMED, None, 0  # it has fewer
    if source:
        source.seek(0)
    return status, source, n


def _open(phone, name):
    """Return (status, file of the log or None)."""
    if not _ours(name):
        return _NO_FILE, None
    try:
        return _GOOD, open(phone.folder + "/" + name, "rb")
    except OSError as exc:
        return _NO_FILE if exc.errno == _ENOENT else _FLASH, None


def _name(request, at):
    try:
        return str(request[at:], "utf-8")
    except UnicodeError:
        return ""


def _ours(name):
    """Is that the name of a file of the log? No other file can be asked for."""
    stem, _, kind = name.rpartition(".")
    base, _, number = stem.rpartition("-")
    if kind in _SUMS:
        return len(stem) <= 24 and stem == frame.shard_name(stem)
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
    stores = [battery.store for battery in phone.batteries if battery.store]
    try:
        with open(phone.folder + "/version") as f:
            version = f.read(16).split()[0]
    except (OSError, IndexError, UnicodeError):
        version = "unknown"  # nothing is logged yet
    head = {"version": version, "uptime_s": uptime_s, "unix_s": phone.clock.unix_s()}
    head["free_bytes"] = stores[0].free if stores else 0
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
