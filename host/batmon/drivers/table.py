"""Writes docs/BMS.md: what a user needs to know of each driver to name it in conn.py."""

import importlib
import importlib.metadata

from batmon.drivers import pieces

_SIGNS = 5  # shown for one driver; the others are counted
_TEST_DRIVERS = {"dummy_bms"}

_HEAD = """\
# Supported BMSs

Made by `batmon drivers --table docs/BMS.md` from aiobmsble {version}, {count} drivers.

The name in the first column goes into the first line of `conn.py`, for example
`from aiobmsble.bms.jbd_bms import BMS`, or into `/settings.json` as `"bms": "jbd_bms"`. The third
column says how the BMS shows itself on the air; in a Bluetooth name `*` is any text, `?` any
character and `[0-9]` one of several. Where the last column says yes, the driver uses the password
of `/settings.json` (`"secret"`) if there is one. That is not the PIN of the Bluetooth connection,
which is the setting `pairing`, see [LINK.md](LINK.md#pairing).

Those of which there are recordings work over a link that brings 20 bytes at a time (an MTU of 23),
all but {needs}.

| driver | BMS | recognised by | password |
|---|---|---|---|
"""


def text_of(drivers: list[str]) -> str:
    """The table of these driver modules ("jbd_bms"), sorted by maker, as Markdown."""
    classes = {
        name: importlib.import_module(f"aiobmsble.bms.{name}").BMS
        for name in drivers
        if name not in _TEST_DRIVERS
    }
    rows = sorted((bms.bms_id().lower(), name, _row(name, bms)) for name, bms in classes.items())
    needs = ", ".join(f"`{name}`, which needs an MTU of {mtu}" for name, mtu in pieces.MTU.items())
    version = importlib.metadata.version("aiobmsble")
    head = _HEAD.format(version=version, count=len(rows), needs=needs)
    return head + "".join(row for _, _, row in rows)


def _row(name: str, bms) -> str:
    signs = list(dict.fromkeys(_sign(rule) for rule in bms.matcher_dict_list()))
    shown = ", ".join(signs[:_SIGNS])
    if len(signs) > _SIGNS:
        shown += f" and {len(signs) - _SIGNS} more"
    cells = (
        f"`{name}`",
        bms.bms_id().replace("\\", "\\\\"),
        shown,
        "yes" if bms.accept_secret else "",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _sign(rule: dict) -> str:
    """What is most telling in one matcher: the name, else the address, maker or service."""
    if rule.get("local_name"):
        return f"`{rule['local_name']}`"
    if rule.get("oui"):
        return f"address {rule['oui']}…"
    if "manufacturer_id" in rule:
        return f"maker's number {rule['manufacturer_id']}"
    return f"service {rule['service_uuid'][4:8].upper()}"
