"""The page of `batmon web` in Chromium against the virtual board: connect, live, download, report.

Bluetooth is injected at navigator.bluetooth, see webradio.py; everything behind it is the real page
and the real board.
"""

import base64
import shutil

import pytest
import test_lifetime
from airphone import AirPhone
from browser import browser
from webradio import WebRadio

from batmon.cli import main
from batmon.firmware.build import build
from batmon.log import sealing, shards
from batmon.paths import BOARD, BUILD, ROOT
from batmon.virtual.serialboard import SerialBoard

pytestmark = pytest.mark.xdist_group("web")
_CODE = "271828"
_SETTINGS = {"phone": _CODE, "dev_name": "jk-pak01", "capacity_ah": 280, "poll_s": 1}
_FRAMES = 12_000
_ERRORS = (
    "2026-07-01 22:30:05Z batmon 0.3.0 boot 3 +77 s display: Traceback (most recent call last):\n"
    '  File "lcd", line 1, in tick\n'
    "OSError: [Errno 19] ENODEV\n"
    "time unknown, batmon 0.3.0 boot 4 +300 s restart: the link hangs\n"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the page, and a board with two shards in its log."""
    build()
    folder, tree = tmp_path_factory.mktemp("board"), tmp_path_factory.mktemp("flash") / "tree"
    shutil.copytree(BOARD, tree)
    (tree / "data").mkdir()
    (tree / "data/errors.txt").write_text(_ERRORS, encoding="utf-8")
    frames = (ROOT / "tests/data/frames/house16s.bin").read_bytes()[: 13 * _FRAMES]
    half = len(frames) // 26 * 13
    for number, part in ((1, frames[:half]), (2, frames[half:])):
        (tree / f"data/house-{number:05}.bts").write_bytes(sealing.sealed(part))
    test_lifetime.write_counters(tree / "data", "house")
    page = folder / "page"
    assert main(["web", "-o", str(page)]) == 0
    kind = {"chip": "s3", "lcd": "none", "radio": True}
    with SerialBoard(folder, installed=tree, settings=_SETTINGS, **kind):
        phone = AirPhone(folder)
        phone.wait()
        yield page, phone, tree / "data"
        phone.close()


@pytest.fixture
def tab(tmp_path):
    with browser(tmp_path) as opened:
        yield opened


def _kept(tab) -> dict[str, bytes]:
    """Return what the browser keeps."""
    told = tab.run(
        "desk.kept.all().then((all) => all.map(({ name, data }) => [name, btoa(Array.from(data, "
        "(byte) => String.fromCharCode(byte)).join(''))]))"
    )
    return {name: base64.b64decode(text) for name, text in told}


def _connected(tab, place) -> WebRadio:
    page, phone, _ = place
    radio = WebRadio(tab, phone)
    tab.open(page / "index.html")
    radio.until("document.body && document.body.dataset.ready")
    tab.run("by('connect').click()")
    radio.until("by('told').textContent.startsWith('connected to batmon')")
    return radio


def test_connect_live_download_report(place, tab):
    tab.window(390, 844, phone=True)
    radio = _connected(tab, place)
    radio.until("document.querySelectorAll('.dial').length === 1")
    radio.until("/^1[0-9]\\.[0-9]{2} V$/.test(document.querySelector('.dial b').textContent)")
    assert tab.run("by('unlocked').hidden")
    tab.run("by('code').value = '000000'; by('prove').requestSubmit()")
    radio.until("by('told').textContent.includes('not the board')")
    tab.run(f"by('code').value = '{_CODE}'; by('prove').requestSubmit()")
    radio.until("!by('unlocked').hidden")
    radio.until("by('about').textContent.includes('running for')")
    radio.until("by('complained').children.length")
    complained = tab.run("Array.from(by('complained').children, (li) => li.textContent)")
    assert "5 min after start 4" in complained[0] and "the link hangs" in complained[0]
    assert "a device on its wires is not there" in complained[1]
    assert tab.run("by('errors').textContent") == _ERRORS
    assert not tab.run("by('errors-part').open")
    tab.run("by('download').click()")
    radio.until("document.body.dataset.shown && / kB in /.test(by('told').textContent)")
    log = place[2]
    kept = _kept(tab)
    for path in log.glob("*.bts"):
        assert kept[path.name] == path.read_bytes()
    assert kept["house.sum"] == (log / "house.sum").read_bytes()
    assert "59.4 Ah" in tab.run("document.querySelector('#ever').textContent")
    rows = sum(len(shards.load(path).frames) for path in log.glob("house-*.bts"))
    assert str(rows) in tab.run("document.body.dataset.shown").split()
    assert tab.run("document.documentElement.scrollWidth") == 390
    tab.picture(BUILD / "web-phone.png")
    tab.window(1280, 900)
    tab.picture(BUILD / "web-wide.png")
    tab.run("by('download').click()")
    radio.until("/there is nothing new| kB in /.test(by('told').textContent)")
    tab.run("by('connect').click()")
    radio.until("by('board').hidden")
    assert not tab.complaints


def test_goes_on_where_a_lost_connection_stopped(place, tab):
    tab.window(1280, 900)
    radio = _connected(tab, place)
    tab.run(f"by('code').value = '{_CODE}'; by('prove').requestSubmit()")
    radio.until("!by('unlocked').hidden")
    tab.run("by('download').click()")
    radio.until("by('progress').value > 0.3")
    place[1].vanish()
    tab.run("__radio.gone()")
    radio.until("by('board').hidden")
    radio.until("desk.kept.all().then((all) => all.some(({ name }) => name.endsWith('.part')))")
    part = {name: len(data) for name, data in _kept(tab).items()}
    assert sum(part.values()) > 0
    tab.run("by('connect').click()")
    radio.until("!by('unlocked').hidden")  # the browser knows the code
    tab.run("by('download').click()")
    radio.until("document.body.dataset.shown && / kB in /.test(by('told').textContent)")
    kept = _kept(tab)
    assert not any(name.endswith(".part") for name in kept)
    for path in place[2].glob("*.bts"):
        assert kept[path.name] == path.read_bytes()
    tab.run("by('connect').click()")
    radio.until("by('board').hidden")
    assert not tab.complaints
