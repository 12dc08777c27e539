# Frames: what shards may be called
from shards import frame


def test_shard_names_are_cut_by_bytes_and_hold_nothing_special():
    for name, shard in (
        ("", "bms"),
        ("jk-pak 01", "jk_pak_01"),
        ("AZaz09_", "AZaz09_"),
        ("@[`{/:", "______"),
        ("Küche", "K__che"),
        ("x" * 30, "x" * 24),
        ("x" * 23 + "ü", "x" * 23 + "_"),
    ):
        assert frame.shard_name(name) == shard, name
