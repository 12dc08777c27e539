# The chip's memory on the virtual board: who takes from it, who gives back, and what a panic is
import bluetooth
import chips
import esp32
import machine
import network
import sysmem


class _Chip:
    """A chip after a hard reset, whose program holds `held` bytes of heap."""

    def __init__(self, name):
        self._name = name
        self.held = 0

    def __enter__(self):
        self._used = sysmem.used
        self._share = sysmem._share
        sysmem.used = sysmem._share = lambda: self.held
        self._grows, sysmem._grows = sysmem._grows, True
        sysmem.power_on(self._name, False)
        return self

    def __exit__(self, *_):
        sysmem.used = self._used
        sysmem._share = self._share
        sysmem._grows = self._grows
        bluetooth.BLE().active(False)
        sysmem.power_on("esp32", False)


def _free():
    return sum(area[1] for area in esp32.idf_heap_info(0x804))


def _panics():
    try:
        bluetooth.BLE().active(True)
        return False
    except machine.Reset as reset:
        assert reset.args[0] == machine.HARD_RESET  # what the port says of a panic
        return True


def test_bluetooth_takes_and_gives_back():
    for name in chips.CHIPS:
        with _Chip(name):
            before = _free()
            assert not _panics()
            assert before - _free() == sysmem.chip["bluetooth"]
            bluetooth.BLE().active(False)
            assert _free() == before


def test_a_heap_grows_by_doubling_then_by_all_there_is():
    with _Chip("esp32") as chip:
        sizes = []
        for held in range(50_000, 170_000, 1000):
            chip.held = held
            free = _free()
            if sysmem.heap not in sizes:
                sizes.append(sysmem.heap)
        assert sizes == [57_344, 114_688, 110_000 + 57_344]
        assert free == sysmem.chip["rest"]


def test_with_bluetooth_first_the_heap_ends_where_the_chip_says():
    for name in chips.CHIPS:
        with _Chip(name) as chip:
            assert not _panics()
            limit = sysmem.chip["limit"]
            chip.held = limit * 125 // 128
            areas = esp32.idf_heap_info(0x804)
            assert sysmem.heap == limit, (name, sysmem.heap)
            assert max(area[2] for area in areas) >= sysmem.chip["link"], name


def test_a_heap_that_grew_before_bluetooth_makes_it_panic():
    for held, panics in ((111_000, False), (113_000, True)):
        with _Chip("esp32") as chip:
            chip.held = held
            assert _panics() == panics


def test_wifi_keeps_its_memory_over_a_soft_reset_until_a_hard_one():
    with _Chip("esp32") as chip:
        before = _free()
        wlan = network.WLAN()
        wlan.active(True)
        wlan.active(False)
        assert before - _free() == sysmem.chip["wifi"]
        sysmem.power_on("esp32", True)
        assert before - _free() == sysmem.chip["wifi"]
        chip.held = 80_000  # the heap cannot double any more, and takes all instead
        assert _free() and _panics()
        sysmem.power_on("esp32", False)
        assert _free() >= before - 58_000 and not _panics()


def test_wifi_without_memory_is_an_error():
    with _Chip("esp32") as chip:
        assert not _panics()
        chip.held = 111_000
        try:
            network.WLAN()
            raise AssertionError("there was none")
        except RuntimeError as exc:
            assert str(exc) == "Wifi Unknown Error 0x0101"


def test_each_chip_has_its_pins():
    for name in chips.CHIPS:
        with _Chip(name):
            last = sysmem.chip["pins"][1]
            for number in range(60):
                try:
                    machine.Pin(number, machine.Pin.OPEN_DRAIN)
                    outcome = "good"
                except ValueError:
                    outcome = "refused"
                except machine.Reset:
                    outcome = "crash"
                flash = sysmem.chip["flash"]
                if flash[0] <= number <= flash[1]:
                    assert outcome == "crash", (name, number)
                else:
                    inputs = sysmem.chip["inputs"]
                    bad = number > last or inputs[0] <= number <= inputs[1]
                    assert outcome == ("refused" if bad else "good"), (name, number)
