# The app on the virtual board, as bench/heap.py wants it watched: argument: CONFIG.json
# Prints lines "heap NAME NUMBER…"; after those that ask for it, the interpreter's table of names.
import gc
import hashlib
import json
import sys

import micropython

_STARTED_MS = 30_000

with open(sys.argv[1]) as f:
    config = json.load(f)
sys.path[:] = [config["sim"], ".frozen"]
if config["aioble"]:
    sys.path.insert(0, config["aioble"])

from _asyncio import Task as c_task  # before the virtual clock's take their place
from _asyncio import TaskQueue as c_queue

import vclock

vclock.install(False, 0)  # asyncio is the virtual clock's from its import on

import asyncio

import air
import phone
import tasks

for name in ("bluetooth", "esp32", "network", "socket", "time"):
    __import__(name)  # a board has them built in
from world import World

for name in ("Event", "Lock", "ThreadSafeFlag", "gather", "sleep", "wait_for", "wait_for_ms"):
    getattr(asyncio, name)  # loads it: asyncio is measured apart

try:
    with open(config["rtc"] + ".world") as f:
        past = json.load(f)
except OSError:
    past = {"t_ms": 0, "unix_ms": config["start_unix"] * 1000}
vclock.install(False, past["t_ms"])
vclock.set_rtc(past["unix_ms"])
world = World(config, past)


def used():
    gc.collect()
    return gc.mem_alloc()


def say(name, *numbers):
    print("heap", name, *numbers)


def say_with_names(name, *numbers):
    say(name, *numbers)
    micropython.qstr_info()


# ---- the heap's shape


def shrink(free, walled):
    """Take the heap away, except `free` bytes, in two pieces if `walled`, as on a chip.

    Returns what does it.
    """
    gc.collect()
    filling = wall = None
    while gc.mem_free() > free:
        filling = (filling,)  # takes the lowest free block, of 16 bytes
    if walled:
        first = bytearray(free // 2)
        wall = bytearray(1)
        del first
    return filling, wall


def largest():
    """Return the largest piece that can be had, to 64 bytes."""
    gc.collect()
    low, high = 0, gc.mem_free()
    while high - low > 64:
        middle = (low + high) // 2
        try:
            bytearray(middle)
            low = middle
        except MemoryError:
            high = middle
        gc.collect()
    return low


def perforate(size):
    """Leave no hole of the heap larger than `size` bytes: a wall behind each so many."""
    gc.collect()
    filling = walls = None
    blocks = 0
    try:
        while True:  # each takes the lowest free block, of 16 bytes
            blocks = (blocks + 1) % (size // 16 + 1)
            if blocks:
                filling = (filling, None)
            else:
                walls = (walls, None)
    except MemoryError:
        return walls


# ---- imports, one within the other


def watch_imports():
    """Say what is in use before and after each import that loads a module."""
    import builtins

    plain = builtins.__import__
    loading = []

    def watched(name, globals=None, locals=None, names=None, level=0):
        if level:  # relative to whom, the interpreter would look up here: make it absolute
            package = loading[-1].split(".")[0] if loading else "aioble"  # in whose functions
            name = package + "." + name if name else package
        if name in sys.modules:
            return plain(name, None, None, names)
        say_with_names("enter " + name, used())
        loading.append(name)
        try:
            return plain(name, None, None, names)
        finally:
            loading.pop()
            say_with_names("leave " + name, used())

    builtins.__import__ = watched


# ---- what happens


def app():
    return world.program["app"]


def named(name):
    """Return how the build calls what the sources call so."""
    return config["short_names"].get(name, name)


def at(s, fn, *args):
    if s * 1000 >= vclock.now_ms():  # not again after a reset
        vclock.call_at(int(s * 1000), fn, *args)


def look(name):
    say_with_names(name, used() - stand_ins())


def stand_ins():
    """Return how much more the virtual clock's tasks and queues take than those of asyncio."""
    return tasks.count() * task_bytes + queues * queue_bytes


def count_queue():
    global queues
    queues += 1
    return tasks.TaskQueue()


def size(make):
    """Return what one of the objects that `make` makes takes."""
    made = [None] * 32
    before = used()
    for i in range(32):
        made[i] = make()
    return (used() - before) // 32


def look_often(name, times, s):
    say(name, used() - stand_ins())
    if times:
        at(s + 0.137, look_often, name, times - 1, s + 0.137)


def fill_shard(frames):
    """Store frames that differ, as many as make a block of the codec."""
    from shards import frame

    store = app().batteries[0].store
    data = bytearray(getattr(frame, named("SIZE")))
    now_s = vclock.now_ms() // 1000
    pack = getattr(frame, named("pack_data"))
    for i in range(30):
        n = frames - i
        pack(data, 0, now_s, 0x4A00 + n % 40, 0x3C00 + n * 7 % 300, 130, 100 + n % 3,
             3300 - n % 9, 3305 + n % 5, 16 * (n % 4) + 2)  # fmt: skip
        store.append(data)
    if frames > 30:
        vclock.call_later(200, fill_shard, frames - 30)


def seal():
    store = app().batteries[0].store
    setattr(store, named("limit"), 18_000)  # more than a block of the codec


def fail():
    try:
        raise ValueError("what nobody expected")
    except ValueError as exc:
        getattr(app().errors, named("note"))("bench", exc)


def tell_largest():
    say("largest", largest())


class Caller(phone.Phone):
    """A phone that knows the code and reads the log for ever."""

    def call(self):
        self.connect()
        vclock.call_later(1000, self.write, b"\x01")
        vclock.call_later(2000, self.write, b"\x03\x02")

    def heard(self, data):
        if data[0] == 0x81:
            self.write(b"\x02" + prove(data[5:]))
        elif data[0] in (0x82, 0xC2):
            self.write(b"\x05\0\0\0\0\xff\xff\xff\xff\x06jk_pak01-00001.raw")
        elif data[0] < 0x80 and data[0] % 3 == 2:
            self.write(b"\x06\x03")
        elif data[0] == 0xC0:
            self.write(b"\x03\x02")


def prove(nonce):
    key = b"123456" + bytes(58)
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in key) + nonce).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in key) + inner).digest()[:16]


async def nothing():
    pass


coro = nothing()
task_bytes = size(lambda: tasks.Task(coro)) - size(lambda: c_task(coro))
queue_bytes = size(tasks.TaskQueue) - size(c_queue)
queues = 0  # made for locks and events
asyncio.core.TaskQueue = count_queue
tasks.count()  # from now on
world.boot()
world._ballast = None  # the heap is shaped here
if config["watch"]:
    watch_imports()
if config["hole"]:
    vclock.call_later(_STARTED_MS, lambda: kept.append(perforate(config["hole"])))
peer = air.peripherals[0]
if config["measure"]:
    at(900, look_often, "polling", 60, 900)
    at(920, look, "all")
if config["phone"]:
    caller = Caller()
    at(800, caller.call)
if config["events"]:
    at(1000, air.remove, peer)
    at(1040, air.add, peer)
    at(1200, fail)
    at(1300, seal)
    at(1310, fill_shard, 1500)
if config["probe"]:
    for hour in range(1, int(config["days"] * 24)):
        at(3600 * hour + 1.5, tell_largest)
kept = []
say("tasks", task_bytes, queue_bytes)
look("world")
if config["free"]:
    kept.append(shrink(config["free"], config["walled"]))
    gc.collect()
    say("free", gc.mem_free())
world.run()
say("end", app().batteries[0].link.samples, app().batteries[0].store.frames)
if config["phone"]:
    say("notifications", caller.notifications)
for name in sys.modules:
    say("loaded " + name, 0)
