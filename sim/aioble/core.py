# The radio and the list of those who want its events
import bluetooth

log_level = 1

_on_irq = []
_on_shutdown = []


class GattError(Exception):
    """The peer refused; `_status` is the ATT status."""

    def __init__(self, status):
        self._status = status


def _log(level, letter, args):
    if log_level > level:
        print("[aioble] %s:" % letter, *args)


def log_error(*args):
    _log(0, "E", args)


def log_warn(*args):
    _log(1, "W", args)


def log_info(*args):
    _log(2, "I", args)


def ensure_active():
    """Switch the radio on unless it is."""
    if not ble.active():
        ble.active(True)


def config(*args, **kwargs):
    """`bluetooth.BLE().config` with the radio switched on first."""
    ensure_active()
    return ble.config(*args, **kwargs)


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
