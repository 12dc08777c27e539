# A peer and what it offers: services and characteristics, and the UUIDs by which they are found
# UUIDs are text, as drivers have them, and bluetooth.UUID, as the stack wants them.
import bluetooth

from .exc import BleakError

_BASE = "-0000-1000-8000-00805f9b34fb"  # 16 and 32-bit ones stand for one of this range
_PROPERTIES = (
    (0x02, "read"),
    (0x04, "write-without-response"),
    (0x08, "write"),
    (0x10, "notify"),
    (0x20, "indicate"),
)


class BLEDevice:
    """A peer: `address` as text, `name` or None, `details`: address type (0 public, 1 random)."""

    def __init__(self, address, name=None, details=None):
        self.address = address
        self.name = name
        self.details = details


class BleakGATTCharacteristic:
    """`uuid`, `handle` (of the value), `properties` (list of names)."""

    def __init__(self, end_handle, handle, bits, uuid):
        self.uuid = from_stack(uuid)
        self.handle = handle
        self.end_handle = max(end_handle, handle + 2)  # some stacks do not tell it
        self.properties = [name for bit, name in _PROPERTIES if bits & bit]


class BleakGATTService:
    """`uuid`, `characteristics` in the order of their handles."""

    def __init__(self, uuid, characteristics):
        self.uuid = from_stack(uuid)
        self.characteristics = characteristics


class BleakGATTServiceCollection(list):
    """The services of a peer, in the order of their handles."""

    def get_service(self, uuid):
        """The service with this UUID (any length), or None."""
        uuid = normalize_uuid_str(uuid)
        for service in self:
            if service.uuid == uuid:
                return service
        return None

    def get_characteristic(self, specifier):
        """By UUID text or value handle, or None; BleakError if several have the UUID."""
        found = None
        if isinstance(specifier, str):
            specifier = normalize_uuid_str(specifier)
        for service in self:
            for char in service.characteristics:
                if specifier == char.handle:
                    return char
                if specifier == char.uuid:
                    if found:
                        raise BleakError("several characteristics %s" % specifier)
                    found = char
        return found


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
