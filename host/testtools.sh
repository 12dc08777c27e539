#!/bin/sh
# Installs what some tests need besides Python's packages, from Debian: in CI, or when asked
# (INSTALL=1 make test). Elsewhere nothing is touched; those tests are skipped and say so.
set -u

[ "${CI:-}" = true ] || [ -n "${INSTALL:-}" ] || exit 0

packages=
command -v influxd >/dev/null || packages="$packages influxdb"
command -v chromium >/dev/null || packages="$packages chromium"
command -v mosquitto >/dev/null || packages="$packages mosquitto"
command -v mosquitto_sub >/dev/null || packages="$packages mosquitto-clients"
[ -n "$packages" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "batmon: cannot install$packages: that takes root and apt-get" >&2
    exit 0 # the tests that need them say the rest
fi

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
echo "batmon: installing$packages (for tests only)"
export DEBIAN_FRONTEND=noninteractive
for try in 1 2 3; do
    apt-get update >"$log" 2>&1 &&
        apt-get install -y --no-install-recommends $packages >>"$log" 2>&1 && exit 0
    sleep $((5 * try))
done
cat "$log" >&2
echo "batmon: apt-get could not install$packages (its words are above)" >&2
exit 0
