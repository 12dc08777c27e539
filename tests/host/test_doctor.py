"""`batmon doctor`: what it tells of a board, and that no secret is in it, whoever says one."""

import json
import random
import string
from types import SimpleNamespace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from batmon.board import doctor, remote
from batmon.cli import main
from batmon.console import printable
from batmon.firmware import settingsdoc
from batmon.virtual.serialboard import SerialBoard

_SECRETS = [key for key, kind in settingsdoc.kinds().items() if not settingsdoc.is_harmless(kind)]
_HARMLESS = sorted(set(settingsdoc.kinds()) - set(_SECRETS))
_SECRET = st.text(min_size=4, max_size=64) | st.from_regex(r"[0-9]{6}", fullmatch=True)


def test_what_is_a_secret():
    assert set(_SECRETS) >= {"secret", "pairing", "wifi.password", "mqtt.password"}
    assert set(_HARMLESS) >= {"dev_name", "lcd.cols", "wifi.ssid", "poll_s", "lcd.backlight"}


def _file(secret: str, place: int, rnd: random.Random) -> str:
    """Return a settings.json with a secret in one of the places where people put one."""
    group, _, name = rnd.choice(_SECRETS).rpartition(".")
    odd = "".join(rnd.choices(string.ascii_letters, k=6))
    given = [
        {group: {name: secret}} if group else {name: secret},
        {"wifi.password": secret},
        {"wifi": {"pasword": secret, "ssid": "boat"}},
        {"wifi": secret},
        {odd: [secret, {odd: {odd: secret}}]},
        {rnd.choice(_HARMLESS): {"text": secret}},
        {"lcd": {"cols": secret}},
        {"bms": [secret], "batteries": [{"dev_name": "van", "secret": secret}, secret]},
    ][place % 8]
    whole = json.dumps({"dev_name": "jk", **given}, ensure_ascii=rnd.random() < 0.5)
    if place < 8:
        return whole
    return whole[: max(whole.rfind('"') + 1, 1)] + rnd.choice(["", ",", "}}"])  # cut short


@settings(max_examples=200)
@given(_SECRET, st.integers(0, 15), st.randoms(use_true_random=False))
def test_no_secret_is_in_it(secret, place, rnd):
    text, hidden = doctor.shown(_file(secret, place, rnd))
    forms = [secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], printable(secret)]
    said = "\n".join(f"x {rnd.choice(forms)} y{form}{form}z" for form in forms)
    document = doctor.text({"settings": text, "errors.txt": said, "words": secret}, hidden)
    assume(secret not in doctor._known())  # the name of a setting is told in any case
    for form in forms:
        assert len(form) < 4 or form not in document, (form, document)


@given(st.text(max_size=200))
def test_any_file_of_settings_is_told_or_not(settings):
    text, hidden = doctor.shown(settings)
    assert text
    document = doctor.text({"settings.json": text}, hidden)
    assert document.replace("\n", "").isprintable() or not document


def test_of_a_board_that_logs(tmp_path, capsys):
    secret = {"secret": "hunter22", "wifi": {"ssid": "boat", "password": "päss word"}}
    with SerialBoard(tmp_path / "board", installed=True, settings={"poll_s": 1, **secret}) as board:
        with remote.Remote(board.port) as link:
            error = "2026-01-01 06:00:01Z batmon 0.2.0 boot 1 +0 s wifi: no hunter22 at päss word\n"
            link.write("/data/errors.txt", error.encode(), lambda n: None)
            link.write("/mine.py", b"", lambda n: None)
        out = tmp_path / "it.txt"
        assert main(["doctor", board.port, "-o", str(out)]) == 0
        document = out.read_text(encoding="utf-8")
        for words in (
            "== this PC\nbatmon ",
            "micropython 1.29.0",
            "kB of heap",
            "/mine.py",
            "poll_s: 1\n",
            "secret: set; not shown\n",
            'wifi.ssid: "boat"\n',
            'dev_name = "jk-pak01"',
            "errors.txt\n",
            "wifi: no *** at ***",
            "connected\n",
            " frames\n",
        ):
            assert words in document, document
        assert "hunter22" not in document and "päss" not in document
        assert "passwords are left out" in capsys.readouterr().out


def test_it_waits_no_longer_than_there_is_something_to_hear():
    said = ["looking for van", "van not found (seen: none), retry 1 in 1 s", "looking for van"]
    board = SimpleNamespace(restart=lambda seconds: iter(said))
    assert list(doctor._words(board, 30)) == said[:2]
    said[1] = "13.31 V  -10.82 A  95 %  cells 3327/3329 mV  15 C  159 frames"
    assert list(doctor._words(board, 30)) == said[:2]
    said[1] = "no answer, retry 1 in 1 s"  # the next try may get one
    assert list(doctor._words(board, 30)) == said


def test_without_a_board_it_tells_of_this_pc_and_why(tmp_path, capsys):
    out = tmp_path / "it.txt"
    assert main(["doctor", "/dev/absent", "-o", str(out)]) == 1
    assert "there is no such port" in capsys.readouterr().err
    document = out.read_text(encoding="utf-8")
    assert "mpremote 1." in document and "/dev/absent cannot be opened" in document
    with pytest.raises(SystemExit):
        main(["doctor", "--wait", "soon"])
