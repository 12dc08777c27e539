# A phone outside of the simulation: two pipes carry what it does and what it hears, in lines
# To the board: connect, write CHARACTERISTIC HEX, disconnect, vanish. From it: told NAME-HEX,
# connected MTU, refused, heard HEX, gone. Files radio.in and radio.out, made by the other side.
import air
import select
import vclock
from micropython import const
from phone import Phone

_LOOK_MS = const(10)


class Outside(Phone):
    """The phone at the other end of the pipes in a folder; time is real then."""

    interval_ms = 10

    def __init__(self, folder):
        Phone.__init__(self)
        # for both ways, so that neither waits for somebody to open the other end
        self._in = open(folder + "/radio.in", "r+b")
        self._out = open(folder + "/radio.out", "r+b")
        self._poll = select.poll()
        self._poll.register(self._in, select.POLLIN)
        self._line = b""
        self._told = None
        vclock.call_later(_LOOK_MS, self._look)

    def _look(self):
        vclock.call_later(_LOOK_MS, self._look)
        while self._poll.poll(0):
            byte = self._in.read(1)
            if byte != b"\n":
                self._line += byte
                continue
            words = str(self._line, "utf-8").split()
            self._line = b""
            if words:
                self._do(*words)
        told = air.radio.advertising
        answer = told[2] if told and told[3] else b""
        if answer != self._told:
            self._told = answer
            self._say("told " + answer.hex())

    def _do(self, what, *words):
        if what == "connect":
            if self.connect():
                vclock.call_later(100, lambda: self._say("connected %d" % self.mtu_now()))
            else:
                self._say("refused")
        elif what == "write":
            self.write(bytes.fromhex(words[1]), int(words[0]))
        elif what == "disconnect":
            self.disconnect()
        elif what == "vanish":
            self.vanish()

    def mtu_now(self):
        return self.link.mtu if self.link else 0

    def heard(self, data):
        self._say("heard " + data.hex())

    def disconnected(self):
        Phone.disconnected(self)
        self._say("gone")

    def _say(self, line):
        self._out.write(line.encode() + b"\n")
