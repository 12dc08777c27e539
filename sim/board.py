# The virtual board's first breath: sets the clock going and lets sim/world.py do the rest
# Usage: micropython board.py CONFIG.json, made by `batmon sim`, which reads what is printed,
# or by `batmon board`, where stdin and stdout are a serial line.
import json
import sys

with open(sys.argv[1]) as f:
    config = json.load(f)
sys.path[:] = [config["sim"], ".frozen"]
if config.get("aioble"):
    sys.path.insert(0, config["aioble"])

import vclock

try:
    with open(config["rtc"] + ".world") as f:
        past = json.load(f)
except (OSError, ValueError):  # none, or half of one: the board was killed as it wrote it
    past = {"t_ms": 0, "unix_ms": config["start_unix"] * 1000 or None}
vclock.install(config["realtime"], past["t_ms"])
vclock.set_rtc(past["unix_ms"])
vclock.unset -= past.get("counted_ms", 0)  # which goes on in deep sleep

from world import World

world = World(config, past)
world.boot()
if config.get("serial"):
    world.serve()
world.run()
