"""How many objects a command has seen, on standard error, where somebody looks."""

from __future__ import annotations

import sys


class Seen:
    """A counter that is written over itself on a terminal."""

    def __init__(self, *, shown: bool = True) -> None:
        self.objects = 0
        self._shown = shown and sys.stderr.isatty()

    def count(self, objects: int) -> None:
        """So many objects, by now."""
        self.objects = objects
        if self._shown:
            print(f"\r{objects:,} objects", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leave no trace of it."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
