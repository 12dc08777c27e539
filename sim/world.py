# The world around the virtual board: flash, radio, display, and the records for the caller
# Boots the unmodified board code from a real littlefs or FAT volume; see sim/board.py.
import gc
import json
import os
import random
import sys

import air
import battery
import chips
import esp32
import lcd
import machine
import parked
import records
import sysmem
import utime
import vclock
import vfs
from flash import Flash, PowerCut
from micropython import const

_RESET_EXIT = const(75)  # the caller starts the board again
_STATUS_MS = const(9_000)  # virtual; no multiple of the 4 s that a page is shown: all are seen
_STATUS_WALL_MS = const(100)  # real
_HOUR_MS = const(3_600_000)
_DAY_MS = const(24 * _HOUR_MS)

# what a board has built in
_BOARD_MODULES = ("bluetooth", "esp", "esp32", "network", "ntptime", "socket", "time")

_USABLE = const(125)  # of 128 bytes of a chip's heap; the rest is the collector's own
_ROOM = const(4096)  # what the world takes now and then while it runs, beyond what it takes at rest
_HOLE = const(512)  # the world's own holes, up to this size, are the board's as well
_LOOK_MS = const(10_000)  # between two looks at how far the heap has grown
# From a wake to main.py, and what loading takes from there to the radio: a board's 2 to 3 s are
# reckoned, see tests/host/test_look.py; here loading takes no time.
_WAKE_MS = const(3000)
_LONGEST_MS = const(60_000)  # of a look; who is awake for longer stayed awake
_STRIKE_MS = const(400)  # of a look, in which what would have struck in the sleep before it does
_LAST_MS = const(30_000)  # a board that sleeps is woken so long before the end, to store all

_PC = const("/pc")  # where the PC's own files are seen from the board

_NAMES_STEP = const(1280)  # places in the table of names that are made at once
_NAMES_AT_ONCE = const(20)  # the smallest step: so many of the board's places may be taken
# Places that are counted for the board's names: those of this build, of which a chip, whose public
# names are from its ROM, needs not half; see tests/host/test_chip.py and bench/heap.py.
_NAMES_ON_CHIP = const(680)


class Truth:
    """Writes what the BMS told, as a poll log: time_s,voltage,…"""

    def __init__(self, path, start_unix):
        self.polls = 0
        self._start_unix = start_unix
        try:
            os.stat(path)
            self._file = open(path, "a")
        except OSError:
            self._file = open(path, "w")
            self._file.write(
                "time_s,voltage,current,temperature,soc,cell_min_mv,cell_max_mv,idx_min,idx_max\n"
            )

    def sample(self, t_ms, cell):
        cells = cell.cells_mv
        low = min(cells)
        high = max(cells)
        unix_s = self._start_unix + t_ms // 1000
        self._file.write(
            "%d.%03d,%.3f,%.3f,%.1f,%.1f,%d,%d,%d,%d\n"
            % (
                unix_s,
                t_ms % 1000,
                cell.voltage_mv / 1000,
                cell.current_ma / 1000,
                sum(cell.temp_dc) / len(cell.temp_dc) / 10,
                cell.soc_milli / 1000,
                low,
                high,
                cells.index(low),
                cells.index(high),
            )
        )
        self.polls += 1

    def close(self):
        self._file.close()


class World:
    """`config` is the caller's, `past` what outlived the last reset."""

    def __init__(self, config, past):
        self._config = config
        self._past = past
        self.end_ms = int(config.get("days", 0) * _DAY_MS)
        self.program = {"__name__": "__main__"}  # main.py's globals
        self.reason = "done"
        self.start_raw = False  # the next start goes into the raw REPL
        fat = config["volume"] == "fat"
        self.flash = Flash(config["image"], config["size"], 512 if fat else 4096)
        self._volume = vfs.VfsFat if fat else vfs.VfsLfs2
        self._batteries = []
        self._truths = []
        for i, kind in enumerate(config["battery"].split(",")):
            make = parked if kind.startswith("parked") else battery
            self._batteries.append(make.make(kind, config["seed"] + i))
            path = "%s/truth%s.csv" % (config["out"], i or "")
            self._truths.append(Truth(path, config["start_unix"]))
        self._display = None
        self._faults = None
        self._own_heap = 0  # what the simulator takes
        self._wall_ms = 0
        self._pause_ms = config.get("status_wall_ms", _STATUS_WALL_MS)

    def boot(self):
        """Mount the volume at / as on a board; the PC's files move to /pc."""
        machine.power_on(self._config["rtc"])
        machine.woken_by = self._past.get("woken_by", 0)
        if machine.wake_reason():
            vclock.sleep_ms(_WAKE_MS)
        sysmem.power_on(self._config["chip"], machine.reset_cause() == machine.SOFT_RESET
                        and self._past.get("wifi"))  # fmt: skip
        fresh = not self._past["t_ms"] and (self.flash.blank or not self._config.get("serial"))
        if fresh:
            self._volume.mkfs(self.flash)
        vfs.umount("/")
        vfs.mount(vfs.VfsPosix("/"), _PC)
        vfs.mount(self._volume(self.flash), "/")
        os.chdir("/")
        sys.path[:] = [_PC + p for p in sys.path[:-1]] + ["", ".frozen", "/lib"]
        if fresh and self._config["board"]:
            self._install()
            with open("/settings.json", "w") as f:
                json.dump(self._config["settings"], f)
            if self._config.get("hog"):
                _fill("/hog")
        try:
            os.stat("/data/packing")
            packing = True
        except OSError:
            packing = False
        self._attach(packing)

    def _install(self):
        try:
            _copy(_PC + self._config["board"], "")
            if self._config.get("serial"):
                _copy(_PC + self._config["sim"] + "/aioble", "/lib/aioble")
        except OSError:
            print("the board's files do not fit on this volume; simulate a larger one")
            sys.exit(1)
        driver = self._config.get("driver")
        if driver:  # the user's first line
            with open("/conn.py") as f:
                text = f.read()
            with open("/conn.py", "w") as f:
                f.write(text.replace("jikong_bms", driver))

    def _attach(self, packing):
        air.seed(self._config["seed"])
        random.seed(self._config["seed"])  # a board's hardware does it
        peripherals = []
        bms, _, path = self._config["bms"].partition(":")
        if "," in bms:
            peripherals = self._several(bms.split(","))
        elif bms == "replay":
            import replay

            with open(_PC + path) as f:
                peripheral = replay.make(json.load(f), *self._config.get("replay", ()))
        elif bms == "odd":
            import odd

            peripheral = odd.make(path)
            peripheral.on_sample = self._truths[0].sample
        elif bms:
            peripheral = __import__(bms).make(self._batteries[0])
            peripheral.on_sample = self._truths[0].sample
        if bms:
            peripherals = peripherals or [peripheral]
            for i, peripheral in enumerate(peripherals):
                self._put_on_air(peripheral, self._config.get("away", {}).get(str(i), ()))
        if self._config.get("network"):
            import network

            network.world.update(self._config["network"])
        if self._config.get("radio"):
            from outside import Outside

            Outside(_PC + self._config["out"])
        for from_s, to_s in self._config.get("phones", ()):
            import phone

            phone.visit(1000 * from_s, 1000 * to_s)
        if "faults" in self._config:
            self._play(peripherals)
        if "ds3231" in self._config:
            import rtcchip

            past = self._past.setdefault("ds3231", {"unix_s": self._config["ds3231"]})
            machine.i2c_devices[0x68] = rtcchip.RTCChip(past)
        for pin, at_s, for_s in self._config.get("presses", ()):  # of buttons to ground
            for t_s, level in ((at_s, 0), (at_s + for_s, None)):
                if 1000 * t_s >= vclock.now_ms():
                    vclock.call_at(int(1000 * t_s), machine.drive, pin, level)
        if self._config["lcd"] != "none":
            cols, rows = (int(n) for n in self._config["lcd"].split("x"))
            self._display = machine.i2c_devices[0x27] = lcd.LCD(
                cols, rows, self._config.get("lcd_wiring", "lcm1602")
            )
            if self._past.get("glass"):
                self._display.take_back(self._past["glass"])
            if self._config.get("lcd_faults"):
                import lcdfaults

                self._faults = lcdfaults.Faults(self._display, *self._config["lcd_faults"])
            if packing and self._config.get("watch_packing"):
                self._display.on_change = self._tell_glass
        cut = self._config.get("cut_packing")
        if cut and (packing or "cuts" in self._past):
            left = self._past.setdefault("cuts", cut["in"])
            self.flash.cut_in = left[0] if left else None
            self.flash.stays_cut = True
        for name in _BOARD_MODULES:
            try:
                __import__(name)
            except ImportError:
                pass  # not simulated
        machine.pretend(self._config["machine"], self._config["version"])
        if self._config.get("serial"):
            return
        for at_s, cause in self._config.get("resets", ()):
            at_ms = int(at_s * 1000)
            if at_ms > vclock.now_ms():
                vclock.call_at(at_ms, machine.strike, cause)
            elif at_ms > self._past.get("asleep_at_ms", at_ms) and cause != machine.PWRON_RESET:
                vclock.call_later(at_ms % _STRIKE_MS, machine.strike, cause)  # now it can hang
        for at_s in self._config.get("clock_set", ()):  # as a phone or the PC does
            if at_s * 1000 > vclock.now_ms():
                unix_ms = (self._config["start_unix"] + at_s) * 1000
                vclock.call_at(at_s * 1000, vclock.set_rtc, unix_ms)
        vclock.call_at(vclock.now_ms(), self._status)
        vclock.call_at(self.end_ms, self._end)
        vclock.call_at((vclock.now_ms() // _DAY_MS + 1) * _DAY_MS - 1, self._end_day)
        if vclock.now_ms() < _HOUR_MS:
            vclock.call_at(_HOUR_MS, self._measure_heap, "first_hour")
        self._leave_heap()

    def _several(self, makes):
        """Make a peripheral for each battery, with the names of `batteries` in the settings."""
        out = []
        for i, make in enumerate(makes):
            name = self._config["names"][i]
            peripheral = __import__(make).make(self._batteries[i], name)
            peripheral.addr = peripheral.addr[:-1] + bytes((i,))
            peripheral.on_sample = self._truths[i].sample
            out.append(peripheral)
        return out

    def _put_on_air(self, peripheral, away):
        """Let a peripheral be there, but for the times in `away`: pairs of seconds."""
        now_ms = vclock.now_ms()
        if not [1 for from_s, to_s in away if 1000 * from_s <= now_ms < 1000 * to_s]:
            air.add(peripheral)
        for from_s, to_s in away:
            for at_s, change in ((from_s, air.remove), (to_s, air.add)):
                if 1000 * at_s > now_ms:
                    vclock.call_at(1000 * at_s, change, peripheral)

    def _leave_heap(self):
        """Take so much of the interpreter's heap that the board has left what its chip has.

        What is taken lies between two free pieces, as the system's own memory does on a chip: the
        heap it begins with, and the one by which that grows.
        """
        names = _fill_names()
        gc.collect()
        percent = 100 if sys.maxsize >> 31 == 0 else chips.PERCENT_64
        whole = self._config["heap"]  # of a board that has it elsewhere than the radios
        first = 0 if whole else sysmem.chip["heap"] * _USABLE // 128 * percent // 100
        whole = whole or sysmem.chip["limit"] * _USABLE // 128 * percent // 100
        piece = bytearray(first)
        self._ballast = []
        surplus = gc.mem_free() - (whole - names - first) - _ROOM
        if surplus < 0:
            print("the simulator takes %d bytes more than batmon.virtual.process gives" % -surplus)
            sys.exit(1)
        while surplus >= _HOLE:
            size = min(surplus, _largest_free())
            self._ballast.append(bytearray(size))
            surplus -= size
        del piece
        gc.collect()
        self._own_heap = gc.mem_alloc() - names
        sysmem.measure(self._own_heap, percent, first > 0)
        sysmem.pretend()
        if not self._config.get("serial"):
            self._look()

    def _look(self):
        sysmem.look()
        vclock.call_later(_LOOK_MS, self._look)

    def _play(self, peripherals):
        import faults

        def link():
            app = self.program.get("app")
            return app and app.batteries[0].link

        poll_ms = int(self._config["settings"]["poll_s"] * 1000)
        kinds = self._config["faults"]
        kinds = faults.KINDS if kinds is True else kinds or ()
        past = self._past.setdefault("faults", {})
        faults.Faults(peripherals, link, poll_ms, self.end_ms, kinds, past)

    def run(self):
        """Run boot.py and main.py; return when the days are over or Ctrl-C was pressed."""
        try:
            for name in ("/boot.py", "/main.py"):
                with open(name) as f:
                    code = compile(f.read(), name, "exec")
                exec(code, self.program)
        except KeyboardInterrupt:
            self.reason = "interrupted"
        except machine.Reset as reset:
            self._power_down(reset)
        except PowerCut:
            self._power_down(machine.Reset(self._config["cut_packing"]["cause"]))
        if vclock.now_ms() < self.end_ms:
            self.reason = "interrupted"
        self._record_end()
        if "data" in os.listdir("/"):
            _copy("/data", _PC + self._config["out"] + "/data")
        self.close()

    def serve(self):
        """Run as a board on a serial line; never returns."""
        from repl import Repl

        sys.path[:] = ["", ".frozen", "/lib"]  # nothing else helps the board's own files
        repl = Repl(self)
        self._leave_heap()
        vfs.umount(_PC)  # a board does not see it
        try:
            repl.run(self._past.get("raw"))
        except machine.Reset as reset:
            vfs.mount(vfs.VfsPosix("/"), _PC)
            self._power_down(reset)

    def close(self):
        for truth in self._truths:
            truth.close()
        vfs.umount("/")
        self.flash.close()

    def _power_down(self, reset):
        """Keep what outlives a reset, and end: the caller starts the board again."""
        cause = reset.args[0]
        now = {"t_ms": vclock.now_ms() + 1, "unix_ms": vclock.rtc_ms(), "raw": self.start_raw}
        if cause == machine.PWRON_RESET:
            now["unix_ms"] = None
        power = self._power()
        if cause == machine.DEEPSLEEP_RESET:
            cause = self._sleep(reset.sleep_ms, now, power)
            if cause:
                now["unix_ms"] = None
                reset = machine.Reset(cause)
        machine.keep(_PC + self._config["rtc"], reset)
        now["power"] = power
        now["wifi"] = sysmem.has("wifi")
        if "cuts" in self._past:
            left = self._past["cuts"]
            now["cuts"] = ([self.flash.cut_in] if self.flash.cut_in else []) + left[1:]
            self.flash.cut_in = None  # it is to be closed
        now["faults"] = self._past.get("faults", {})
        if "ds3231" in self._past:  # it has a battery of its own
            now["ds3231"] = self._past["ds3231"]
        now["panics"] = self._past.get("panics", []) + list(reset.args[1:])
        with open(_PC + self._config["rtc"] + ".world", "w") as f:
            json.dump(now, f)
        self.close()
        sys.exit(_RESET_EXIT)

    def _power(self):
        """Return for how long the board was in which state, up to now: ms."""
        power = {"asleep_ms": 0, "look_ms": 0, "lit_ms": 0, "looks": 0}
        power.update(self._past.get("power", {}))
        return power

    def _sleep(self, sleep_ms, now, power):
        """Sleep deeply: what passes until the slow clock's timer, or a button, wakes the board.

        That clock is off by "slow_clock" parts per million, and by as much more or less, in the
        course of a day, as its second number says. Return PWRON_RESET if that comes first.
        """
        awake_ms = now["t_ms"] - vclock.boot
        if machine.woken_by == machine.TIMER_WAKE and awake_ms < _LONGEST_MS:
            power["looks"] += 1
            power["look_ms"] += awake_ms
        constant, daily = self._config.get("slow_clock", (0, 0))
        warmth = 2 - abs(now["t_ms"] % _DAY_MS * 4 // (_DAY_MS // 100) - 200) / 100 - 1  # -1..1
        ppm = constant + int(daily * warmth)
        true_ms = sleep_ms + sleep_ms // 1000 * ppm // 1000
        now["woken_by"] = machine.TIMER_WAKE
        if esp32.button:
            for pin, pressed_s, _ in self._config.get("presses", ()):
                after_ms = int(pressed_s * 1000) - now["t_ms"]
                if pin == esp32.button[0] and 0 < after_ms < true_ms:
                    true_ms = after_ms
                    now["woken_by"] = machine.EXT0_WAKE
        if self.end_ms:
            true_ms = min(true_ms, max(_LAST_MS // 4, self.end_ms - _LAST_MS - now["t_ms"]))
        cause = 0
        for at_s, struck in self._config.get("resets", ()):
            after_ms = int(at_s * 1000) - now["t_ms"]
            if struck == machine.PWRON_RESET and 0 < after_ms < true_ms:
                true_ms = after_ms
                cause = struck
        slept_ms = true_ms - true_ms // 1000 * ppm // 1000  # by that clock
        power["asleep_ms"] += true_ms
        now["counted_ms"] = vclock.now - vclock.unset + slept_ms
        now["t_ms"] += true_ms
        if now["unix_ms"] is not None:
            now["unix_ms"] += slept_ms
        now["asleep_at_ms"] = now["t_ms"] - true_ms
        if self._display:
            now["glass"] = self._display.kept()
        return cause

    def _end(self):
        self._measure_heap("end")
        raise KeyboardInterrupt

    def _end_day(self):
        day = vclock.now_ms() // _DAY_MS + 1
        self._measure_heap("day%d" % day)
        vclock.call_at((day + 1) * _DAY_MS - 1, self._end_day)

    def _measure_heap(self, name):
        held = sysmem.used()
        record = {"at": name, "heap": gc.mem_alloc() - self._own_heap, "chip_heap": held}
        areas = sysmem.areas()
        record["system_free"] = sum(area[1] for area in areas)
        record["system_largest"] = max(area[2] for area in areas)
        record["system_least"] = sysmem.least
        record["heap_size"] = sysmem.heap
        record["largest_free"] = _largest_free()
        records.send("heap", record)

    # ---- records

    def _status(self):
        next_ms = 500 if self._config["realtime"] else _STATUS_MS
        vclock.call_later(next_ms, self._status)
        if self._display and self._display.is_lit():
            power = self._past["power"] = self._power()
            power["lit_ms"] += next_ms
        if vclock.now_ms() % 60_000 < _STATUS_MS:
            records.send("clock", {"t_s": vclock.now_ms() // 1000})
        if utime.ticks_diff(utime.ticks_ms(), self._wall_ms) < self._pause_ms:
            return
        try:
            os.stat(_PC + self._config["out"] + "/stop")
            raise KeyboardInterrupt  # as Ctrl-C on the REPL
        except OSError:
            pass  # nobody wants it to stop
        self._wall_ms = utime.ticks_ms()
        self._record("status", {"progress": min(1, vclock.now_ms() / self.end_ms)})

    def _tell_glass(self):
        records.send("glass", {"lcd": self._display.snapshot(), "t_ms": vclock.now_ms()})

    def _record_end(self):
        for one in self._batteries:
            one.advance(vclock.now_ms())
        self._record(
            "end",
            {
                "reason": self.reason,
                "truth": self._truth(0),
                "truths": [self._truth(i) for i in range(len(self._truths))],
                "faults": self._past.get("faults", {}),
                "panics": self._past.get("panics", []),
                "power": self._power(),
                "stats": (self._link_stats() or [{}])[0],
                "links": self._link_stats(),
                "outputs": machine.changes,
                "erases": self.flash.erases,
                "max_erase": self.flash.most_erased(),
                "bytes_programmed": self.flash.bytes_programmed,
                "lcd_violations": self._violations(),
                "lcd_faults": self._faults.counts if self._faults else {},
                "lcd_wrong": self._faults.wrong if self._faults else [],
            },
        )

    def _truth(self, i):
        return {
            "charge_in_ah": self._batteries[i].charge_in_mas / 3_600_000,
            "charge_out_ah": self._batteries[i].charge_out_mas / 3_600_000,
            "polls": self._truths[i].polls,
        }

    def _link_stats(self):
        app = self.program.get("app")
        links = [one.link for one in app.batteries if one.link] if app else []
        names = "connects", "samples", "implausible", "failures", "connected_s", "longest_gap_s"
        return [{name: getattr(link, name) for name in names} for link in links]

    def _violations(self):
        if self._faults:
            return self._faults.violations()
        return self._display.violations if self._display else []

    def _record(self, kind, record):
        record["t_s"] = vclock.now_ms() // 1000
        unix_ms = vclock.rtc_ms()
        record["unix"] = unix_ms // 1000 if unix_ms else 0
        record["heap"] = gc.mem_alloc()
        app = self.program.get("app")
        batteries = app.batteries if app else []
        stores = [one.store for one in batteries if one.store]
        record["link"] = ", ".join([one.status.link for one in batteries]) or "starting"
        record["connected"] = bool([one for one in batteries if one.status.connected])
        for name in ("frames", "flushes", "shards", "bytes", "dropped"):
            record[name] = sum([getattr(store, name) for store in stores])
        if len(stores) > 1:  # each counts the files of all
            for name in ("shards", "bytes"):
                record[name] = getattr(stores[-1], name)
        if self._display:
            record["lcd"] = self._display.snapshot()
        records.send(kind, record)


def _largest_free():
    """Return the largest number of bytes that the heap would give at once."""
    low, high = 0, 1 << 20
    while high - low > 16:
        middle = (low + high) // 2
        try:
            bytearray(middle)
            low = middle
        except MemoryError:
            high = middle
    return low


def _fill(path):
    """Take all the room there is, as a user's own files may."""
    with open(path, "wb") as f:
        try:
            while True:
                f.write(bytes(512))
                f.flush()
        except OSError:
            pass  # full


def _fill_names():
    """Fill the interpreter's table of names until it is as good as new for the board's.

    It grows by steps of 20, 40, 80, 160, 320, 640, 1280 places. The simulator's names would leave
    the board a part of some step for nothing, or make it pay for a larger one. So they fill all
    steps up to the largest, which has room for the board's; return how many bytes of it a chip
    would spend.
    """
    gc.collect()
    place = 10 if sys.maxsize >> 32 else 6  # bytes: a pointer, a hash, a length
    n = step = 0
    while step < _NAMES_STEP * place:
        before = gc.mem_alloc()  # looks through the whole heap
        for _ in range(_NAMES_AT_ONCE):
            getattr(None, "~%x" % n, None)  # makes it a name
            n += 1
        step = gc.mem_alloc() - before
    return _NAMES_ON_CHIP * place


def _copy(source, target):
    """Copy a folder with what is in it."""
    try:
        os.mkdir(target or "/")
    except OSError:
        pass  # it is there
    for entry in os.ilistdir(source):
        name = entry[0]
        if entry[1] == 0x4000:
            _copy(source + "/" + name, target + "/" + name)
            continue
        with open(source + "/" + name, "rb") as f, open(target + "/" + name, "wb") as out:
            chunk = bytearray(512)  # small: the heap may have no large holes left
            while True:
                try:
                    n = f.readinto(chunk)
                except OSError as exc:  # from a flash that is damaged
                    print("%s/%s cannot be read: error %d" % (source, name, exc.errno))
                    break
                if not n:
                    break
                out.write(memoryview(chunk)[:n])
