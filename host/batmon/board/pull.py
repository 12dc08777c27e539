"""The log of a board into a folder: only what is new, and only what arrived intact."""

import contextlib
import os
import re
import zlib
from pathlib import Path

from batmon import files
from batmon.board import kept
from batmon.console import UserError, many, meter, note
from batmon.firmware import trace
from batmon.log import shards

# a .bad one is what the board could not read and set aside; it comes too, for a human
_SHARD = re.compile(r"[A-Za-z0-9_]{1,24}-[0-9]{5,9}\.(raw|bts|bad)")
_ERRORS = ("errors.old", "errors.txt")  # what went wrong
_TEXTS = (*_ERRORS, "version")  # and which batmon wrote the log
# with kept.FILE, what a new board needs to go on with this log: see restore.py
_FOR_RESTORE = re.compile(r"state|state\.bak|[A-Za-z0-9_]{1,24}\.sum2?|bms[1-7]?|found\.json")
_PART = ".part"  # a file that is not whole, or not verified


class Pull:
    """One visit to a board."""

    def __init__(self, log, folder: Path):
        self.log = log
        self.folder = folder
        self.port = ""
        self.clock_off_s = 0
        self.problems: list[str] = []
        self._sizes: dict[str, int] = {}
        self._new: dict[str, int] = {}  # bytes that came, by file
        self._freed: list[str] = []

    def run(self):
        """Bring the folder up to date with the board."""
        there = self.log.files()
        self._sizes = {n: s for n, s in there.items() if _SHARD.fullmatch(n)}
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._bring(there)

    @contextlib.contextmanager
    def _writing(self):
        try:
            yield
        except OSError as error:  # not the board's: those are UserErrors already
            raise UserError(
                f"cannot write in {self.folder}: {error.strerror}; mend that or name another "
                "folder, then run the same command again.",
                1,
            ) from None

    def _bring(self, there: dict[str, int]):
        wanted = [name for name in sorted(self._sizes) if self._local(name) != self._sizes[name]]
        total = sum(max(0, self._sizes[name] - self._have(name)) for name in wanted)
        with meter("pulling", total) as advance:
            for name in wanted:
                self._fetch(name, advance)
        for name in self._sizes:
            if not name.endswith(".raw"):
                self._drop_raw(name)
        for name in _TEXTS:
            if name in there:
                self._fetch_text(name, there[name])
        if any(name in there for name in _ERRORS):
            self._name_as_source()
        if not self.problems:  # else it may be another board's log than the one in the folder
            self._keep_for_restore(there)

    def _local(self, name: str) -> int:
        """Return the size of our verified copy, -1 if there is none."""
        path = self.folder / name
        return path.stat().st_size if path.is_file() else -1

    def _have(self, name: str) -> int:
        part = self.folder / (name + _PART)
        return max(self._local(name), part.stat().st_size if part.is_file() else 0, 0)

    def _fetch(self, name: str, advance):
        """Get what we lack of a file, verify all of it, and only then give it its name."""
        path, part, size = self.folder / name, self.folder / (name + _PART), self._sizes[name]
        mine = path.read_bytes() if path.is_file() else b""
        if len(mine) > size or (mine and self.log.crc(name, len(mine)) != zlib.crc32(mine)):
            self._refuse(name, path)
            return
        begun = part.read_bytes() if part.is_file() else b""
        good = len(mine) < len(begun) <= size and begun.startswith(mine)
        if good and self.log.crc(name, len(begun)) != zlib.crc32(begun):
            good = False
        if not good:
            begun = mine
            part.write_bytes(mine)
        with open(part, "ab") as file:

            def take(chunk: bytes):
                with self._writing():
                    file.write(chunk)
                    file.flush()
                advance(len(chunk))

            self.log.fetch(name, len(begun), size, take)
            os.fsync(file.fileno())
        content = part.read_bytes()
        if len(content) < size or self.log.crc(name, len(content)) != zlib.crc32(content):
            part.unlink()
            self.problems.append(f"{name} did not arrive whole; run the same command again")
            return
        twin = path.with_suffix(".raw" if path.suffix == ".bts" else ".bts")
        if path.suffix != ".bad" and twin.is_file() and not _same(path, content, twin):
            part.unlink()
            self._refuse(name, twin)
            return
        part.replace(path)
        self._new[name] = len(content) - len(mine)

    def _refuse(self, name: str, path: Path):
        self.problems.append(
            f"{path} is another one than the board's {name}; if the board was erased, "
            "pull its new log into a new folder"
        )

    def _keep_for_restore(self, there: dict[str, int]):
        for name in there:
            if _FOR_RESTORE.fullmatch(name):
                self._fetch_text(name, there[name])
        if any(told := self.log.told()):
            with files.whole(self.folder / kept.FILE) as part:
                part.write_text(kept.text(*told), encoding="utf-8")

    def _fetch_text(self, name: str, size: int):
        """Get a small file that the board writes anew now and then."""
        chunks = []
        self.log.fetch(name, 0, size, chunks.append)
        with files.whole(self.folder / name) as part:
            part.write_bytes(b"".join(chunks))

    def _name_as_source(self):
        """Put the names of the sources into the error log."""
        names = self.log.names()
        if not names:
            return
        (self.folder / trace.FILE).write_bytes(names)
        known = trace.load(self.folder / trace.FILE)
        for name in _ERRORS:
            path = self.folder / name
            if known and path.is_file():
                text = path.read_bytes().decode(errors="surrogateescape")
                text = trace.as_source(text, known)
                with files.whole(path) as part:
                    part.write_bytes(text.encode(errors="surrogateescape"))

    def _drop_raw(self, name: str):
        """Remove our raw copy of a shard that is sealed or set aside, if nothing else is in it."""
        path = self.folder / name
        raw = path.with_suffix(".raw")
        if not raw.is_file() or not path.is_file():
            return
        if path.suffix == ".bad":
            superfluous = path.read_bytes().startswith(raw.read_bytes())
            superfluous = superfluous and not len(shards.load(raw).frames)
        else:
            old, new = shards.load(raw), shards.load(path)
            superfluous = new.frames.tobytes().startswith(old.frames.tobytes()) and not new.damage
        if superfluous:
            raw.unlink()

    def free(self):
        """Delete from the board what is sealed or set aside, of which we have an intact copy.

        Before anything is deleted there, our copies are on the disk here, not in its cache.
        """
        kept = []
        for name in sorted(self._sizes):
            path = self.folder / name
            if name.endswith(".raw") or not path.is_file():
                continue
            content = path.read_bytes()
            same = len(content) == self._sizes[name] and self.log.crc(
                name, len(content)
            ) == zlib.crc32(content)
            if same and (name.endswith(".bad") or not shards.load(path).damage):
                kept.append(name)
            else:
                self.problems.append(f"{name} stays on the board: our copy is not intact")
        with self._writing():
            for name in kept:
                files.sync(self.folder / name)
            files.sync(self.folder)
            files.sync(self.folder.absolute().parent)
        for name in kept:
            self.log.remove(name)
            self._freed.append(name)

    def result(self) -> dict:
        """Return what was done, for --json."""
        return {
            "port": self.port,
            "folder": str(self.folder),
            "clock_off_s": self.clock_off_s,
            "on_board": self._sizes,
            "new_bytes": self._new,
            "freed": self._freed,
            "problems": self.problems,
        }

    def say(self):
        """Tell people what was done."""
        for problem in self.problems:
            note(problem)
        shards = many(len(self._sizes), "shard")
        count, size = len(self._new), sum(self._new.values()) / 1024
        if not self._sizes and not self._freed:
            print("the board has no log yet")
        elif self._new:
            print(f"{self.folder}: {size:.0f} kB new in {count} of {shards}")
        else:
            print(f"{self.folder}: up to date, {shards}")
        if abs(self.clock_off_s) > 2:
            print("the board's clock is set")
        if self._freed:
            print(f"deleted from the board, after checking our copies: {', '.join(self._freed)}")


def _same(path: Path, content: bytes, twin: Path) -> bool:
    """Do the raw and the sealed form of a shard begin with the same frame, its anchor?"""
    first = shards.parse(path, content).frames[:1]
    other = shards.load(twin).frames[:1]
    return not len(first) or not len(other) or first == other
