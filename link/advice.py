# What to do about a BMS that was found and then does not answer, in a sentence
# Loaded when it is to be said; it drops itself then.
import sys

_UNPAIRED = (0x105, 0x108, 0x10F)  # ATT: insufficient authentication, authorization, encryption


def of(bms, words):
    """Return `words` on why the driver `bms` got no sample, or better ones if there are any."""
    del sys.modules["link.advice"]
    delattr(sys.modules["link"], "advice")
    try:
        client = bms._client
        refusal = client.refusal
    except AttributeError:
        return words  # a driver with a connection of its own
    if refusal in _UNPAIRED:
        if client.pair:
            return 'the BMS wants another pairing; "pairing" must be the six digits of its PIN'
        return 'the BMS wants to be paired; set "pairing" to the PIN of its app, or "just works"'
    mtu = getattr(bms, "MTU", 0)
    if words == "no answer" and client.mtu_size < mtu:
        return "no answer; this make needs an MTU of %d, the link has %d" % (mtu, client.mtu_size)
    if words in ("no answer", "unexpected answer") and not client.pair:
        return words + '; if its app asks for a PIN, set "pairing" to it'
    return words
