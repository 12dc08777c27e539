# What the user chose: driver, name and capacity, by conn.py and the settings
# Loaded for the start only.


def choose(conn, want):
    """Return (BMS class or None to find out, Bluetooth name, capacity in Ah).

    `conn` is the user's module, or why it cannot be imported; `want` are the settings, which go
    first. Links are paired from now on, if so chosen. Raises ValueError with a sentence for users.
    """
    where = "conn.py"
    try:
        if isinstance(conn, Exception):
            raise conn
        where = "settings.json"
        driver = _driver(want["bms"]) if want["bms"] else getattr(conn, "BMS", None)
        where = "conn.py"
        name = conn.dev_name if want["dev_name"] is None else want["dev_name"]
        capacity = conn.DESIGN_CAP if want["capacity_ah"] is None else want["capacity_ah"]
        if not isinstance(name, str):
            raise ValueError("dev_name is %r, must be text in quotes" % (name,))
        if not isinstance(capacity, (int, float)) or not 0 < capacity <= 10000:
            raise ValueError("DESIGN_CAP is %r, must be 1 to 10000 (Ah)" % (capacity,))
    except MemoryError:
        raise  # the board starts again, with a tidy heap
    except Exception as exc:
        raise ValueError("%s: %s" % (where, _reason(exc)))
    if want["pairing"] != "off":
        from bleak.pairing import use  # here, because few want it

        use(want["pairing"])
    return driver, name, capacity


def _driver(name):
    """Import the BMS class of the driver module `name`."""
    return __import__("aiobmsble.bms." + name, None, None, ("BMS",)).BMS


def _reason(exc):
    """Say what is wrong with conn.py in a sentence."""
    text = str(exc)
    if isinstance(exc, ImportError) and text.startswith("no module"):
        if "aiobmsble.bms." in text:
            driver = text[text.rfind(".") + 1 :].replace("'", "")
            return "there is no BMS driver %s, see docs/BMS.md for names" % driver
        return "%s; install the libraries again" % text
    if isinstance(exc, OSError) or text == "incompatible .mpy file":
        return "a file of batmon is damaged (%s), install batmon again" % text
    if isinstance(exc, ValueError) and text:
        return text
    if isinstance(exc, NameError) and text.count("'") > 1:
        return 'text stands in quotes: "%s"' % text.split("'")[1]
    if isinstance(exc, SyntaxError):
        text = "not valid Python"
    return "%s, check the three lines at its top" % (text or type(exc).__name__)
