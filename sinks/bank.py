# What several batteries are together, as BTHome tells it
# Imported only where there are several.
from micropython import const

_SOC = const(0x01)  # object ids of sinks/bthome.py
_CHARGING = const(0x16)
_PROBLEM = const(0x26)
_POWER = const(0x5C)
_MOST_W = const(20_000_000)
_MOST = const(5)  # batteries whose own state of charge fits in besides


def tell(packet, batteries, add):
    """Tell all together: state of charge, charging, problem, power; and each one's charge.

    `packet` and `add` are sinks/bthome.py's.

    Receivers number what is repeated: who is left out would hand its number to the next, so it is
    told of all or of none.
    """
    charge = watts = 0
    capacity = 0
    alarm = False
    for battery in batteries:
        percent = battery.sample.get("battery_level")
        ah = battery.link.capacity_ah
        known = percent is not None and 0 <= percent <= 100 and charge is not None
        charge = charge + percent * ah if known else None
        capacity += ah
        volts = battery.sample.get("voltage")
        amps = battery.sample.get("current")
        known = volts is not None and amps is not None and watts is not None
        known = known and 0 <= volts <= 1000 and abs(amps) <= 10_000
        watts = watts + volts * amps if known else None
        alarm = alarm or battery.status.alarm
    if charge is not None:
        add(packet, _SOC, 1, charge / capacity, 0, 100, 1)
        for battery in batteries[:_MOST]:
            add(packet, _SOC, 1, battery.sample["battery_level"], 0, 100, 1)
    if watts is not None:
        add(packet, _CHARGING, 1, watts > 0, 0, 1, 1)
    add(packet, _PROBLEM, 1, bool(alarm), 0, 1, 1)
    add(packet, _POWER, 4, watts, -_MOST_W, _MOST_W, 100)
