"""The log on a board that Bluetooth reaches: docs/PHONE.md from the PC's side, with bleak.

Untried with a real adapter: tests go through a backend behind bleak's public interface.
"""

import asyncio
import hmac
import struct
import time
import zlib
from collections.abc import Callable

from batmon.console import UserError

_UUID = "a6f4000{}-8d3c-4f0a-9b57-2e61c0d7b4a8"
_SERVICE, _ASK, _ANSWER = (_UUID.format(n) for n in (1, 2, 3))
_HELLO, _PROVE, _CHECK, _READ, _CREDITS, _STOP, _CLOCK = 1, 2, 4, 5, 6, 7, 8
_GOOD, _WRONG_CODE, _SHUT, _NO_FILE = 0, 4, 5, 6
_END = 0xC2
_WINDOW = 6  # pieces on their way
_GRANT = 3  # credits at a time
_PROOF_BYTES = 16
_FIND_S = 15
_ANSWER_S = 60  # a CRC of a whole shard takes the board some seconds
_PIECE_S = 20
_TRIES = 5  # connections in a row that bring nothing new
_WHOLE = 0xFFFFFFFF

# What a test puts in, to reach a board without an adapter: arguments of bleak's classes.
scanner: dict = {}
client: dict = {}


class _Lost(Exception):
    """The connection has ended, or what came over it has a gap."""


class BleLog:
    """The log of the board called `name` ("" for the nearest), which `code` opens.

    A context manager; goes on by itself after a lost connection. `board` is what it is called,
    `clock_off_s` by how much its clock was off, which is set. All methods raise UserError.
    """

    def __init__(self, name: str, code: str):
        self.board = name
        self.clock_off_s = 0
        self._code = code
        self._client = None
        self._said: asyncio.Queue[bytes] = None

    def __enter__(self):
        self._runner = asyncio.Runner()
        try:
            self._run(self._connect())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            if self._client:
                self._runner.run(self._client.disconnect())
        finally:
            self._runner.close()

    def files(self) -> dict[str, int]:
        """Return the sizes of the files of the log by name."""
        lines = self._text("list").splitlines()
        return {name: int(size) for name, size in (line.split(" ") for line in lines)}

    def crc(self, name: str, size: int) -> int:
        """Return the CRC-32 of the first `size` bytes of a file."""
        request = struct.pack("<BI", _CHECK, size) + name.encode()
        return self._again(lambda: self._crc(name, request))

    async def _crc(self, name: str, request: bytes) -> int:
        status, body = await self._ask(request)
        self._refuse(status, name)
        return struct.unpack("<I", body)[0]

    def fetch(self, name: str, at: int, size: int, take: Callable[[bytes], None]):
        """Call `take` with bytes `at` to `size` of a file, piece by piece, none missing."""
        done = at

        def took(piece: bytes):
            nonlocal done
            done += len(piece)
            take(piece)

        self._again(lambda: self._read(name, done, size - done, took), lambda: done)

    def names(self) -> bytes:
        """Return nothing: what the build says of its names is no part of the log."""
        return b""

    def told(self) -> tuple[str, str]:
        """Return nothing: the settings do not go over the air."""
        return "", ""

    def _text(self, name: str) -> str:
        parts: list[bytes] = []

        async def read():
            parts.clear()
            await self._read(name, 0, _WHOLE, parts.append)

        self._again(read)
        return b"".join(parts).decode(errors="replace")

    # ---- the connection

    def _run(self, coro):
        from bleak.exc import BleakError

        try:
            return self._runner.run(coro)
        except (BleakError, OSError, TimeoutError) as error:
            raise _Lost(str(error)) from error

    def _again(self, act: Callable, progress: Callable = lambda: 0):
        """Do it, and again after a lost connection while anything new comes."""
        before, left = progress(), _TRIES
        while True:
            try:
                if not self._client.is_connected:
                    self._run(self._connect())
                return self._run(act())
            except _Lost as error:
                if progress() > before:
                    before, left = progress(), _TRIES
                left -= 1
                if not left:
                    raise UserError(
                        f"the connection to {self.board} keeps breaking ({error}); go nearer, then "
                        "run the same command again: it goes on where it stopped.", 1,
                    ) from None  # fmt: skip

    async def _connect(self):
        from bleak import BleakClient, BleakScanner
        from bleak.exc import BleakError

        def fits(device, about):
            known = _SERVICE in about.service_uuids
            return known and self._board_is(about.local_name or device.name or "")

        try:
            device = await BleakScanner.find_device_by_filter(
                fits, timeout=_FIND_S, service_uuids=[_SERVICE], **scanner
            )
        except (BleakError, OSError) as error:
            raise UserError(
                f"Bluetooth of this PC cannot be used ({error}); switch it on, or use the cable."
            ) from None
        if device is None:
            called = f"named {self.board} " if self.board else ""
            raise UserError(
                f"no board {called}is in reach over Bluetooth; is `phone` on in its settings, and "
                "no other phone connected?", 1,
            )  # fmt: skip
        self.board = self.board or device.name or device.address
        self._said = asyncio.Queue()
        self._client = BleakClient(device, disconnected_callback=self._gone, **client)
        await self._client.connect()
        await self._client.start_notify(_ANSWER, lambda _, data: self._said.put_nowait(bytes(data)))
        await self._open()

    def _board_is(self, name: str) -> bool:
        return not self.board or self.board.casefold() in name.casefold()

    def _gone(self, _):
        self._said.put_nowait(b"")

    async def _open(self):
        """Prove the code and set the clock."""
        _, body = await self._ask(bytes([_HELLO]))
        wait_s, nonce = struct.unpack_from("<H", body, 1)[0], body[3:]
        if not wait_s:
            proof = hmac.digest(self._code.encode(), nonce, "sha256")[:_PROOF_BYTES]
            status, body = await self._ask(bytes([_PROVE]) + proof)
            wait_s = struct.unpack("<H", body)[0] if status == _SHUT else 0
            if status == _WRONG_CODE:
                raise UserError(
                    f"{self._code} is not the code of {self.board}; its display or REPL shows it."
                )
        if wait_s:
            raise UserError(f"too many wrong codes; {self.board} listens again in {wait_s} s.", 1)
        now = time.time()
        await self._ask(struct.pack("<BIH", _CLOCK, int(now), int(now % 1 * 1000)))

    # ---- requests

    async def _ask(self, request: bytes) -> tuple[int, bytes]:
        """Return (status, rest) of the answer."""
        await self._client.write_gatt_char(_ASK, request, response=True)
        while True:
            data = await self._next(_ANSWER_S)
            if data[0] == request[0] | 0x80:
                return data[1], data[2:]

    async def _next(self, within_s: float) -> bytes:
        try:
            data = await asyncio.wait_for(self._said.get(), within_s)
        except TimeoutError:
            raise _Lost("no answer") from None
        if not data:
            raise _Lost("out of reach")
        return data

    def _refuse(self, status: int, name: str):
        if status == _NO_FILE:
            raise UserError(f"{name} is no longer on the board; run the same command again.", 1)
        if status != _GOOD:
            raise _Lost(f"the board refuses, status {status}")

    async def _read(self, name: str, at: int, n: int, took: Callable[[bytes], None]):
        request = struct.pack("<BIIB", _READ, at, n, _WINDOW) + name.encode()
        status, _ = await self._ask(request)
        self._refuse(status, name)
        crc = sequence = count = since = 0
        while True:
            data = await self._next(_PIECE_S)
            if data[0] == _END:
                break
            if data[0] > 0x7F:
                continue
            if data[0] != sequence:
                await self._ask(bytes([_STOP]))
                raise _Lost("a piece is missing")
            sequence = sequence + 1 & 127
            crc, count = zlib.crc32(data[1:], crc), count + len(data) - 1
            took(data[1:])
            since += 1
            if since == _GRANT:
                since = 0
                await self._client.write_gatt_char(_ASK, bytes([_CREDITS, _GRANT]), response=False)
        if struct.unpack_from("<II", data, 1) != (count, crc):
            raise _Lost("what came is not intact")
