# Which driver an advertisement belongs to, without importing any: upstream's matchers, packed.
# The table is aiobmsble/matchers.py, made at build time (layout there and in docs/PORTING.md).

import sys

from micropython import const

_SERVICE = const(1)
_SERVICE_DATA = const(2)
_NO_SERVICE_DATA = const(4)
_OUI = const(8)
_MANUFACTURER = const(16)
_DATA_START = const(32)
_NAME = const(64)


def identify(device, adv):
    """The driver's module name ("jikong_bms") for a BLEDevice and its AdvertisementData, or None.

    The names are those of modules in aiobmsble.bms; see driver().
    """
    from aiobmsble.matchers import TABLE

    at = 1 + 16 * TABLE[0]
    while at < len(TABLE):
        name = at + 1
        start = name + TABLE[at]
        end = start + 2 + (TABLE[start] | TABLE[start + 1] << 8)
        at = start + 2
        while at < end:
            matches, at = _match(TABLE, at, device, adv)
            if matches:
                # The next call reads the table again; until then its memory is free.
                del sys.modules["aiobmsble.matchers"], sys.modules["aiobmsble"].matchers
                return str(TABLE[name:start], "ascii") + "_bms"
    return None


def driver(name):
    """Import one driver module; returns its BMS class. ImportError if there is none."""
    return __import__("aiobmsble.bms." + name, None, None, ("BMS",)).BMS


def _match(table, at, device, adv):
    """Whether the matcher at this offset accepts the advertisement, and the next offset."""
    flags = table[at]
    at += 1
    good = True
    if flags & _SERVICE:
        good = _uuid(table, table[at]) in adv.service_uuids
        at += 1
    if flags & _SERVICE_DATA:
        good = good and _uuid(table, table[at]) in adv.service_data
        at += 1
    if flags & _NO_SERVICE_DATA:
        good = good and not adv.service_data
    if flags & _OUI:
        oui = "%02x:%02x:%02x" % (table[at], table[at + 1], table[at + 2])
        good = good and device.address.lower().startswith(oui)
        at += 3
    if flags & _MANUFACTURER:
        data = adv.manufacturer_data.get(table[at] | table[at + 1] << 8)
        good = good and data is not None
        at += 2
        if flags & _DATA_START:
            start = at + 1
            at = start + table[at]
            good = good and data.startswith(table[start:at])
    if flags & _NAME:
        start = at + 1
        at = start + table[at]
        good = good and glob(str(table[start:at], "ascii"), adv.local_name or "")
    return good, at


def _uuid(table, index):
    text = table[1 + 16 * index : 17 + 16 * index].hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def glob(pattern, text):
    """Whether text matches a shell pattern of *, ?, [abc], [a-z] and [!a-z], as fnmatchcase."""
    i = j = 0
    star = -1
    while j < len(text):
        if i < len(pattern) and pattern[i] == "*":
            star, resume = i, j
            i += 1
            continue
        after = _one(pattern, i, text[j]) if i < len(pattern) else 0
        if after:
            i = after
            j += 1
        elif star < 0:
            return False
        else:
            resume += 1
            i, j = star + 1, resume
    return not pattern[i:].strip("*")


def _one(pattern, i, char):
    """Index behind the pattern's element at i if it matches the character, else 0."""
    if pattern[i] == "[":
        first = i + 2 if pattern[i + 1 : i + 2] == "!" else i + 1
        end = pattern.find("]", first + 1)
        if end > 0:
            inside = _in_set(pattern[first:end], char)
            return end + 1 if inside == (first == i + 1) else 0
    return i + 1 if pattern[i] in ("?", char) else 0


def _in_set(members, char):
    k = 0
    while k < len(members):
        if members[k + 1 : k + 2] == "-" and k + 2 < len(members):
            if members[k] <= char <= members[k + 2]:
                return True
            k += 3
        elif members[k] == char:
            return True
        else:
            k += 1
    return False
