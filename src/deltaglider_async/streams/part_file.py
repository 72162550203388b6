"""A file that appears under its name only when it is complete."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import IO

from deltaglider_async.errors import LocalIOError
from deltaglider_async.streams import CHUNK, owners
from deltaglider_async.streams.body import ObjectBody
from deltaglider_async.streams.threads import in_thread, until_done

#: Bytes that are gathered before a thread is worth its while.
_GATHERED = 2 * CHUNK


async def write_file(path: Path, body: ObjectBody) -> None:
    """Write a body to a file, which replaces an older one of that name when the body has come to its end.

    The new file has the older one's mode. A device or a named pipe is not replaced but written to.
    Raises `LocalIOError`, and what `body` raises; the file then is as it was before.
    """
    part: _PartFile | _Device = _Device(path) if await in_thread(_is_device, path) else _PartFile(path)
    writing: asyncio.Future[None] | None = None  # one at a time, while the next chunks come
    gathered: list[bytes] = []
    waiting = 0
    try:
        await in_thread(part.open)
        while chunk := await body.readany():
            gathered.append(chunk)
            waiting += len(chunk)
            if waiting >= _GATHERED:
                if writing is not None:
                    await writing
                writing = asyncio.ensure_future(in_thread(part.write, gathered))
                gathered, waiting = [], 0
        if writing is not None:
            await writing
        if gathered:
            await in_thread(part.write, gathered)
        await in_thread(part.finish)
    except OSError as error:
        if isinstance(error, LocalIOError):
            raise
        raise LocalIOError(error.errno, f"cannot write {path}: {error.strerror}") from error
    finally:
        if writing is not None:
            await until_done(writing)
        await in_thread(part.discard)  # runs to its end after a cancellation too


def _is_device(path: Path) -> bool:
    """Whether there is something that must not be replaced by a file: a device, a pipe, a socket."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False  # nothing there, or nothing that can be seen: writing tells


class _Device:
    """What is written as it is: `/dev/null`, a named pipe. All methods block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def open(self) -> None:
        self._file = self._path.open("wb", buffering=0)

    def write(self, chunks: Iterable[bytes]) -> None:
        assert self._file is not None
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[self._file.write(view) :]

    def finish(self) -> None:
        self.discard()

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()


class _PartFile:
    """An object of its own, so that an opening that is cancelled is still closed. All methods block.

    Where the system can, the file has no name until it is complete, and a process that is killed leaves nothing.
    Elsewhere it has one that tells what it is; `_sweep` removes those that have no owner any more.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._part: Path | None = None
        """The name that the file has before it is complete, if any."""

    def open(self) -> None:
        # From the start nobody may read it who may not read the older file.
        mode = 0o666
        with suppress(FileNotFoundError):
            mode &= stat.S_IMODE(self._path.stat().st_mode)
        _sweep(self._path.parent)
        self._file = _without_name(self._path.parent, mode)
        while self._file is None:
            # Its own attempt at the name: never follows or overwrites what somebody else left there.
            self._part = _part_name(self._path)
            file = open(self._part, "xb", opener=lambda name, flags: os.open(name, flags, mode))  # noqa: SIM115
            if owners.hold(self._part, file.fileno()):
                self._file = file
            else:
                file.close()

    def write(self, chunks: Iterable[bytes]) -> None:
        assert self._file is not None
        for chunk in chunks:
            self._file.write(chunk)

    def finish(self) -> None:
        assert self._file is not None
        self._file.flush()
        if self._part is None and self._appear(self._file.fileno()):
            return
        assert self._part is not None
        held = os.dup(self._file.fileno()) if os.name == "posix" else -1  # else a sweep could take it for abandoned
        try:
            self._file.close()  # network file systems tell here of a disk that is full
            with suppress(FileNotFoundError):  # else a private file would become as public as a new one
                self._part.chmod(stat.S_IMODE(self._path.stat().st_mode))
            self._part.replace(self._path)
        finally:
            if held >= 0:
                os.close(held)

    def _appear(self, descriptor: int) -> bool:
        """Give the file its name. False if that is taken: then it gets another one, under which it can replace that."""
        with suppress(FileExistsError):
            _link(descriptor, self._path)
            return True
        while True:
            part = _part_name(self._path)
            _link(descriptor, part)
            self._part = part
            if owners.hold(part, descriptor):
                return False

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
            if self._part is not None:
                self._part.unlink(missing_ok=True)


_SUFFIX = ".dg-part"
_PART = re.compile(rf"\..*\.[0-9a-f]{{12}}{re.escape(_SUFFIX)}", re.DOTALL)


def _part_name(path: Path) -> Path:
    # File systems take names of 255 bytes.
    name = os.fsdecode(os.fsencode(path.name)[:200])
    return path.with_name(f".{name}.{secrets.token_hex(6)}{_SUFFIX}")


def _without_name(folder: Path, mode: int) -> IO[bytes] | None:
    """A new file without a name; None where the system, or the file system, has no such thing."""
    if sys.platform == "linux":
        try:
            descriptor = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, mode)
        except OSError:
            return None  # whatever else is wrong shows when the file gets a name
        if Path(f"/proc/self/fd/{descriptor}").exists():  # else it could not be given one
            return os.fdopen(descriptor, "wb")
        os.close(descriptor)
    return None


def _link(descriptor: int, path: Path) -> None:
    # `src_dir_fd` has no other use here than to choose the system call that follows the link in /proc.
    os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor, follow_symlinks=True)


@lru_cache(maxsize=1024)
def _sweep(folder: Path) -> None:
    """Remove what killed processes left in a folder; once in this process, for the folder may be large."""
    with suppress(OSError), os.scandir(folder) as items:
        for item in items:
            if _PART.fullmatch(item.name) and item.is_file(follow_symlinks=False):
                with suppress(OSError):  # another user's, or gone meanwhile
                    _remove_if_abandoned(Path(item.path))


def _remove_if_abandoned(path: Path) -> None:
    # Opened for writing: on NFS only then it can be locked.
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        if owners.abandoned(descriptor):
            path.unlink()
    finally:
        os.close(descriptor)
