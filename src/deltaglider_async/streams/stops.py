"""Long work in a thread that ends soon after nobody wants it any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import threading

T = TypeVar("T")


class StoppedError(Exception):
    """The task that waits for this thread was cancelled, or gave it up. In the first case nobody sees this."""


def until(stop: threading.Event, items: Iterable[T]) -> Iterator[T]:
    """The items, raising `StoppedError` before the next one once `stop` is set."""
    for item in items:
        if stop.is_set():
            raise StoppedError
        yield item
