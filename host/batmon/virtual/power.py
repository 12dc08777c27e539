"""What a board takes from the battery, estimated: how long it was in which state, times a current.

No current here was measured on a board that runs batmon. At 5 V, in mA:
"""

# A link to the BMS held all the time: people's figure for an ESP32 on USB.
AWAKE_MA = 50
# A wake with its scan and its poll. Espressif's datasheet has 95 to 100 mA for a radio that
# receives and 27 to 44 mA for a CPU at 160 MHz: the first for all of it is on the safe side.
LOOK_MA = 100
# Asleep with RTC timer and RTC memory: the same datasheet, for the chip.
CHIP_ASLEEP_MA = 0.01
# And of a whole board: lucidar.me measured 3.8 mA of an ESP32-DevKitC V4. A copy of it with another
# regulator and USB chip took 11.4 mA (en.kohacraft.com): look for a board that is made for this.
BOARD_ASLEEP_MA = 3.8


def estimate(power: dict, t_s: int) -> dict:
    """Return the mAh a day of a run of `t_s` seconds, of a bare chip and of a usual board.

    `power` is the virtual board's: asleep_ms, look_ms, lit_ms and looks. "rest" are those of a
    day at rest, "always_on" those of one that never rests, "duty" the part of a rest in which the
    board is awake. The display and its light come on top of all of them.
    """
    asleep, look = power["asleep_ms"], power["look_ms"]
    awake = max(0, 1000 * t_s - asleep - look)
    resting = max(1, asleep + look)
    out = {
        "asleep_h": round(asleep / 3_600_000, 2),
        "awake_h": round(awake / 3_600_000, 2),
        "lit_h": round(power["lit_ms"] / 3_600_000, 2),
        "looks": power["looks"],
        "duty": round(look / resting, 4),
        "always_on_mah_a_day": 24 * AWAKE_MA,
    }
    for name, asleep_ma in (("chip", CHIP_ASLEEP_MA), ("board", BOARD_ASLEEP_MA)):
        at_rest = asleep * asleep_ma + look * LOOK_MA
        whole = (at_rest + awake * AWAKE_MA) / max(1, 1000 * t_s)
        out[f"{name}_mah_a_day"] = round(24 * whole, 1)
        out[f"{name}_rest_mah_a_day"] = round(24 * at_rest / resting, 1)
    return out
