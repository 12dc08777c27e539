# Every recorded conversation in tests/data/vectors gives the recorded samples
# A file dropped into that folder is played with no other change.
import json
import os

import conversation

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
