# Prints as hex what is broadcast of each bank of batteries in a file of JSON lines
# Usage: bthome_packets.py FILE PATH...; a line is a list of [sample, alarm, capacity in Ah], null
# in a sample is an unknown value. An empty line is where another board begins.
import json
import sys

sys.path[:] = sys.argv[2:]

from sinks.bthome import content


class _Part:
    pass


def _battery(sample, alarm, capacity_ah):
    battery = _Part()
    battery.sample = {k: float(v) if isinstance(v, str) else v for k, v in sample.items()}
    battery.sample_s = 0
    battery.status = _Part()
    battery.status.alarm = alarm
    battery.link = _Part()
    battery.link.capacity_ah = capacity_ah
    return battery


def main(path):
    packet = bytearray(29)
    before = b""
    with open(path) as f:
        for line in f:
            if line == "\n":
                packet = bytearray(29)
                before = b""
                continue
            told = content(packet, [_battery(*one) for one in json.loads(line)], 0, before)
            print("\x1e" + told.hex(), int(told is not before))
            before = told


main(sys.argv[1])
