"""What `batmon sim` shows while a virtual board runs."""

import re

from batmon.virtual import glass

# The line a minute of a battery: whose if there are several, whole amperes, the state of charge.
_SAMPLE = re.compile(r"(.+: )?\S+ V  (-?\d+|--)\S* A  (\S+) %")


class Quiet:
    """Shows nothing; also what the other views have in common.

    `start_unix` is when the simulation begins; `record` and `words` get all that the board tells.
    """

    def __init__(self, start_unix: int):
        self._start_s = start_unix % 86400
        self._t_s = 0
        self._said = {}  # by battery

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def record(self, record: dict):
        self._t_s = record["t_s"]
        if record["type"] == "status":
            self.status(record)

    def words(self, line: str):
        """Show a line of the board, but of its line a minute only those that tell something new."""
        if sample := _SAMPLE.match(line):
            battery, amperes, percent = sample.groups()
            flows = amperes.strip("-0") and amperes.startswith("-")  # "" if less than 1 A
            if self._said.get(battery) == (flows, percent):
                return
            self._said[battery] = flows, percent
        self.show(f"{self.clock()}  {line}" if line else "")

    def clock(self) -> str:
        """Return the simulated time of day."""
        days, seconds = divmod(self._start_s + self._t_s, 86400)
        return f"day {days + 1} {seconds // 3600:02}:{seconds // 60 % 60:02}"

    def status(self, record: dict):
        pass

    def show(self, line: str):
        pass


class Lines(Quiet):
    """What the board says."""

    def show(self, line: str):
        print(line, flush=True)


class Screen(Quiet):
    """The display in a frame that changes in place; the board's words scroll above it."""

    def __enter__(self):
        from rich.live import Live

        self._live = Live(auto_refresh=False)
        self._live.start()
        return self

    def __exit__(self, *_):
        self._live.stop()

    def status(self, record: dict):
        from rich.text import Text

        lines = glass.frame(record["lcd"]) if "lcd" in record else []
        stored = f"{record['frames']} frames, {record['bytes'] / 1024:.1f} kB on flash"
        lines.append(f"{self.clock()}  {record['link']}  {stored}  {record['progress']:.0%}")
        self._live.update(Text("\n".join(lines)), refresh=True)

    def show(self, line: str):
        self._live.console.print(line, markup=False, highlight=False)
