# Finding a BMS of whatever make: the nearest, or all there are
# Loaded for such a search and dropped, with the table by which makes are told.
import asyncio
import sys

from micropython import const

_SCAN_S = const(10)
_NEAREST_S = const(6)  # for the nearest to be heard
_NEAREST = const(16)  # advertisers among which a BMS is looked for


async def any_bms(link, taken, scanner):
    """Return as search.by_name the strongest advertiser (of the link's name) that is a BMS.

    Gives the link its name and driver. If the one at `link.address` is heard, it is that, however
    weak, and no other of its name. `taken`: addresses of the batteries of other links; `scanner`:
    a BleakScanner.
    """
    from aiobmsble import identify

    del sys.modules["aiobmsble.identify"], sys.modules["aiobmsble"].identify
    seen = {}  # address: (RSSI, device, advertisement)

    def collect(device, adv):
        if device.address in taken:
            return False
        if device.name == link.called and device.address != link.address:
            return False
        if not link.name or link.name == device.name or device.address == link.name.upper():
            seen[device.address] = adv.rssi, device, adv
            if len(seen) > _NEAREST:
                del seen[min(seen, key=lambda address: seen[address][0])]
        return False

    await scanner.find_device_by_filter(collect, timeout=_NEAREST_S)
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


async def all_bms(scanner):
    """Return [{"bms": driver, "dev_name": address, "called": name}] of all BMSs in reach.

    `scanner`: a BleakScanner.
    """
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

    await scanner.find_device_by_filter(collect, timeout=_SCAN_S)
    print("%d of %d devices in reach are BMSs" % (len(found), len(seen)))
    return [
        {"bms": found[address][0], "dev_name": address, "called": found[address][1] or address}
        for address in sorted(found)
    ]
