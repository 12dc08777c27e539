# Optional settings from /settings.json; what it does not name keeps its default
# A wrong value is refused with a sentence and the default is used: logging never stops.
import json

# key: (default, allowed: str, one of several, or lowest and highest); a default None leaves
# it to conn.py
TABLE = {
    "bms": (None, str),  # BMS driver, e.g. jbd_bms; overrides the import in conn.py
    "dev_name": (None, str),  # Bluetooth name of the BMS; overrides conn.py
    "capacity_ah": (None, (1, 10_000)),  # design capacity; overrides conn.py
    "secret": ("", str),  # password of the BMS, if it has one
    "poll_s": (2, (1, 60)),  # seconds between polls
    "lcd": ("16x2", ("16x2", "20x2", "16x4", "20x4", "none")),  # size of the display
    "lcd_address": (0, (0, 127)),  # I2C address of the display; 0 finds it
    "sda_pin": (21, (0, 48)),  # GPIO of I2C data
    "scl_pin": (22, (0, 48)),  # GPIO of I2C clock
    "watchdog_s": (300, (0, 3600)),  # reset when the program hangs so long; 0 is never
}


def load(path="/settings.json"):
    """Return (settings, sentences): every key of TABLE with its value, and what was refused."""
    settings = {key: TABLE[key][0] for key in TABLE}
    try:
        with open(path) as f:
            given = json.load(f)
    except OSError:
        return settings, []
    except ValueError:
        return settings, ["%s is not valid JSON; using defaults" % path[1:]]
    if not isinstance(given, dict):
        return settings, ["%s must be {...}; using defaults" % path[1:]]
    sentences = []
    for key in given:
        if key not in TABLE:
            sentences.append("%s: unknown key %s, ignored" % (path[1:], key))
            continue
        default, allowed = TABLE[key]
        problem = _problem(given[key], allowed)
        if problem:
            using = "conn.py's" if default is None else default
            sentences.append(
                "%s: %s is %s, must be %s; using %s"
                % (path[1:], key, _short(given[key]), problem, using)
            )
        else:
            settings[key] = given[key]
    return settings, sentences


def _problem(value, allowed):
    """Return what `value` should have been, or "" if it is allowed."""
    if allowed is str:
        return "" if isinstance(value, str) else "text in quotes"
    if isinstance(allowed[0], str):
        return "" if value in allowed else "one of " + ", ".join(allowed)
    # True is not an int here, but make sure on every interpreter
    if value is True or value is False or not isinstance(value, (int, float)):
        return "a number"
    return "" if allowed[0] <= value <= allowed[1] else "%d to %d" % allowed


def _short(value):
    text = str(value)
    return text if len(text) <= 24 else text[:21] + "..."
