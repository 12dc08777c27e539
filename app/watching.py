# What is watched of a battery, and who is told: the log, and for a day after a fault the display
# Loaded with the setting events.
import sys

from micropython import const
from sampling.watch import Watch

_NEWS_H = const(24)


class Watching(Watch):
    """Tells the log of a battery, and its status, what changes."""

    def __init__(self, poll_s):
        super().__init__(poll_s)
        self._fault = ""  # the last one in words, its uptime, and how many hours ago it is told
        self._fault_at_s = 0
        self._fault_h = 0

    def sample(self, battery, sample):
        """Take the sample of a `battery` that its sampler took before."""
        now_s = battery.sample_s
        if not battery.status.alarm and sample.get("dischrg_mosfet") in (False, 0):
            battery.status.alarm = "discharge is off"
        news = self.poll(now_s, sample, battery.status.alarm, battery.sampler)
        over = self.why and now_s > self.until_s
        if news or over:
            try:
                from app import events
            except MemoryError:
                return  # the next poll finds the same
            if over:
                self._fault = events.past(self, battery.store.cells)
                self._fault_at_s = now_s
                self._fault_h = -1
            if news:
                events.put(self, battery.store, battery.link.driver, news, now_s)
            del sys.modules["app.events"], sys.modules["app"].events
        elif self.fresh and now_s <= self.until_s:
            battery.store.append(memoryview(self.frames)[self.cursor :])

    def update(self, status, now_s):
        """Let `status` say what the last fault was, until it is no news."""
        if not self._fault:
            return
        hours = (now_s - self._fault_at_s) // 3600
        if hours != self._fault_h:
            self._fault_h = hours
            if hours >= _NEWS_H:
                self._fault = status.past = ""
            else:
                status.past = ("%d h ago" % hours if hours else "lately") + "\n" + self._fault
