#!/bin/sh
# Makes build/homeassistant: an environment with the Home Assistant that campaign tests run (600 MB)
# Its releases pin what they need, down to the last package; without that pip tries for hours.
set -eu
cd -P "$(dirname "$0")/.."
version=2025.4.4 # what Python 3.13 takes
place=build/homeassistant
[ "$(cat $place/version 2>/dev/null)" = "$version" ] && exit 0

echo "batmon: installing Home Assistant $version into $place (for campaign tests, some minutes)"
rm -rf $place
.venv/bin/python -m venv $place
pip="$place/bin/python -m pip --quiet --disable-pip-version-check"
log=$place/install.log
{
    $pip download --no-deps --dest $place "homeassistant==$version" &&
        $place/bin/python -m zipfile -e $place/homeassistant-*.whl $place/wheel &&
        $pip install -c $place/wheel/homeassistant/package_constraints.txt setuptools \
            "homeassistant==$version" paho-mqtt home-assistant-bluetooth fnv-hash-fast
} >$log 2>&1 || {
    cat $log >&2
    echo "batmon: Home Assistant cannot be installed (pip's words are above); its tests are left out" >&2
    exit 0
}
rm -rf $place/wheel $place/*.whl
echo $version >$place/version
