# The MQTT client against brokers that answer wrong, late or not at all; a real one: test_mqtt.py
import asyncio

import mqtt
import mqttopen
import network
import vclock

_BROKER = ("10.0.0.9", 1883)


class _Broker:
    """A broker that takes all and keeps (topic, text, retained); `broken` changes an answer."""

    def __init__(self):
        self.published = []
        self.connects = []
        self.code = 0  # of CONNACK
        self.broken = None
        network.tcp[_BROKER] = self

    def __call__(self, packet):
        kind = packet[0] & 0xF0
        at = 2
        size = packet[1]
        if size > 127:
            size = size & 127 | packet[2] << 7
            at = 3
        assert len(packet) == at + size, packet
        body = packet[at:]
        if kind == 0x10:
            self.connects.append(body)
            answer = bytes((0x20, 2, 0, self.code))
        elif kind == 0x30:
            n = body[0] << 8 | body[1]
            topic = str(body[2 : 2 + n], "utf-8")
            self.published.append((topic, str(body[4 + n :], "utf-8"), packet[0] & 1))
            answer = bytes((0x40, 2)) + body[2 + n : 4 + n]
        else:
            answer = b"\xd0\x00"
        return self.broken(kind, answer) if self.broken else answer


async def _joined():
    network.world.update({"ssid": "net", "password": "", "drop_s": 0})
    wlan = network.WLAN()
    wlan.active(True)
    wlan.connect("net")
    while not wlan.isconnected():
        await asyncio.sleep(1)


def _connect(client, user="", password=""):
    names = "batmon-1", "batmon/1/status", user, password
    return mqttopen.connect(client, *_BROKER, "10.0.0.1", *names)


async def _error(coro):
    """Return the error or refusal that `coro` ends with, and after how many ms."""
    start_ms = vclock.now_ms()
    try:
        problem = await coro
        assert problem, "it had to fail"
    except OSError as exc:
        problem = exc
    return problem, vclock.now_ms() - start_ms


async def test_publishes_what_it_is_told():
    await _joined()
    broker = _Broker()
    client = mqtt.Client()
    assert await _connect(client, "me", "it's me") == ""
    long = "x" * 9000
    for topic, text in (("a/b", "1"), ("a/c", long), ("☀", "Küche")):
        await client.publish(topic, text)
    await client.ping()
    assert broker.published == [("a/b", "1", 1), ("a/c", long, 1), ("☀", "Küche", 1)]
    (words,) = broker.connects
    head = b"\0\4MQTT\4\xe6\0\x3c\0\x08batmon-1\0\x0fbatmon/1/status\0\7offline"
    assert words == head + b"\0\2me\0\7it's me"


async def test_the_length_is_right_where_it_takes_another_byte():
    await _joined()
    broker = _Broker()
    client = mqtt.Client()
    await _connect(client)
    texts = ["x" * n for n in range(100, 140)]
    for text in texts:
        await client.publish("t", text)
    assert [text for _, text, _ in broker.published] == texts


async def test_refusals_are_sentences():
    await _joined()
    broker = _Broker()
    for broker.code, words in (
        (1, "10.0.0.9 speaks no MQTT 3.1.1"),
        (4, "10.0.0.9 does not let the board in, check user and password"),
        (5, "10.0.0.9 does not let the board in, check user and password"),
        (99, "10.0.0.9 does not let the board in, check user and password"),
    ):
        assert await _connect(mqtt.Client()) == words


async def test_whatever_is_answered_it_ends_within_10_s():
    await _joined()
    network.tcp.clear()
    exc, ms = await _error(_connect(mqtt.Client()))  # nobody there
    assert isinstance(exc, OSError) and 9_000 <= ms <= 11_000
    broker = _Broker()

    def cut(kind, answer):
        return answer[:-1]

    def silent(kind, answer):
        return None

    def other(kind, answer):
        return answer[:-1] + bytes((answer[-1] ^ 1,))

    def http(kind, answer):
        return b"HTTP/1.1 400 Bad Request\r\n\r\n"

    def hang_up(kind, answer):
        raise OSError(104)

    for broken in (cut, silent, other, http, hang_up):
        for after in (0, 1):
            client = mqtt.Client()
            if after:
                broker.broken = None
                await _connect(client)
                broker.broken = broken
                coro = client.publish("t", "1")
            else:
                broker.broken = broken
                coro = _connect(client)
            exc, ms = await _error(coro)
            assert ms <= 11_000, (broken, after, ms)
    client.close()
    client.close()


async def test_an_answer_in_pieces_is_an_answer():
    await _joined()
    broker = _Broker()
    client = mqtt.Client()
    await _connect(client)

    def pieces(kind, answer):
        vclock.call_later(300, late, answer[1:])
        return answer[:1]

    def late(rest):
        client.socket._inbox += rest

    broker.broken = pieces
    await client.publish("t", "1")
    await client.ping()


async def test_a_network_that_went_is_noticed():
    await _joined()
    _Broker()
    client = mqtt.Client()
    await _connect(client)
    network.WLAN().disconnect()
    exc, ms = await _error(client.publish("t", "1"))
    assert isinstance(exc, OSError) and ms <= 11_000
    exc, _ = await _error(_connect(client))
    assert isinstance(exc, OSError)
