# WiFi on the virtual board: bounded attempts, memory for Bluetooth first, no secret told
import asyncio
import builtins

import network
import sysmem
from sinks.wifi import Wifi

_PASSWORD = "open sesame"


class _Words:
    """What is printed meanwhile."""

    def __enter__(self):
        self.text = ""
        self._print = builtins.print
        builtins.print = self._take
        return self

    def _take(self, *words):
        self.text += " ".join(str(word) for word in words) + "\n"

    def __exit__(self, *_):
        builtins.print = self._print


def _world(**changes):
    network.world.update({"ssid": "net", "password": _PASSWORD, "drop_s": 0, "dhcp_ms": 900})
    network.world.update(changes)
    sysmem.power_on("s3", False)
    network.WLAN.reason = 0
    network.WLAN().active(False)
    sysmem.hog = 0
    sysmem.give("wifi")


def _leave(free):
    """Let something else take all the system's memory but so much."""
    sysmem.hog = 0
    sysmem.hog = sysmem.free() - free


async def _attempts(wifi, seconds):
    """Let it try for so long; return how many seconds the radio was on."""
    task = asyncio.create_task(wifi.join())
    on_s = 0
    for _ in range(seconds):
        await asyncio.sleep(1)
        on_s += network.WLAN().active()
    if not task.done():
        task.cancel()
    await asyncio.sleep_ms(0)
    return on_s


async def test_joins_and_stays():
    _world()
    wifi = Wifi("net", _PASSWORD)
    with _Words() as words:
        await asyncio.wait_for(wifi.join(), 20)
    assert wifi.connected() and wifi.dns() == "10.0.0.1"
    assert words.text == "WiFi: joined net\n"


async def test_slow_dhcp_is_waited_for():
    _world(dhcp_ms=20_000)
    wifi = Wifi("net", _PASSWORD)
    await asyncio.wait_for(wifi.join(), 30)
    assert wifi.connected()


async def test_failures_are_said_once_and_cost_little_radio():
    for world, sentence in (
        ({"ssid": "other"}, "finds no network net"),
        ({"password": "another"}, "net does not let the board in (202), check the password"),
        ({"dhcp_ms": 10**9}, "net does not answer"),
    ):
        _world(**world)
        wifi = Wifi("net", _PASSWORD)
        with _Words() as words:
            on_s = await _attempts(wifi, 7200)
        assert words.text == "WiFi: %s\n" % sentence, words.text
        assert not wifi.connected() and 0 < on_s < 720
        assert _PASSWORD not in words.text


async def test_comes_back_after_a_loss():
    _world(drop_s=3600)
    wifi = Wifi("net", _PASSWORD)
    joined_s = 0
    with _Words() as words:
        for _ in range(4 * 3600):
            if not wifi.connected():
                await wifi.join()
            joined_s += 1
            await asyncio.sleep(1)
    assert joined_s > 3.5 * 3600
    assert words.text.count("joined net") >= 4


async def test_rejoins_although_the_status_keeps_the_last_failure():
    _world(ssid="other")
    wifi = Wifi("net", _PASSWORD)
    task = asyncio.create_task(wifi.join())
    await asyncio.sleep(20)
    wlan = network.WLAN()
    assert wlan.status() == network.STAT_NO_AP_FOUND
    network.world.update(ssid="net", dhcp_ms=5000)
    await asyncio.sleep(60)
    assert task.done() and wifi.connected()
    wlan.disconnect()
    wlan.connect("nowhere")
    await asyncio.sleep(5)
    wlan.connect("net", _PASSWORD)  # the port says that it fails until there is an address
    assert wlan.status() == network.STAT_NO_AP_FOUND


async def test_long_failures_are_forgotten_once_it_has_joined():
    _world(ssid="other")
    wifi = Wifi("net", _PASSWORD)
    await _attempts(wifi, 7200)
    network.world["ssid"] = "net"
    await asyncio.wait_for(wifi.join(), 700)
    network.world["ssid"] = "other"
    network.WLAN().disconnect()
    task = asyncio.create_task(wifi.join())
    await asyncio.sleep(20)
    network.world["ssid"] = "net"
    await asyncio.sleep(60)
    assert task.done() and wifi.connected()


async def test_memory_of_bluetooth_is_left_alone():
    _world()
    wifi = Wifi("net", _PASSWORD)
    _leave(50_000)
    with _Words() as words:
        assert await _attempts(wifi, 600) == 0  # the radio was never on
    assert "there are 50 (" in words.text
    _leave(100_000)
    await asyncio.wait_for(wifi.join(), 1200)
    assert wifi.connected()
    _leave(10_000)
    with _Words() as words:
        assert not wifi.connected() and not network.WLAN().active()
    assert "10000" in words.text
    _leave(100_000)
    assert await _attempts(wifi, 590) == 0
    await asyncio.wait_for(wifi.join(), 1200)
    assert wifi.connected()


async def test_driver_that_raises():
    _world()
    connect = network.WLAN.connect

    def refuse(self, ssid, key=None):
        raise OSError("Wifi Internal Error")

    network.WLAN.connect = refuse
    wifi = Wifi("net", _PASSWORD)
    with _Words() as words:
        await _attempts(wifi, 600)
    network.WLAN.connect = connect
    assert words.text == "WiFi: error: Wifi Internal Error\n"


async def test_off_gives_the_radio_back():
    _world()
    wifi = Wifi("net", _PASSWORD)
    wifi.off("never was on")
    await asyncio.wait_for(wifi.join(), 20)
    wifi.off("enough")
    assert not wifi.connected() and not network.WLAN().active()
