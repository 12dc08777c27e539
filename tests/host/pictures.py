"""Draws the report as docs/ shows it: `python tests/host/pictures.py`; all sizes with a folder.

`python tests/host/pictures.py DIR` writes a day, three days, a month and a year of a made van's
battery (bench/answers.py) there, each on a wide window, on a phone and in the dark.
"""

import sys
import tempfile
from pathlib import Path

from browser import browser

from batmon.log import history, stream
from batmon.paths import ROOT
from batmon.virtual import replay
from batmon.web import report

_TZ = "Europe/London"
# first day of the year, days, seconds between polls
_LOGS = {
    "day": (170, 1, 5),
    "three-days": (170, 3, 5),
    "month": (151, 30, 20),
    "year": (0, 365, 60),
}
# width, height, is it a phone, scheme
_WINDOWS = {
    "wide": (1100, 780, False, "light"),
    "phone": (390, 1100, True, "light"),
    "dark": (1100, 780, False, "dark"),
}
_IN_DOCS = ("year-wide", "report-wide.png"), ("year-phone", "report-phone.png")


def _page(first_day: int, days: int, poll_s: int) -> str:
    sys.path.append(str(ROOT))  # of which bench/ is no installed part
    from bench import answers

    with tempfile.TemporaryDirectory() as folder:
        replay.replay(answers.make(first_day, days, poll_s).log, Path(folder), "van", 280)
        logs = stream.Logs([folder])
        ((rows, _),) = history.tables(logs).values()
        return report.page([report.battery("van", rows, cells=4)], _TZ)


def draw(out: Path, names=_LOGS, whole: bool = True):
    """Write NAME-WINDOW.png of each log; whole: with all that one has to scroll for."""
    with tempfile.TemporaryDirectory() as scratch, browser(Path(scratch)) as tab:
        for name in names:
            page = Path(scratch, f"{name}.html")
            page.write_text(_page(*_LOGS[name]), encoding="utf-8")
            for window, (width, height, phone, scheme) in _WINDOWS.items():
                tab.window(width, height, phone)
                tab.media(scheme=scheme)
                tab.open(page)
                tab.wait("document.body && document.body.dataset.ready")
                if whole:
                    height = tab.run("document.documentElement.scrollHeight")
                    tab.window(width, height, phone)
                tab.picture(out / f"{name}-{window}.png")
                if tab.complaints:
                    sys.exit(f"{name}, {window}: {tab.complaints}")


def main():
    """Draw what the command line asks for."""
    if len(sys.argv) > 1:
        out = Path(sys.argv[1])
        out.mkdir(parents=True, exist_ok=True)
        draw(out)
        return
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), ["year"], whole=False)
        for name, picture in _IN_DOCS:
            (ROOT / "docs" / picture).write_bytes(Path(folder, f"{name}.png").read_bytes())


if __name__ == "__main__":
    main()
