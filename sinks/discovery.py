# The rare parts of the MQTT sink: connecting, and what is told beside values
# Loaded for that and dropped.
import json
import sys

from micropython import const

_EXPIRE_S = const(900)  # then the values are unknown to Home Assistant
_POLL_EXPIRE_S = const(60)

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
# One text, of which nothing stays: short ones would become names of the program for good.
_CONFIG = (
    '{"~":"%s","name":"%s","uniq_id":"%s_%s","stat_t":"~/%s","val_tpl":"{{value_json.%s}}",'
    '"avty_mode":"all","avty":[{"t":"%s"}%s],"o":{"name":"batmon","sw":"%s"},'
    '"dev":{"ids":["%s"],"name":%s,"mf":%s,"mdl":%s,"sw":"batmon %s"}%s}'
)


async def connect(client, settings, dns, board, status):
    """Connect to the broker; return why that is not to be had, as a sentence, or "".

    Raises OSError where it does not answer. `status` is the topic that is set to "offline" when
    the connection ends.
    """
    import mqttopen

    del sys.modules["mqttopen"]
    return await mqttopen.connect(
        client,
        settings["mqtt.host"],
        settings["mqtt.port"],
        dns,
        "batmon-" + board,
        status,
        settings["mqtt.user"],
        settings["mqtt.password"],
    )


async def announce(client, settings, battery, board, topic, version, table=TABLE, place=""):
    """Publish what makes Home Assistant show a battery by itself: a message for each entity.

    `board` is the topic with the board's availability, `topic` that below which the battery's are,
    with a slash at its end. What is told at a `place` of its own below it stays true for hours.
    """
    expire_s = _EXPIRE_S
    if settings["mqtt.polls"]:
        expire_s = max(_POLL_EXPIRE_S, int(10 * settings["poll_s"]))
    topic = topic[:-1]
    node = topic.replace("/", "_")
    info = getattr(battery.link.driver, "INFO", None) or {}
    name = json.dumps(battery.name or battery.link.name)
    maker = json.dumps(info.get("manufacturer", "unknown"))
    model = json.dumps(info.get("model", "BMS"))
    for line in table.split("\n"):
        if not line:
            continue
        key, component, unit, kind, state, digits, words = line.split(None, 6)
        # link and log tell why values are not available
        values = not place and key != "link" and key != "log"
        more = ',"exp_aft":%d' % expire_s if values else ',"ent_cat":"diagnostic"'
        for form, value in (
            (',"unit_of_meas":"%s"', unit),
            (',"dev_cla":"%s"', kind),
            (',"stat_cla":"%s"', state),
            (',"sug_dsp_prc":%s', digits),
        ):
            if value != "-":
                more += form % value
        told = place or ("state" if values else "diagnostics")
        available = ',{"t":"~/status"}' if values else ""
        about = topic, words, node, key, told, key, board, available, version
        text = _CONFIG % (about + (node, name, maker, model, version, more))
        where = settings["mqtt.discovery"], component, node, key
        await client.publish("%s/%s/%s/%s/config" % where, text)


def words(link, log):
    """Return how link and log are, as JSON."""
    return '{"link":%s,"log":%s}' % (_quoted(link), _quoted(log or "ok"))


def _quoted(text):
    return '"%s"' % text[:100].replace("\\", "/").replace('"', "'")
