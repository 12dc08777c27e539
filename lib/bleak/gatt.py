# A peer and what it offers: services and characteristics, and the UUIDs by which they are found
from .exc import BleakError

BASE = "-0000-1000-8000-00805f9b34fb"  # 16 and 32-bit ones stand for one of this range


class BLEDevice:
    """A peer: `address` as text, `name` or None, `details`: address type (0 public, 1 random)."""

    def __init__(self, address, name=None, details=None):
        self.address = address
        self.name = name
        self.details = details


class BleakGATTCharacteristic:
    """`uuid`, `handle` (of the value), `properties` (list of names)."""

    def __init__(self, uuid, handle, end_handle, properties):
        self.uuid = uuid
        self.handle = handle
        self.end_handle = end_handle
        self.properties = properties


class BleakGATTService:
    """`uuid`, `characteristics` in the order of their handles."""

    def __init__(self, uuid, characteristics):
        self.uuid = uuid
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
        uuid += BASE
    return uuid.lower()
