# Lifetime counters over MQTT: what the board's small file has of a battery
# Loaded every hour and dropped.
import sys

from sinks.once import once

_AGAIN_S = 3600
_LATER_S = 600  # nothing was counted yet

# As in sinks/discovery.py, in the order of NAMES in shards/sums.py, of which "-" is not told.
TABLE = """
ever_charge_in   sensor Ah  -        total_increasing 1 Charge in, ever
ever_charge_out  sensor Ah  -        total_increasing 1 Charge out, ever
ever_energy_in   sensor kWh energy   total_increasing 1 Energy in, ever
ever_energy_out  sensor kWh energy   total_increasing 1 Energy out, ever
ever_soc_min     sensor %   -        -                1 Deepest discharge
ever_cell_min    sensor mV  voltage  -                0 Lowest cell, ever
ever_cell_max    sensor mV  voltage  -                0 Highest cell, ever
ever_full        sensor -   -        total_increasing 0 Full charges
-
ever_since_full  sensor h   duration -                0 Time since full
ever_logged      sensor h   duration total_increasing 0 Hours logged
"""


async def tell(client, settings, battery, board, topic, version):
    """Publish the counters of `battery`, if there are any; return when to do so again, in s.

    The arguments are those of `announce` in sinks/discovery.py.
    """
    from shards import sums

    del sys.modules["shards.sums"], sys.modules["shards"].sums
    counted = sums.load(battery.store.path, battery.store.name)
    if not counted:
        return _LATER_S
    values = sums.values(counted)
    if settings["mqtt.discovery"]:
        table = TABLE.replace("-\n", "")
        about = battery, board, topic, version, table, "lifetime"
        await once("discovery").announce(client, settings, *about)
    parts = []
    for line, value in zip(TABLE.split("\n")[1:], values):
        if line != "-" and line:
            key, _, _, _, _, digits, _ = line.split(None, 6)
            told = "null" if value is None else "%.*f" % (int(digits), value)
            parts.append('"%s":%s' % (key, told))
    await client.publish(topic + "lifetime", "{%s}" % ",".join(parts))
    return _AGAIN_S
