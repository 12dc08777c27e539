"""The board's error log in words: written by the board's own code, told by the page's."""

import json
import re
import subprocess

import pagejs

from batmon.firmware.interpreter import micropython
from batmon.paths import ROOT
from batmon.web import report

_SCRIPTS = "".join(map(report.script, ("zone.js", "complaints.js")))
_TELL = """
tell([complaints(given.text).map((each) => complaintSentence(each, new Zone(given.tz))), PARTS]);
"""
_WRITE = """
import sys
sys.path[:0] = [%r, %r]
from app import errorfile
class Clock:
    def __init__(self, s, unix):
        self.s, self.unix = s, unix
    def uptime_s(self):
        return self.s
    def unix_s(self):
        return self.unix
def note(s, unix, where, what):
    if isinstance(what, str):
        errorfile.write(%r, Clock(s, unix), 7, where, what)
        return
    try:
        raise what
    except Exception as exc:
        errorfile.write(%r, Clock(s, unix), 7, where, exc)
%s
"""
_NOTES = """
note(5, 0, "display", OSError(19))
note(9, 1, "link", ValueError("x" * 700))
note(90, 0, "influx (37 not logged)", TypeError("can't convert 'NoneType' object to int"))
note(99, 1, "restart", "no data for 2 h (no answer)")
note(120, 1, "link", IndexError("bytes index out of range"))
note(130, 1, "mqtt", OSError(-18))
note(600, 0, "phone", MemoryError())
note(7200, 0, "button", "it ended")
"""
_DATE = r"20\d\d-\d\d-\d\d \d\d:\d\d: "
_TOLD = [
    "2 h after start 7, at a time the board did not know: the button stopped and was started again",
    "10 min after start 7, at a time the board did not know: the service for phones failed: memory"
    " ran out; it was started again",
    _DATE + "what goes to MQTT failed by a mistake in batmon, please report it; it was started"
    " again",
    _DATE + "the BMS said what its driver cannot make sense of; polling went on; 2 times, the"
    " last then",
    _DATE + r"the board started itself again: no data for 2 h \(no answer\)",
    "90 s after start 7, at a time the board did not know: what goes to InfluxDB failed by a"
    " mistake in batmon, please report it; it was started again; 37 more were not logged",
    "5 s after start 7, at a time the board did not know: the display failed: a device on its"
    " wires is not there; it was started again",
]


def _told(folder, text: str, tz: str = "UTC"):
    return pagejs.run(folder, _SCRIPTS + _TELL, [], text=text, tz=tz)


def test_what_the_board_writes_is_told_in_plain_words(tmp_path):
    log = str(tmp_path / "data")
    code = _WRITE % (str(ROOT), str(ROOT / "lib"), log, log, _NOTES)
    subprocess.run([micropython(), "-c", code], check=True)
    told, _ = _told(tmp_path, (tmp_path / "data/errors.txt").read_text())
    assert len(told) == len(_TOLD), told
    for line, wanted in zip(told, _TOLD, strict=True):
        assert re.fullmatch(wanted, line), line
    assert not re.search(r"Error|Traceback|Errno", json.dumps(told))


def test_times_are_the_readers_own(tmp_path):
    entry = "2026-07-01 22:30:05Z batmon 0.3.0 boot 3 +77 s restart: the link hangs\n"
    told, _ = _told(tmp_path, entry, "Europe/Berlin")
    assert told == ["2026-07-02 00:30: the board started itself again: the link hangs"]


def test_whatever_is_in_the_file_the_page_goes_on(tmp_path):
    assert _told(tmp_path, "")[0] == []
    torn = "\ufffd\x00\nTraceback (most\n2026-07-01 22:30:05Z batmon 0.3.0 boot 3 +77 s display:"
    assert _told(tmp_path, torn)[0] == []
    assert _told(tmp_path, torn + " it")[0][0].endswith(": the display: it")


def test_every_part_that_may_complain_has_words(tmp_path):
    sources = "".join(path.read_text() for path in (ROOT / "app").glob("*.py"))
    parts = set(re.findall(r'\bkeep\((?:app, )?"(\w+)"', sources))
    parts |= set(re.findall(r'errors\.note\("(\w+)"', sources))
    assert len(parts) > 10
    assert parts <= _told(tmp_path, "")[1].keys()
