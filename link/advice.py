# What to do about a BMS that was found and then does not answer, in a sentence
# Loaded when it is to be said, and dropped.


def of(bms, words):
    """Return `words` on why the driver `bms` got no sample, or better ones if there are any."""
    try:
        client = bms._client
    except AttributeError:
        return words  # a driver with a connection of its own
    if client.wants_pairing:
        if client.pair:
            return 'the BMS wants another pairing; "pairing" must be the six digits of its PIN'
        return 'the BMS wants to be paired; set "pairing" to the PIN of its app, or "just works"'
    if client.pair or words not in ("no answer", "unexpected answer"):
        return words
    if client.echoes:
        return 'the BMS only echoes; set "pairing" to the PIN of its app'
    mtu = getattr(bms, "MTU", 0)
    if words == "no answer" and client.mtu_size < mtu:
        return "no answer; this make needs an MTU of %d, the link has %d" % (mtu, client.mtu_size)
    if words == "no answer":
        return 'no answer; if its app asks for a PIN, set "pairing" to it'
    return words
