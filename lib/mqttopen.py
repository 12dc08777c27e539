# Connects a client of lib/mqtt.py to its broker
# Loaded for each connection and dropped.
import socket
import sys

import mqtt
from micropython import const

_KEEP_ALIVE_S = const(60)  # after one and a half of it without a word the broker tells the will
_CONNACK = const(0x20)
# again, in progress, already, not connected: of a socket that is connecting, on boards and PCs
_CONNECTING = (11, 119, 120, 128, 115, 114, 107)
_REFUSALS = (
    "speaks no MQTT 3.1.1",
    "does not take this client's name",
    "is not ready",
    "does not let the board in, check user and password",
)


async def connect(client, host, port, dns, name, will, user, password):
    """Connect to the broker `host`; return why it is not to be had, as a sentence, or "".

    `dns` is the name server; `name` tells this client from others; `will` is a topic that the
    broker sets to "offline", retained, when the connection ends. Raises OSError as the client does.
    """
    import udpask

    del sys.modules["udpask"]
    ip = await udpask.lookup(host, dns)
    if not ip:
        return "finds no address of " + host
    client.close()
    client.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.socket.setblocking(False)
    try:
        client.socket.connect(udpask.address(ip, port))
    except OSError as exc:
        if exc.errno not in _CONNECTING:
            raise
    packet = bytearray(mqtt.HEAD)
    packet.extend(b"\x00\x04MQTT\x04\x26\x00")  # a clean session, a will that is retained
    packet.append(_KEEP_ALIVE_S)
    texts = [name, will, "offline"]
    if user:
        packet[mqtt.HEAD + 7] |= 0xC0
        texts += [user, password]
    for text in texts:
        mqtt.put(packet, text)
    answer = await client.ask(0x10, packet, _CONNACK, 2, _CONNECTING)
    if answer[1]:
        return "%s %s" % (host, _REFUSALS[min(answer[1], len(_REFUSALS)) - 1])
    return ""
