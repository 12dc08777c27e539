"""A progress bar for loops that may take long, where somebody is looking."""

import sys
from collections.abc import Iterable, Iterator


def track[T](items: Iterable[T], what: str, total: float | None = None) -> Iterator[T]:
    """Yield the items; on a terminal a bar on stderr follows, and is gone at the end.

    `total` is how many there are, for items that have no length.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as bar

    yield from bar(items, what, total=total, console=Console(stderr=True), transient=True)
