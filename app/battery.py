# One battery: its link, sampler and log, and what the display and the sinks see of it
# App has a list of them; docs/ARCHITECTURE.md tells what of it is for others.
import asyncio
import sys

from micropython import const
from shards import frame

_DATA = const("/data")
_REPORT_S = const(60)  # between lines on the REPL
_STUCK_S = const(300)  # without a turn of the link's loop, which has no longer wait
_TELL_MOST = const(20)  # times that a link was found and lost are told at once, then one each
_TELL_S = const(1800)
_NO_LIMIT_C = const(-40)


class Status:
    """What the screen shows besides the sample; see pages.Screen.render."""

    link = "starting"
    connected = False
    beats = 0
    age_s = None
    message = ""
    alarm = ""
    seen = ""  # the alarm that somebody has acknowledged
    past = ""
    counted = None  # lines of lifetime counters, bytes, where the display shows them
    frames = 0
    days_stored = None
    days_left = None
    flushed_s = None


class Battery:
    """What `link` gives goes to `sampler`, and its frames to `store` and the sinks of the `app`.

    `name` is what it is called, of several another for each, "" if that is not known yet, `index`
    its place in the list of batteries; `called` is what the user calls it, `known` the address that
    is noted of it. `sample`, aiobmsble's dict, and
    `sample_s`, its uptime, are the last ones; `status` is for the screen. `link`, `sampler` and
    `store` are None before they can be made.
    """

    def __init__(self, app, index=0):
        self.name = ""
        self.index = index
        self.sample = None
        self.sample_s = 0
        self.status = Status()
        self.link = None
        self.sampler = None
        self.store = None
        self.watch = None
        self._app = app
        self._turns = None  # of the link, and when they grew last
        self._turned_s = 0
        self._report_s = 0
        self._telling = True  # the log of link found and lost
        self._untold_s = -_TELL_MOST * _TELL_S  # when it has told of as many as it may
        self.called = ""
        self.known = None

    def open_store(self, name):
        """Open the log of that name, or begin it; raises OSError if the flash denies it."""
        from app import opening

        del sys.modules["app.opening"], sys.modules["app"].opening
        opening.open_log(self, self._app, name)

    async def log(self):
        """Poll, decide, store and send for ever."""
        while self.link is None:
            await asyncio.sleep(_REPORT_S)
            print(self._app.sentences[0])
        async for sample in self.link:
            now_ms = self._app.clock.uptime_ms()
            self.sample = sample
            self.sample_s = now_ms // 1000
            self._count_cells(sample)
            self._store(self.sampler.poll(now_ms, sample))
            if self.sampler.widened != self.link.widened:
                self.link.widened = self.sampler.widened
                self.store.event(frame.WIDENED, 1 << self.sampler.widened)
            if self.sampler.provisional():
                self.store.hold(self.sampler.held)
            self.status.beats += 1
            self.status.alarm = self._alarm(sample)
            if self.watch:
                self.watch.sample(self, sample)
            if self.status.alarm != self.status.seen:
                self.status.seen = ""
            for sink in self._app.sinks:
                sink.sample(self, now_ms, sample)
            first = self.store.frames and not self._report_s  # whoever installs waits for it
            if first or self.sample_s - self._report_s >= _REPORT_S:
                self._report_s = self.sample_s
                self._report(sample)

    def _count_cells(self, sample):
        """Note over how many cells the index in frames counts; at once where it needs that."""
        cells = 0 if sample.get("extremes") else len(sample.get("cell_voltages") or ())
        cells = min(255, cells or self.store.cells)
        if cells != self.store.cells:
            self.store.cells = cells
            if cells > 16:
                self.store.anchor()

    def _store(self, n):
        if n:
            self.store.append(self.sampler.frames, n)
            for sink in self._app.sinks:
                sink.frames(self, self.sampler.frames, n)

    def flush(self):
        """Store the interval that is under way and what waits; return whether all is on flash."""
        if not self.store:
            return True
        self._store(self.sampler.finish())
        return self.store.flush()

    def link_changed(self, link):
        """Note what the link says, and open the log where its name is known only now."""
        if link.connected != self.status.connected:
            self.status.connected = link.connected
            if link.connected:
                if self.store is None:  # whose name nobody knew before
                    common = self._app.common
                    name = self.name = link.name
                    if common:
                        name = common.name(self.index, name, link.address)
                    self.open_store(name)
                if self._may_tell():
                    self.store.event(frame.LINK_FOUND)
                self._remember(link)
            elif self.store:
                if self._telling:  # else the sampler finds out by itself whether much is missing
                    self._store(self.sampler.finish())
                    self.store.event(frame.LINK_LOST)
                self.status.alarm = ""
        self.status.link = self._say(link.text)

    def _say(self, text):
        """Print `text`, with the battery's name if there are several; return what was printed."""
        if self._app.common:
            text = "%s: %s" % (self.name or self.index + 1, text)
        print(text)
        return text

    def _may_tell(self):
        """May the log tell that the link was found, and then lost? Not of each if it flaps."""
        now_s = self._app.clock.uptime_s()
        self._untold_s = max(self._untold_s, now_s - _TELL_MOST * _TELL_S)
        self._telling = self._untold_s <= now_s
        if self._telling:
            self._untold_s += _TELL_S
        return self._telling

    def _remember(self, link):
        """Note where the battery is, if that is news."""
        if link.address and link.address != self.known:
            from app import known

            log = self.store.name
            known.write(_DATA, self.called, link.address, link.called, log, self.index)
            self.known = link.address
            del sys.modules["app.known"], sys.modules["app"].known

    def tick(self, now_s):
        """Let the store do what is due; return whether the link turns, or need not."""
        if self.store:
            self.store.tick()
        if self.watch:
            self.watch.tell(self, now_s)
        if self.link is None or self.link.turns != self._turns:
            self._turns = self.link and self.link.turns
            self._turned_s = now_s
        return now_s - self._turned_s < _STUCK_S

    def update(self):
        """Bring `status` up to date with what changes without a sample; return the uptime, s."""
        app = self._app
        now_s = app.clock.uptime_s()
        status = self.status
        store = self.store
        words = store.message if store else ""
        if self.sampler and self.sampler.widened:
            words = words or "values change so much that the log is coarser"
        if app.sentences:
            words = ". ".join(app.sentences + [words] if words else app.sentences)
        status.message = words
        if store:
            status.frames = store.frames
            status.days_stored = store.days_stored
            status.days_left = store.days_left
            status.flushed_s = now_s - store.flushed_s if store.flushes else None
        if self.sample:
            status.age_s = now_s - self.sample_s
        return now_s

    def _alarm(self, sample):
        """Return what is wrong in words; "" at once for a battery without troubles and limits."""
        want = self._app.settings
        limits = want["alarm.soc"] or want["alarm.cell_low_mv"]
        limits = limits or want["alarm.cell_high_mv"] or want["alarm.temperature_c"]
        limits = limits or want["alarm.current_a"]
        limits = limits or want["alarm.temperature_low_c"] != _NO_LIMIT_C
        if not (limits or sample.get("problem_code") or sample.get("problem")):
            return ""
        from screen import alarms

        return alarms.said(self.link and self.link.driver, sample, want)

    def _report(self, sample):
        cells = sample.get("cell_voltages")
        cells = [volts for volts in cells or () if volts is not None]
        self._say(
            "%s V  %s A  %s %%  cells %s mV  %s C  %d frames"
            % (
                _number(sample.get("voltage"), 2),
                _number(sample.get("current"), 2),
                _number(sample.get("battery_level"), 0),
                "%d/%d" % (round(min(cells) * 1000), round(max(cells) * 1000)) if cells else "--",
                _number(sample.get("temperature"), 0),
                self.store.frames,
            )
        )


def _number(value, digits):
    return "--" if value is None else "%.*f" % (digits, value)
