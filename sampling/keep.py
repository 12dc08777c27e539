# What a Sampler or a Watching knows, as plain numbers and texts: it outlasts a sleep of the board
# Loaded before and after one. Only the same build reads what it wrote.

_NOT = "frames", "held", "_now"  # the store has them, or they are filled anew by each poll


def state(one):
    """Return a list of what is in the attributes of `one`, in an order that it alone decides."""
    out = []
    for name in _names(one):
        value = getattr(one, name)
        out.append(list(value) if isinstance(value, (list, bytearray)) else value)
    return out


def restore(one, kept):
    """Let `one` be as that which `state` was of; raises ValueError if it cannot be."""
    names = _names(one)
    if len(names) != len(kept):
        raise ValueError("of another build")
    for name, value in zip(names, kept):
        if isinstance(getattr(one, name), bytearray):
            value = bytearray(value)
        setattr(one, name, value)


def _names(one):
    return sorted([name for name in one.__dict__ if name not in _NOT])
