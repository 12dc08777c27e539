# The radio and the list of those who want its events
import bluetooth

_on_irq = []
_on_shutdown = []


class GattError(Exception):
    """The peer refused; `_status` is the ATT status."""

    def __init__(self, status):
        self._status = status


def ensure_active():
    """Switch the radio on unless it is."""
    if not ble.active():
        ble.active(True)


def stop():
    """Switch the radio off; nobody hears of the links that end by it."""
    ble.active(False)
    for fn in _on_shutdown:
        fn()


def register_irq_handler(irq, shutdown):
    """Call `irq(event, data)` for every event until one answers other than None,
    and `shutdown()` after `stop()`; either may be None."""
    if irq:
        _on_irq.append(irq)
    if shutdown:
        _on_shutdown.append(shutdown)


def ble_irq(event, data):
    for fn in _on_irq:
        answer = fn(event, data)
        if answer is not None:
            return answer


ble = bluetooth.BLE()
ble.irq(ble_irq)
