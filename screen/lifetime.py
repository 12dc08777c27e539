# A page of lifetime counters on 20x4, every half minute, while nothing else is to be told
# Loaded where there is such a display.
from micropython import const

_COLS = const(20)
_PAGE_S = const(4)
_PAGES = const(8)  # it is the last of so many
_GONE_S = const(600)  # as in screen/pages.py


def lines(values):
    """Return three lines as bytes; `values` are those of shards/counters.py."""
    hours = values[9]  # since it was full
    ago = ""
    if hours is not None:
        ago = "%d h ago" % hours if hours < 100 else "%d d ago" % min(hours // 24, 9999)
    full = "full %dx" % min(values[7], 9999)
    text = "ever in %9.1fkWh" % min(values[2], 9999999)
    text += "ever out%9.1fkWh" % min(values[3], 9999999)
    return (text + full + " " * (_COLS - len(full) - len(ago)) + ago).encode()


class WithLifetime:
    """A pages.Screen `picture` of 20x4 with one page more: what is `counted` of a status."""

    def __init__(self, picture, status):
        self._picture = picture
        status.counted = b""  # so that app/counting.py tells

    def render(self, sample, status, tick_s):
        text = self._picture.render(sample, status, tick_s)
        told = status.counted
        if tick_s // _PAGE_S % _PAGES != _PAGES - 1 or not told or status.alarm or status.message:
            return text
        if sample is not None and status.age_s is not None and status.age_s <= _GONE_S:
            for i in range(len(told)):
                text[_COLS + i] = told[i]
        return text
