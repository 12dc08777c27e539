# What is wrong with the battery, by its BMS and by the settings, in words that fit the display
# Loaded when the first alarm comes, or a limit is set: most batteries never have one.
import sys

NO_LIMIT_C = -40

# The words of each bit, the lowest first.
_WORDS = {
    "jikong_bms": "wire resistance,BMS too hot,cell count,current sensor,cell over-volt,"
    "pack over-volt,overcurrent in,short circuit in,charge too hot,charge too cold,BMS fault,"
    "cell under-volt,pack under-volt,overcurrent out,short circuit,load too hot",
    "jbd_bms": "cell over-volt,cell under-volt,pack over-volt,pack under-volt,charge too hot,"
    "charge too cold,load too hot,load too cold,overcurrent in,overcurrent out,short circuit,"
    "BMS fault,switched off",
}


def said(driver, sample, want):
    """Return a line for each thing that is wrong, "" for none.

    `driver` is the BMS class, `want` are the settings, where a limit of 0 is none, of NO_LIMIT_C
    for the coldest.
    """
    low = high = None
    for volts in sample.get("cell_voltages") or ():
        if volts is not None:
            low = volts if low is None else min(low, volts)
            high = volts if high is None else max(high, volts)
    celsius = sample.get("temperature")
    hot = sample.get("hottest", celsius)
    cold = sample.get("coldest", celsius)
    soc = sample.get("battery_level")
    code = sample.get("problem_code")
    lines = []
    if code:
        lines.append(words(driver, code))
    elif sample.get("problem"):
        lines.append("BMS alarm")
    if soc is not None and soc <= want["alarm.soc"] > 0:
        lines.append("charge low")
    if low is not None and low * 1000 < want["alarm.cell_low_mv"]:
        lines.append("cell low")
    if high is not None and high * 1000 > want["alarm.cell_high_mv"] > 0:
        lines.append("cell high")
    if hot is not None and hot > want["alarm.temperature_c"] > 0:
        lines.append("too hot")
    least_c = want["alarm.temperature_low_c"]
    if cold is not None and cold < least_c > NO_LIMIT_C and (sample.get("current") or 0) > 0:
        lines.append("charged too cold")
    return "\n".join(lines)


def words(driver, code):
    """Say what `problem_code` means to the BMS class `driver`: a line for each.

    Bits without words, and all those of a make that is not known here, are given as a number.
    """
    known = ()
    for module in _WORDS:
        loaded = sys.modules.get("aiobmsble.bms." + module)
        if loaded and loaded.BMS is driver:
            known = _WORDS[module].split(",")
    said = []
    for bit in range(len(known)):
        if code >> bit & 1:
            said.append(known[bit])
            code ^= 1 << bit
    if code:
        said.append("BMS alarm 0x%X" % code)
    return "\n".join(said)
