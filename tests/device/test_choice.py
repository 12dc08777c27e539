# What the user chose: conn.py and the settings, right and wrong
from app import choice


class Conn:
    """The module of a user's conn.py."""

    def __init__(self, source):
        names = {}
        exec(source, names)
        for name in names:
            setattr(self, name, names[name])


_WANT = {"bms": None, "dev_name": None, "capacity_ah": None, "pairing": "off"}


def chosen(source, **want):
    """What is chosen, or the sentence about it."""
    try:
        conn = Conn(source)
    except Exception as exc:  # as start.py hands it over
        conn = exc
    try:
        want = dict(_WANT, **want)
        return choice.choose(conn, want)
    except ValueError as exc:
        return str(exc)


_GOOD = "BMS = 1; dev_name = 'a'; DESIGN_CAP = 280"


def test_the_settings_go_before_conn_py():
    assert chosen(_GOOD) == (1, "a", 280)
    assert chosen(_GOOD, dev_name="b", capacity_ah=9.5) == (1, "b", 9.5)
    assert chosen(_GOOD, dev_name="", bms="") == (1, "", 280)
    assert chosen("BMS = 1", dev_name="b", capacity_ah=9) == (1, "b", 9)
    assert chosen("dev_name = ''; DESIGN_CAP = 1") == (None, "", 1)


def test_a_mistake_is_named_with_its_remedy():
    lines = ", check the three lines at its top"
    for source, wanted in (
        ("dev_name = 'a'", "no attribute 'DESIGN_CAP'" + lines),
        ("DESIGN_CAP = 1", "no attribute 'dev_name'" + lines),
        ("dev_name = jkpak01", 'text stands in quotes: "jkpak01"'),
        ("dev_name = jk-pak01", 'text stands in quotes: "jk"'),
        ("raise NameError('odd')", "odd" + lines),
        ("dev_name = 'jk", "not valid Python" + lines),
        ("  a = 1\n b = 2", "not valid Python" + lines),
        ("DESIGN_CAP = 1/0", "divide by zero" + lines),
        ("from app.choice import BMX", "can't import name BMX" + lines),
        ("import aiobmble", "no module named 'aiobmble'; install the libraries again"),
        (
            "raise ImportError(\"no module named 'aiobmsble.bms.jikonk'\")",
            "there is no BMS driver jikonk, see docs/BMS.md for names",
        ),
        (_GOOD + "; dev_name = 7", "dev_name is 7, must be text in quotes"),
    ):
        sentence = chosen(source)
        assert sentence.startswith("conn.py: ") and sentence.endswith(wanted), sentence
    for capacity in ("0", "-5", "10001", "float('nan')", "float('inf')", "'280'", "None", "(2, 5)"):
        sentence = chosen(_GOOD + "; DESIGN_CAP = " + capacity)
        wanted = "conn.py: DESIGN_CAP is %r, must be 1 to 10000 (Ah)" % (eval(capacity),)
        assert sentence == wanted, sentence
    assert chosen(_GOOD, bms="no.such").startswith("settings.json: ")


def test_too_little_memory_is_not_the_users_mistake():
    try:
        chosen("raise MemoryError")
    except MemoryError:
        return
    raise AssertionError


def test_links_are_paired_only_when_that_is_chosen():
    import bleak.pairing
    import bleradio
    from aioble import core

    chosen(_GOOD)
    assert bleak.BleakClient.pair is None
    try:
        chosen(_GOOD, pairing="012345")
        assert bleak.BleakClient.pair and bleak.pairing._passkey == 12345
    finally:
        bleak.BleakClient.pair = None
        bleradio.setup.remove(bleak.pairing._secure)
        core._irq_handlers.remove(bleak.pairing._irq)
