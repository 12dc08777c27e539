# Prints as hex what is broadcast of each bank of batteries in a file of JSON lines
# Usage: bthome_packets.py FILE PATH...; a line is a list of [sample, alarm, capacity in Ah], null
# in a sample is an unknown value. An empty line is where another board begins.
import json
import sys

sys.path[:] = sys.argv[2:]

from sinks.bthome import Packet


class _Part:
    pass


def _battery(sample, alarm, capacity_ah):
    battery = _Part()
    battery.sample = {k: float(v) if isinstance(v, str) else v for k, v in sample.items()}
    battery.status = _Part()
    battery.status.alarm = alarm
    battery.link = _Part()
    battery.link.capacity_ah = capacity_ah
    return battery


def main(path):
    packet = Packet()
    fresh = False
    with open(path) as f:
        for line in f:
            if line == "\n":
                packet = Packet()
                continue
            fresh = packet.update([_battery(*one) for one in json.loads(line)])
            print("\x1e" + packet.data.hex(), int(fresh))


main(sys.argv[1])
