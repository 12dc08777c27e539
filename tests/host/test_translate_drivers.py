"""Every driver of the pinned aiobmsble is translated, the same at every run, and identified."""

import asyncio
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from aiobmsble._sample_calc import derive_missing_fields
from aiobmsble.test_data import bms_advertisements, ignore_advertisements
from aiobmsble.utils import bms_identify

from batmon.drivers import allowlist, table, translator
from batmon.firmware import build, interpreter


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """All drivers, translated once."""
    out = tmp_path_factory.mktemp("drivers")
    translator.translate(out)
    return out


@pytest.fixture(params=interpreter.present(), ids=interpreter.label)
def run(request, tree):
    """Return a function that runs device code with the translated tree; what it prints."""
    paths = [str(build.ROOT / "sim"), str(tree), str(build.ROOT / "lib"), ".frozen"]

    def run(code: str) -> str:
        # one after the other, as app/start.py does: imports inside imports take stack
        code = f"import sys\nsys.path[:] = {paths!r}\nimport asyncio, aioble, bleak\n{code}"
        command = [interpreter.micropython(request.param), "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_every_driver_is_there_and_can_be_imported(tree, run):
    names = translator.drivers()
    assert len(names) == 53
    assert [path.stem for path in sorted((tree / "aiobmsble/bms").glob("*_bms.py"))] == names
    code = (
        "from aiobmsble.identify import driver\n"
        f"for name in {names!r}:\n    print(driver(name).bms_id())"
    )
    printed = run(code).splitlines()
    assert len(printed) == len(names)
    assert "Jikong smart BMS" in printed


def test_what_a_bms_does_not_tell_is_derived_as_upstream_does(run, tmp_path):
    some = random.Random(4)
    told = {
        "voltage": 52.97, "current": -2.33, "battery_level": 56, "cycle_charge": 113.2,
        "design_capacity": 202, "total_charge": 4711, "power": 99.0, "cycles": 7, "runtime": 60,
        "cell_voltages": [3.31, 3.314, 3.308], "temp_values": [19.5, 20.0],
        "battery_charging": True,
    }  # fmt: skip
    cases = []
    for _ in range(150):
        sample = {key: told[key] for key in told if some.randrange(2)}
        if "current" in sample:
            sample["current"] = some.choice((0.0, 2.33, -2.33))
        cases.append((sample, some.sample(sorted(told), some.randrange(3))))
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    code = (
        "import json\nfrom aiobmsble._sample_calc import derive_missing_fields\n"
        f"for sample, raw in json.load(open({str(tmp_path / 'cases.json')!r})):\n"
        "    derive_missing_fields(sample, raw)\n    print(json.dumps(sample))"
    )
    derived = [json.loads(line) for line in run(code).splitlines()]
    for (sample, raw), ours in zip(cases, derived, strict=True):
        derive_missing_fields(sample, frozenset(raw))
        assert ours == pytest.approx(sample, rel=1e-6)


def test_every_module_carries_its_licence_and_version(tree):
    for name in translator.drivers():
        head = (tree / f"aiobmsble/bms/{name}.py").read_text().splitlines()[:2]
        assert f"aiobmsble.bms.{name} 0.31.0" in head[0]
        assert "aiobmsble" in head[1] and "Apache-2.0" in head[1]


def test_two_runs_write_the_same_bytes(tree, tmp_path):
    code = (
        "import pathlib, sys; from batmon.drivers.translator import translate; "
        "translate(pathlib.Path(sys.argv[1]), sys.argv[2:])"
    )
    # Those that iterate sets, whose order may depend on the salt of the run.
    names = "braunpwr dpwrcore greenway humsienk roypow seplos seplos_v2 tdt tianpwr vatrer".split()
    salted = {**os.environ, "PYTHONHASHSEED": "4711"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path), *names], env=salted, check=True)
    files = {path.relative_to(tmp_path) for path in tmp_path.rglob("*.py")}
    assert len(files) > len(names)
    for file in files - {Path("aiobmsble/matchers.py")}:
        assert (tree / file).read_bytes() == (tmp_path / file).read_bytes(), file


def test_only_takes_what_the_chosen_drivers_need(tmp_path):
    written = translator.translate(tmp_path, ["pwrxtreme", "dummy_bms"])
    assert [name for name in written if ".bms." in name] == [
        "aiobmsble.bms.dummy_bms",
        "aiobmsble.bms.pwrxtreme_bms",
        "aiobmsble.bms.topband_bms",
    ]
    with pytest.raises(ValueError, match=r"no BMS driver .nosuch.; .*docs/BMS\.md lists"):
        translator.translate(tmp_path, ["nosuch"])
    with pytest.raises(ValueError, match=r"no BMS driver .jk.; is it jikong or jbd"):
        translator.translate(tmp_path, ["jk"])


def test_what_cannot_be_translated_is_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(allowlist, "METHODS", allowlist.METHODS - {"fromhex"})
    refused = []
    written = translator.translate(tmp_path, ["topband", "jbd"], refused)
    assert "aiobmsble.bms.jbd_bms" in written and "aiobmsble.bms.topband_bms" not in written
    assert len(refused) == 1
    assert re.fullmatch(r"topband_bms\.py:\d+: method fromhex\(\)", refused[0])


def test_the_runtime_is_not_overwritten():
    with pytest.raises(ValueError, match="runtime"):
        translator.translate(build.ROOT, ["dummy"])


def test_the_table_of_supported_bms_is_current():
    made = table.text_of(translator.drivers())
    assert made.count("\n| `") == 52
    assert (build.ROOT / "docs/BMS.md").read_text() == made, "batmon drivers --table docs/BMS.md"


def _advertisements() -> list[dict]:
    async def identified(adv, address):
        found = await bms_identify(adv, address)
        return found.__module__.rpartition(".")[2] if found else None

    return [
        {
            "name": adv.local_name,
            "manufacturer": [[key, data.hex()] for key, data in adv.manufacturer_data.items()],
            "service_data": [[key, data.hex()] for key, data in adv.service_data.items()],
            "services": adv.service_uuids,
            "address": address,
            "driver": asyncio.run(identified(adv, address)),
        }
        for heard, sender, _, _ in (*bms_advertisements(), *ignore_advertisements())
        for adv, address in _varied(heard, sender)
    ]


def _varied(adv, address):
    """Yield an advertisement, and what differs from it in one thing that a matcher may ask for."""
    yield adv, address
    yield adv, "AA:BB:CC" + address[8:]
    other = {} if adv.service_data else {"0000abcd-0000-1000-8000-00805f9b34fb": b"\1"}
    makers = adv.manufacturer_data
    for change in (
        {"service_data": other},
        {"service_uuids": []},
        {"local_name": ""},
        {"manufacturer_data": {}},
        {"manufacturer_data": {maker: b"\x55" + data for maker, data in makers.items()}},
        {"manufacturer_data": {maker ^ 1: data for maker, data in makers.items()}},
    ):
        yield adv._replace(**change), address


_IDENTIFY = """
import json
import aiobmsble
from aiobmsble.identify import identify

class Thing:
    pass

for line in open({path!r}):
    part = json.loads(line)
    device, adv = Thing(), Thing()
    device.address = part["address"]
    adv.local_name = part["name"]
    adv.service_uuids = part["services"]
    adv.manufacturer_data = {{key: bytes.fromhex(data) for key, data in part["manufacturer"]}}
    adv.service_data = {{key: bytes.fromhex(data) for key, data in part["service_data"]}}
    found = identify(device, adv)
    assert not (found and hasattr(aiobmsble, "matchers")), "its table stays in memory"
    print(json.dumps(found))
"""


def test_identifies_every_advertisement_as_upstream_does(run, tmp_path):
    advertisements = _advertisements()
    assert len({part["driver"] for part in advertisements}) > 40
    path = tmp_path / "advertisements.jsonl"
    path.write_text("".join(json.dumps(part) + "\n" for part in advertisements))
    answers = [
        json.loads(line) for line in run(_IDENTIFY.format(path=str(path))).split("\n") if line
    ]
    assert answers == [part["driver"] for part in advertisements]


def test_patterns_match_as_on_the_pc(run):
    from fnmatch import fnmatchcase

    long = "[0-5][2-8]V[0-9]*A[Hh]-[0-9]*"
    patterns = ["", *"* a* *a a?c [a-c]x [!a]x a*b*c [ a[ []x] ** ? [2,4]* *[!b]".split(), long]
    texts = ["", *"a abc ax bx dx aXbXc [ a[ ] x 12V0Ah-3 ,1 ab".split()]
    code = (
        "from aiobmsble.identify import glob\n"
        f"for p in {patterns!r}:\n    print([glob(p, t) for t in {texts!r}])"
    )
    expected = [str([fnmatchcase(text, p) for text in texts]) for p in patterns]
    assert run(code).splitlines() == expected
