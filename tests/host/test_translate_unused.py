"""What the chosen drivers never use goes, and what they do stays."""

import json
import os
import random
import subprocess
from pathlib import Path

import pytest

from batmon.drivers import plain, translator, unused
from batmon.firmware import build
from batmon.firmware.interpreter import micropython

_VECTORS = Path(__file__).parents[1] / "data" / "vectors"
_DEVICE = Path(__file__).parents[1] / "device"

_PLAY = """
import sys
sys.path[:] = {paths!r}
import vclock
vclock.install()
import asyncio, conversation, json
async def main():
    with open({file!r}) as f:
        recorded = json.load(f)
    for case in recorded["cases"]:
        print(await conversation.play(recorded["module"], case))
asyncio.run(main())
"""


def _small(folder, sources, user):
    for name, text in sources.items():
        (folder / f"{name}.py").write_text(text)
    (folder.parent / "user.py").write_text(user)
    unused.drop(folder, [folder.parent / "user.py"])
    return {name: (folder / f"{name}.py").read_text() for name in sources}


def test_only_what_is_used_stays(tmp_path):
    folder = tmp_path / "tree"
    folder.mkdir()
    left = _small(
        folder,
        {
            "low": "# Licence\ndef a():\n    return b()\n\ndef b():\n    return 1\n\n"
            "def c():\n    return d()\n\ndef d():\n    return 2\n",
            "high": "import sys\nfrom low import (\n    a, c,\n)\n\nclass K:\n    x = 1\n"
            "    y = x\n\n    class T:\n        Z = 1\n\n    @staticmethod\n    def gone(T):\n"
            "        return T, c()\n\n    def __init__(self):\n        self.y = a()\n\n"
            "class Empty:\n    def gone_too(self):\n        pass\n\nclass Never:\n    pass\n",
        },
        "import high\nhigh.K()\ngetattr(high, 'Empty')\n",
    )
    assert left["low"] == "# Licence\ndef a():\n    return b()\n\ndef b():\n    return 1\n\n\n"
    high = left["high"]
    assert "from low import a\n" in high and "import sys" in high
    for word in ("gone", "class T", "Never", "c()"):
        assert word not in high
    names = {"low": None}
    exec(high.replace("from low import a", "a = int"), names)
    assert names["K"]().y == 0 and names["K"].x == 1 and names["Empty"]


def test_what_every_heir_has_of_its_own_goes_unless_somebody_asks_the_base(tmp_path):
    folder = tmp_path / "tree"
    folder.mkdir()
    base = "class {}:\n    def told(self):\n        return 0\n\n"
    base += "    def asked(self):\n        return 1\n\n"
    base += "    def inherited(self):\n        return 2\n\n"
    heir = "class Heir({}):\n    def told(self):\n        return 3\n\n"
    heir += "    def asked(self):\n        return super().asked()\n\n"
    used = "Heir().told()\nHeir().asked()\nHeir().inherited()\n"
    left = _small(
        folder,
        {
            "base": base.format("Base") + base.format("Made") + "def _mine():\n    return 4\n",
            "heir": "from base import Base, Made\n\n" + heir.format("Base"),
            "other": "from base import Base, Made\n\n" + heir.format("Made"),
            "late": "from other import Heir\n\nclass Late(Heir):\n    pass\n",
        },
        "import base\nfrom heir import Heir\nfrom late import Late\n"
        "class User:\n    def _mine(self):\n        return self._mine()\n"
        + used
        + "Late(), base.Made()\n",
    )
    first, second = left["base"].split("class Made")
    assert "told" not in first and "asked" in first and "inherited" in first
    assert "told" in second  # there are objects of it
    assert "_mine" not in second  # another's
    assert "told" in left["heir"] and "told" in left["other"]


def test_a_method_of_bytes_stays_if_it_is_called_on_such_bytes(tmp_path):
    folder = tmp_path / "tree"
    folder.mkdir()
    own = "".join(f"    def {name}(self):\n        return self\n\n" for name in ("strip", "rstrip"))
    left = _small(
        folder,
        {
            "low": f"class Frame(bytearray):\n    def __init__(self):\n        pass\n\n{own}"
            "    def __repr__(self):\n        return ''\n\n",
            "high": "from low import Frame\n\nclass K:\n    def __init__(self):\n"
            "        self.frame = Frame()\n\n    def go(self):\n        frame = self.frame\n"
            "        frame.rstrip()\n        return ' a '.strip()\n",
        },
        "from high import K\nK().go()\n",
    )
    assert "rstrip" in left["low"] and "__init__" in left["low"]
    assert "def strip" not in left["low"] and "__repr__" not in left["low"]


def test_derived_values_are_plain_and_what_drivers_decide_is_not(tmp_path):
    for name, exact in (("jikong_bms", False), ("topband_bms", True)):
        folder = tmp_path / name / "aiobmsble"
        translator.translate(folder.parent, [name])
        before = (folder / f"bms/{name}.py").read_text()
        plain.derive(folder)
        derived = (folder / "_sample_calc.py").read_text()
        assert "exact" not in derived
        assert "data.get('voltage', 0) * data.get('current', 0)" in derived
        assert (folder / f"bms/{name}.py").read_text() == before
        assert ("quotient(x, 1000)" in (folder / "exact.py").read_text()) == exact


def _chosen():
    seed = int(os.environ.get("SEED", "1"), 16)
    recorded = sorted(path.stem for path in _VECTORS.glob("*_bms.json"))
    return sorted({"jikong_bms", "jbd_bms", *random.Random(seed).sample(recorded, 2)})


@pytest.mark.parametrize(
    "names",
    [
        _chosen(),
        pytest.param(
            sorted(path.stem for path in _VECTORS.glob("*_bms.json")), marks=pytest.mark.campaign
        ),
    ],
    ids=["few", "all"],
)
def test_alone_a_driver_gives_the_recorded_samples(names, tmp_path):
    users = [*build.ROOT.glob("*.py"), _DEVICE / "conversation.py"]
    for name in names:
        tree = tmp_path / name
        translator.translate(tree, [name])
        before = sum(path.stat().st_size for path in tree.rglob("*.py"))
        plain.derive(tree / "aiobmsble")
        unused.drop(tree / "aiobmsble", users)
        assert sum(path.stat().st_size for path in tree.rglob("*.py")) < 0.95 * before
        paths = [str(build.ROOT / "sim"), str(tree), str(build.ROOT / "lib"), str(_DEVICE)]
        code = _PLAY.format(paths=[*paths, ".frozen"], file=str(_VECTORS / f"{name}.json"))
        command = [micropython(), "-X", "heapsize=8M", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, name + done.stdout + done.stderr
        cases = json.loads((_VECTORS / f"{name}.json").read_text())["cases"]
        assert done.stdout.splitlines().count("[]") == len(cases), name + done.stdout
