"""A place for bytes that are needed again: memory first, then an unlinked temporary file."""

from __future__ import annotations

import os
import tempfile
from types import TracebackType
from typing import IO

from deltaglider_async.errors import LocalIOError
from deltaglider_async.streams import CHUNK, Chunks
from deltaglider_async.streams.threads import in_thread

#: Up to here a spool stays in memory.
IN_MEMORY = 4 * CHUNK


class Spool:
    """Bytes in the order they were written, readable any number of times once they are all there.

    The temporary file has no name (or loses it at once), so a crash leaves nothing behind.
    """

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self.size = 0
        self._in_memory = in_memory
        self._chunks: list[bytes] = []
        self._file: IO[bytes] | None = None

    async def __aenter__(self) -> Spool:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give memory and file back. In a thread: the disk takes its time to forget gigabytes."""
        self._chunks.clear()
        if self._file is not None:
            await in_thread(self._file.close)

    async def write(self, chunk: bytes) -> None:
        """Append. Raises `LocalIOError` when the temporary folder's disk is full."""
        if self._file is None and self.size + len(chunk) <= self._in_memory:
            self._chunks.append(chunk)
        else:
            await in_thread(self._write_file, chunk)
        self.size += len(chunk)

    def _write_file(self, chunk: bytes) -> None:
        try:
            if self._file is None:
                # closed in close(), which the owner's `with` block calls
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
                for held in self._chunks:
                    self._write_all(self._file, held)
                self._chunks.clear()
            self._write_all(self._file, chunk)
        except OSError as error:
            raise LocalIOError(
                error.errno,
                f"cannot spool {self.size + len(chunk):,} bytes to the temporary folder {tempfile.gettempdir()}: "
                f"{error.strerror}. Make room there, or set TMPDIR to a folder with more",
            ) from error

    @staticmethod
    def _write_all(file: IO[bytes], chunk: bytes) -> None:
        view = memoryview(chunk)
        while view:
            view = view[file.write(view) :]

    def read_at(self, position: int, size: int) -> bytes:
        """Up to `size` bytes of the file, which is there if nothing may be kept in memory. Blocks: for threads."""
        return os.pread(self._file.fileno(), size, position) if self._file is not None else b""

    async def chunks(self) -> Chunks:
        """Everything written so far, from the start."""
        if self._file is None:
            for chunk in self._chunks:
                yield chunk
            return
        file, position = self._file, 0
        while chunk := await in_thread(os.pread, file.fileno(), CHUNK, position):
            position += len(chunk)
            yield chunk
