"""batmon on the PC: builds the board's files, runs the virtual board, reads its shards."""

__all__ = ["read"]


def __getattr__(name: str):
    # pandas takes half a second to import; only those who read shards should wait for it.
    if name == "read":
        from batmon.log.stream import read

        return read
    raise AttributeError(f"module 'batmon' has no attribute {name!r}")
