"""`batmon web` in headless Chromium: shards opened and kept, their report, without network."""

import base64
import functools
import http.server
import io
import json
import threading
import time
import zipfile
from pathlib import Path

import pytest
import test_lifetime
from browser import browser
from shardfiles import anchor, data, write

from batmon.cli import main
from batmon.log import sealing, shards
from batmon.paths import ROOT

_START = 1_767_247_200
_READY = "document.body && document.body.dataset.ready"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("web") / "page"
    assert main(["web", "-o", str(made)]) == 0
    return made


@pytest.fixture
def tab(tmp_path):
    with browser(tmp_path) as opened:
        yield opened


def _file(path) -> str:
    """JavaScript for a File as the browser gives it."""
    return f"new File([new Uint8Array({list(path.read_bytes())})], {json.dumps(path.name)})"


def _drop(tab, *paths):
    added = "".join(f"all.items.add({_file(path)});" for path in paths)
    tab.run(
        f"(() => {{ const all = new DataTransfer(); {added}"
        "document.dispatchEvent(new DragEvent('drop', {dataTransfer: all, cancelable: true})); })()"
    )


@pytest.mark.xdist_group("web")
def test_shards_dropped_on_the_page_get_the_report(folder, tmp_path, tab):
    frames = [anchor(0, _START)] + [data(600 * i, 13.2, -5.0) for i in range(200)]
    shard = write(tmp_path, "van-00001.bts", frames)
    tab.window(1280, 900)
    tab.open(folder / "index.html")
    tab.wait(_READY)
    assert tab.run("by('shown').hidden")
    test_lifetime.write_counters(tmp_path, "van")
    _drop(tab, shard, tmp_path / "van.sum")
    tab.wait("document.body.dataset.shown === '200'")
    assert "59.4 Ah" in tab.run("document.querySelector('#ever').textContent")
    assert tab.run("document.querySelector('#batteries button').textContent") == "van"
    assert tab.run("document.querySelectorAll('#summary details').length") > 5
    assert tab.run("page.found.out_ah") == pytest.approx(199 * 5 / 6)
    broken = bytearray(shard.read_bytes())
    broken[30] ^= 1
    shard.write_bytes(broken)
    _drop(tab, shard)
    tab.wait("by('flaws').children.length > 0")
    assert "damaged" in tab.run("by('flaws').textContent")
    foreign = tmp_path / "notes.txt"
    foreign.write_text("x")
    _drop(tab, foreign)
    tab.wait("by('told').textContent.includes('NAME-00042')")
    errors = tmp_path / "errors.txt"
    errors.write_text("time unknown, batmon 0.3.0 boot 4 +300 s restart: the link hangs\n")
    assert tab.run("by('complaints').hidden")
    _drop(tab, errors)
    tab.wait("by('complained').textContent.includes('the link hangs')")
    assert not tab.complaints


@pytest.mark.xdist_group("web")
def test_what_is_kept_is_there_the_next_time_and_can_be_saved(folder, tmp_path, tab):
    frames = [anchor(0, _START)] + [data(60 * i, 13.2, -5.0) for i in range(50)]
    shard = write(tmp_path, "van-00001.raw", frames)
    tab.window(390, 844, phone=True)
    tab.open(folder / "index.html")
    tab.wait(_READY)
    content = f"new Uint8Array({list(shard.read_bytes())})"
    tab.run(f"desk.kept.put('van-00001.raw', {content})")
    tab.open(folder / "index.html")
    tab.wait("document.body && document.body.dataset.shown === '50'")
    assert "1 shard kept" in tab.run("by('kept').textContent")
    assert tab.run("document.documentElement.scrollWidth") == 390
    zipped = bytes(
        tab.run(
            "(async () => [...new Uint8Array(await new Blob(zip(await desk.kept.shards()))"
            ".arrayBuffer())])()"
        )
    )

    with zipfile.ZipFile(io.BytesIO(zipped)) as packed:
        assert packed.testzip() is None
        assert packed.read("van-00001.raw") == shard.read_bytes()
    tab.run("globalThis.confirm = () => true")
    tab.run("by('forget').click()")
    tab.wait("by('shown').hidden")
    assert not tab.complaints


@pytest.mark.xdist_group("web")
def test_works_without_network_after_the_first_visit(folder, tab):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://localhost:{server.server_port}/"
    tab.visit(url)
    tab.wait(_READY)
    tab.wait("navigator.serviceWorker.controller !== null")
    assert tab.run("navigator.serviceWorker.ready.then((r) => r.active.state)")
    server.shutdown()
    server.server_close()
    tab.visit(url)
    tab.wait(_READY)
    assert tab.run("document.querySelector('h1').textContent") == "batmon"


def test_mistakes(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for out, word in ((tmp_path / "file", "is a file"), (tmp_path / "no/page", "no folder")):
        assert main(["web", "-o", str(out)]) == 2
        error = capsys.readouterr().err
        assert word in error and len(error.splitlines()) == 1


@pytest.mark.campaign
def test_a_million_frames_are_decoded_and_on_screen(folder, tab):
    """At least half as fast as Python with numba, in the same run."""
    samples = sorted(ROOT.glob("tests/data/frames/*.bin"))
    frames = b"".join(path.read_bytes() for path in samples)
    per_shard = 20_000
    count = len(frames) // 13 // per_shard
    parts = [frames[13 * per_shard * i : 13 * per_shard * (i + 1)] for i in range(count)]
    made = [sealing.sealed(part) for part in parts]
    shards.parse(Path("a-00001.bts"), made[0])  # compiles it
    begun = time.monotonic()
    for content in made:
        assert not shards.parse(Path("a-00001.bts"), content).damage
    python_s = (time.monotonic() - begun) * 1e6 / (count * per_shard)
    tab.window(1280, 900)
    tab.open(folder / "index.html")
    tab.wait(_READY)
    tab.run("globalThis.made = []")
    for content in made:
        text = base64.b64encode(content).decode()
        tab.run(f"made.push(Uint8Array.from(atob('{text}'), (c) => c.charCodeAt(0))) && 0")
    shard_s = tab.run(
        f"""(() => {{
          const all = Array.from({{ length: {10**6 // per_shard} }}, (_, i) => ({{
            name: `a-${{String(i + 1).padStart(5, "0")}}.bts`, data: made[i % made.length] }}));
          readShard(all[0].name, all[0].data);
          const begun = performance.now();
          for (const {{ name, data }} of all) readShard(name, data);
          const decoded = performance.now() - begun;
          globalThis.shown = desk.report(all).then(() => performance.now() - begun - decoded);
          return decoded / 1e3;
        }})()"""
    )
    screen_s = tab.run("shown") / 1e3
    page = f"page {shard_s:.1f} s, on screen with all of it {screen_s:.1f} s"
    print(f"a million frames decoded: Python {python_s:.1f} s, {page}")
    assert tab.run("page.rows.length") == 10**6
    assert shard_s < 2 * python_s
