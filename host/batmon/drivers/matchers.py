"""Packs the advertisement matchers of all drivers into one table for aiobmsble/identify.py.

Layout: number of uuids (u8), the uuids (16 bytes each); then for each driver: length of its name
(u8), the name without "_bms", length of its matchers (u16, little endian), the matchers. A
matcher is a byte of flags, then for each flag that is set, in this order: 1 index of the service
uuid (u8); 2 index of the service data uuid (u8); 4 nothing, there must be no service data; 8 the
first three bytes of the address; 16 manufacturer id (u16, little endian); 32 length (u8) and the
first bytes of the manufacturer data; 64 length (u8) and shell pattern of the name.
"""

import importlib
import uuid

_KEYS = {
    "connectable",
    "local_name",
    "manufacturer_data_start",
    "manufacturer_id",
    "oui",
    "service_data_uuid",
    "service_uuid",
}


def source_of(drivers: list[str]) -> str:
    """The module aiobmsble/matchers.py for these drivers ("jbd_bms"), as source text."""
    table = pack(
        {
            name: importlib.import_module(f"aiobmsble.bms.{name}").BMS.matcher_dict_list()
            for name in drivers
        }
    )
    lines = [f"    {table[at : at + 24]!r}" for at in range(0, len(table), 24)]
    return "\n".join(
        (
            "# Advertisement matchers of the drivers, packed by batmon, do not edit.",
            "# Layout: host/batmon/drivers/matchers.py",
            "TABLE = (",
            *lines,
            ")",
            "",
        )
    )


def pack(matchers: dict[str, list[dict]]) -> bytes:
    """The table for {driver: matchers}. Raises ValueError for a matcher it cannot express."""
    uuids: list[bytes] = []
    body = b""
    for driver, rules in sorted(matchers.items()):
        packed = b"".join(_matcher(rule, uuids) for rule in rules)
        name = driver.removesuffix("_bms").encode("ascii")
        body += bytes([len(name)]) + name + len(packed).to_bytes(2, "little") + packed
    return bytes([len(uuids)]) + b"".join(uuids) + body


def _matcher(rule: dict, uuids: list[bytes]) -> bytes:
    if set(rule) - _KEYS:
        raise ValueError(f"unknown matcher keys {sorted(set(rule) - _KEYS)}")
    flags, fields = 0, b""
    if rule.get("service_uuid"):
        flags |= 1
        fields += _index(rule["service_uuid"], uuids)
    if rule.get("service_data_uuid"):
        flags |= 2
        fields += _index(rule["service_data_uuid"], uuids)
    elif "service_data_uuid" in rule:
        flags |= 4
    if rule.get("oui"):
        flags |= 8
        fields += bytes.fromhex(rule["oui"][:8].replace(":", ""))
    if "manufacturer_id" in rule:
        flags |= 16
        fields += rule["manufacturer_id"].to_bytes(2, "little")
        if rule.get("manufacturer_data_start"):
            flags |= 32
            fields += _text(bytes(rule["manufacturer_data_start"]))
    if rule.get("local_name"):
        flags |= 64
        fields += _text(rule["local_name"].encode("ascii"))
    return bytes([flags]) + fields


def _index(text: str, uuids: list[bytes]) -> bytes:
    raw = uuid.UUID(text).bytes
    if str(uuid.UUID(bytes=raw)) != text:
        raise ValueError(f"uuid {text} is not in its normal form")
    if raw not in uuids:
        uuids.append(raw)
    return bytes([uuids.index(raw)])


def _text(data: bytes) -> bytes:
    return bytes([len(data)]) + data
