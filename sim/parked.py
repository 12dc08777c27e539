# A simulated battery in a van that is parked for the winter: next to nothing flows but for visits
# In closed form: a board that sleeps is a new process at each wake, which begins at second 0.
import battery
from micropython import const

_DAY_S = const(86400)
_HOUR_S = const(3600)
_IDLE_MA = const(-15)  # the BMS, and whatever else is never off

# Hours from the beginning, and what flows: visits with light and heater, a lamp that was left on
# for two days, a visit that charges.
_WINTER = "70-72:-14.5 71-71.5:-30 720-768:-0.3 1466-1467:-22 2523-2526:18"


def make(kind, seed=1):
    """Return the battery "parked", or "parked=" with flows like those of _WINTER."""
    return Parked(seed, kind[7:] or _WINTER)


class Parked(battery.Battery):
    """`flows` is text like _WINTER."""

    def __init__(self, seed, flows):
        super().__init__(seed, _nothing, 4, 280, 70, 250, 860000)
        self._begin_mas = self._charge_mas
        self._flows = [(0, 1 << 28, _IDLE_MA)]
        for one in flows.split():
            hours, amps = one.split(":")
            begin, end = hours.split("-")
            flow = int(float(begin) * _HOUR_S), int(float(end) * _HOUR_S), int(float(amps) * 1000)
            self._flows.append(flow)

    def advance(self, t_ms):
        now_s = t_ms // 1000
        self.current_ma = self.charge_in_mas = self.charge_out_mas = 0
        edges = sorted(
            {edge for flow in self._flows for edge in flow[:2] if edge < now_s} | {now_s}
        )
        for i in range(len(edges)):
            ma = 0
            for begin, end, amps in self._flows:
                if begin <= edges[i] < end:
                    ma += amps
            if edges[i] == now_s:
                self.current_ma = ma
            elif ma > 0:
                self.charge_in_mas += ma * (edges[i + 1] - edges[i])
            else:
                self.charge_out_mas -= ma * (edges[i + 1] - edges[i])
        self._charge_mas = self._begin_mas + self.charge_in_mas - self.charge_out_mas
        self._fast_nv = self.current_ma * self._r_fast_uohm
        self._slow_nv = self.current_ma * self._r_slow_uohm
        # coldest at midnight, for it is winter
        from_noon = abs(now_s % _DAY_S - _DAY_S // 2)
        self._warm_mk = self._mos_mk = 8000 - from_noon * 10 // 86
        self._t_s = now_s
        self._measured = False


def _nothing(rnd):
    return ()
