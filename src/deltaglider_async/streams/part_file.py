"""A file that appears under its name only when it is complete."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import IO

from deltaglider_async.errors import LocalIOError
from deltaglider_async.streams.body import ObjectBody
from deltaglider_async.streams.threads import in_thread


async def write_file(path: Path, body: ObjectBody) -> None:
    """Write a body to a file, which replaces an older one of that name when the body has come to its end.

    Raises `LocalIOError`, and what `body` raises; the file then is as it was before.
    """
    part = _PartFile(path)
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


class _PartFile:
    """An object of its own, so that an opening that is cancelled is still closed. All methods block."""

    def __init__(self, path: Path) -> None:
        # File systems take names of 255 bytes.
        name = os.fsdecode(os.fsencode(path.name)[:200])
        self._path = path
        self._part = path.with_name(f".{name}.{secrets.token_hex(6)}.part")
        self._file: IO[bytes] | None = None

    def open(self) -> None:
        """Its own attempt at the name: never follows or overwrites what somebody else left there."""
        self._file = self._part.open("xb")

    def write(self, chunk: bytes) -> None:
        assert self._file is not None
        self._file.write(chunk)

    def finish(self) -> None:
        assert self._file is not None
        self._file.close()
        self._part.replace(self._path)

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
            self._part.unlink(missing_ok=True)
