"""What a put reads: one shape for everything that may be given as `Body`."""

from __future__ import annotations

import asyncio
import errno
import inspect
import io
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import anyio

from deltaglider_async.errors import InvalidRequestError, LocalIOError, SourceChangedError
from deltaglider_async.streams import CHUNK, Chunks
from deltaglider_async.streams.digest import Digest
from deltaglider_async.streams.spool import Spool
from deltaglider_async.streams.threads import in_thread, to_its_end, until_done


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes to store. `size` is None where only reading tells; `rereadable` if `open` may be called again.

    `sha256` (hex) is known beforehand only where reading to the end raises if the bytes have another one.
    """

    open: Callable[[], Chunks]
    size: int | None
    rereadable: bool
    name: str = "Body"
    sha256: str | None = None
    data: bytes | None = None
    """All of it, where it is in memory: it cannot change any more, and needs no second look."""


async def make_source(body: Any, content_length: int | None = None) -> Source:
    """A source from bytes, text (as UTF-8), a path, a binary file, an async file or reader, or an async iterator.

    A file object is read from where it stands, as boto3 does. Raises `InvalidRequestError` for anything else
    and `LocalIOError` for a file that cannot be read.
    """
    if isinstance(body, Source):
        return body
    if body is None:
        body = b""
    if isinstance(body, str):
        body = body.encode()
    if isinstance(body, (bytes, bytearray, memoryview)):
        source = bytes_source(bytes(body))
    elif isinstance(body, os.PathLike):
        source, _ = await path_source(Path(body))
    elif isinstance(body, io.TextIOBase):
        raise InvalidRequestError('Body is a file opened as text. Open it as binary: open(path, "rb").')
    elif callable(getattr(body, "read_chunk", None)):  # a part of aiohttp's multipart reader
        source = Source(lambda: _read_async(body.read_chunk), None, rereadable=False)
    elif _reads_async(body):
        source = Source(lambda: _read_async(body.read), None, rereadable=False)
    elif callable(getattr(body, "read", None)):
        source = await _file_source(body)
    elif callable(getattr(getattr(body, "file", None), "read", None)):  # a file of aiohttp's posted form
        source = await _file_source(body.file)
    elif hasattr(body, "__aiter__"):
        source = Source(lambda: _iterate(body), None, rereadable=False)
    else:
        raise InvalidRequestError(
            f"Body is {type(body).__name__}. Accepted: bytes, str (text), a path, a binary file, an async file or "
            "reader, or an async iterator of bytes."
        )
    if content_length is None:
        return source
    if source.size is None:
        size, stream = content_length, source.open
        return replace(source, open=lambda: _announced(stream(), size, source.name), size=size)
    if source.size != content_length:
        raise InvalidRequestError(f"ContentLength is {content_length:,}, but {source.name} has {source.size:,} bytes.")
    return source


def bytes_source(data: bytes, name: str = "Body") -> Source:
    """A source of bytes in memory."""

    async def chunks() -> Chunks:
        for start in range(0, len(data), CHUNK):
            yield data[start : start + CHUNK]

    return Source(chunks, len(data), rereadable=True, name=name, data=data)


async def settle(source: Source, in_memory: int) -> Source:
    """The same source; if it is not longer than `in_memory`, read once and kept, so that it cannot change any more."""
    if source.data is not None or (source.size is not None and source.size > in_memory):
        return source
    stream = source.open()
    held: list[bytes] = []
    size = 0
    try:
        async for chunk in stream:
            held.append(chunk)
            size += len(chunk)
            if size > in_memory:
                break
        else:
            return bytes_source(b"".join(held), source.name)
    except BaseException:
        await stream.aclose()
        raise
    if source.rereadable:
        await stream.aclose()
        return source
    return replace(source, open=lambda: _chain(held, stream))


async def _chain(held: list[bytes], rest: Chunks) -> Chunks:
    async with aclosing(rest):
        while held:
            yield held.pop(0)
        async for chunk in rest:
            yield chunk


async def _announced(chunks: Chunks, size: int, name: str) -> Chunks:
    seen = 0
    async with aclosing(chunks):
        async for chunk in chunks:
            seen += len(chunk)
            if seen > size:
                break
            yield chunk
    if seen != size:
        raise changed(name, f"{size:,} bytes were announced, {'more' if seen > size else f'{seen:,}'} came")


@asynccontextmanager
async def replayable(source: Source) -> AsyncIterator[Source]:
    """A source that may be opened again, also in the middle of an earlier pass that was given up.

    What is read from a stream that exists only once is spooled; each pass begins with what was spooled.
    """
    if source.rereadable:
        yield source
        return
    stream = source.open()
    upcoming: asyncio.Task[bytes | None] | None = None

    async def next_chunk() -> bytes | None:
        return await anext(stream, None)

    async with Spool() as spool:

        async def chunks() -> Chunks:
            nonlocal upcoming
            async for chunk in spool.chunks():
                yield chunk
            while True:
                # The read is a task of its own: a pass that is cancelled must not cancel it and lose its bytes.
                upcoming = upcoming or asyncio.ensure_future(next_chunk())
                chunk_or_end = await asyncio.shield(upcoming)
                upcoming = None
                if chunk_or_end is None:
                    break
                await spool.write(chunk_or_end)
                yield chunk_or_end

        try:
            yield replace(source, open=chunks, rereadable=True)
        finally:
            try:
                if upcoming is not None:
                    upcoming.cancel()
                    await to_its_end(until_done(upcoming))
            finally:
                await stream.aclose()


async def digest_of(source: Source) -> Digest:
    """The digest of a whole pass over a rereadable source."""
    digest = Digest()
    if source.data is not None:
        await digest.update(source.data)
        return digest
    async with aclosing(source.open()) as chunks:
        async for chunk in chunks:
            await digest.update(chunk)
    return digest


async def same_again(source: Source, sha256: str, size: int) -> Chunks:
    """Another pass, which raises `SourceChangedError` at its end unless the content is what it was before."""
    digest = Digest()
    async with aclosing(source.open()) as chunks:
        async for chunk in chunks:
            await digest.update(chunk)
            yield chunk
    if digest.size != size or await digest.hexdigest() != sha256:
        raise changed(source.name, "its content was another one on the second reading")


def changed(name: str, what: str) -> SourceChangedError:
    """The error for a source that is not what it was when the put began."""
    return SourceChangedError(
        f"{name} changed while it was read: {what}. Nothing was stored. Put it again when nothing writes to it."
    )


async def path_source(path: Path) -> tuple[Source, os.stat_result]:
    """The source of a file, and what the file was. A short one is read at once.

    Raises `LocalIOError` for a file that cannot be read, and `SourceChangedError` for one that is being written.
    """
    try:
        status, data = await in_thread(_look, path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if data is not None:
        return bytes_source(data, str(path)), status
    if not stat.S_ISREG(status.st_mode):  # a pipe or device: once, of unknown length
        return Source(lambda: _read_path(path, None), None, rereadable=False, name=str(path)), status
    size = status.st_size
    return Source(lambda: _read_path(path, size), size, rereadable=True, name=str(path)), status


def _look(path: Path) -> tuple[os.stat_result, bytes | None]:
    """All that is asked of a file in one visit to a thread: a visit takes as long as reading 100 KB."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(status.st_mode):
        return status, None
    with path.open("rb") as file:  # that it can be is found out before anything is sent, not at the first read
        status = os.fstat(file.fileno())
        if status.st_size > CHUNK:
            return status, None
        data = file.read(status.st_size + 1)
    _check_size(path, status.st_size, len(data))
    return status, data


async def _read_path(path: Path, size: int | None) -> Chunks:
    file, seen = _LocalFile(path), 0
    try:
        await in_thread(file.open)
        while chunk := await in_thread(file.read):
            seen += len(chunk)
            if size is not None and seen > size:
                break
            yield chunk
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        await in_thread(file.close)
    if size is not None:
        _check_size(path, size, seen)


def _check_size(path: Path, size: int, seen: int) -> None:
    if seen != size:
        now = "more" if seen > size else f"{seen:,}"
        raise changed(str(path), f"it had {size:,} bytes when the put began, now {now}")


class _LocalFile:
    """An object of its own, so that an opening that is cancelled is still closed. All methods block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def open(self) -> None:
        self._file = self._path.open("rb", buffering=0)

    def read(self) -> bytes:
        assert self._file is not None
        return self._file.read(CHUNK)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


async def _file_source(file: Any) -> Source:
    def measure() -> tuple[int, int]:
        start = file.tell()
        file.seek(0, os.SEEK_END)
        end = file.tell()  # not every `seek` returns it
        file.seek(start)
        return start, end

    try:
        start, end = await in_thread(measure)
    except (AttributeError, OSError):
        return Source(lambda: _read_file(file, None), None, rereadable=False)
    return Source(lambda: _read_file(file, start), max(0, end - start), rereadable=True)


async def _read_file(file: Any, start: int | None) -> Chunks:
    if start is not None:
        await in_thread(file.seek, start)
    read, waits = file.read, False
    if start is None and callable(getattr(file, "read1", None)) and callable(getattr(file, "fileno", None)):
        # A pipe: one system call at a time, when there is something to read, so that no thread waits and the put can
        # be cancelled.
        read, waits = file.read1, True
    while True:
        if waits:
            try:
                await anyio.wait_readable(file.fileno())
            except (OSError, ValueError):
                waits = False  # nothing that can be waited for
        if not (chunk := await in_thread(read, CHUNK)):
            return
        yield _checked(chunk)


def _reads_async(body: Any) -> bool:
    read = getattr(body, "read", None)
    return callable(read) and (inspect.iscoroutinefunction(read) or hasattr(body, "__aiter__"))


async def _read_async(read: Callable[[int], Awaitable[Any]]) -> Chunks:
    while chunk := await read(CHUNK):
        yield _checked(chunk)


async def _iterate(body: Any) -> Chunks:
    async for chunk in body:
        if chunk:
            yield _checked(chunk)


def _checked(chunk: Any) -> bytes:
    if not isinstance(chunk, (bytes, bytearray, memoryview)):
        raise InvalidRequestError(f"Body gave {type(chunk).__name__} instead of bytes.")
    # A copy of what could still be changed by its owner; `bytes` comes back as it is.
    return bytes(chunk)


def _unreadable(path: Path, error: OSError) -> LocalIOError:
    return LocalIOError(error.errno, f"cannot read {path}: {error.strerror}")
