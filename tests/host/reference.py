"""Answers cases from a file of JSON lines with aiobmsble on CPython: reference.py FILE FOLDER...

The folders go in front of sys.path. Time is virtual: waiting takes none.
"""

import ast
import asyncio
import importlib
import importlib.util
import logging
import selectors
import sys
import time
import types
from pathlib import Path

sys.path[:0] = [*sys.argv[2:], str(Path(__file__).parents[1] / "device")]

import conversation  # noqa: E402
from bleak.uuids import uuidstr_to_str  # noqa: E402

from aiobmsble import basebms  # noqa: E402
from batmon.drivers import pieces, taken  # noqa: E402
from batmon.drivers.module import Module, Tables  # noqa: E402


class _Service(conversation.Service):
    """A service with what upstream's drivers write of it into their log; the board has no such."""

    @property
    def handle(self) -> int:
        """The handle of its declaration, which lies before those of its characteristics."""
        return min((char.handle for char in self.characteristics), default=2) - 1

    @property
    def description(self) -> str:
        """What its UUID stands for."""
        return uuidstr_to_str(self.uuid)


class _Jump(selectors.SelectSelector):
    """Nothing comes from outside, so waiting only moves the clock."""

    now_s = 0.0

    def select(self, timeout=None):
        self.now_s += timeout or 0
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self):
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now_s


async def _connected(client_class, device, name, **options):
    client = client_class(device)
    await client.connect()
    return client


async def _nothing(*args, **options):
    pass


def _assemble():
    """Put pieces together for upstream's drivers too, by the board's own file."""
    sys.modules["micropython"] = types.SimpleNamespace(const=lambda number: number)
    time.ticks_ms = lambda: round(asyncio.get_running_loop().time() * 1000)
    time.ticks_diff = lambda later, earlier: later - earlier
    path = Path(__file__).parents[2] / "aiobmsble/pieces.py"
    spec = importlib.util.spec_from_file_location("pieces", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, how in pieces.FRAMES.items():
        try:
            bms = importlib.import_module(f"aiobmsble.bms.{name}").BMS
        except ModuleNotFoundError:
            continue  # an older release
        bms._notification_handler = module.assembled(bms._notification_handler, *how)


def _empty():
    """Let upstream's drivers too empty their buffers, by the pass that does it for the board."""
    for name in sorted(taken.DRIVERS):
        try:
            driver = importlib.import_module(f"aiobmsble.bms.{name}")
        except ModuleNotFoundError:
            continue  # an older release
        path = Path(driver.__file__)
        module = Module(driver.__name__, path, ast.parse(path.read_text()), driver, Tables())
        taken.Emptied.run(module)
        exec(compile(module.tree, path, "exec"), driver.__dict__)


def main():
    logging.disable()
    _assemble()
    _empty()
    conversation.Service = _Service
    basebms.BleakClient = conversation.Client
    basebms.establish_connection = _connected
    basebms.close_stale_connections = _nothing
    with open(sys.argv[1]) as file:
        for line in file:
            with asyncio.Runner(loop_factory=_Loop) as runner:
                print("\x1e" + runner.run(conversation.answer(line)), flush=True)


if __name__ == "__main__":
    main()
