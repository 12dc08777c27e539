# Runs the app on the interpreter and prints what memory it takes: run by bench/heap.py
# Everything is the board's but the radio: modules `bleak` and `aioble` stand in, a BMS answers.
import gc
import os
import sys

import micropython

_PC = "/pc"
_POLLS = 100
# the order of imports, so that each counts what is its own
_PARTS = ("aiobmsble", "aiobmsble.exact", "aiobmsble.compat")
_PARTS += ("aiobmsble.connection", "aiobmsble.basebms", "aiobmsble.bms.jikong_bms")
_PARTS += ("link", "conn", "clock", "half", "shards.frame", "app.errorlog")
_PARTS += ("screen.alarms", "lcd_hd44780", "sampling.sampler", "screen.pages", "shards.codec")
_PARTS += ("shards.folder", "store", "app.app")


def used():
    """Bytes in use on the heap."""
    gc.collect()
    return gc.mem_alloc()


def say(part, size):
    """Print part and size, and what the interpreter's table of names takes by now."""
    print(part, size)
    micropython.qstr_info()


def main(folder, sim, board, fitted):
    """Say what each import takes in turn, and all of it after the polls."""
    sys.path[:] = [sim, folder, ".frozen"]
    import vclock

    vclock.install(False, 0)
    import asyncio

    for name in ("Event", "Lock", "ThreadSafeFlag", "sleep", "wait_for", "TimeoutError"):
        getattr(asyncio, name)  # loads it: asyncio is not what is measured
    import lcd
    import machine
    import vfs
    from flash import Flash

    flash = Flash(folder + "/flash.img", 1 << 20, 4096)
    vfs.VfsLfs2.mkfs(flash)
    vfs.umount("/")
    vfs.mount(vfs.VfsPosix("/"), _PC)
    vfs.mount(vfs.VfsLfs2(flash), "/")
    if fitted == "lcd":
        machine.i2c_devices[0x27] = lcd.LCD(16, 2)
    else:
        with open("/settings.json", "w") as f:
            f.write('{"lcd": {"fitted": false}}')
    # from a short path, as on a board: packages keep theirs in memory
    vfs.mount(vfs.VfsPosix(board), "/b")
    os.chdir("/b")
    sys.path[:] = [_PC + folder, "", ".frozen", "lib"]
    import aioble  # noqa: F401
    import bleak
    import client

    class Scanner:
        @staticmethod
        async def find_device_by_filter(wanted, timeout=10):
            return bleak.BLEDevice("C8:47:80:00:00:01", "jk-pak01", None)

    bleak.BleakClient = client.Client
    bleak.BleakScanner = Scanner
    start = before = used()
    say("start", 0)
    for name in _PARTS:
        __import__(name)
        now = used()
        say("import " + name, now - before)
        before = now
    app = sys.modules["app.app"].App(sys.modules["conn"])
    polls = 0

    def count(link, sample):
        nonlocal polls
        polls += 1
        return False  # the BMS says the same for ever

    sys.modules["link"].BmsLink._stale = count

    async def run():
        task = asyncio.create_task(app.run())
        for _ in range(3600):
            await asyncio.sleep(1)
            bms = app.link and app.link._bms
            if bms and bms.is_connected:
                bms._client.answer(b"poll")
            if polls >= _POLLS:
                break
        say("running", used() - before)
        say("all after 100 polls", used() - start)
        task.cancel()

    asyncio.run(run())
