"""settings.json: whatever it holds is applied or refused with a sentence, on both interpreters."""

import json
import math
import re
import subprocess

import pytest
from hypothesis import HealthCheck, Phase, assume, example, given, settings
from hypothesis import strategies as st

from batmon.firmware import build, interpreter, settingsdoc

_SETTINGS = settingsdoc.load()
_KEYS = [row[0] for row in _SETTINGS.rows()]
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.sampled_from((16, 20, 2, 4, "auto", "common", "on", ""))
    | st.floats()
    | st.text(max_size=80)
)
_VALUES = st.recursive(_LEAVES, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v))
# Real keys, groups with real and wrong names, and anything else.
_NAMES = st.sampled_from([*_KEYS, *{key.split(".")[-1] for key in _KEYS}]) | st.text(max_size=12)
_FILES = st.dictionaries(
    _NAMES | st.sampled_from(sorted({key.split(".")[0] for key in _KEYS})),
    st.dictionaries(_NAMES, _VALUES, max_size=4) | _VALUES,
    max_size=6,
)
_SENTENCE = re.compile(
    r"settings\.json(: .+ is .+, must be .+; using .+|: unknown key .+, ignored"
    r"| (is not valid JSON|must be \{\.\.\.\}|is larger than \d+ bytes); using defaults)",
    re.S,
)


def _flat(given: dict) -> dict:
    groups = {key.split(".")[0] for key in _KEYS if "." in key}
    flat, other = {}, {}
    for key, value in given.items():
        if key in groups and isinstance(value, dict):
            flat.update({f"{key}.{name}": below for name, below in value.items()})
        elif key == "rest" and isinstance(value, bool):  # short for the usual minutes, and none
            flat["rest.minutes"] = 10 if value else 0
        else:
            other[key] = value
    return flat | other


@settings(max_examples=200)
@given(_FILES | _VALUES)
@example({"batteries": [float("nan")]})
@example({"rest": True})
@example({"rest": False})
def test_everything_is_applied_or_refused(tmp_path_factory, given):
    path = tmp_path_factory.getbasetemp() / "settings.json"
    path.write_text(json.dumps(given))
    loaded, sentences = _SETTINGS.load(str(path))
    defaults, _ = _SETTINGS.load("/nowhere/settings.json")
    assert list(loaded) == list(defaults) == _KEYS
    assert all(_SENTENCE.fullmatch(sentence) for sentence in sentences), sentences
    if not isinstance(given, dict) or path.stat().st_size > 4096:
        assert loaded == defaults and len(sentences) == 1
        return
    for key, value in _flat(given).items():
        taken = loaded.get(key)
        applied = taken is not None and (taken == value or repr(taken) == repr(value))  # [nan]
        refused = [s for s in sentences if f": {key} is " in s or "unknown key" in s or key in s]
        assert applied or refused, (key, value, sentences)
    for key in set(_KEYS) - set(_flat(given)):
        assert loaded[key] == defaults[key]


_BROKEN = (
    "", "{", '{"a":1', "[]", "null", "{1: 2}", "{[]: 1}", "[" * 4000, "{" * 5000, "\xff",
    '{"a":1}}',
)  # fmt: skip


@pytest.mark.parametrize("text", _BROKEN)
def test_broken_files(tmp_path, text):
    path = tmp_path / "settings.json"
    path.write_text(text, encoding="latin-1")
    loaded, sentences = _SETTINGS.load(str(path))
    assert loaded == _SETTINGS.load("/nowhere")[0] and len(sentences) == 1


@pytest.mark.parametrize("which", interpreter.present(), ids=interpreter.label)
def test_both_interpreters_agree(tmp_path, which):
    """The same files on MicroPython, which reads JSON and compares numbers its own way."""
    examples = [
        {"lcd": {"cols": 21, "rows": 4, "fitted": 1, "wiring": "common", "sda_pin": 21.5}},
        {"lcd": 5, "wifi": {"ssid": "a\x01", "password": 5}, "bms": [], "dev_name": {}},
        {"poll_s": 1.5, "capacity_ah": True, "lcd.rows": 4, "influx": {"polls": True, "x": 1}},
        {"poll_s": 10**40, "watchdog_s": 19, "secret": "x" * 65, "wifi": {"ssid": "Küche"}},
        {"lcd": {"address": 39.0, "backlight": "auto"}, "alarm": {"soc": 1e300}},
        # said twice
        {"rest.minutes": 5, "rest": True, "lcd.cols": 20, "lcd": {"cols": 16, "rows": 4}},
        {"rest": False, "rest.minutes": {}, "lcd": {"cols": 20}, "lcd.cols": 16, "poll_s": 0},
    ]
    files = []
    for number, case in enumerate(examples):
        (tmp_path / f"{number}").mkdir()
        files.append(str(tmp_path / f"{number}" / "settings.json"))
        (tmp_path / f"{number}" / "settings.json").write_text(json.dumps(case))
    for number, text in enumerate(_BROKEN):
        if text != "{1: 2}":  # which MicroPython reads
            files.append(str(tmp_path / f"broken{number}.json"))
            (tmp_path / f"broken{number}.json").write_text(text, encoding="latin-1")
    code = (
        f"import sys, json; sys.path.insert(0, {str(build.ROOT)!r}); from app import settings\n"
        f"for file in {files!r}: print(json.dumps(settings.load(file)))"
    )
    command = [interpreter.micropython(which), "-c", code]
    said = subprocess.run(command, capture_output=True, text=True)
    assert [json.loads(line) for line in said.stdout.splitlines()] == [
        json.loads(json.dumps(_SETTINGS.load(file))) for file in files
    ], said.stderr


@pytest.mark.parametrize("value, good", [(0, 1), (20, 1), (3600, 1), (19, 0), (-1, 0), (20.5, 0)])
def test_zero_switches_off_what_has_a_least_value(tmp_path, value, good):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"watchdog_s": value}))
    loaded, sentences = _SETTINGS.load(str(path))
    assert loaded["watchdog_s"] == (value if good else 300)
    words = f"watchdog_s is {value}, must be 0 or a whole number from 20 to 3600; using 300"
    assert sentences == ([] if good else [f"settings.json: {words}"])


def _limits(allowed: str) -> tuple[list, list]:
    """Return values that are just allowed, and values that just are not."""
    if allowed in ("text", "secret"):
        return ["", "x" * 64, "Zoë ~"], ["x" * 65, "a\x1f", "\n", 5, None, ["a"]]
    if allowed == "pairing":
        allow = ["off", "just works", "000000", "123456"]
        return allow, ["on", "12345", "1234567", "12345a", "12 456", "", 123456, 0, None, ["off"]]
    if allowed == "phone":
        return ["auto", "on", "off", "012345"], ["yes", "12345", "12345a", "", 123456, True, None]
    if allowed == "batteries":  # each of them is looked at by app/several.py
        return ["all", [{"dev_name": "van"}], [5]], ["van", [], {}, 5, None, True]
    if "|" in allowed and ".." not in allowed:
        choices = json.loads(f"[{allowed.replace('|', ',')}]")
        return choices, [str(choices), 1, 16.0, "16", None, "", choices]
    off, _, limits = allowed.rpartition("|")
    low, high = (float(word) for word in limits.split(".."))
    allow = [low, high, *([0] if off else [])]
    refuse = [low - 1, high + 1, math.nan, math.inf, -math.inf, True, str(high), None, [low]]
    (allow if "." in limits.replace("..", "") else refuse).append(low + 0.5)
    return allow, refuse


@pytest.mark.parametrize("row", list(_SETTINGS.rows()), ids=lambda row: row[0])
def test_the_limits_of_every_setting(tmp_path, row):
    path = tmp_path / "settings.json"
    key, _, allowed, _, _ = row
    defaults, sentences = _SETTINGS.load(str(path))
    assert sentences == []  # there need not be one
    allow, refuse = _limits(allowed)
    for value in allow:
        path.write_text(json.dumps({key: value}))
        loaded, sentences = _SETTINGS.load(str(path))
        assert (loaded[key], sentences) == (value, [])
        assert not isinstance(loaded[key], float) or "." in allowed.replace("..", "")
    for value in refuse:
        path.write_text(json.dumps({key: value}))
        loaded, sentences = _SETTINGS.load(str(path))
        assert loaded == defaults and len(sentences) == 1, value
        assert re.fullmatch(rf"settings.json: {key} is [ -~]+, must be .*; using .*", sentences[0])


def test_secrets_are_never_shown(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"secret": 98765, "wifi": {"password": ["tomato"]}}))
    _, sentences = _SETTINGS.load(str(path))
    assert len(sentences) == 2
    path.write_text(json.dumps({"capacity_ah": 0}))
    assert _SETTINGS.load(str(path))[1][0].endswith("10000; using conn.py's")
    assert not any("98765" in sentence or "tomato" in sentence for sentence in sentences)


def test_every_default_is_allowed_by_its_own_row(tmp_path):
    path = tmp_path / "settings.json"
    defaults, _ = _SETTINGS.load("/nowhere")
    path.write_text(json.dumps({key: v for key, v in defaults.items() if v is not None}))
    assert _SETTINGS.load(str(path)) == (defaults, [])


def test_the_document_is_current():
    assert settingsdoc.PATH.read_text() == settingsdoc.document(), (
        "run python -m batmon.firmware.settingsdoc"
    )


_START = settings(
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),  # a board takes its time
)


def _starts(run, folder, given):
    path = folder / "settings.json"
    path.write_text(json.dumps(given))
    assume(not re.search("NaN|Infinity", path.read_text()))  # the board's file is made by JSON
    loaded, sentences = _SETTINGS.load(str(path))
    assume(loaded["lcd.wiring"] == "common")  # the display is wired so
    _, words, glass = run(2, settings=given)
    for bad in ("Traceback", "safe mode", "starts again", "restarted"):
        assert bad not in words, words
    shown = " ".join(glass.split())
    if "mend it and restart" in shown:  # nothing can be logged so: the reason is on the glass
        assert "batter" in shown, glass
    else:
        assert "connected" in words or "looking for" in words or "edit it" in glass, words
    said = [line for line in words.split("\n") if line.startswith("settings.json")]
    assert len(said) >= len(sentences), words
    display = [key for key in _KEYS if key.startswith("lcd.")]
    if sentences and all(loaded[key] == _SETTINGS.load("/nowhere")[0][key] for key in display):
        assert any(word in glass for word in sentences[0].split() if len(word) > 4), glass


@settings(_START, max_examples=3)
@given(_FILES)
@example({"watchdog_s": 1})
@example({"batteries": [{}], "alarm": []})
def test_the_app_starts_whatever_they_hold(run, tmp_path, given):
    _starts(run, tmp_path, given)


@pytest.mark.campaign
@settings(_START, max_examples=150)
@given(_FILES)
def test_the_app_starts_whatever_hundreds_hold(run, tmp_path, given):
    _starts(run, tmp_path, given)
