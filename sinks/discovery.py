# What makes Home Assistant show a battery by itself: the messages of MQTT discovery
# Loaded for each connection to the broker and dropped.
import json

# key, component, unit, device class, state class, decimals, name; "-" is none. The keys are those
# of the values in sinks/mqtt.py, and of what `batmon send` fills in.
TABLE = """
soc         sensor        %    battery          measurement       1 State of charge
voltage     sensor        V    voltage          measurement       2 Voltage
current     sensor        A    current          measurement       2 Current
power       sensor        W    power            measurement       0 Power
temperature sensor        °C   temperature      measurement       1 Temperature
cell_min    sensor        mV   voltage          measurement       0 Lowest cell
cell_max    sensor        mV   voltage          measurement       0 Highest cell
cell_spread sensor        mV   voltage          measurement       0 Cell spread
charge_in   sensor        Ah   -                total_increasing  1 Charge in
charge_out  sensor        Ah   -                total_increasing  1 Charge out
energy_in   sensor        kWh  energy           total_increasing  2 Energy in
energy_out  sensor        kWh  energy           total_increasing  2 Energy out
charging    binary_sensor -    battery_charging -                 - Charging
problem     binary_sensor -    problem          -                 - Problem
link        sensor        -    -                -                 - Link
log         sensor        -    -                -                 - Log
"""
_DIAGNOSTIC = ("link", "log")


def messages(prefix, board, topic, name, driver, expire_s, version):
    """Yield (topic, text) for each entity of a battery.

    `prefix` is where Home Assistant listens, `board` the topic with the board's availability,
    `topic` that under which the battery's are, `name` what people call it, `driver` its BMS class.
    """
    node = topic.replace("/", "_")
    info = getattr(driver, "INFO", None) or {}
    device = {
        "ids": [node],
        "name": name,
        "mf": info.get("manufacturer", "unknown"),
        "mdl": info.get("model", "BMS"),
        "sw": "batmon " + version,
    }
    for line in TABLE.split("\n"):
        if not line:
            continue
        key, component, unit, kind, state, digits, words = line.split(None, 6)
        config = {
            "~": topic,
            "name": words,
            "uniq_id": "%s_%s" % (node, key),
            "stat_t": "~/state",
            "val_tpl": "{{value_json.%s}}" % key,
            "avty": [{"t": board}, {"t": "~/status"}],
            "avty_mode": "all",
            "dev": device,
            "o": {"name": "batmon", "sw": version},
        }
        if key in _DIAGNOSTIC:
            config["stat_t"] = "~/diagnostics"
            config["avty"].pop()  # they tell why the values are not available
            config["ent_cat"] = "diagnostic"
        else:
            config["exp_aft"] = expire_s
        for short, value in (("unit_of_meas", unit), ("dev_cla", kind), ("stat_cla", state)):
            if value != "-":
                config[short] = value
        if digits != "-":
            config["sug_dsp_prc"] = int(digits)
        yield "%s/%s/%s/%s/config" % (prefix, component, node, key), json.dumps(config)
