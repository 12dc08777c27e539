# What several batteries are together, as BTHome tells it
# Imported only where there are several.
_MOST = 5  # batteries whose own state of charge fits in besides


def tell(packet, batteries, within):
    """Tell all together: state of charge, charging, problem, power; and each one's charge.

    `packet` and `within` are of sinks/bthome.py.

    Receivers number what is repeated: who is left out would hand its number to the next, so it is
    told of all or of none.
    """
    charge = capacity = watts = 0
    alarm = False
    for battery in batteries:
        percent = battery.sample.get("battery_level")
        ah = battery.link.capacity_ah
        charge = charge + percent * ah if charge is not None and within(percent, 0, 100) else None
        capacity += ah
        volts = battery.sample.get("voltage")
        amps = battery.sample.get("current")
        known = within(volts, 0, 1000) and within(amps, -10_000, 10_000)
        watts = watts + volts * amps if known and watts is not None else None
        alarm = alarm or battery.status.alarm
    if charge is not None:
        packet.add_soc(charge / capacity)
        for battery in batteries[:_MOST]:
            packet.add_soc(battery.sample["battery_level"])
    packet.add_states(watts, alarm)
    if within(watts, -2e7, 2e7):
        packet.add_power(watts)
