# UUIDs: text, as drivers have them, and bluetooth.UUID, as the stack wants them
# 16 and 32-bit ones stand for a 128-bit one of the Bluetooth base range.
import bluetooth

_BASE = "-0000-1000-8000-00805f9b34fb"


def normalize_uuid_str(uuid):
    """UUID text of 4, 8 or 36 characters -> 36 lower-case characters."""
    if len(uuid) == 4:
        uuid = "0000" + uuid
    if len(uuid) == 8:
        uuid += _BASE
    return uuid.lower()


def to_stack(text):
    """UUID text -> bluetooth.UUID, a short one if possible: the stack tells them apart."""
    text = normalize_uuid_str(text)
    if text.startswith("0000") and text.endswith(_BASE):
        return bluetooth.UUID(int(text[4:8], 16))
    return bluetooth.UUID(text)


def from_stack(uuid):
    """bluetooth.UUID or its 2, 4 or 16 bytes, little endian -> 36 lower-case characters."""
    text = "".join("%02x" % b for b in reversed(bytes(uuid)))
    if len(text) <= 8:
        return normalize_uuid_str(text)
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
