# UUIDs: text, as drivers have them, and bluetooth.UUID, as the stack wants them
# Loaded for scanning and discovery only.
import bluetooth

from .gatt import BASE, normalize_uuid_str


def to_stack(text):
    """UUID text -> bluetooth.UUID, a short one if possible: the stack tells them apart."""
    text = normalize_uuid_str(text)
    if text.startswith("0000") and text.endswith(BASE):
        return bluetooth.UUID(int(text[4:8], 16))
    return bluetooth.UUID(text)


def from_stack(uuid):
    """bluetooth.UUID or its 2, 4 or 16 bytes, little endian -> 36 lower-case characters."""
    text = "".join("%02x" % b for b in reversed(bytes(uuid)))
    if len(text) <= 8:
        return normalize_uuid_str(text)
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
