# Alarm output and button: looks whether the pins of the settings will do, and sets them to work
# Loaded for the start only. docs/HARDWARE.md shows the wires.
import asyncio
import sys

from machine import Pin


def start(app):
    """Start what the settings of `app` ask for; say what is refused. Return the button or None."""
    import boards

    del sys.modules["boards"]  # it takes memory
    want = app.settings
    board = boards.row()
    taken = {}
    if want["lcd.fitted"]:
        sda, scl = boards.pins(board)
        taken[sda if want["lcd.sda_pin"] is None else want["lcd.sda_pin"]] = "lcd.sda_pin"
        taken[scl if want["lcd.scl_pin"] is None else want["lcd.scl_pin"]] = "lcd.scl_pin"
    button = None
    for key in ("alarm.pin", "button.pin"):
        if key not in want:
            continue
        number = want[key]
        why = boards.refuses(board, number)
        if number in taken:
            why = "it is %s as well" % taken[number]
        taken[number] = key
        try:
            # one that can only be an input has no pull-up either, and says so as an output
            why = why or not Pin(number, Pin.OPEN_DRAIN, value=1)
        except ValueError as exc:
            why = exc
        if why:
            app.say("settings.json: %s is %d, but %s; using none" % (key, number, why))
        elif key == "alarm.pin":
            from app import buzzer

            part = buzzer.Buzzer(app, number)
            app.sinks.append(part)
            asyncio.create_task(app.keep("buzzer", part.run))
        else:
            from app.button import Button

            button = Button(app, number)
            asyncio.create_task(app.keep("button", button.run))
    return button
