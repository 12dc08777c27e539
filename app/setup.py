# What the app does once, at its start: settings, batteries, display
# Each part of it is loaded for that; what they load in turn is let go of here.
import asyncio
import sys

from micropython import const
from sampling.sampler import Sampler

_DATA = "/data"
_LINKS = const(4)  # at a time: what MicroPython has its Bluetooth built for, on every chip
_PAUSE_MS = const(120_000)  # between two turns of a link: the log is not interrupted
_TURN_S = const(80)  # where links take turns: as far apart as polls, for who asks if data are old
_AT_LEAST_S = 600  # a board that was started does not sleep before
_ONLY_ONE = ": only one is logged until ./install.sh has brought what several need"


def settings():
    """Return (the settings, what is wrong with them: a sentence or none); print all of that."""
    from app import settings

    loaded, sentences = settings.load()
    for sentence in sentences:
        print(sentence)
    loaded = settings.with_names(settings.in_use(loaded))
    _forget("app", "settings")
    return loaded, sentences[:1]


def configure(app):
    """Make link, sampler and store from conn.py and the settings; say what is wrong."""
    want = app.settings
    if "alarm.pin" in want or "button.pin" in want:
        from app import pins

        app.button = pins.start(app)
        _forget("app", "pins")
    own = want.pop("ds3231", "off")
    if own == "on" or own == "auto" and want["lcd.fitted"]:
        from screen import panel

        _forget("screen", "panel")
        i2c = panel.find_clock(app, own == "on")
        if i2c:
            from app import ownclock

            _forget("app", "ownclock")
            if ownclock.is_there(i2c):
                from app import clockwatch

                ahead_s = ownclock.agree(app.clock, i2c, None, app.paused and "rest" in app.paused)
                part = app.keep("clock", clockwatch.run, app.clock, i2c, ahead_s)
                asyncio.create_task(part)
    try:
        plan = _plan(app)
    except ValueError as exc:
        app.sentences.insert(0, str(exc))
        app.batteries[0].status.link = "mend it and restart"
        print(app.sentences[0])
        return
    paused = app.paused  # opening a log forgets it
    # not before what the plan took is let go of: opening a log takes as much
    for i in range(len(plan)):
        _make(app, app.batteries[i], *plan[i])
    if paused and paused["gap_s"]:
        _go_on_watching(app, paused)
    if app.common:
        from link import peers

        links = [battery.link for battery in app.batteries]
        for link in links:
            if link.name.count(":") == 5:
                link.found = link.name.upper()  # that no link takes it that looks for a name
        if peers.share(links, _LINKS - ("phone" in want)):
            want["poll_s"] = max(_TURN_S, want["poll_s"])
            for battery in app.batteries:
                battery.sampler.timeout_ms = _PAUSE_MS


def _make(app, battery, make, driver, name, capacity_ah, secret, log, address, called):
    """Make a battery's sampler, link and, if the name of its `log` is known, store.

    `make` is conn.py's BmsLink, `address` and `called` are what app/known.py knows of it.
    """
    want = app.settings
    battery.name = battery.called = name
    battery.sampler = Sampler(max(1, int(capacity_ah)))
    if want["events"]:
        from app.watching import Watching

        battery.watch = Watching(want["poll_s"])
    if log:
        battery.open_store(log)
    link = battery.link = make(
        driver,
        name,
        int(want["poll_s"] * 1000),
        secret,
        battery.link_changed,
        app.on_error,
        app.restart,
    )
    link.capacity_ah = capacity_ah
    link.address = battery.known = address
    link.called = called


def _plan(app):
    """Return for each of `app.batteries` what `_make` takes; raises ValueError."""
    want = app.settings
    from app import choice, claim, known

    try:
        claim.claim(_DATA)
        if want["batteries"] or hasattr(app.conn, "BATTERIES"):
            try:
                from app import several
            except ImportError:  # so it was installed, for one battery
                listed = "settings.json: batteries" if want["batteries"] else "conn.py: BATTERIES"
                app.say(listed + _ONLY_ONE)
            else:
                return several.plan(app)
        driver, name, capacity = choice.choose(app.conn, want)
        address, called = known.read(_DATA, name)
        log = name and known.logs(_DATA).get(address or name.upper(), name)
    finally:
        _forget("app", "choice")
        _forget("app", "claim")
        _forget("app", "known")
    make = app.conn.BmsLink
    if "link.share_s" in want:
        from link.shared import Shared as make
    if app.paused and "rest" in app.paused:
        make = app.paused["link"](make)
    if "rest.minutes" in want:
        app.rest_ma = max(1, int(capacity * want["rest.percent"] * 10))
        app.loud_s = app.clock.uptime_s() + _AT_LEAST_S - app.quiet_s
    return [(make, driver, name, capacity, want["secret"], log, address, called)]


def _go_on_watching(app, paused):
    """Let a boot that goes on know what it told the log before the pause."""
    from sampling import keep

    _forget("sampling", "keep")
    for battery, kept in zip(app.batteries, paused.get("watching", ())):
        if battery.watch and kept:
            try:
                keep.restore(battery.watch, kept)
            except ValueError:
                pass  # of another build: all is told anew


def display(app):
    """Return (LCD, what it shows, its light, glyphs, words for when it is not there), or None."""
    from screen import pages, panel

    _forget("screen", "panel")
    want = app.settings
    try:
        lcd = panel.make(want)
    except ValueError as exc:
        print("%s; going on without display" % exc)
        return None
    if app.common:
        from screen.several import Several

        picture = light = Several(want["lcd.cols"], want["lcd.rows"], want, app.batteries)
    else:
        picture = pages.Screen(want["lcd.cols"], want["lcd.rows"], want["poll_s"])
        if want["lcd.cols"] * want["lcd.rows"] == 80:
            from screen.lifetime import WithLifetime

            picture = WithLifetime(picture, app.batteries[0].status)
        link = app.batteries[0].link
        step_a = link.capacity_ah / 100 if link else 1  # of the current that lights it
        dark_soc = want.get("rest.reserve", -1)
        light = pages.Light(want["lcd.backlight"], want["lcd.backlight_s"], step_a, dark_soc)
    if app.button:
        app.button.turns(picture, light)
        picture = light = app.button
    pins = want["lcd.sda_pin"], want["lcd.scl_pin"]
    missing = "no display found on I2C (SDA GPIO%d, SCL GPIO%d), going on without" % pins
    return lcd, picture, light, pages.GLYPHS, missing


def _forget(package, module):
    """Let go of a module: both who imports it anew and its package know of it."""
    del sys.modules[package + "." + module]
    delattr(sys.modules[package], module)
