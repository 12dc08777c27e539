# A sink that sends frames, and polls if asked, to an InfluxDB server: line protocol over UDP
# docs/INFLUX.md tells what arrives, and how another sink would be added.
import asyncio
import socket
import struct
import sys

import half
from micropython import const
from shards import frame
from sinks.once import once

_QUEUE_BYTES = const(1920)  # 83 frames, some hours of them
_HEAD = const(10)  # of what waits in the queue: uptime in s, and ms, bytes, kind, battery
_PACKET_BYTES = const(1432)  # more would not fit into one Ethernet frame
_FIELDS_BYTES = const(600)  # with the longest names a line still fits

_BLUETOOTH_FIRST_S = const(20)
_TICK_S = const(5)  # from one packet to the next that is not full
_LOOKUP_S = const(3600)
_LOOKUP_RETRY_S = const(60)

_FRAME = const(0)
_POLL = const(1)
_CELLS = const(2)
_SUFFIXES = ("", "_poll", "_cells")


def run(settings, sinks, clock, batteries, wifi):
    """Be on the list `sinks` for ever: returns a coroutine."""
    return Influx(settings, wifi, clock, batteries).run(sinks)


class Influx:
    """Sends what the logs of the `batteries` get over `wifi` to the server that the settings name.

    Frames wait while there is no way to it, up to some hours of them; polls do not. `lost`
    counts the lines that had to go.
    """

    def __init__(self, settings, wifi, clock, batteries):
        self.lost = 0
        self._host = settings["influx.host"]
        self._port = settings["influx.port"]
        self._polls = settings["influx.polls"]
        self._cells = settings["influx.cells"]
        self._wifi = wifi
        self._clock = clock
        self._batteries = batteries
        self._measurement, self._called, self._board = once("influxnames").spelled(settings)
        if len(batteries) > 1:  # one may be called anything; several go by the names of their logs
            self._called = ""
        self._queue = bytearray(_QUEUE_BYTES)
        self._used = 0
        self._packet = bytearray(_PACKET_BYTES)
        self._length = 0
        self._socket = None
        self._address = None  # the server's
        self._said = ""
        self._live = False
        self._cells_due = 0  # a bit for each battery
        self._last_s = [-1] * len(batteries)  # uptime of the last frame
        self._twins = [0] * len(batteries)  # frames before it in the same second
        self._lookup_s = 0  # when to look the server up again

    # ---- the sink: raises nothing, waits for nothing

    def frames(self, battery, buf, n):
        """Take the `n` frames at the start of `buf`, as the store of `battery` gets them."""
        which = self._batteries.index(battery)
        now_s = self._clock.uptime_s()
        for at in range(0, n * frame.SIZE, frame.SIZE):
            if frame.kind(buf, at):
                continue  # what happened to the log is of no interest there
            uptime_s = now_s - (now_s - struct.unpack_from("<H", buf, at)[0] & 0xFFFF)
            twins = self._twins[which] + 1 if uptime_s == self._last_s[which] else 0
            self._twins[which] = twins
            self._last_s[which] = uptime_s
            body = memoryview(buf)[at : at + frame.SIZE]
            self._put(_FRAME, which, uptime_s, twins, body)
            self._cells_due |= 1 << which

    def sample(self, battery, uptime_ms, sample):
        """Take a poll's sample, aiobmsble's dict; its frames came before."""
        which = self._batteries.index(battery)
        if self._polls and not self._live:
            self.lost += 1  # a poll is of interest as it happens
        else:
            if self._polls:
                fields = _fields(
                    sample.get("voltage"),
                    sample.get("current"),
                    sample.get("temperature"),
                    sample.get("battery_level"),
                )
                self._put_text(_POLL, which, uptime_ms, fields)
            if self._cells and (self._polls or self._cells_due >> which & 1):
                self._put_text(_CELLS, which, uptime_ms, _cell_fields(sample))
        self._cells_due &= ~(1 << which)

    def close(self):
        """Send what can be sent at once."""
        if self._live:
            while self._take():
                pass
            self._send()

    async def run(self, sinks):
        """Be one of `sinks`, join the network, know the time and the server, send; never ends."""
        sinks.append(self)
        try:
            await asyncio.sleep(_BLUETOOTH_FIRST_S)
            while True:
                await self._wifi.join()
                if self._clock.uptime_s() >= self._lookup_s:
                    import udpask  # once an hour

                    del sys.modules["udpask"]
                    ip = await udpask.lookup(self._host, self._wifi.dns())
                    self._lookup_s = self._clock.uptime_s() + _LOOKUP_RETRY_S
                    if ip:
                        self._address = udpask.address(ip, self._port)
                        self._lookup_s += _LOOKUP_S  # it may move, and UDP would not tell
                    else:  # an address from before may still be right
                        self._say("finds no address of " + self._host)
                    del udpask
                self._live = bool(self._address)
                for battery in self._batteries:
                    if battery.store:
                        battery.store.tick()  # it notes the time, if the clock was set a moment ago
                        self._live = self._live and bool(battery.store.unix_offset_s)
                if self._live:
                    while self._take():
                        await asyncio.sleep_ms(0)
                    self._send()
                await asyncio.sleep(_TICK_S)
                self._live = self._live and self._wifi.connected()
        finally:
            sinks.remove(self)

    # ---- the queue: what is not in a packet yet

    def _put_text(self, kind, which, uptime_ms, fields):
        while self._live and self._used > _QUEUE_BYTES // 2 and self._take():
            pass
        if len(fields) > _FIELDS_BYTES:
            self.lost += 1
        elif fields:
            self._put(kind, which, uptime_ms // 1000, uptime_ms % 1000, fields[1:].encode())

    def _put(self, kind, which, uptime_s, ms, body):
        size = _HEAD + len(body)
        while self._used + size > _QUEUE_BYTES:
            self._drop_first()
            self.lost += 1
        head = uptime_s, ms, len(body), kind, which
        struct.pack_into("<IHHBB", self._queue, self._used, *head)
        self._queue[self._used + _HEAD : self._used + size] = body
        self._used += size

    def _drop_first(self):
        size = _HEAD + struct.unpack_from("<H", self._queue, 6)[0]
        view = memoryview(self._queue)
        view[: self._used - size] = view[size : self._used]
        self._used -= size

    # ---- packets

    def _take(self):
        """Move a line from the queue into the packet, which is sent when full.

        Returns False when there is nothing to move or no room for it.
        """
        if self._used == 0:
            return False
        uptime_s, ms, size, kind, which = struct.unpack_from("<IHHBB", self._queue, 0)
        store = self._batteries[which].store
        if kind == _FRAME:
            fields = _frame_fields(self._queue, _HEAD, store.cells)
        else:
            fields = str(memoryview(self._queue)[_HEAD : _HEAD + size], "utf-8")
        # Times of this century in ns are too much for floats and small ints: digits are joined.
        unix_s = uptime_s + store.unix_offset_s
        line = "%s%s,battery=%s,board=%s %s %d%03d000000\n" % (
            self._measurement,
            _SUFFIXES[kind],
            self._called or store.name,  # of which no character is special
            self._board,
            fields,
            unix_s,
            ms,
        )
        line = line.encode()
        if self._length + len(line) > _PACKET_BYTES and not self._send():
            return False
        self._packet[self._length : self._length + len(line)] = line
        self._length += len(line)
        self._drop_first()
        return True

    def _send(self):
        """Send the packet; return False if it has to wait."""
        if self._length:
            try:
                if self._socket is None:
                    self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    self._socket.setblocking(False)
                self._socket.sendto(memoryview(self._packet)[: self._length], self._address)
            except OSError as exc:
                self._say("cannot send (error %d)" % exc.errno)
                return False
            self._length = 0
            self._say("sending to " + self._host)
        return True

    def _say(self, text):
        if text != self._said:
            self._said = text
            lost = ", %d lines lost so far" % self.lost if self.lost else ""
            print("InfluxDB: %s%s" % (text, lost))


# ---- line protocol


def _frame_fields(buf, at, cells):
    """Return the fields of the data frame at `at`; what is unknown is left out.

    Its index counts over so many `cells`, 0 if unknown.
    """
    _, volts, amps, celsius, percent, low, high, index = struct.unpack_from("<HHHBBHHB", buf, at)
    fields = _fields(
        half.decode(volts),
        half.decode(amps),
        None if celsius == frame.UNKNOWN_U8 else celsius / 2 - 40,
        None if percent == frame.UNKNOWN_U8 else percent / 2,
    )
    if low != frame.UNKNOWN_U16:
        fields += ",cell_min_mV=%di,cell_max_mV=%di" % (low, high)
        if index != frame.UNKNOWN_U8 or cells > 16:
            fields += _numbers("min", index & 15, cells) + _numbers("max", index >> 4, cells)
    return fields[1:]


def _numbers(which, index, cells):
    """Return the field with the number of a cell, from 1; two where it is one of several."""
    if cells <= 16:
        return ",cell_%s_index=%di" % (which, index + 1)
    first = -(-index * cells // 16) + 1
    last = -(-(index + 1) * cells // 16)
    fields = ",cell_%s_index=%di" % (which, first)
    return fields + ",cell_%s_index_to=%di" % (which, last) if last > first else fields


def _cell_fields(sample):
    fields = ""
    cells = sample.get("cell_voltages") or ()
    for i in range(len(cells)):
        if cells[i] is not None:
            fields += ",cell_%d_mV=%di" % (i + 1, round(cells[i] * 1000))
    return fields


def _fields(volts, amps, celsius, percent):
    fields = ""
    if volts is not None and volts - volts == 0:
        fields = ",voltage_V=%.3f" % volts
    if amps is not None and amps - amps == 0:  # neither NaN nor infinite
        fields += ",current_A=%.3f" % amps
    if celsius is not None and celsius - celsius == 0:
        fields += ",temperature_degC=%.1f" % celsius
    if percent is not None:
        fields += ",soc_percent=%.1f" % percent
    return fields
