# What several batteries are together, as BTHome tells it
# Imported only where there are several.
from micropython import const

_SOC = const(0x01)  # an object id of sinks/bthome.py
_MOST = const(5)  # batteries whose own state of charge fits in besides


def tell(packet, batteries):
    """Tell all together: state of charge, charging, problem, power; and each one's charge.

    `packet` is sinks/bthome.py's.

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
        packet.add(_SOC, 1, charge / capacity, 0, 100)
        for battery in batteries[:_MOST]:
            packet.add(_SOC, 1, battery.sample["battery_level"], 0, 100)
    packet.add_states(watts, alarm)
    if watts is not None:
        packet.add_power(watts)
