# Finding the BMS on the air: the one that is wanted; link/nearest.py finds any
# Loaded for each search and dropped, with the scanner: 4 kB that polling does not need.
import sys

from bleak.scanner import BleakScanner
from micropython import const

_SCAN_S = const(10)
_SEEN = const(8)  # names listed when the right one is not there
_FEW_S = const(5)  # where links of other batteries wait for their turn to scan or connect


def aim(link):
    """Return what is looked for, in words."""
    what = link.name
    if not link.driver or not what:
        what = "a BMS" + (" named " + what if what else "")
    return "looking for " + what


def find(link):
    """Return what finds it, to be awaited: by_name or nearest.any_bms."""
    if link.driver and link.name:
        return by_name(link, link.found)
    from link import nearest

    del sys.modules["link.nearest"], sys.modules["link"].nearest
    return nearest.any_bms(link, taken(link), BleakScanner)


async def by_name(link, address):
    """Return (the BLEDevice of `link.name`, ""), or (None, what there is in its place).

    If `link.address` is known, one at another address is not taken. `address` is where it was
    heard before, or None: some advertise their name only at times.
    """
    seen = []
    twin = []
    not_here = taken(link)

    def wanted(device, adv):
        name = device.name
        if name and name not in seen and len(seen) < _SEEN:
            seen.append(name)
        called = name == link.name or device.address == link.name.upper()
        if device.address in not_here:
            return False
        if link.address and device.address != link.address:
            if called:
                twin[:] = (device.address,)
        elif called or device.address in (link.address, address):
            link.rssi = adv.rssi
            device.name = name or link.name
            return True
        return False

    scan_s = _FEW_S if link.peers else _SCAN_S
    device = await BleakScanner.find_device_by_filter(wanted, timeout=scan_s)
    if device:
        return device, ""
    if twin:
        return None, "%s at %s not found; the one at %s is another battery, see docs/LINK.md" % (
            link.name,
            link.address,
            twin[0],
        )
    return None, "%s not found (seen: %s)" % (link.name, ", ".join(seen) if seen else "none")


def taken(link):
    """Return where the batteries of other links are."""
    return [peer.address or peer.found for peer in link.peers if peer is not link]
