# The security manager of the simulated stack: pairing as a central, as NimBLE does it on an ESP32
# What a peer wants and how it answers is in air.Peripheral: `pairs`, `passkey`, `before`.
import errno

import air
import machine
import vclock
from micropython import const

ENCRYPTION_UPDATE = const(28)

_ENTER = const(2)
_KEYBOARDS = (2, 4)  # I/O capabilities that can enter a passkey
_NO_INPUT_OUTPUT = const(3)
_ASKED_MS = const(60)  # until both sides know what they can
_DECIDED_MS = const(90)
_TIMEOUT_MS = const(30_000)
_KEY_BYTES = const(16)


class Settings:
    """What `BLE.config` sets; the radio forgets it when it is switched off."""

    def __init__(self):
        self.bond = True  # nobody should rely on what it is unless it was set
        self.mitm = False
        self.io = _NO_INPUT_OUTPUT
        self.le_secure = False


class Pairing:
    """The state of one link, and its one pairing procedure."""

    def __init__(self, link, settings):
        self._link = link
        self._settings = settings
        self._waiting = None  # a passkey would be taken: False, True; None: there is no procedure
        self._timeout = None
        self.encrypted = False
        self.authenticated = False

    def begin(self):
        """BLE.gap_pair."""
        if self._waiting is not None:
            raise OSError(errno.EALREADY)
        self._waiting = False
        vclock.call_later(_ASKED_MS, self._asked)
        self._timeout = vclock.call_later(_TIMEOUT_MS, self._decide, False, False)

    def end(self):
        """The link is over; no event tells what became of its pairing."""
        if self._waiting is not None:
            self._waiting = None
            vclock.cancel(self._timeout)

    def enter(self, action, key):
        """BLE.gap_passkey."""
        if self._waiting is None:
            raise OSError(errno.ENOENT)
        if not self._waiting or action != _ENTER:
            raise OSError(errno.EINVAL)
        self._waiting = False
        right = self._link.peer is not None and key == self._link.peer.passkey
        vclock.call_later(_DECIDED_MS, self._decide, right, right)

    def _asked(self):
        peer = self._link.peer
        if not self._link.up or peer is None or peer.pairs == "silent":
            return
        peer.pairings += 1
        if self._settings.bond:
            machine.panic("assert in ble_store: a secret that nobody keeps")
        if peer.pairs == "hangs up":
            self._link.drop()
        elif peer.pairs == "just works":
            vclock.call_later(_DECIDED_MS, self._decide, True, False)
        elif peer.pairs == "passkey" and self._settings.mitm and self._settings.io in _KEYBOARDS:
            self._waiting = True
        else:  # "refuses", or authentication is not to be had
            self._decide(False, False)

    def _decide(self, encrypted, authenticated):
        if self._waiting is None or not self._link.up:
            return
        self._waiting = None
        vclock.cancel(self._timeout)
        self.encrypted, self.authenticated = encrypted, authenticated
        data = (
            self._link.handle, encrypted, authenticated, False, _KEY_BYTES if encrypted else 0
        )  # fmt: skip
        air.radio.emit(ENCRYPTION_UPDATE, data)

    def write(self, char, data):
        """What comes of a write before the peer is content: None (it is), or an ATT status."""
        peer = self._link.peer
        content = self.authenticated if peer.pairs == "passkey" else self.encrypted
        if content or peer.before is None:
            return None
        if peer.before == "refuse":
            return peer.refusal
        if peer.before == "echo":
            for value_handle in self._link.subscribed:
                vclock.call_later(
                    self._link.interval_ms, self._link.notify, value_handle, memoryview(data)
                )
        return 0  # taken, and no more
