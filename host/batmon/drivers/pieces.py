"""Makes whose drivers want a frame in one notification: how to put it together, or what it takes.

Upstream's operating systems agree on a large MTU by themselves; a peer that has none sends 20
bytes at a time, and these drivers drop each of them.
"""

# {driver: (first two bytes of its frames, where the length is, bytes that it does not count)},
# as the driver checks them. What inherits from one of these (renogy_pro) is in its line.
FRAMES = {
    "daly_bms": ((b"\xd2\x03", b"\x51\x03"), 2, 5),
    "pace_bms": ((b"\x9a\x00",), 7, 11),
    "pro_bms": ((b"\x55\xaa",), 2, 5),
    "redodo_bms": ((b"\x00\x00",), 2, 4),
    "renogy_bms": ((b"\x30\x03", b"\xff\x03"), 2, 5),
}
# {driver: bytes of MTU}. The frames of ecoworthy do not tell their length, and their two kinds
# have two each, by firmware: 82 or 84 and 100 or 102 bytes. 3 bytes of an MTU are taken.
MTU = {"ecoworthy_bms": 105}


def source_of(driver: str) -> str:
    """The lines at the end of a translated driver, if there is something to put together."""
    if driver in FRAMES:
        heads, position, extra = FRAMES[driver]
        return (
            "\nfrom aiobmsble.pieces import assembled\n\nBMS._notification_handler = assembled(\n"
            f"    BMS._notification_handler, {heads!r}, {position}, {extra}\n)\n"
        )
    return f"\nBMS.MTU = {MTU[driver]}\n" if driver in MTU else ""
