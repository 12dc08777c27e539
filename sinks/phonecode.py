# The code that a phone has to know: six digits, made at the first start, and a lock on guessing
# It keeps neighbours out; it does not stop somebody who records the radio: docs/PHONE.md.
import hashlib
import os

from micropython import const

_CODE = const("/phone")  # files; the second is written for a wrong code, and may be torn then
_WRONG = const("/phone.tries")
_TRIES = const(5)
_SHUT_S = const(60)
_BLOCK_BYTES = const(64)  # of SHA-256
_PROOF_BYTES = const(16)


class Lock:
    """Tells whether a proof opens. `code` is the six digits that are right, `fresh` unused yet."""

    def __init__(self, folder, clock, code):
        self._clock = clock
        self._tries = folder + _WRONG
        tries = _read(self._tries)
        self.fresh = tries is None
        self._wrong = int(tries) if tries and tries.isdigit() else 0
        # a restart must not be a way around
        self._open_s = clock.uptime_s() + _SHUT_S if self._wrong >= _TRIES else 0
        self.code = code if code.isdigit() else _read(folder + _CODE) or ""
        if len(self.code) != 6 or not self.code.isdigit():
            number = os.urandom(4)
            number = number[0] << 16 | number[1] << 8 | number[2]
            self.code = "%06d" % (number % 1_000_000)
            self.fresh = True
            try:
                os.mkdir(folder)
            except OSError:
                pass  # it is there
            _write(folder + _CODE, self.code)

    def wait_s(self):
        """Return for how many seconds no proof is looked at."""
        return max(0, self._open_s - self._clock.uptime_s())

    def opens(self, nonce, proof):
        """Is `proof` that of the code for `nonce`? Five that are not shut the door."""
        if proof == prove(self.code, nonce):
            if self._wrong or self.fresh:
                self._wrong = 0
                self.fresh = False
                _write(self._tries, "0")
            return True
        if self._wrong >= _TRIES:  # the minute is over
            self._wrong = 0
        self._wrong += 1
        if self._wrong >= _TRIES:
            self._open_s = self._clock.uptime_s() + _SHUT_S
        _write(self._tries, str(self._wrong))
        return False


def prove(code, nonce):
    """Return the first 16 bytes of HMAC-SHA-256 (RFC 2104) of `nonce` under the digits `code`."""
    key = code.encode()
    key += bytes(_BLOCK_BYTES - len(key))
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in key) + nonce).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in key) + inner).digest()[:_PROOF_BYTES]


def _read(path):
    try:
        with open(path) as f:
            return f.read(16).strip()
    except (OSError, UnicodeError):
        return None


def _write(path, text):
    try:
        with open(path, "w") as f:
            f.write(text + "\n")
    except OSError as exc:
        print("phone: flash error %d" % exc.errno)
