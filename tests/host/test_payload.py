"""What belongs on a board: which drivers, whose conn.py, what in settings.json."""

import argparse
import json
import shlex

import pytest

from batmon import cli
from batmon.console import UserError
from batmon.firmware import payload
from batmon.firmware.build import build
from batmon.paths import ROOT

pytestmark = pytest.mark.usefixtures("standin")

_CONN = (ROOT / "conn.py").read_text()


class _Board:
    """A board with these files."""

    def __init__(self, **files):
        self._files = {f"/{name.replace('_', '.')}": text for name, text in files.items()}

    def read(self, path):
        return self._files.get(path, "").encode()


def _options(bms=None, name=None, capacity=None):
    return argparse.Namespace(bms=bms, name=name, capacity=capacity, all_drivers=False, index=None)


@pytest.mark.parametrize(
    "change, settings, chosen",
    [
        ((), None, ["jikong_bms"]),
        ((), {"bms": "jbd_bms"}, ["jbd_bms", "jikong_bms"]),
        ((), {"bms": ""}, ["jikong_bms"]),
        ((), {"dev_name": ""}, None),
        (('"jk-pak01"', '""'), None, None),
        (('"jk-pak01"', '""'), {"dev_name": "my-bms"}, ["jikong_bms"]),
        (("from aiobmsble.bms.jikong_bms import BMS", ""), None, None),
    ],
)
def test_the_drivers_are_those_that_are_named_or_all(change, settings, chosen):
    conn = _CONN.replace(*change) if change else _CONN
    assert payload._drivers(conn, settings) == chosen


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("dev_name = jkpak01", 'says dev_name = jkpak01; text .* quotes: dev_name = "jkpak01"'),
        ("dev_name = jk-pak01", 'says .* quotes: dev_name = "jk-pak01"'),
        ("dev_name = JK B2A8S", "is not valid in line 4, dev_name = JK B2A8S .*; text .* quotes"),
        ('dev_name = "jk', "is not valid in line 4, dev_name = .jk .*; text"),
    ],
)
def test_a_name_without_quotes_is_told_before_anything_is_copied(line, sentence):
    board = _Board(conn_py=_CONN.replace('dev_name = "jk-pak01"', line))
    was = {"head": payload.head_digest()}
    with pytest.raises(UserError, match=f"conn.py {sentence}"):
        payload._conn(board.read, was, _options())
    # an option takes the place of the line
    assert 'dev_name = "mine"' in payload._conn(board.read, was, _options(name="mine"))


def test_what_a_user_may_write_into_conn_py_stays():
    lines = "import os\nCELLS = 8\nDESIGN_CAP = max(CELLS, 4) * 35 if os else None\n"
    board = _Board(conn_py=_CONN.replace("DESIGN_CAP = 280\n", lines))
    assert lines in payload._conn(board.read, {"head": payload.head_digest()}, _options())


def test_conn_py_is_the_boards_unless_it_was_changed_here():
    theirs = _CONN.replace("jk-pak01", "theirs").replace("from link", "from old_link")
    board = _Board(conn_py=theirs)
    kept = payload._conn(board.read, {"head": payload.head_digest()}, _options())
    assert 'dev_name = "theirs"' in kept
    assert "from link import BmsLink" in kept and "old_link" not in kept
    assert payload._conn(board.read, {"head": "what it was before"}, _options()) == _CONN
    for was in ({}, {"head": payload.head_digest()}):
        assert payload._conn(_Board().read, was, _options()) == _CONN


def test_options_write_its_three_lines():
    options = _options("jbd_bms", 'a "b" \\1', 99.5)
    head = payload._conn(_Board().read, {}, options).partition("# ----")[0]
    names = {}
    exec(head.replace("from aiobmsble.bms.jbd_bms import BMS", "BMS = 1"), names)
    assert (names["BMS"], names["dev_name"], names["DESIGN_CAP"]) == (1, 'a "b" \\1', 99.5)
    assert '\ndev_name = ""\n' in payload._conn(_Board().read, {}, _options(name=""))
    # a user who took a line away gets it back
    board = _Board(conn_py=_CONN.replace("DESIGN_CAP = 280", ""))
    conn = payload._conn(board.read, {"head": payload.head_digest()}, _options(capacity=7.0))
    assert conn.index("DESIGN_CAP = 7") < conn.index("# ----")


@pytest.mark.parametrize(
    "options, wanted",
    [
        ("", {}),
        ("--lcd none", {"lcd.fitted": False}),
        ("--lcd 20x2", {"lcd.fitted": True, "lcd.cols": 20, "lcd.rows": 2}),
        ("--wifi boat", {"wifi.ssid": "boat", "wifi.password": ""}),
        ("--wifi boat --wifi-password x", {"wifi.ssid": "boat", "wifi.password": "x"}),
        ("--wifi-password new", {"wifi.password": "new"}),
        ("--wifi ''", {"wifi.ssid": "", "wifi.password": ""}),
        ("--influx db:1234", {"influx.host": "db", "influx.port": 1234}),
        ("--influx db", {"influx.host": "db"}),
        ("--influx ''", {"influx.host": ""}),
        ("--set pairing=012345", {"pairing": "012345"}),
        ("--set poll_s=3 --set lcd.backlight=on", {"poll_s": 3, "lcd.backlight": "on"}),
        ("--set secret=123456", {"secret": "123456"}),
        ("--set wifi.password=12345678", {"wifi.password": "12345678"}),
        ("--set influx.battery=2 --set influx.board=true", {"influx.battery": "2",
                                                            "influx.board": "true"}),
        ("--set influx.battery='\"2\"'", {"influx.battery": "2"}),
    ],
)
def test_options_become_settings(options, wanted):
    given = cli.make_parser().parse_args(["install", *shlex.split(options)])
    assert payload.wishes(given) == wanted


@pytest.mark.parametrize("key", ["bms=jbd_bms", "dev_name=x", "capacity_ah=7"])
def test_what_has_an_option_of_its_own_is_not_set(key):
    with pytest.raises(UserError, match="option of its own"):
        payload.wishes(cli.make_parser().parse_args(["install", "--set", key]))


def test_settings_are_merged_and_a_broken_file_is_not_overwritten():
    board = _Board(settings_json='{"lcd": {"cols": 20}, "wifi": 5, "secret": "x"}')
    merged = payload._settings(board.read, {"lcd.rows": 4, "wifi.ssid": "a", "poll_s": 3})
    assert merged == {
        "lcd": {"cols": 20, "rows": 4}, "wifi": {"ssid": "a"}, "secret": "x", "poll_s": 3,
    }  # fmt: skip
    board = _Board(settings_json='{"lcd.cols": 20, "lcd.rows": 4}')  # the board takes it so too
    assert payload._settings(board.read, {"lcd.rows": 2}) == {"lcd.cols": 20, "lcd": {"rows": 2}}
    assert payload._settings(_Board().read, {}) is None
    for text in ("{", "[]", "5"):
        broken = _Board(settings_json=text)
        assert payload._settings(broken.read, {}) is None
        with pytest.raises(UserError, match="not valid"):
            payload._settings(broken.read, {"poll_s": 3})


def test_what_stays_in_settings_json_is_the_same_object():
    board = _Board(settings_json=json.dumps({"lcd": {"rows": 4}}))
    assert payload._settings(board.read, {}) == {"lcd": {"rows": 4}}
    # and the file as the user wrote it
    assert "/settings.json" not in payload.files(board.read, {}, {}, _options("jikong_bms"), mpy=6)


def test_native_code_is_for_the_boards_chip_and_version():
    version = payload._native_version()
    for said, chip in ((version, "xtensawin"), (version ^ 1, None)):
        assert payload._cpu(6 | said << 8 | 10 << 10) == chip
    with pytest.raises(UserError, match="version 7, not 6"):
        payload.files(_Board().read, {}, {}, _options("jikong_bms"), mpy=7)


def test_two_installations_at_the_same_time_do_not_mix(monkeypatch):
    def files(bms):
        return payload.files(_Board().read, {}, {}, _options(bms), mpy=6)

    def build_and_be_overtaken(*args, **more):
        build(*args, **more)
        monkeypatch.setattr(payload, "build", build)
        assert "/aiobmsble/bms/jbd_bms.mpy" in files("jbd_bms")

    monkeypatch.setattr(payload, "build", build_and_be_overtaken)
    drivers = {path for path in files("jikong_bms") if path.startswith("/aiobmsble/bms/j")}
    assert drivers == {"/aiobmsble/bms/jikong_bms.mpy"}


def test_what_is_in_a_group_with_secrets_is_never_shown():
    for word in ("hunter2", "12345678", '["hunter2"]'):
        with pytest.raises(UserError) as raised:
            payload.wishes(cli.make_parser().parse_args(["install", "--set", f"wifi={word}"]))
        assert "wifi is not right" in str(raised.value) and word not in str(raised.value)


_VAN = {"bms": "jikong_bms", "dev_name": "jk-pak01", "capacity_ah": 280}


def test_add_puts_batteries_behind_that_of_conn_py():
    house = payload._battery("jbd,my, house,99.5")
    assert house == {"bms": "jbd_bms", "dev_name": "my, house", "capacity_ah": 99.5}
    settings = payload._with([house], {"poll_s": 4}, _CONN)
    assert settings == {"poll_s": 4, "batteries": [_VAN, house]}
    larger = house | {"capacity_ah": 120}
    bow = payload._battery("daly_bms,bow,50")
    settings = payload._with([larger, bow], settings, _CONN)
    assert settings["batteries"] == [_VAN, larger, bow]
    # the rest of it stays, and where it is, for the log's address is noted by its place
    odd = [5, {"bms": ""}, house | {"secret": "1234"}, _VAN]
    settings = payload._with([larger], {"batteries": odd}, _CONN)
    assert settings["batteries"] == [5, {"bms": ""}, larger | {"secret": "1234"}, _VAN]
    with pytest.raises(UserError, match='"batteries": "all"'):
        payload._with([house], {"batteries": "all"}, _CONN)
    # what settings.json said of the first goes first, and moves into the list
    settings = payload._with([house], {"dev_name": "other", "secret": "1"}, _CONN)
    other = _VAN | {"dev_name": "other", "secret": "1"}
    assert settings == {"batteries": [other, house]}
    for text, sentence in (
        ("jbd", "must be MAKE,NAME,AH, like jbd,JBD-SP25S020,100"),
        ("jbd,a,many", "must be MAKE,NAME,AH"),
        ("jbd,a,nan", "must be MAKE,NAME,AH"),
        ("jbd,a,0", "capacity_ah is 0, must be a number from 1 to 10000"),
    ):
        with pytest.raises(UserError, match=sentence):
            payload._battery(text)


def test_the_drivers_of_several_are_those_of_each():
    jbd = {"bms": "jbd_bms", "dev_name": "a"}
    assert payload._drivers(_CONN, {"batteries": [_VAN, jbd]}) == ["jbd_bms", "jikong_bms"]
    assert payload._drivers(_CONN, {"batteries": [jbd]}) == ["jbd_bms", "jikong_bms"]
    assert payload._drivers(_CONN, {"batteries": "all"}) is None
    assert payload._drivers(_CONN, {"batteries": [jbd, {"dev_name": "b"}]}) is None
    listed = 'BATTERIES = (("daly_bms", "a", 5), ("jbd_bms", "b"))\n' + payload._halves(_CONN)[1]
    assert payload._drivers(listed, None) == ["daly_bms", "jbd_bms"]


def _program(board, *options):
    """Return the paths that belong on the board, below /, and its settings.json if it changes."""
    given = cli.make_parser().parse_args(["install", *options])
    files = payload.files(board.read, {}, payload.wishes(given), given, mpy=6)
    settings = files.get("/settings.json")
    return set(files) - {"/settings.json"}, settings and json.loads(settings)


def test_what_only_several_batteries_need_is_there_where_several_may_be(monkeypatch):
    monkeypatch.setattr(payload, "head_digest", lambda: None)  # the board's conn.py counts
    one, _ = _program(_Board())
    assert not one & set(payload.SEVERAL)
    all_of_it = one | set(payload.SEVERAL)
    jikong = [_VAN, _VAN | {"dev_name": "b"}]  # of one make: the drivers are the same
    for board, options in (
        (_Board(), ["--add", "jikong,b,100"]),
        (_Board(), ["--set", f"batteries={json.dumps(jikong)}"]),
        (_Board(settings_json=json.dumps({"batteries": jikong})), []),
        (_Board(settings_json='{"batteries": [{"dev_name": "b"},]}'), []),  # to be mended
        (_Board(conn_py='BATTERIES = (("jikong_bms", "a"),)\n' + _CONN), []),
        (_Board(conn_py='if 1:\n    BATTERIES: tuple = (("jikong_bms", "a"),)\n' + _CONN), []),
    ):
        assert _program(board, *options)[0] == all_of_it, options
    for settings in ('{"batteries": null}', '{"influx": {"battery": "batteries"}}', "{,}"):
        assert _program(_Board(settings_json=settings))[0] == one
    assert _program(_Board(conn_py="# BATTERIES = ()\n" + _CONN))[0] == one
    assert payload._several(_CONN, {"batteries": "all"}, b"")


def test_options_for_the_battery_count_or_say_why_not(monkeypatch, capsys):
    monkeypatch.setattr(payload, "head_digest", lambda: None)
    both = {"dev_name": "other", "capacity_ah": 100, "poll_s": 4}
    board = _Board(settings_json=json.dumps(both))
    assert _program(board)[1] is None
    assert _program(board, "--name", "mine")[1] == {"capacity_ah": 100, "poll_s": 4}
    assert _program(board, "--capacity", "99", "--name", "a")[1] == {"poll_s": 4}
    # and as the first of several
    settings = _program(board, "--name", "mine", "--add", "jikong,b,7")[1]
    assert [one["dev_name"] for one in settings["batteries"]] == ["mine", "b"]
    said = ": without effect, for the batteries of this board are listed in "
    assert said not in capsys.readouterr().err
    board = _Board(settings_json=json.dumps({"batteries": [_VAN]}))
    _program(board, "--lcd", "20x4")
    _program(board, "--set", f"batteries={json.dumps([_VAN])}", "--name", "a")  # --restore does so
    assert said not in capsys.readouterr().err
    _program(board, "--name", "a", "--capacity", "7")
    assert f"--name and --capacity{said}its settings.json; --add" in capsys.readouterr().err
    board = _Board(conn_py='BATTERIES = [("jikong_bms", "a")]\n' + _CONN)
    _program(board, "--bms", "jikong_bms")
    assert f"--bms{said}BATTERIES of conn.py; change" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"--add: conn\.py lists the batteries of this board"):
        _program(board, "--add", "jbd,b,7")
