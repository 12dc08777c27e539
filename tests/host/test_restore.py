"""A new board goes on where a pulled log ends: settings, lifetime counters, numbers."""

import argparse
import json
import random

import pytest
from shardfiles import anchor, data, raw, write

import batmon
from batmon.board import identity, kept, restore
from batmon.board.remote import Remote
from batmon.cli import main
from batmon.commands import install
from batmon.console import UserError
from batmon.log import lifetime, shards
from batmon.log.formats import sums
from batmon.virtual.serialboard import SerialBoard

_START = 1_767_247_200
_SETTINGS = {
    "dev_name": "jk-pak01",
    "lcd": {"cols": 20, "rows": 4},
    "wifi": {"ssid": "boat", "password": "hush-hush"},
    "mqtt.password": "also-secret",
    "pairing": "271828",
    "phone": "314159",
    "wifi.pasword": "mistyped",
    "batteries": [{"bms": "jbd_bms", "dev_name": "van", "capacity_ah": 100, "secret": "third"}],
}
_ODD = '{"conn.py": {"capacity_ah": "many"}, "settings.json": {}}'
_SECRETS = ("hush", "also-secret", "271828", "314159", "mistyped", "third")
_CONN = 'from aiobmsble.bms.jbd_bms import BMS\ndev_name = "other"\nDESIGN_CAP = 99.5\n'


def _frames(counts, boot=3):
    """Return the frames of so many shards of a battery that is charged and discharged."""
    rng, up, made = random.Random(5), 0, []
    for count in counts:
        made.append([anchor(up, _START + up, boot)])
        for _ in range(count):
            up += rng.randint(2, 90)
            made[-1].append(data(up, rng.uniform(12, 14), rng.uniform(-90, 90)))
    return made


def _write(folder, made):
    folder.mkdir(exist_ok=True)
    for number, frames in enumerate(made, 1):
        write(folder, f"jk_pak01-{number:05}.{'bts' if number < len(made) else 'raw'}", frames)
    return folder


def _put(link, files):
    for path, content in files.items():
        link.write(path, content, lambda _: None)


def test_a_new_board_goes_on_where_the_pulled_log_ends(tmp_path, capsys):
    made = _frames([120, 90, 70])
    log = _write(tmp_path / "made", made)
    begun = lifetime.count(_write(tmp_path / "part", made[:1]), "jk_pak01")
    folder = tmp_path / "van"
    there = {f"/data/{path.name}": path.read_bytes() for path in log.iterdir()}
    there |= {"/data/state": b"3 5\n", "/data/state.bak": b"torn", "/conn.py": _CONN.encode()}
    there |= {"/settings.json": json.dumps(_SETTINGS).encode()}
    whose = b"jk-pak01\nC8:47:80:12:34:56\njk-pak01\njk_pak01\n"
    there |= {"/data/bms": whose, "/data/bms1": b"other", "/data/found.json": b"[]"}
    there |= {"/data/jk_pak01.sum": bytes(sums.encode(begun.n)), "/data/jk_pak01.sum2": b"torn"}
    with SerialBoard(tmp_path / "old") as old:
        with Remote(old.port) as link:
            _put(link, there)
        assert main(["pull", old.port, str(folder)]) == 0
    assert not [s for s in _SECRETS if s in "".join(map(str, (folder / kept.FILE).open()))]
    assert len(batmon.read(folder)) == 280

    with SerialBoard(tmp_path / "new", installed=True, settings={"dev_name": "jk-pak01"}) as new:
        past = restore.load(folder)
        with Remote(new.port) as link:
            restore.put(link, past)
            said = link.read("/data/jk_pak01.sum")
            assert link.read("/data/bms") == whose and link.read("/data/bms1") == b"other"
            assert link.read("/data/found.json") == b"[]"
            assert any(identity.SAMPLE.match(line) for line in link.restart(300))
        assert "shard 6" in capsys.readouterr().out
        whole = sums.values(lifetime.count(log, "jk_pak01").n)
        assert sums.whole(said)
        assert sums.values(sums.decode(said)) == whole and whole[12:] == [280, 0]
        assert main(["pull", new.port, str(folder)]) == 0
        frames = shards.load(folder / "jk_pak01-00006.raw").frames
        assert frames.view(shards.timeline.ANCHOR)["boot"][0] >= 4
        goes_on = lifetime.count(folder, "jk_pak01").n
        assert sums.values(goes_on)[12:] == [len(batmon.read(folder)), 0]
        assert sums.values(goes_on)[0] >= whole[0] and sums.place(goes_on)[0] == 6
        with Remote(new.port) as link:
            restore.put(link, past)  # again: nothing is put back over what was logged since
            assert link.read("/data/jk_pak01-00006.raw").startswith(frames.tobytes()[:13])
        assert "restored before" in capsys.readouterr().err


def test_a_board_with_a_log_of_its_own_is_refused(tmp_path):
    past = restore.load(_write(tmp_path / "van", _frames([9, 9])))
    own = {"jk_pak01-00001.raw": "its own .jk_pak01-00001", "house-00003.raw": "to number 3"}
    with SerialBoard(tmp_path / "board") as board, Remote(board.port) as link:
        for name, why in own.items():
            _put(link, {f"/data/{name}": raw(_frames([5])[0])})
            with pytest.raises(UserError, match=why):
                restore.put(link, past)
            assert link.get("import os", "os.listdir('/data')", list) == [name]
            link.run(f"import os\nos.remove('/data/{name}')")
        _put(link, {"/data/house-00001.raw": b"", "/data/state": b"7 1\n"})  # lower numbers
        restore.put(link, past)
        assert link.read("/data/state") == link.read("/data/state.bak") == b"7 2\n"


def _options(**said):
    parser = argparse.ArgumentParser()
    install.add_parser(parser.add_subparsers())
    options = parser.parse_args(["install", "PORT"])
    vars(options).update(said)
    return options


def test_settings_come_back_and_options_go_before(tmp_path, capsys, monkeypatch):
    (tmp_path / kept.FILE).write_text(kept.text(json.dumps(_SETTINGS), _CONN))
    options = _options(set=["lcd.cols=16", "wifi.password=new"], capacity=280.0)
    kept.tell(tmp_path, options)
    assert (options.bms, options.name, options.capacity) == ("jbd_bms", "jk-pak01", 280.0)
    assert options.set[-2:] == ["lcd.cols=16", "wifi.password=new"]
    assert {"lcd.cols=20", 'wifi.ssid="boat"', 'phone="on"', "mqtt.password", "pairing"} < set(
        options.set
    )
    assert "wifi.password" not in options.set and "password" in capsys.readouterr().err
    # without a terminal nobody can be asked
    _write(tmp_path, _frames([3]))
    with pytest.raises(UserError, match=r"--set mqtt\.password=\.\.\. --set pairing="):
        install._restore(_options(restore=str(tmp_path), set=["wifi.password=x"]))


@pytest.mark.parametrize(
    "conn",
    [
        "",
        "def",
        "dev_name = 3\nDESIGN_CAP = {[]: 1}\nBATTERIES = (1,)",
        'BATTERIES = (("jbd_bms", "a", 9), ("jbd_bms", "b"))',
    ],
)
@pytest.mark.parametrize("settings", ["", "{", "[]", '{"lcd": {"cols": 17}, "dev_name": 3}'])
def test_whatever_is_wrong_on_the_board_is_not_kept(settings, conn):
    told = json.loads(kept.text(settings, conn))
    made = {"batteries"} if '"a"' in conn else set()
    assert told["conn.py"] == {} and told["settings.json"].keys() == made


@pytest.mark.parametrize("text", ["", "{}", '{"conn.py": 1, "settings.json": {}}', "\0", _ODD])
def test_what_was_kept_and_is_spoilt_is_one_sentence(tmp_path, text):
    (tmp_path / kept.FILE).write_text(text)
    with pytest.raises(UserError, match="not as `batmon pull` writes it"):
        kept.tell(tmp_path, _options())


def test_a_folder_without_a_log_is_one_sentence(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="name the"):
            restore.load(folder)


def test_an_older_folder_is_counted_from_its_shards(tmp_path):
    made = _frames([300, 200, 100])
    past = restore.load(_write(tmp_path, made))
    assert (past.number, past.boot) == (3, 3)
    found = sums.decode(past.sums["jk_pak01"])
    table = batmon.read(tmp_path)
    flows = table["current_A"] * table["interval_s"] / 3600
    charge_in, charge_out = sums.values(found)[:2]
    assert charge_in == pytest.approx(flows.clip(lower=0).sum(), rel=1e-4)
    assert charge_out == pytest.approx(-flows.clip(upper=0).sum(), rel=1e-4)
    assert sums.place(found) == (3, 0)
