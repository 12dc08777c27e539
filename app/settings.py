# Settings of the board: one table of them, and what /settings.json changes of it
# A wrong value is refused with a sentence and its default is used: logging never stops.
import json
import os
import sys

# key, default, allowed, unit, meaning. A group's key has a dot: {"lcd": {"cols": 20}}.
# A default without quotes that is no number and not true or false is taken from there.
# allowed: text, secret (text that is never shown), LOWEST..HIGHEST (numbers with a decimal
# point if fractions are), 0|LOWEST..HIGHEST (or 0), CHOICE|CHOICE, pairing, phone or batteries.
TABLE = """
dev_name         conn.py         text             -    Bluetooth name of the BMS; "" takes the nearest BMS
bms              conn.py         text             -    BMS driver, see BMS.md, for example "jbd_bms"
capacity_ah      conn.py         1.0..10000.0     Ah   design capacity of the battery
secret           ""              secret           -    password of the BMS, if it has one
pairing          "off"            pairing          -    Bluetooth pairing, if the BMS wants it: "off", "just works", or the six digits of its PIN
batteries        conn.py         batteries        -    several batteries: a list of {...}, or "all"; see BATTERIES.md
poll_s           2               1.0..60.0        s    from one poll of the BMS to the next
link.share_s     0               0|10..3600       s    leave the BMS to other apps between two polls, which come so far apart; 0: stay connected
watchdog_s       300             0|20..3600       s    the board restarts when it hangs so long; 0: never
phone            "auto"          phone            -    phones may connect, see PHONE.md: "on", "off", on with six digits as their code; auto: on with S3, C6 or PSRAM
events           true            true|false       -    log alarms, switches and the minutes around a fault too; false saves 2.5 kB of memory
rest.minutes     0               0|2..60          min  at rest the board sleeps and looks at the BMS so often, see REST.md; 0: never. {"rest": true} are 10
rest.percent     0.2             0.01..5.0        %    of the capacity in 1 h: a current below is rest
rest.reserve     10              0..100           %    at or below this state of charge it looks once an hour, and the display stays dark
lcd.fitted       true            true|false       -    whether there is a display; without one false saves memory
lcd.cols         16              16|20            -    columns of the display
lcd.rows         2               2|4              -    rows of the display
lcd.sda_pin      chip            0..48            GPIO I2C data: 21 on ESP32, 8 on S3, 6 on C3 and C6
lcd.scl_pin      chip            0..48            GPIO I2C clock: 22 on ESP32, 9 on S3, 7 on C3 and C6
lcd.address      0               0..127           -    I2C address of the display; 0 finds it
lcd.wiring       "common"        "common"|"other" -    the kind of backpack, see HARDWARE.md
lcd.backlight    "auto"          "auto"|"on"|"off" -   auto: lit while something happens, then off
lcd.backlight_s  120             5..86400         s    how long auto keeps the light on
ds3231           "auto"          "auto"|"on"|"off" -   clock with its own battery on the display's bus; auto: used if there is one beside a display
alarm.soc        0               0..100           %    alarm at or below this state of charge; 0: never
alarm.cell_low_mv   0            0..5000          mV   alarm when a cell is below; 0: never
alarm.cell_high_mv  0            0..5000          mV   alarm when a cell is above; 0: never
alarm.temperature_c 0            0..100           degC alarm when a sensor is hotter; 0: never
alarm.temperature_low_c -40      -40..40          degC alarm when charging while a sensor is colder; -40: never
alarm.current_a     0            0..5000         A    alarm when more flows, in or out; 0: never
alarm.pin           -1           -1..48          GPIO output for a buzzer or a relay, see HARDWARE.md; -1: none
alarm.pin_on        "high"       "high"|"low"    -    its level during an alarm
alarm.pin_mode      "pulses"     "pulses"|"steady" -  pulses: three tenths of a second, every two seconds
button.pin          -1           -1..48          GPIO button to ground, see HARDWARE.md; -1: none
bthome           false           true|false       -    broadcast the values over Bluetooth, see HOMEASSISTANT.md; neighbours can read them
wifi.ssid        ""              text             -    name of the WiFi network, joined when influx.host or mqtt.host is set
wifi.password    ""              secret           -    password of the WiFi network; "" for an open one
wifi.ntp         "pool.ntp.org"  text             -    time server, asked daily; "" leaves the clock alone
influx.host      ""              text             -    InfluxDB server, name or address; "" sends nothing
influx.port      8089            1..65535         -    its UDP port
influx.measurement "battery"     text             -    name of the measurement
influx.battery   ""              text             -    tag battery; "", or of several, is the name in the log's files
influx.board     ""              text             -    tag board; "" is the number of the ESP32
influx.polls     false           true|false       -    send every poll too, not only what is stored
influx.cells     false           true|false       -    send the voltage of each cell too
mqtt.host        ""              text             -    MQTT broker, name or address, see HOMEASSISTANT.md; "" sends nothing
mqtt.port        1883            1..65535         -    its port
mqtt.user        ""              text             -    user at the broker; "" for none
mqtt.password    ""              secret           -    password at the broker
mqtt.polls       false           true|false       -    send every poll, not only those that are stored
mqtt.discovery   "homeassistant" text             -    topic where Home Assistant looks for new devices; "" tells it nothing
"""  # noqa: E501

_LARGEST_BYTES = 4096
_PHONE_KB = 128  # of heap that a chip needs to poll, show and serve a phone
_REST_MIN = 10  # between two looks, for who only says that the board is to rest
_LONGEST = 64  # characters of a text


def rows():
    """Yield [key, default, allowed, unit, meaning] of each setting, as in the table."""
    for line in TABLE.split("\n"):
        if line:
            yield line.split(None, 4)


def load(path="/settings.json"):
    """Return (settings, sentences): {key: value} for every key of the table, what was refused.

    Never raises for what the file holds. A value that comes from conn.py or the chip is None.
    """
    file = path[path.rfind("/") + 1 :]
    settings = {row[0]: _parse(row[1]) for row in rows()}
    given, problem = _read(path)
    if problem:
        return settings, ["%s %s; using defaults" % (file, problem)]
    left, sentences = _flat(given, file)
    for key, default, allowed, _, _ in rows():
        if key not in left:
            continue
        value = left.pop(key)
        problem = problem_with(value, allowed)
        if not problem:
            settings[key] = int(value) if _is_whole(allowed) else value
            continue
        using = _whose(default) if settings[key] is None else short(settings[key])
        hidden = allowed in ("secret", "pairing", "phone")
        shown = "not right" if hidden else short(value)
        sentences.append("%s: %s is %s, must be %s; using %s" % (file, key, shown, problem, using))
    for key in left:
        sentences.append("%s: unknown key %s, ignored" % (file, short(key)))
    return settings, sentences


def in_use(settings):
    """Return a copy without what nobody asks for: the rest of a feature that is off."""
    off = [key for key in ("influx", "mqtt") if not settings[key + ".host"]]
    if len(off) == 2:
        off.append("wifi")
    if settings["link.share_s"]:
        settings["poll_s"] = settings["link.share_s"]  # everybody knows when data are old
    else:
        off.append("link")
    if not settings["rest.minutes"] or "wifi" not in off:
        off.append("rest")
    if not settings["bthome"]:
        off.append("bthome")
    if settings["alarm.pin"] < 0:
        off += ["alarm.pin", "alarm.pin_on", "alarm.pin_mode"]
    if settings["button.pin"] < 0:
        off.append("button")
    if not _phone(settings):
        off.append("phone")
    return {
        key: settings[key] for key in settings if key not in off and key.split(".")[0] not in off
    }


def _phone(settings):
    """Is the board to serve phones: as it is set, else by the chip's memory?"""
    if settings["phone"] == "auto":
        import boards

        del sys.modules["boards"]  # it takes memory
        return int(boards.row()[4]) >= _PHONE_KB
    return settings["phone"] != "off"


class _Names:
    pass


def with_names(settings):
    """Return a copy whose keys are names of the program: it has them anyway, texts take memory."""
    names = _Names()
    for key in settings:
        setattr(names, key, settings[key])
    return dict(names.__dict__)


def _read(path):
    """Return (the object in the file, ""), or ({}, what is wrong with it)."""
    try:
        if os.stat(path)[6] > _LARGEST_BYTES:
            return {}, "is larger than %d bytes" % _LARGEST_BYTES
        with open(path) as f:
            # MicroPython 1.25 takes "{" for "{}"; in a file that ends early, the 0 goes astray
            given = json.loads("[%s,0]" % f.read())
    except OSError:
        return {}, ""  # it is optional
    except (ValueError, TypeError, RuntimeError, MemoryError):
        return {}, "is not valid JSON"
    if len(given) != 2:
        return {}, "is not valid JSON"
    return (given[0], "") if isinstance(given[0], dict) else ({}, "must be {...}")


def _flat(given, file):
    """Return ({key with dots: value}, sentences about groups that are none).

    What is said both ways is as the key with a dot says it, since dictionaries keep no order here.
    """
    groups = [row[0].split(".")[0] for row in rows() if "." in row[0]]
    secretive = [row[0].split(".")[0] for row in rows() if row[2] == "secret"]
    flat, sentences = {}, []
    for key in given:
        value = given[key]
        if key not in groups:
            flat[key] = value
        elif isinstance(value, dict):
            for name in value:
                flat.setdefault("%s.%s" % (key, name), value[name])
        elif key == "rest" and (value is True or value is False):
            flat.setdefault("rest.minutes", _REST_MIN if value else 0)
        else:
            shown = "not right" if key in secretive else short(value)
            sentences.append("%s: %s is %s, must be {...}; using defaults" % (file, key, shown))
    return flat, sentences


def problem_with(value, allowed):
    """Return what `value` should have been, or "" if it is allowed."""
    if allowed in ("text", "secret"):
        # control characters would garble the REPL and the display
        if isinstance(value, str) and len(value) <= _LONGEST and not (value and min(value) < " "):
            return ""
        return "text in quotes, at most %d characters" % _LONGEST
    if allowed in ("pairing", "phone"):
        words = ("off", "just works") if allowed == "pairing" else ("auto", "on", "off")
        if value in words:
            return ""
        if isinstance(value, str) and len(value) == 6 and not value.strip("0123456789"):
            return ""
        return ", ".join(words) + " or six digits, in quotes"
    if allowed == "batteries":
        if value == "all" or isinstance(value, list) and value:
            return ""
        return 'a list like [{"bms": "jbd_bms", "dev_name": "van", "capacity_ah": 100}], or "all"'
    if "|" in allowed and ".." not in allowed:
        choices = [_parse(word) for word in allowed.split("|")]
        if any(type(value) is type(choice) and value == choice for choice in choices):
            return ""
        words = [short(choice) for choice in choices]
        return ", ".join(words[:-1]) + " or " + words[-1]
    off, _, limits = allowed.rpartition("|")  # "0" or ""
    low, high = (float(word) for word in limits.split(".."))
    good = type(value) in (int, float)
    good = good and (low <= value <= high or off and value == 0)  # NaN is neither
    if good and (not _is_whole(allowed) or value == int(value)):
        return ""
    kind = "a whole number from" if _is_whole(allowed) else "a number from"
    if off:
        kind = off + " or " + kind
    return "%s %d to %d" % (kind, low, high)


def _is_whole(allowed):
    return ".." in allowed and "." not in allowed.replace("..", "")


def _parse(word):
    """Return the value that a word of the table stands for; None if it is from elsewhere."""
    try:
        return json.loads(word)
    except ValueError:
        return None


def _whose(default):
    return "the chip's" if default == "chip" else "conn.py's"


def short(value):
    """Return a value as JSON has it, text without its quotes, on one short line."""
    if value is None or value is True or value is False:
        return json.dumps(value)
    if isinstance(value, (dict, list)):
        return "{...}" if isinstance(value, dict) else "[...]"  # it may be very deep
    text = "".join(c if " " <= c else "?" for c in str(value)[:25]) or '""'
    return text if len(text) <= 24 else text[:21] + "..."
