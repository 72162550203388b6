"""`dg` reads modules when they are used: a command has one thing to do, and the client can do a hundred.

In a program that uses the client, they are all read when it is imported, so that its event loop never waits for a file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

_ROOMS = ("deltaglider_async.bulk.", "deltaglider_async.engine.", "deltaglider_async.types.")


class _Later:
    """Finds modules that run when something of theirs is first asked for."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """As the finder that is asked after this one, for the modules of some rooms; None for all others."""
        if not name.startswith(_ROOMS):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def read_modules_later() -> None:
    """Do so from now on, in this process."""
    if _Later not in sys.meta_path:
        sys.meta_path.insert(0, _Later)
