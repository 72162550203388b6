"""The body of a get, over streams of our own."""

from __future__ import annotations

import time

import pytest

from deltaglider_async.errors import StorageIOError
from deltaglider_async.streams import CHUNK, Chunks
from deltaglider_async.streams.body import ObjectBody


async def stream(*pieces: bytes, error: Exception | None = None) -> Chunks:
    for piece in pieces:
        yield piece
    if error:
        raise error


TEXTS = [
    b"first\nsecond\r\n\nfourth is longer\r\n" + b"x" * 100 + b"\nno end",
    b"ends\n",
    b"ends\r\n",
    b"ends\r",
    b"\n",
    b"\r\n\r\n",
    b"a\rb\r",
    b"",
]


@pytest.mark.parametrize("text", TEXTS)
async def test_lines_are_those_of_splitlines(text: bytes) -> None:
    for size in (1, 2, 3, 7, 1000):
        for keepends in (False, True):
            body = ObjectBody(stream(text) if text else stream())
            lines = [line async for line in body.iter_lines(size, keepends)]
            assert lines == text.splitlines(keepends), (size, keepends)


async def test_small_reads_of_a_large_chunk_take_no_quadratic_time() -> None:
    data = bytes(range(256)) * (8 * CHUNK // 256)
    body = ObjectBody(stream(data))
    begun = time.thread_time()
    parts = [chunk async for chunk in body.iter_chunks(2048)]
    # 4,096 reads: 0.01 s. Copying the rest of the chunk at each is 16 GB.
    assert time.thread_time() - begun < 0.5
    assert b"".join(parts) == data


async def test_an_error_stays_an_error() -> None:
    """`b""` would say that this was the end."""
    for size in (1, 5, 100, None):
        body = ObjectBody(stream(b"abc", error=StorageIOError("broke off")))
        with pytest.raises(StorageIOError, match="broke off"):
            while await body.read(size):
                pass
        with pytest.raises(StorageIOError, match="broke off"):
            await body.read()
        with pytest.raises(StorageIOError, match="broke off"):
            await body.readany()


async def test_what_is_behind_a_body_is_given_back_once() -> None:
    released: list[str] = []
    for read in (0, 1, None):
        body = ObjectBody(stream(b"abc"), lambda: released.append("once"))
        await body.read(read)
        await body.aclose()
        await body.close()
        async with body:
            pass
        assert released == ["once"]
        released.clear()
