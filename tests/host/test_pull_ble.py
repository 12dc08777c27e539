"""`batmon pull --ble` from the virtual board, by a backend behind bleak's public interface."""

import json
import shutil

import air_backend
import pytest
import test_lifetime
from airphone import AirPhone

from batmon.board import blelog
from batmon.cli import main
from batmon.firmware.build import build
from batmon.log import lifetime, sealing
from batmon.paths import BOARD, ROOT
from batmon.virtual.serialboard import SerialBoard

_CODE = "271828"
_SETTINGS = {"phone": _CODE, "dev_name": "jk-pak01", "capacity_ah": 280, "poll_s": 1}


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    build()
    folder, tree = tmp_path_factory.mktemp("board"), tmp_path_factory.mktemp("flash") / "tree"
    shutil.copytree(BOARD, tree)
    (tree / "data").mkdir()
    frames = (ROOT / "tests/data/frames/house16s.bin").read_bytes()
    (tree / "data/house-00001.bts").write_bytes(sealing.sealed(frames[: 13 * 6000]))
    (tree / "data/house-00002.bts").write_bytes(sealing.sealed(frames[13 * 6000 : 13 * 9000]))
    test_lifetime.write_counters(tree / "data", "house")
    kind = {"chip": "s3", "lcd": "none", "radio": True}
    with SerialBoard(folder, installed=tree, settings=_SETTINGS, **kind) as made:
        air_backend.phone = AirPhone(folder)
        air_backend.phone.wait()
        made.log = tree / "data"
        yield made
        air_backend.phone.close()


@pytest.fixture(autouse=True)
def adapter(monkeypatch):
    monkeypatch.setattr(blelog, "scanner", {"backend": air_backend.Scanner})
    monkeypatch.setattr(blelog, "client", {"backend": air_backend.Client})
    monkeypatch.setattr(air_backend, "vanish_after", 0)


def _pull(capsys, folder) -> dict:
    assert main(["pull", str(folder), "--ble", "--code", _CODE, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def _same(folder, board) -> bool:
    return all((folder / p.name).read_bytes() == p.read_bytes() for p in board.log.glob("*.bts"))


@pytest.mark.xdist_group("ble")
def test_pulls_what_is_new(board, tmp_path, capsys):
    result = _pull(capsys, tmp_path)
    assert result["port"] == "Bluetooth batmon" and not result["problems"]
    assert len(result["new_bytes"]) >= 2 and _same(tmp_path, board)
    assert lifetime.kept([tmp_path])["house"]["charge_out_Ah"] == 59.4
    (tmp_path / "house-00002.bts").unlink()
    assert next(iter(_pull(capsys, tmp_path)["new_bytes"])) == "house-00002.bts"
    assert _same(tmp_path, board)


@pytest.mark.xdist_group("ble")
def test_goes_on_after_the_phone_was_lost(board, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(air_backend, "vanish_after", 25)
    result = _pull(capsys, tmp_path)
    assert air_backend.vanish_after == 0 and not result["problems"] and _same(tmp_path, board)


@pytest.mark.xdist_group("ble")
def test_goes_on_with_what_an_earlier_run_left(board, tmp_path, capsys):
    shard = board.log / "house-00001.bts"
    (tmp_path / "house-00001.bts.part").write_bytes(shard.read_bytes()[:9000])
    asked = []
    heard = air_backend.Client._heard
    with pytest.MonkeyPatch.context() as patch:

        def counted(client, data):
            asked.append(len(data))
            heard(client, data)

        patch.setattr(air_backend.Client, "_heard", counted)
        _pull(capsys, tmp_path)
    whole = sum(path.stat().st_size for path in board.log.glob("*.bts"))
    assert _same(tmp_path, board) and sum(asked) < whole - 8000


@pytest.mark.xdist_group("ble")
def test_mistakes(board, tmp_path, capsys):
    for arguments, code, words in (
        (["--ble", "--code", "000000"], 2, "000000 is not the code of"),
        (["--ble", "--code", "12345"], 2, "it has six digits"),
        (["--ble"], 2, "--code DIGITS is missing"),
        (["--ble", "--code", _CODE, "--free"], 2, "too weak a lock"),
        (["COM7", "--ble", "--code", _CODE], 2, "take one of the two"),
    ):
        assert main(["pull", *arguments]) == code, arguments
        error = capsys.readouterr().err
        assert words in error and len(error.splitlines()) == 1, error


@pytest.mark.xdist_group("ble")
def test_a_board_that_is_not_there(board, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(blelog, "_FIND_S", 1)
    assert main(["pull", str(tmp_path), "--ble=boat", "--code", _CODE]) == 1
    assert "named boat is in reach" in capsys.readouterr().err
