# One question, one answer over UDP: addresses of names (DNS)
# Sockets never block. socket.getaddrinfo would, for seconds, where a name server is silent:
# here it only ever sees digits, which it converts at once.
import asyncio
import os
import socket

from micropython import const

_ANSWER_BYTES = const(512)
_LOOK_MS = const(20)  # how often to look for an answer
_DNS_MS = const(2000)
_ALL = const("224.0.0.251")


def address(ip, port):
    """Return what sockets take for an address; `ip` is four numbers as text."""
    return socket.getaddrinfo(ip, port)[0][-1]


async def ask(ip, port, question, timeout_ms):
    """Send `question`, return its answer or None. It is not believed from another address, unless
    the question is for all who hear it, which only its own can answer."""
    sock = None
    try:
        there = address(ip, port)
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.sendto(question, there)
        for _ in range(timeout_ms // _LOOK_MS):
            await asyncio.sleep_ms(_LOOK_MS)
            try:
                answer, sender = sock.recvfrom(_ANSWER_BYTES)
            except OSError:
                continue  # nothing yet
            if sender == there or ip == _ALL:
                return answer
    except OSError:
        pass  # no way to there: no answer either
    finally:
        if sock:
            sock.close()


async def lookup(name, dns):
    """Return the IPv4 address of the host `name` as text, None if `dns` does not tell."""
    if name.replace(".", "").isdigit():
        numbers = [int(word or 256) for word in name.split(".")]
        return name if len(numbers) == 4 and max(numbers) < 256 else None
    port = 53
    if name.endswith(".local"):  # hosts of one's own network answer for themselves
        dns = _ALL
        port = 5353
    question = bytearray(os.urandom(2)) + b"\x01\0\0\x01\0\0\0\0\0\0"
    for label in name.encode().split(b"."):
        if not 0 < len(label) < 64:
            return None
        question.append(len(label))
        question.extend(label)
    question.extend(b"\0\0\x01\0\x01")
    return _address_in(await ask(dns, port, question, _DNS_MS), question)


def _address_in(answer, question):
    """Find the first IPv4 address in the answer of a name server."""
    if answer is None or len(answer) < len(question) or answer[:2] != question[:2]:
        return None
    if not answer[2] & 0x80 or answer[3] & 15:
        return None  # not an answer, or a refusal
    at = len(question)  # which is repeated
    try:
        for _ in range(answer[7]):
            while 0 < answer[at] < 0xC0:  # the name this is about, label by label
                at += 1 + answer[at]
            at += 2 if answer[at] else 1
            size = answer[at + 8] << 8 | answer[at + 9]
            last = answer[at + 9 + size]  # raises where the answer is cut short
            if answer[at + 1] == 1 and size == 4:
                return "%d.%d.%d.%d" % (answer[at + 10], answer[at + 11], answer[at + 12], last)
            at += 10 + size
    except IndexError:
        pass
    return None
