"""Programs that some tests need beyond Python's packages: host/testtools.sh installs them."""

import os
import shutil

import pytest


def program(name: str, package: str) -> str:
    """Return the path of a program; without it the test is skipped, in CI it fails."""
    path = shutil.which(name)
    if path:
        return path
    sentence = f"{name} is missing; on Debian and Ubuntu `apt install {package}` provides it"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)
