"""From a board with MicroPython to one that logs: checked, filled, started, watched."""

import argparse
import re
from collections.abc import Callable

from batmon.board import deploy, flash, identity
from batmon.board.remote import Remote
from batmon.console import UserError, note
from batmon.firmware import aioble, boards, payload
from batmon.log.formats import frame
from batmon.version import VERSION, parts

# Bytes of heap that the program takes at its peak (97,000 by `python -m bench heap`, and
# 104,000 is what it may come to).
_HEAP = 104_000
_LOG_VERSION = "/data/version"  # docs/FORMAT.md


def install(
    port: str | None, options: argparse.Namespace, ask_bthome: Callable[[], bool] | None = None
):
    """Install, restart and wait for the first sample; raises UserError.

    With `options.flash`, a flash.Firmware, the board is erased and gets MicroPython before. With
    `options.restore`, a restore.Past, its log goes on behind that one.
    `ask_bthome` asks the user for that setting, where nobody has answered that yet.
    """
    wanted = payload.wishes(options)
    aioble.source(options.index)  # it may have to be fetched: say so before anything is done
    if options.flash:
        flash.write(options.flash, port)
    with flash.reopen(port) if options.flash else Remote(port) as board:
        facts = _check(board, bool(wanted.get("influx.host") or wanted.get("mqtt.host")))
        deploy.finish(board)
        _check_version(board)
        if options.restore:
            from batmon.board import restore  # brings pandas, which takes longer than all the rest

            restore.put(board, options.restore)
        answered = "bthome" in wanted or b'"bthome"' in board.read(payload.SETTINGS)
        if ask_bthome and not answered:
            wanted["bthome"] = ask_bthome()
        found = board.hashes()
        was = deploy.manifest(board, found)
        files = payload.files(board.read, was, wanted, options, facts.mpy)
        deploy.make_room(board, found, was, files, options.replace)
        changed = deploy.copy(board, found, was, files)
        board.set_clock()
        print("installed, clock set" if changed else "up to date")
        deploy.check_log_room(board)
        if options.wait:
            _follow(board, options.wait)
        else:
            for _ in board.restart(0):
                pass


def _check(board: Remote, wifi: bool = False) -> identity.Facts:
    """Return what the board is; raises UserError if it will not do. wifi: it is wanted."""
    facts = identity.facts(board)
    version = ".".join(map(str, facts.version))
    print(
        f"{facts.machine or 'a board'}: {facts.name} {version},"
        f" {facts.flash_free >> 10} of {facts.flash >> 10} kB flash free"
    )
    remedy = f"{flash.DOWNLOAD}, and run this again with --flash FILE, which erases the board"
    if facts.name != "micropython":
        raise UserError(f"the board runs {facts.name}, not MicroPython; {remedy}.", 1)
    if facts.version < flash.OLDEST:
        oldest = ".".join(map(str, flash.OLDEST))
        raise UserError(f"MicroPython {version} is too old, {oldest} is needed; {remedy}.", 1)
    if not facts.bluetooth:
        raise UserError("this chip or its MicroPython has no Bluetooth; take another board.", 1)
    if not facts.flash:
        raise UserError(f"the board has no file system; {remedy}.", 1)
    memory = identity.memory(board)
    heap, radio = memory.heap // 1000, memory.radio // 1000
    print(f"memory: {heap} kB for the program, which needs {_HEAP // 1000}")
    if wifi and boards.load().row(facts.machine)[5] == "no":
        note(
            "WiFi has no room beside Bluetooth on this chip: the board will log and send nothing to"
            " InfluxDB or MQTT; --bthome needs no WiFi."
        )
    if memory.heap < _HEAP or memory.radio < identity.SYSTEM:
        raise UserError(
            f"the program needs {_HEAP // 1000} kB of memory and Bluetooth"
            f" {identity.SYSTEM // 1000} kB more,"
            f" this board gives {heap} and {radio}; take one that"
            " docs/HARDWARE.md names. If its WiFi was on, take the power away first and try again.",
            1,
        )
    return facts


def _check_version(board):
    """Tell what takes whose place; raises UserError for what a newer version left on the board."""
    theirs = identity.version(board)
    newer = theirs if parts(theirs) > parts(VERSION) else ""
    # whatever program is there now: an older one may have been copied, or none be left
    match = re.fullmatch(rb"(\S+) (\d{1,5})\n", board.read(_LOG_VERSION))
    if match and int(match[2]) > frame.VERSION:
        newer = match[1].decode(errors="replace")
    if newer:
        raise UserError(
            f"the board has batmon {newer}, which is newer than this, {VERSION}: install {newer} or"
            " newer; to go back all the same, `batmon pull` the log with that version and erase the"
            " board as docs/HARDWARE.md shows.",
            1,
        )
    if theirs != VERSION:
        print(f"installing batmon {VERSION}" + (f" in place of {theirs}" if theirs else ""))


def _follow(board, seconds: int):
    """Restart, show what the board says, return when it has taken a sample."""
    last = ""
    failing = False
    for line in board.restart(seconds):
        if not line:
            continue
        print(f"  {line}", flush=True)
        if identity.SAMPLE.match(line):
            print("The first sample has come; the board logs.")
            return
        if line.startswith("conn.py: ") or "safe mode" in line:
            raise UserError(f"installed, but the board says: {line}.", 1)
        if failing and "starts again" in line:
            raise UserError(f"installed, but the board's program fails: {last}.", 1)
        failing = failing or line.startswith("Traceback")
        last = line
    raise UserError(
        f"installed, but no sample came within {seconds} s; the board's last words: {last or '-'}."
        " README.md has causes under Troubleshooting.",
        1,
    )
