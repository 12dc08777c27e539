"""What the page's decoder of sealed shards takes from the board's own model: the rows by name."""

import json

from batmon.log.formats import model

_ROWS_OF_A_PIECE = 128


def script() -> str:
    """Return JavaScript that names the rows as docs/FORMAT.md numbers them: `TABLE`."""
    rows = {}
    for name, value in vars(model).items():
        if name == "_ROWS":
            rows["all"] = len(value) * _ROWS_OF_A_PIECE
            break
        if name.startswith("_") and name.isupper():
            rows[name[1:]] = value
    del rows["SIZE"]  # of a frame
    return f"const TABLE = {json.dumps(rows)};\n"
