"""Folders that belong to one object of one process, and that its death does not leave behind for long."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from deltaglider_async.streams import owners

_PREFIX = "deltaglider-async-"
#: 0 where there is no such flag: on Windows, where nothing is swept.
_FOLDER = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class OwnFolder:
    """A fresh folder of mode 0700, removed with all that is in it by `remove`, or at the latest with this object.

    If the process is killed, `sweep` removes it. All methods block.
    """

    def __init__(self, parent: Path | None = None) -> None:
        """In `parent`, or in the system's temporary folder. Raises `OSError`."""
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            try:
                lock = _lock(self.path)
            except OSError:
                self.path.rmdir()
                raise
            if lock is not None:
                break
        self._finalize = weakref.finalize(self, _remove, self.path, lock, os.getpid())

    def remove(self) -> None:
        """Remove it. May be called again."""
        self._finalize()


def sweep(parent: Path | None, leftover: Callable[[str], bool]) -> None:
    """Remove the folders in `parent`, or the system's temporary folder, whose owners are dead.

    Only such as hold nothing but files that are a `leftover` by their names. What cannot be removed stays.
    """
    with suppress(OSError), os.scandir(parent or tempfile.gettempdir()) as items:
        for item in items:
            if item.name.startswith(_PREFIX) and os.name == "posix":
                with suppress(OSError):  # another user's, or gone meanwhile
                    _sweep(Path(item.path), leftover)


def _sweep(folder: Path, leftover: Callable[[str], bool]) -> None:
    descriptor = os.open(folder, os.O_RDONLY | _FOLDER)
    try:
        if not owners.abandoned(descriptor):
            return
        with os.scandir(descriptor) as items:
            names = [item.name for item in items]
        if all(map(leftover, names)):
            for name in names:
                os.unlink(name, dir_fd=descriptor)  # not by its path, which may be another folder's by now
            folder.rmdir()
    finally:
        os.close(descriptor)


def _lock(folder: Path) -> int | None:
    """The descriptor that holds a new folder, -1 where there are no locks; None if another process is removing it."""
    if os.name != "posix":
        return -1
    try:
        descriptor = os.open(folder, os.O_RDONLY | _FOLDER)
    except FileNotFoundError:
        return None
    if owners.hold(folder, descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _remove(folder: Path, lock: int, process: int) -> None:
    if os.getpid() == process:  # a forked child inherits the finalizer, not the folder
        shutil.rmtree(folder, ignore_errors=True)
        if lock >= 0:
            os.close(lock)
