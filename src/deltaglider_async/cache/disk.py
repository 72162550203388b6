"""Sealed entries as files of one folder, bounded, least recently used first to go.

With a key of the user's own the folder is shared by processes and outlives them: entries appear by rename,
and any file may vanish at any moment. Without one the folder belongs to one client and goes with it, or, where the
process was killed, with the next one that makes such a folder beside it.
An entry's modification time is when it was last used (set explicitly: most mounts do not record access).
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deltaglider_async.cache.own_folder import OwnFolder, sweep
from deltaglider_async.cache.sealed import BLOCK, HEADER
from deltaglider_async.errors import CacheCorruptionError, CacheMissError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

ENTRY = ".sealed"
_PARTIAL = ".partial"
#: Seconds after which a half-written file is one whose writer died.
_ABANDONED = 3600


class _Found(NamedTuple):
    used: int
    size: int
    path: Path


class DiskEntries:
    """Entries `<sha256>.<label of the key>.sealed`. The bound counts those of every key in the folder."""

    def __init__(self, folder: Path, label: str, limit: int, own: OwnFolder | None = None) -> None:
        """With `own`, which is `folder`, that is removed by `close`, or at the latest with this object."""
        self.folder = folder
        self.limit = limit
        self._suffix = f".{label}{ENTRY}"
        self._size = 0
        self._scanning = threading.Lock()
        self._own = own
        self.lasting = own is None
        self._shrink()

    @classmethod
    def shared(cls, folder: Path | None, label: str, limit: int) -> DiskEntries:
        """Entries that processes and restarts share. Raises `ConfigurationError` for a folder that is not private."""
        folder = folder or user_cache()
        _make(folder)
        _refuse_unless_private(folder)
        return cls(folder, label, limit)

    @classmethod
    def private(cls, parent: Path | None, label: str, limit: int) -> DiskEntries:
        """Entries of one client, in a fresh folder."""
        if parent is not None:
            _make(parent)
        sweep(parent, lambda name: name.endswith((ENTRY, _PARTIAL)))
        try:
            own = OwnFolder(parent)
        except OSError as error:
            raise ConfigurationError(
                f"DG_CACHE_DIR: no folder could be created in {parent or tempfile.gettempdir()}: {error.strerror}. "
                "Give a folder that can be written, or set DG_CACHE_BACKEND=memory"
            ) from error
        return cls(own.path, label, limit, own)

    def holds(self, sha256: str) -> bool:
        try:
            os.utime(self._path(sha256))
        except FileNotFoundError:
            return False
        except OSError:  # a folder mounted read-only serves as well; only the order suffers
            return self._path(sha256).exists()
        return True

    def read(self, sha256: str) -> Generator[bytes, None, None]:
        """The blocks of an entry, which becomes the most recently used.

        Raises `CacheMissError`, and `CacheCorruptionError` where the disk fails.
        """
        try:
            with self._path(sha256).open("rb") as file:
                with suppress(OSError):  # a folder mounted read-only serves as well; only the order suffers
                    os.utime(file.fileno())
                yield file.read(HEADER)
                while block := file.read(BLOCK):
                    yield block
        except FileNotFoundError:
            raise CacheMissError(f"reference {sha256} is not in the cache") from None
        except OSError as error:
            raise CacheCorruptionError(f"it could not be read: {error.strerror}") from error

    def write(self, sha256: str, blocks: Iterable[bytes]) -> None:
        """Write an entry in one step as others see it, then keep to the bound. Raises `OSError`."""
        partial = self.folder / f"{secrets.token_hex(16)}{_PARTIAL}"
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(blocks)
            partial.replace(self._path(sha256))
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        self._shrink()

    def remove(self, sha256: str) -> None:
        self._path(sha256).unlink(missing_ok=True)
        self._shrink()

    def clear(self) -> None:
        """Remove every entry of this key; those of another stay."""
        for found in self._found(self._suffix):
            found.path.unlink(missing_ok=True)
        self._shrink()

    def close(self) -> None:
        if self._own is not None:
            self._own.remove()
            self._size = 0

    def stored_size(self) -> int:
        """Bytes of this key's entries, sealed, when the folder was last looked at."""
        return self._size

    def _path(self, sha256: str) -> Path:
        return self.folder / f"{sha256}{self._suffix}"

    def _found(self, suffix: str) -> Iterator[_Found]:
        with os.scandir(self.folder) as items:
            for item in items:
                if item.name.endswith(suffix):
                    with suppress(FileNotFoundError):  # another process was faster
                        status = item.stat(follow_symlinks=False)
                        yield _Found(status.st_mtime_ns, status.st_size, Path(item.path))

    def _shrink(self) -> None:
        with self._scanning:
            for found in self._found(_PARTIAL):
                if found.used < (time.time() - _ABANDONED) * 1e9:
                    found.path.unlink(missing_ok=True)
            entries = sorted(self._found(ENTRY), reverse=True)
            total = sum(found.size for found in entries)
            while total > self.limit:
                oldest = entries.pop()
                oldest.path.unlink(missing_ok=True)
                total -= oldest.size
            self._size = sum(found.size for found in entries if found.path.name.endswith(self._suffix))


def user_cache() -> Path:
    """The shared cache's folder where none is given."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "deltaglider-async"
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "deltaglider-async"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"DG_CACHE_DIR: the cache folder {folder} cannot be created: {error.strerror}. Give another one, "
            "or set DG_CACHE_BACKEND=memory"
        ) from error


def _refuse_unless_private(folder: Path) -> None:
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        problem, advice = "is a symbolic link", "Give the folder that it points to"
    elif status.st_uid != os.geteuid():
        problem = f"belongs to user {status.st_uid}, not to user {os.geteuid()} of this process"
        advice = f"Give another one, or: chown {os.geteuid()} {folder}"
    elif status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        problem, advice = "can be written by others", f"Give another one, or: chmod 700 {folder}"
    else:
        return
    raise ConfigurationError(f"DG_CACHE_DIR: the cache folder {folder} {problem}. {advice}")
