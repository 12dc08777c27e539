"""One version everywhere, and what the licenses of others ask for."""

import importlib.metadata
import re

import pytest

from batmon import cli
from batmon.firmware.build import build
from batmon.paths import BOARD, ROOT
from batmon.version import VERSION, parts
from batmon.web import report

_NOTICE = (ROOT / "NOTICE").read_text()


def _words(text: str) -> str:
    return " ".join(text.split())


def test_the_command_says_the_version(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0 and capsys.readouterr().out == f"batmon {VERSION}\n"


def test_newer_versions_are_larger():
    names = ["0.1.0", "0.2.0", "0.2.1", "0.10.0", "1.0.0", "10.0"]
    assert sorted(reversed(names), key=parts) == names
    assert parts("") < parts("0.1.0")


def test_the_changelog_begins_with_this_version_and_the_others_are_tested_against():
    versions = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert versions[0] == VERSION and versions == sorted(versions, key=parts, reverse=True)
    for version in versions[1:]:
        assert (ROOT / "tests/data/upgrade" / version / "truth.json").exists()


def test_the_version_stands_in_one_place_only():
    """What is packaged has it from there too."""
    project = (ROOT / "pyproject.toml").read_text()
    assert 'dynamic = ["version"]' in project and 'path = "app/version.py"' in project
    assert not re.search(r"^version", project, re.M)


def test_the_license_of_the_drivers_is_here_and_theirs():
    about = importlib.metadata.distribution("aiobmsble")
    assert about.metadata["License-Expression"] == "Apache-2.0"
    theirs = about.read_text("licenses/LICENSE")
    assert (ROOT / "docs/LICENSE.Apache-2.0").read_text().strip() == theirs.strip()
    assert not about.read_text("licenses/NOTICE")  # it would have to come along
    for author in re.findall("@\\w+", about.metadata["Author"]):
        assert author in _NOTICE
    ours = {path.stem for path in (ROOT / "aiobmsble").glob("*.py")}
    (said,) = re.findall(r"except ([\w, ]+?), which are ours", _words(_NOTICE))
    assert set(re.split(", | and ", said)) == ours


def test_the_notice_has_what_the_other_licenses_ask_for():
    _, _, permission = (ROOT / "LICENSE").read_text().partition("\n\nPermission is")
    assert _words(f"Permission is {permission}") in _words(_NOTICE)
    library = report.page([], "UTC").split("<script>", 1)[1]
    year, owner = re.findall(r"Copyright \(c\) (\d+), (.*)\n.*MIT Licensed", library)[0]
    assert f"uPlot. Copyright (c) {year} {owner}. MIT license" in _words(_NOTICE)
    assert "Copyright (c) 2021 Jim Mussared. MIT license" in _NOTICE


def test_the_notice_goes_where_the_work_of_others_goes():
    build()
    assert (BOARD / "NOTICE").read_text() == _NOTICE
    page = report.page([], "UTC")
    assert f"<!--\n{_NOTICE}-->" in page and "--" not in _NOTICE
    assert f"<footer>batmon {VERSION};" in page
