#!/bin/sh
# Makes .venv usable: does nothing when it is current, mends or rebuilds it when it is not.
# `venv.sh base` installs what batmon itself needs, `venv.sh` what its tests need besides.
# PYTHON= picks the interpreter; without it the usual names are tried, 3.12 or newer.
set -u
# Without links in its path: whichever leads here, it is the same .venv.
cd -P "$(dirname "$0")/.." || exit 1

stage=${1:-dev}
want=$(cksum <pyproject.toml; pwd)

fail() {
    echo "batmon: $1" >&2
    exit 1
}

works() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1
}

current() {
    [ "$(cat ".venv/batmon-$1" 2>/dev/null)" = "$want" ]
}

# dev has all that base has
if current dev || { [ "$stage" = base ] && current base; }; then
    .venv/bin/python -c 'import batmon' 2>/dev/null && exit 0
fi

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        works "$PYTHON" || fail "PYTHON=$PYTHON is not a working Python 3.12 or newer."
        echo "$PYTHON"
        return
    fi
    for name in python3 python3.14 python3.13 python3.12; do
        works "$name" && echo "$name" && return
    done
    fail "needs Python 3.12 or newer, found $(python3 --version 2>&1 | head -n 1);
install one (python.org, your package manager, pyenv or uv) or set PYTHON=/path/to/python3."
}

log=$(mktemp) || fail "cannot write a temporary file."
trap 'rm -f "$log"' EXIT

# Its programs name the folder they were made for; python and pip must still run.
usable() {
    [ "$(head -n 1 .venv/bin/pip 2>/dev/null | cut -c "3-$((${#PWD} + 2))")" = "$PWD" ] &&
        works .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1
}

# An environment that is only out of date is updated, anything else is made anew.
if ! usable; then
    python=$(find_python) || exit 1
    echo "batmon: making .venv with $("$python" --version)"
    if ! "$python" -m venv --clear .venv >"$log" 2>&1; then
        cat "$log" >&2
        rm -rf .venv
        fail "$python cannot make a virtual environment;
on Debian and Ubuntu the package python3-venv is missing (sudo apt install python3-venv)."
    fi
fi

echo "batmon: installing the pinned packages into .venv (once, needs the network)"
rm -f .venv/batmon-base .venv/batmon-dev
backend=$(.venv/bin/python -c '
import tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])')
# The build backend lives in .venv too, so that nothing is fetched when all is there already.
pip() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@" >"$log" 2>&1 || {
        cat "$log" >&2
        fail "pip could not install the packages named in pyproject.toml (its words are above);
check the network connection, then run the same command again."
    }
}
pip $backend
case $stage in
    base) pip --no-build-isolation --editable . ;;
    *)
        pip setuptools==84.2.1 # builds PyRIC, which bthome-ble brings and which comes as source only
        pip --no-build-isolation --editable '.[dev]'
        ;;
esac
.venv/bin/python -c 'import batmon' || fail "the installed package does not import."
.venv/bin/python -m batmon.firmware.aioble # now, while there is a network
printf '%s\n' "$want" >".venv/batmon-$stage"
