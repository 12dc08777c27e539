"""A progress bar for loops that may take long, where somebody is looking."""

import sys
from collections.abc import Iterator, Sequence


def track[T](items: Sequence[T], what: str) -> Iterator[T]:
    """Yield the items; on a terminal a bar on stderr follows, and is gone at the end."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as bar

    yield from bar(items, what, console=Console(stderr=True), transient=True)
