# What is wrong with the battery, by its BMS and by the settings, in words that fit the display
# Loaded when the first alarm comes, or a limit is set: most batteries never have one.
import sys

NO_LIMIT_C = -40

# The words of each bit, the lowest first; "*2" where two bits say the same. Daly's are those of its
# registers 3Ah and 3Bh; 3Ch and 3Dh, and what its other protocol tells, stay numbers.
WORDS = {
    "jikong_bms": "wire resistance,BMS too hot,cell count,current sensor,cell over-volt,"
    "pack over-volt,overcurrent in,short circuit in,charge too hot,charge too cold,BMS fault,"
    "cell under-volt,pack under-volt,overcurrent out,short circuit,load too hot",
    "jbd_bms": "cell over-volt,cell under-volt,pack over-volt,pack under-volt,charge too hot,"
    "charge too cold,load too hot,load too cold,overcurrent in,overcurrent out,short circuit,"
    "BMS fault,switched off",
    "daly_bms": "*32,overcurrent in*2,overcurrent out*2,charge high*2,charge low*2,"
    "cells apart*2,sensors apart*2,*4,cell over-volt*2,cell under-volt*2,pack over-volt*2,"
    "pack under-volt*2,charge too hot*2,charge too cold*2,load too hot*2,load too cold*2",
}
# What the settings may limit, by the bit that the event LIMITS has for it.
LIMITS = (
    "charge low",
    "cell low",
    "cell high",
    "too hot",
    "charged too cold",
    "too much current",
)
_OFF = "discharge is off"


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
    amps = sample.get("current") or 0
    least_c = want["alarm.temperature_low_c"]
    lines = []
    if code:
        lines.append(words(_name_of(driver), code))
    elif sample.get("problem"):
        lines.append("BMS alarm")
    if sample.get("dischrg_mosfet") in (False, 0):
        lines.append(_OFF)
    for i, passed in enumerate(
        (
            soc is not None and soc <= want["alarm.soc"] > 0,
            low is not None and low * 1000 < want["alarm.cell_low_mv"],
            high is not None and high * 1000 > want["alarm.cell_high_mv"] > 0,
            hot is not None and hot > want["alarm.temperature_c"] > 0,
            cold is not None and cold < least_c > NO_LIMIT_C and amps > 0,
            abs(amps) > want["alarm.current_a"] > 0,
        )
    ):
        if passed:
            lines.append(LIMITS[i])
    return "\n".join(lines)


def limit(text):
    """Return which limits of the settings `said` has in its lines: a bit for each of LIMITS."""
    lines = text.split("\n")
    return sum(1 << i for i in range(len(LIMITS)) if LIMITS[i] in lines)


def _name_of(driver):
    """Return what the module of a BMS class is called, "" if its alarms have no words here."""
    for name in WORDS:
        loaded = sys.modules.get("aiobmsble.bms." + name)
        if loaded and loaded.BMS is driver:
            return name
    return ""


def words(name, code):
    """Say what `problem_code` means to the driver called `name`: a line for each.

    Bits without words, and all those of a make that is not known here, are given as a number.
    """
    lines = []
    bit = 0
    for word in WORDS.get(name, "").split(","):
        word, _, times = word.partition("*")
        for _ in range(int(times or 1)):
            if word and code >> bit & 1:
                if word not in lines:
                    lines.append(word)
                code ^= 1 << bit
            bit += 1
    if code:
        lines.append("BMS alarm 0x%X" % code)
    return "\n".join(lines)
