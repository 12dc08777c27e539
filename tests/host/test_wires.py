"""What else may hang on the board's pins, on the virtual board: clock, buzzer, button."""

import pandas as pd

import batmon
from batmon.virtual import process

_BUZZER, _BUTTON = 4, 0


def test_a_board_that_never_hears_the_time_dates_its_log_and_is_acknowledged_by_hand(run, tmp_path):
    settings = {
        "dev_name": "jk-pak01",
        "capacity_ah": 280,
        "phone": "off",
        "lcd": {"cols": 20, "rows": 4, "backlight_s": 5},
        "alarm": {"soc": 100, "pin": _BUZZER},
        "button": {"pin": _BUTTON},
    }
    presses = [[_BUTTON, 120, 0.2], [_BUTTON, 150, 2], [_BUTTON, 170, 6]]
    clock = {"start_unix": 0, "ds3231": process.START_UNIX}
    end, words, glass = run(4, chip="s3", lcd="20x4", settings=settings, presses=presses, **clock)
    table = batmon.read(tmp_path / "data")
    assert table["time_known"].all()
    first = table["time_utc"].iloc[0] - pd.Timestamp(process.START_UNIX, unit="s", tz="UTC")
    assert 0 < first.total_seconds() < 60
    loud = [at for at, pin, level in end["outputs"] if pin == _BUZZER and level]
    assert 60 < len(loud) < 80, len(loud)  # each two seconds
    assert 148_000 < loud[-1] < 153_000  # until it is acknowledged
    assert "charge low" in glass and "ever in" in glass
    assert "left to another app for 600 s" in words
