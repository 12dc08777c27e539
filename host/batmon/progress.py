"""A progress bar for loops that may take long, where somebody is looking."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator


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


@contextlib.contextmanager
def meter(what: str, total: float) -> Iterator[Callable[[float], None]]:
    """Give a function to be called with what has been done of `total`; a bar as in `track`."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(what, total=total)
        yield lambda done: bars.advance(bar, done)
