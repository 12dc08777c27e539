"""mpremote's transport to a board, for boards that sleep, and faster."""

import contextlib
import io
import select
import time

from mpremote.transport_serial import SerialTransport

_LOOK_S = 0.01
_PROMPT = b">>> "
# A look of a board at rest takes 3 s, in which it hears us. What stops it is not said twice within
# the time in which it stores what it has.
_KNOCK_S = 2


class Transport(SerialTransport):
    """A line that takes what the board says when it comes; `heard`: anything came, ever.

    mpremote's looks for it every 10 ms, and a file is copied in a thousand questions and answers.
    """

    heard = False

    def read_until(
        self, min_num_bytes, ending, timeout=10, data_consumer=None, timeout_overall=None
    ):
        data = b""
        began_s = heard_s = time.monotonic()
        while not data.endswith(ending):
            if self.serial.in_waiting:
                byte = self.serial.read(1)
                self.heard = True
                heard_s = time.monotonic()
                data = data + byte if data_consumer is None else byte
                if data_consumer:
                    data_consumer(byte)
                continue
            now_s = time.monotonic()
            if timeout is not None and now_s >= heard_s + timeout:
                break
            if timeout_overall is not None and now_s >= began_s + timeout_overall:
                break
            self._await()
        return data

    def _await(self):
        try:
            select.select([self.serial], [], [], _LOOK_S)
        except (AttributeError, OSError, ValueError):  # Windows waits for sockets only
            time.sleep(_LOOK_S)

    def interrupt(self, fresh: bool, patience_s: float):
        """Stop the program, and clear its memory if `fresh`; raises TransportError."""
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not know
            self.enter_raw_repl(fresh, patience_s)

    def await_wake(self, seconds: float) -> bool:
        """Ask for so long until a board that sleeps wakes and is stopped; return whether it was."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.serial.write(b"\r\x03")
            if self.read_until(1, _PROMPT, timeout_overall=_KNOCK_S).endswith(_PROMPT):
                return True
        return False
