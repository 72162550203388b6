"""The body of a get: an async stream that withholds its end until the digest matched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from types import TracebackType

from deltaglider_async.errors import IntegrityMismatchError, StorageIOError
from deltaglider_async.streams import CHUNK, Chunks
from deltaglider_async.streams.digest import Digest


async def verified(
    chunks: Chunks, *, size: int | None, sha256: str | None, name: str, digest: Digest | None = None
) -> Chunks:
    """The same chunks, of which the last one is given out only if size and SHA-256 (hex) are right.

    A `digest` that is given has taken the chunks before they come. Raises `IntegrityMismatchError` instead, naming
    `name`.
    """
    hashed, digest = digest is not None, digest or Digest()
    came, held = 0, b""
    async with aclosing(chunks):
        async for chunk in chunks:
            if not chunk:
                continue  # else all before it would be given out unchecked
            came += len(chunk)
            if sha256 is not None and not hashed:
                await digest.update(chunk)
            if size is not None and came > size:
                raise _wrong(name, f"more than the recorded {size:,} bytes came")
            if held:
                yield held
            held = chunk
        if size is not None and came != size:
            raise _wrong(name, f"{came:,} bytes came instead of the recorded {size:,}")
        if hashed and digest.size != came:
            raise _wrong(name, f"{came:,} bytes came, but {digest.size:,} were hashed")
        if sha256 is not None and (actual := await digest.hexdigest()) != sha256:
            raise _wrong(name, f"the content has SHA-256 {actual}, but {sha256} was recorded when it was put")
        if held:
            yield held


def _wrong(name: str, what: str) -> IntegrityMismatchError:
    return IntegrityMismatchError(
        f"{name}: {what}. Nothing complete was delivered. Try again; if it stays, the stored object is damaged."
    )


def _whole(view: memoryview) -> bytes:
    """The bytes of a view, without copying where it shows all of them."""
    return view.obj if isinstance(view.obj, bytes) and len(view.obj) == len(view) else bytes(view)


class ObjectBody:
    """What `get_object` returns as `Body`, with the methods of aiobotocore's `StreamingBody`: `read`, `readinto`,
    `iter_chunks`, `iter_lines`, `readlines`, async iteration, `async with`, `close`.

    Reading starts with the first call. Leave the `async with` block or call `aclose` to give everything
    behind it back early; reading to the end does so too.

    Reading raises `IntegrityMismatchError`, `DiffDecodeError` or `StorageIOError` where the bytes are not those that
    were put; the last chunk is not given out then.

        response = await client.get_object(Bucket="releases", Key="app/app-1.2.zip")
        async with response["Body"] as body:
            magic = await body.read(4)
            async for chunk in body:
                print(len(chunk), "bytes, up to", body.tell())
    """

    def __init__(
        self,
        chunks: Chunks,
        release: Callable[[], None] | None = None,
        over: Callable[[BaseException | None], None] | None = None,
    ) -> None:
        self._chunks = chunks
        self._release = release
        self._over = over
        #: What came and was not read yet. A view: cutting a piece off it copies nothing.
        self._held = memoryview(b"")
        self._position = 0
        self._ended = False
        self._error: BaseException | None = None
        #: Held here, because the loop holds its tasks weakly.
        self._closing: asyncio.Future[None] | None = None

    async def read(self, amt: int | None = None) -> bytes:
        """The next `amt` bytes (fewer only at the end), or all that is left."""
        if amt is None or amt < 0:
            rest = [chunk async for chunk in self.iter_chunks(CHUNK)]
            return b"".join(rest)
        parts, wanted = [], amt
        while wanted and (chunk := await self._next()):
            parts.append(chunk[:wanted])
            self._held = chunk[wanted:]
            wanted -= len(parts[-1])
        self._position += amt - wanted
        return _whole(parts[0]) if len(parts) == 1 else b"".join(parts)

    async def readinto(self, b: bytearray | memoryview) -> int:
        """Fill `b` with the next bytes, and return how many there were: fewer than its length only at the end."""
        data = await self.read(len(b))
        b[: len(data)] = data
        return len(data)

    async def readany(self) -> bytes:
        """The next bytes in whatever number they come; empty at the end."""
        chunk = await self._next()
        self._position += len(chunk)
        return _whole(chunk)

    async def iter_chunks(self, chunk_size: int = CHUNK) -> AsyncIterator[bytes]:
        """Chunks of `chunk_size` bytes; the last may be shorter."""
        while chunk := await self.read(chunk_size):
            yield chunk

    async def iter_lines(self, chunk_size: int = CHUNK, keepends: bool = False) -> AsyncIterator[bytes]:
        """Lines, without their ends unless `keepends`."""
        pending = b""
        async for chunk in self.iter_chunks(chunk_size):
            *lines, pending = (pending + chunk).splitlines(keepends=True)
            if pending.endswith(b"\n"):
                lines, pending = [*lines, pending], b""
            for line in lines:
                yield line if keepends else line.rstrip(b"\r\n")
        if pending:
            yield pending if keepends else pending.rstrip(b"\r\n")

    async def readlines(self) -> list[bytes]:
        """All lines that are left, without their ends."""
        return [line async for line in self.iter_lines()]

    def readable(self) -> bool:
        """Whether there may be more to read."""
        return bool(self._held) or not self._ended

    def tell(self) -> int:
        """How many bytes were read."""
        return self._position

    async def aclose(self) -> None:
        """Stop, and give back the connection, the process and the reference behind this body. Idempotent."""
        self._ended = True
        self._held = memoryview(b"")
        try:
            await self._chunks.aclose()
        finally:
            if self._release is not None:
                release, self._release = self._release, None
                release()
            if self._over is not None:
                over, self._over = self._over, None
                over(self._error)

    def close(self) -> asyncio.Future[None]:
        """As `aclose`, begun at once, as nobody awaits aiobotocore's. Await it to know that all is given back."""
        if self._closing is None:
            self._ended = True
            self._closing = asyncio.ensure_future(self.aclose())
        return self._closing

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.iter_chunks(CHUNK)

    async def __anext__(self) -> bytes:
        if chunk := await self.read(CHUNK):
            return chunk
        raise StopAsyncIteration

    async def __aenter__(self) -> ObjectBody:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _next(self) -> memoryview:
        if self._held:
            chunk, self._held = self._held, memoryview(b"")
            return chunk
        if self._error is not None:
            raise self._error
        if self._ended:
            return memoryview(b"")
        try:
            return memoryview(await anext(self._chunks))
        except StopAsyncIteration:
            await self.aclose()
            return memoryview(b"")
        except BaseException as error:
            # Whoever reads on must not take this for the end.
            self._error = (
                error
                if isinstance(error, Exception)
                else StorageIOError("the read of this body was cancelled; get the object again")
            )
            await self.aclose()
            raise
