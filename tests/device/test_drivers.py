# Every recorded conversation in tests/data/vectors gives the recorded samples
# One test per file; a file dropped into that folder is played with no other change.
import json
import os
import sys

import conversation

_HERE = __file__.rsplit("/", 1)[0] if "/" in __file__ else "."
_VECTORS = _HERE + "/../data/vectors"


def _test_of(path):
    async def test():
        with open(path) as file:
            recorded = json.load(file)
        problems = []
        for case in recorded["cases"]:
            for text in await conversation.play(recorded["module"], case):
                problems.append("%s: %s" % (case["case"], text))
        assert not problems, "\n".join(problems[:10])

    return test


for _name in os.listdir(_VECTORS):
    if _name.endswith(".json"):
        # setattr, not globals(): dir() finds interned names only
        setattr(sys.modules[__name__], "test_" + _name[:-5], _test_of(_VECTORS + "/" + _name))
