# What a board remembers of where its battery was
import os

from app import known

_FOLDER = "/tmp/batmon-test-known-%s" % os.urandom(4).hex()  # of this process


def test_it_is_remembered_for_the_name_it_was_noted_with():
    os.mkdir(_FOLDER)
    assert known.read(_FOLDER, "van") == (None, None)
    for name, called in (("van", "van"), ("", "JK pack 1"), ("a4:c1:37:12:34:56", "x")):
        known.write(_FOLDER, name, "A4:C1:37:12:34:56", called, "van")
        assert known.read(_FOLDER, name) == ("A4:C1:37:12:34:56", called)
        assert known.read(_FOLDER, name + "2") == (None, None)
    for damage in ("", "van", "van\n", "\n\n", "van\nA4", "van\nA4\nvan\n"):
        with open(_FOLDER + "/bms", "w") as f:
            f.write(damage)
        known.read(_FOLDER, "van")
        assert known.logs(_FOLDER) == {}, damage
    known.write(_FOLDER, "van", "A4:C1:37:12:34:56", "van", "van")
    known.write(_FOLDER, "van", "A4:C1:37:12:34:57", "van", "van_3457", 1)  # of another battery
    assert known.logs(_FOLDER) == {"A4:C1:37:12:34:56": "van", "A4:C1:37:12:34:57": "van_3457"}
    assert known.read(_FOLDER, "van") == ("A4:C1:37:12:34:56", "van")
    assert known.read(_FOLDER, "van", 1) == ("A4:C1:37:12:34:57", "van")
    known.write("/no/such/folder", "van", "A4:C1:37:12:34:56", "van", "van")
    assert known.read("/no/such/folder", "van") == (None, None)
    for name in ("/bms", "/bms1"):
        os.remove(_FOLDER + name)
    os.rmdir(_FOLDER)
