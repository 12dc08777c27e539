# Finding the BMS on the air: the one that is wanted, or the nearest there is
# Loaded for each search and dropped, with the scanner: 4 kB that polling does not need.
import asyncio
import sys

from bleak.scanner import BleakScanner
from micropython import const

_SCAN_S = const(10)
_NEAREST_S = const(6)  # for the nearest to be heard
_SEEN = const(8)  # names listed when the right one is not there
_FEW_S = const(5)  # where links of other batteries wait for their turn to scan or connect
_NEAREST = const(16)  # advertisers among which a BMS is looked for


def aim(link):
    """Return what is looked for, in words."""
    what = link.name
    if not link.driver or not what:
        what = "a BMS" + (" named " + what if what else "")
    return "looking for " + what


def find(link):
    """Return what finds it, to be awaited: by_name or any_bms."""
    return (by_name if link.driver and link.name else any_bms)(link, link.found)


async def by_name(link, address):
    """Return (the BLEDevice of `link.name`, ""), or (None, what there is in its place).

    If `link.address` is known, one at another address is not taken. `address` is where it was
    heard before, or None: some advertise their name only at times.
    """
    seen = []
    twin = []

    def wanted(device, adv):
        name = device.name
        if name and name not in seen and len(seen) < _SEEN:
            seen.append(name)
        called = name == link.name or device.address == link.name.upper()
        if _is_taken(link, device):
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


async def any_bms(link, address):
    """Return as by_name the strongest advertiser (of the link's name) that is a BMS.

    Gives the link its name and driver. If the one at `link.address` is heard, it is that, however
    weak, and no other of its name. `address` is of no use here.
    """
    from aiobmsble import identify

    del sys.modules["aiobmsble.identify"], sys.modules["aiobmsble"].identify
    seen = {}  # address: (RSSI, device, advertisement)

    def collect(device, adv):
        if _is_taken(link, device):
            return False
        if device.name == link.called and device.address != link.address:
            return False
        if not link.name or link.name == device.name or device.address == link.name.upper():
            seen[device.address] = adv.rssi, device, adv
            if len(seen) > _NEAREST:
                del seen[min(seen, key=lambda address: seen[address][0])]
        return False

    await BleakScanner.find_device_by_filter(collect, timeout=_NEAREST_S)
    if link.address in seen:
        seen = {link.address: seen[link.address]}
    for rssi, device, adv in sorted(seen.values(), key=lambda one: -one[0]):
        await asyncio.sleep_ms(0)  # the table takes a while
        module = identify.identify(device, adv)
        if module:
            link.rssi = rssi
            link.driver = identify.driver(module)
            link.name = device.name or device.address
            print("found %s, driver %s" % (link.name, module))
            return device, ""
    return None, "no BMS found among %d devices" % len(seen)


async def all_bms():
    """Return [{"bms": driver, "dev_name": address, "called": name}] of all BMSs in reach."""
    from aiobmsble import identify

    del sys.modules["aiobmsble.identify"], sys.modules["aiobmsble"].identify
    found = {}
    seen = []

    def collect(device, adv):
        # at once: what an advertiser said is not kept, for there may be many
        address = device.address
        if address in found:
            found[address][1] = device.name or found[address][1]  # many tell it apart
            return False
        if address not in seen:
            seen.append(address)
        module = identify.identify(device, adv)
        if module:
            found[address] = [module, device.name]
        return False

    await BleakScanner.find_device_by_filter(collect, timeout=_SCAN_S)
    print("%d of %d devices in reach are BMSs" % (len(found), len(seen)))
    return [
        {"bms": found[address][0], "dev_name": address, "called": found[address][1] or address}
        for address in sorted(found)
    ]


def _is_taken(link, device):
    """Is it the battery of another link, as far as is known by now? It may just have been found."""
    for peer in link.peers:
        if peer is link:
            continue
        there = peer.address or peer.found
        if device.address == (there or peer.name.upper()):
            return True
        # who takes any leaves to others what they look for by its name
        if not (there or link.name) and device.name == peer.name:
            return True
    return False
