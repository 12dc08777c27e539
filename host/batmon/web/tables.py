"""What the page's scripts take from the board's model and from the reader, as JavaScript."""

import json

from batmon.log import happened
from batmon.log.formats import alarms, model
from batmon.log.timeline import EVENTS

_ROWS_OF_A_PIECE = 128
_COUNTERS = 8  # of a row


def script() -> str:
    """Return JavaScript: TABLE, the rows as docs/FORMAT.md numbers them, LEARNED, and words:
    EVENT_WORDS, those of alarms and limits, and MAKES by the number that an event has for them."""
    told = {"TABLE": _rows(), "LEARNED": _learned(), "EVENT_WORDS": EVENTS}
    told |= {"ALARM_WORDS": alarms.WORDS, "LIMIT_WORDS": alarms.LIMITS, "MAKES": happened.makes()}
    return "".join(f"const {name} = {json.dumps(value)};\n" for name, value in told.items())


def _rows() -> dict[str, int]:
    """Return the number of the first row of each kind, and of all as `all`."""
    rows = {}
    for name, value in vars(model).items():
        if name == "_ROWS":
            return rows | {"all": len(value) * _ROWS_OF_A_PIECE}
        if name.startswith("_") and name.isupper():
            rows[name[1:]] = value
    raise RuntimeError("shards/model.py has no _ROWS")


def _learned() -> list[tuple[int, int, str]]:
    """Return what 8 counters say before they learn, and of which rows: (first, how many, text).

    The pieces of the model's memory follow each other there, in numbers they begin at each 128.
    """
    text, found, piece, row = model._LEARNED.decode(), [], 0, 0
    for i, rows in enumerate(filter(None, model._ALIKE)):
        if row == model._ROWS[piece]:
            piece, row = piece + 1, 0
        part = text[_COUNTERS * i : _COUNTERS * (i + 1)]
        found.append((_ROWS_OF_A_PIECE * piece + row, rows, part))
        row += rows
    return found
