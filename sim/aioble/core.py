# The radio and the list of those who want its events
import bluetooth

log_level = 1
_irq_handlers = []
_shutdown_handlers = []


class GattError(Exception):
    """The peer refused; `_status` is the ATT status."""

    def __init__(self, status):
        self._status = status


def log_error(*args):
    if log_level > 0:
        print("[aioble] E:", *args)


def ensure_active():
    """Switch the radio on unless it is."""
    if not ble.active():
        ble.active(True)


def config(*args, **kwargs):
    ensure_active()
    return ble.config(*args, **kwargs)


def stop():
    """Switch the radio off; nobody hears of the links that end by it."""
    ble.active(False)
    for fn in _shutdown_handlers:
        fn()


def register_irq_handler(irq, shutdown):
    """Call `irq(event, data)` for every event until one answers other than None,
    and `shutdown()` after `stop()`; either may be None."""
    if irq:
        _irq_handlers.append(irq)
    if shutdown:
        _shutdown_handlers.append(shutdown)


# fault: an exception of any handler ends all events for good
def ble_irq(event, data):
    for fn in _irq_handlers:
        answer = fn(event, data)
        if answer is not None:
            return answer


ble = bluetooth.BLE()
ble.irq(ble_irq)
