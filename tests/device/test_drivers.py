# Every recorded conversation in tests/data/vectors gives the recorded samples
# A file dropped into that folder is played with no other change.
import asyncio
import json
import os

import conversation
from aiobmsble.basebms import crc_modbus

_HERE = __file__.rsplit("/", 1)[0] if "/" in __file__ else "."
_VECTORS = _HERE + "/../data/vectors"


def _recorded():
    for name in sorted(os.listdir(_VECTORS)):
        if name.endswith(".json"):
            with open(_VECTORS + "/" + name) as file:
                yield json.load(file)


async def test_recorded_conversations_give_the_recorded_samples():
    problems = []
    for recorded in _recorded():
        assert recorded["cases"], recorded["module"]
        for case in recorded["cases"]:
            for text in await conversation.play(recorded["module"], case):
                problems.append("%s %s: %s" % (recorded["module"], case["case"], text))
    assert not problems, "%d problems\n%s" % (len(problems), "\n".join(problems[:20]))


async def test_a_flipped_bit_in_a_reply_is_noticed():
    """A conversation that does not fit must fail, or the test above would prove nothing."""
    recorded = next(part for part in _recorded() if part["module"] == "jbd_bms")
    case = recorded["cases"][0]
    event = next(part for part in case["events"] if part[0] == "notify" and part[2][:2] == "dd")
    data = bytearray(bytes.fromhex(event[2]))
    data[5] ^= 1
    event[2] = bytes(data).hex()
    assert await conversation.play("jbd_bms", case)


class _Stranger(conversation.Client):
    """Answers as the tape does until `says` is set; then to each request with those bytes only."""

    says = None

    async def write_gatt_char(self, char, data, response=None):
        if _Stranger.says is None:
            await super().write_gatt_char(char, data, response)
        else:
            for key in self._callbacks:
                await self.notify(["notify", key, _Stranger.says])


_FOREIGN = ("dd03001b17000002d003e800002078000000000000000000000000000000ff77", "00", "ff" * 100)


async def _polls_of_a_stranger(recorded, case, says):
    """What the third poll gives after the first of a case, as text, if others answer then."""
    _Stranger.says = None
    tape = conversation.Client.tape = conversation.Tape(case)
    bms = conversation.driver_of(recorded["module"], case, _Stranger)
    try:
        await bms.async_update()
    except Exception:
        return None  # a case of damage
    await tape.settle()
    _Stranger.says = says
    # what the BMS sent by itself may serve a poll more
    for _ in range(3):
        try:
            got = await bms.async_update()
        except (asyncio.TimeoutError, ValueError):
            got = None
    await bms.disconnect()
    return got and "%s %s: a sample of %s..." % (recorded["module"], case["case"], says[:8])


async def test_bytes_of_another_protocol_make_no_sample_of_an_old_frame():
    problems = []
    tried = 0
    for recorded in _recorded():
        if recorded["module"] == "dummy_bms":
            continue  # asks nothing
        for case in recorded["cases"]:
            if case["config"]["keep_alive"] and case["events"][0][0] == "update":
                for says in _FOREIGN:
                    problem = await _polls_of_a_stranger(recorded, case, says)
                    tried += 1
                    if problem:
                        problems.append(problem)
                break
    assert tried > 60, tried
    assert not problems, "\n".join(problems)


def test_drivers_without_a_recording_take_a_frame_once():
    fronts = {
        "eg4_bms": b"\x01\x03\x4e" + bytes(0x4E),
        "epoch_pro_bms": b"\xfa\xf3\x16\x01\x6e" + bytes(0x6E),
    }
    case = {"address": "11:22", "name": "x", "config": {"keep_alive": True, "secret": ""}}
    conversation.Client.tape = conversation.Tape({"services": [], "events": []})
    for module, front in fronts.items():
        frame = front + crc_modbus(front).to_bytes(2, "little")
        bms = conversation.driver_of(module, case)
        taken = []
        for data in (frame, bytes.fromhex(_FOREIGN[0]), frame, frame):
            bms._notification_handler(None, bytearray(data))
            taken.append(bms._msg_event.is_set())
            bms._msg_event.clear()
        # the first behind foreign bytes may be lost: it is asked for again
        assert taken[:2] == [True, False] and taken[3], (module, taken)


def test_samples_are_compared_strictly():
    same = conversation.differences
    assert not same({"a": 1, "b": [0.5, True]}, {"a": 1, "b": [0.5, True]})
    assert same({"a": 1}, {"a": 2})
    assert same({"a": 1}, {"a": 1.0})
    assert same({"a": True}, {"a": 1})
    assert same({"a": 1.5}, {"a": 1.7})
    assert not same({"a": 1.5}, {"a": 1.6})  # one unit of the last digit
    assert same({"a": 1}, {"a": 1, "b": 2})
    assert same({"a": 1, "b": 2}, {"a": 1})
    assert same({"a": [1, 2]}, {"a": [1]})
    assert same({"t": [20.0, 1]}, 20.0)
