# Alarm output and button: what each press does, which pins are refused, what the eye and ear get
import asyncio

import machine
import vclock
from app import pins
from app.battery import Status
from clock import Clock

_GPIO_OUT = 25
_GPIO_IN = 0


class _Link:
    paused = 0


class _Battery:
    def __init__(self):
        self.status = Status()
        self.link = _Link()


class _App:
    """What of the app a button reaches."""

    def __init__(self, down=False, **changes):
        machine.driven.clear()
        if down:
            machine.drive(_GPIO_IN, 0)
        machine.outputs.clear()
        machine.changes.clear()
        self.settings = {
            "alarm.pin": _GPIO_OUT, "alarm.pin_on": "high", "alarm.pin_mode": "pulses",
            "button.pin": _GPIO_IN, "lcd.fitted": True, "lcd.sda_pin": None, "lcd.scl_pin": None,
            "lcd.backlight": "auto",
        }  # fmt: skip
        for name in changes:
            key = name.replace("_", ".", 1)
            if changes[name] is None:
                del self.settings[key]
            else:
                self.settings[key] = changes[name]
        self.clock = Clock()
        self.batteries = [_Battery(), _Battery()]
        self.sinks = []
        self.said = []
        self.button = pins.start(self)

    async def keep(self, name, part):
        await part()

    def say(self, sentence):
        self.said.append(sentence)


async def _press(ms):
    await asyncio.sleep_ms(200)
    machine.drive(_GPIO_IN, 0)
    await asyncio.sleep_ms(ms)
    machine.drive(_GPIO_IN, None)
    await asyncio.sleep_ms(200)


async def _levels(seconds):
    """Return for how many ms the output was high, and how often it rose."""
    machine.changes.clear()
    begin = vclock.now_ms()
    level = machine.outputs[_GPIO_OUT]
    await asyncio.sleep(seconds)
    high = rises = 0
    last = begin
    for at, _, to in machine.changes + [(vclock.now_ms(), 0, level)]:
        if level:
            high += at - last
        rises += level < to
        last = at
        level = to
    return high, rises


async def test_pulses_while_there_is_an_alarm():
    app = _App()
    assert await _levels(10) == (0, 0)
    app.batteries[1].status.alarm = "cell low"
    high, rises = await _levels(20)
    assert rises == 10 and 2500 <= high <= 3600, (high, rises)
    app.batteries[1].status.alarm = ""
    await asyncio.sleep(1)
    assert await _levels(10) == (0, 0)


async def test_a_steady_output_that_is_on_when_low():
    app = _App(alarm_pin_on="low", alarm_pin_mode="steady")
    levels = [level for _, pin, level in machine.changes if pin == _GPIO_OUT]
    assert levels == [1]  # never on, not even for a moment
    app.batteries[0].status.alarm = "cell low"
    await asyncio.sleep_ms(100)
    assert await _levels(20) == (0, 0)
    app.sinks[0].close()
    assert machine.outputs[_GPIO_OUT] == 1


async def test_long_acknowledges_until_it_changes():
    app = _App()
    status = app.batteries[0].status
    status.alarm = "cell low"
    await _press(1500)
    assert status.seen == "cell low" == status.alarm  # it is still shown
    assert (await _levels(10))[1] == 0
    status.alarm = "cell low\ncharge low"
    assert (await _levels(10))[1] == 5
    assert app.batteries[0].link.paused == 0


async def test_very_long_pauses_every_link_and_ends_it():
    app = _App()
    app.batteries[0].status.alarm = "cell low"
    await _press(9000)
    assert [battery.link.paused for battery in app.batteries] == [600, 600]
    assert app.batteries[0].status.seen == ""  # it was no long press as well
    await _press(6000)
    assert [battery.link.paused for battery in app.batteries] == [0, 0]


class _Picture:
    def render(self, sample, status, tick_s):
        return tick_s

    def lit(self, sample, status, now_s):
        return False


async def test_short_turns_the_page_which_stays_a_while_and_goes_on():
    app = _App()
    shown = light = app.button
    app.button.turns(_Picture(), _Picture())
    assert shown.render(None, None, 41) == 41 and not light.lit(None, None, 41)
    app.clock._s = 41
    await _press(100)
    now_s = app.clock.uptime_s()
    assert light.lit(None, None, now_s)
    pages = [shown.render(None, None, now_s + k) // 4 for k in range(19)]
    assert pages == [11] * 19
    seconds = [shown.render(None, None, now_s + k) & 1 for k in range(10)]
    assert seconds == [(now_s + k) & 1 for k in range(10)]  # what blinks goes on
    later = [shown.render(None, None, now_s + k) // 4 for k in range(19, 40)]
    assert later[0] == 11 and later[-1] == 16 and not light.lit(None, None, now_s + 40)
    assert max(b - a for a, b in zip(later, later[1:])) == 1
    app.clock._s = 100
    await _press(100)
    await _press(100)
    assert shown.render(None, None, app.clock.uptime_s()) // 4 == later[-1] + 2


async def test_a_contact_that_bounces_is_pressed_once():
    app = _App()
    shown = app.button
    app.button.turns(_Picture(), _Picture())
    shown.render(None, None, 0)
    await asyncio.sleep_ms(200)
    for _ in range(3):
        machine.drive(_GPIO_IN, 0)
        await asyncio.sleep_ms(3)
        machine.drive(_GPIO_IN, None)
        await asyncio.sleep_ms(2)
    await _press(150)
    assert shown.render(None, None, 1) // 4 == 1


async def test_a_button_that_is_down_from_the_start_is_no_press():
    app = _App(down=True)
    app.batteries[0].status.alarm = "cell low"
    await asyncio.sleep(20)
    machine.drive(_GPIO_IN, None)
    await asyncio.sleep(1)
    assert app.batteries[0].link.paused == 0 and app.batteries[0].status.seen == ""
    await _press(1500)
    assert app.batteries[0].status.seen == "cell low"


def test_pins_that_are_refused():
    for changes, words in (
        ({"alarm_pin": 6}, "alarm.pin is 6, but GPIO6 to 11 are for the flash; using none"),
        ({"alarm_pin": 3}, "alarm.pin is 3, but GPIO1, 3 are for the cable to the PC; using none"),
        ({"alarm_pin": 21}, "alarm.pin is 21, but it is lcd.sda_pin as well; using none"),
        ({"button_pin": 4, "lcd_scl_pin": 4},
         "button.pin is 4, but it is lcd.scl_pin as well; using none"),
        ({"button_pin": 25}, "button.pin is 25, but it is alarm.pin as well; using none"),
        ({"button_pin": 34}, "button.pin is 34, but pin can only be input; using none"),
        ({"alarm_pin": 44}, "alarm.pin is 44, but invalid pin; using none"),
    ):  # fmt: skip
        app = _App(**changes)
        assert app.said == ["settings.json: " + words], (app.said, words)
    app = _App(button_pin=21, lcd_fitted=False, lcd_sda_pin=21)
    assert app.said == [] and app.button
    app = _App(button_pin=None)
    assert app.said == [] and app.button is None
