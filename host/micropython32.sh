#!/bin/sh
# Puts Debian 13's 32-bit MicroPython into build/micropython32, for the tests that also run on it.
# Nothing is installed: apt fetches from the archive that this Debian uses itself, with a state of
# its own, and the program starts through its own loader. Without it those tests are left out.
set -u
cd "$(dirname "$0")/.." || exit 1

suite=trixie
version=1.25.0+ds-1
libraries="libc6 libffi8 libmbedcrypto16 libmbedtls21 libmbedx509-7"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

place=$PWD/build/micropython32
[ -n "${MICROPYTHON32:-}" ] && exit 0 # another one is chosen
[ "$(cat "$place/version" 2>/dev/null)" = "$version $place" ] && exit 0

without() {
    rm -rf "$work"
    echo "batmon: no 32-bit MicroPython, its tests are left out: $1" >&2
    exit 0 # the tests say the rest; with CI=true they fail
}

mkdir -p build
work=$(mktemp -d "$PWD/build/micropython32.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

[ -r /etc/os-release ] && . /etc/os-release
[ "${ID:-}" = debian ] && [ "$(uname -m)" = x86_64 ] && command -v apt-get >/dev/null ||
    without "it comes from Debian, and this is no Debian on x86_64."
mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' \
    'Created-By: Packages' 2>/dev/null | sed -n "s/^${VERSION_CODENAME:-stable} main //p" | head -n 1)
[ -n "$mirror" ] || without "apt names no archive for Debian ${VERSION_CODENAME:-}."

mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/tree"
: >"$work/status"
echo "deb [arch=i386 signed-by=$keyring] $mirror $suite main" >"$work/sources.list"
cat >"$work/apt.conf" <<EOF
APT::Architecture "i386";
APT::Architectures { "i386"; };
APT::Sandbox::User "root"; // another user may not get at the checkout
APT::Update::Error-Mode "any"; // else what cannot be fetched is a warning
Acquire::Languages "none";
Acquire::Retries "3";
// nothing that this system does at an update
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State::lists "$work/lists";
Dir::State::status "$work/status";
Dir::Cache "$work";
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "-";
EOF

words() { # what apt complains of first
    grep -E '^[EW]:' "$work/log" | head -n 1 | cut -c 4-
}

patiently() { # an archive may be out of reach for a moment
    for pause_s in 5 0; do
        apt-get -c "$work/apt.conf" "$@" >"$work/log" 2>&1 && return
        sleep $pause_s
    done
    return 1
}

echo "batmon: fetching the 32-bit MicroPython into build/ (for tests only)"
patiently update &&
    found=$(apt-cache -c "$work/apt.conf" show micropython 2>>"$work/log" |
        sed -n 's/^Version: //p' | head -n 1) && [ -n "$found" ] ||
    without "apt cannot read Debian $suite: $(words)"
[ "$found" = "$version" ] ||
    without "Debian $suite has version $found now instead of $version; see host/micropython32.sh."
cd "$work/archives" &&
    patiently download "micropython=$version" $libraries ||
    without "apt cannot fetch it: $(words)"
for package in *.deb; do
    dpkg-deb -x "$package" "$work/tree" 2>/dev/null || without "$package is damaged."
done
cat >"$work/tree/micropython" <<EOF
#!/bin/sh
exec "$place/usr/lib/ld-linux.so.2" --library-path "$place/usr/lib/i386-linux-gnu" \
    "$place/usr/bin/micropython" "\$@"
EOF
chmod +x "$work/tree/micropython"
echo "$version $place" >"$work/tree/version"
rm -rf "$place"
mv "$work/tree" "$place" || exit 1
"$place/micropython" -c '' 2>"$work/log" && exit 0
rm -rf "$place"
without "this system does not run 32-bit programs."
