"""A file that appears under its name only when it is complete."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO

from deltaglider_async.errors import LocalIOError
from deltaglider_async.streams.body import ObjectBody
from deltaglider_async.streams.threads import in_thread


async def write_file(path: Path, body: ObjectBody) -> None:
    """Write a body to a file, which replaces an older one of that name when the body has come to its end.

    The new file has the older one's mode. A device or a named pipe is not replaced but written to.
    Raises `LocalIOError`, and what `body` raises; the file then is as it was before.
    """
    part: _PartFile | _Device = _Device(path) if await in_thread(_is_device, path) else _PartFile(path)
    try:
        await in_thread(part.open)
        while chunk := await body.readany():
            await in_thread(part.write, chunk)
        await in_thread(part.finish)
    except OSError as error:
        if isinstance(error, LocalIOError):
            raise
        raise LocalIOError(error.errno, f"cannot write {path}: {error.strerror}") from error
    finally:
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

    def write(self, chunk: bytes) -> None:
        assert self._file is not None
        view = memoryview(chunk)
        while view:
            view = view[self._file.write(view) :]

    def finish(self) -> None:
        self.discard()

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()


class _PartFile:
    """An object of its own, so that an opening that is cancelled is still closed. All methods block."""

    def __init__(self, path: Path) -> None:
        # File systems take names of 255 bytes.
        name = os.fsdecode(os.fsencode(path.name)[:200])
        self._path = path
        self._part = path.with_name(f".{name}.{secrets.token_hex(6)}.part")
        self._file: IO[bytes] | None = None

    def open(self) -> None:
        """Its own attempt at the name: never follows or overwrites what somebody else left there.

        From the start nobody may read it who may not read the older file.
        """
        mode = 0o666
        with suppress(FileNotFoundError):
            mode &= stat.S_IMODE(self._path.stat().st_mode)
        self._file = open(self._part, "xb", opener=lambda name, flags: os.open(name, flags, mode))  # noqa: SIM115

    def write(self, chunk: bytes) -> None:
        assert self._file is not None
        self._file.write(chunk)

    def finish(self) -> None:
        assert self._file is not None
        self._file.close()
        with suppress(FileNotFoundError):  # else a private file would become as public as a new one
            self._part.chmod(stat.S_IMODE(self._path.stat().st_mode))
        self._part.replace(self._path)

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
            self._part.unlink(missing_ok=True)
