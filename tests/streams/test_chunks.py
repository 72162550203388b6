"""The same bytes in other chunks, counted, digested and checked."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaglider_async.errors import IntegrityMismatchError
from deltaglider_async.streams import CHUNK, Chunks
from deltaglider_async.streams.body import verified
from deltaglider_async.streams.chunks import rechunk, window
from deltaglider_async.streams.digest import Digest, base64_sha256, digested

PIECES = st.lists(st.binary(max_size=20), max_size=12)


class Stream:
    """Pieces as a stream that tells how far it was read, and whether it was closed."""

    def __init__(self, pieces: Sequence[bytes], error: Exception | None = None) -> None:
        self.read = 0
        self.closed = False
        self._pieces = pieces
        self._error = error

    async def chunks(self) -> Chunks:
        try:
            for piece in self._pieces:
                self.read += 1
                yield piece
            if self._error:
                raise self._error
        finally:
            self.closed = True


async def collect(chunks: Chunks) -> list[bytes]:
    return [chunk async for chunk in chunks]


@given(PIECES, st.integers(1, 30))
async def test_rechunk_gives_equal_chunks(pieces: list[bytes], size: int) -> None:
    stream = Stream(pieces)
    chunks = await collect(rechunk(stream.chunks(), size))
    assert b"".join(chunks) == b"".join(pieces)
    assert all(len(chunk) == size for chunk in chunks[:-1])
    assert all(0 < len(chunk) <= size for chunk in chunks)
    assert stream.closed


@given(PIECES, st.integers(0, 120), st.integers(0, 120))
async def test_window_is_a_slice(pieces: list[bytes], start: int, length: int) -> None:
    whole = b"".join(pieces)
    start = min(start, len(whole))
    stop = min(start + length, len(whole))
    stream = Stream(pieces)
    assert b"".join(await collect(window(stream.chunks(), start, stop))) == whole[start:stop]
    assert stream.closed


async def test_window_reads_no_further_than_it_must() -> None:
    stream = Stream([b"ab", b"cd", b"ef", b"gh"])
    assert await collect(window(stream.chunks(), 1, 4)) == [b"b", b"cd"]
    assert (stream.read, stream.closed) == (2, True)


async def test_a_window_beyond_the_end_is_no_shorter_window() -> None:
    """A body that is shorter than announced must not look complete."""
    with pytest.raises(IntegrityMismatchError):
        await collect(window(Stream([b"ab", b"cd"]).chunks(), 1, 5))


@pytest.mark.parametrize("part", ["rechunk", "window", "verified", "digested"])
async def test_every_part_closes_what_it_reads(part: str) -> None:
    parts = {
        "rechunk": lambda chunks: rechunk(chunks, 2),
        "window": lambda chunks: window(chunks, 0, 100),
        "verified": lambda chunks: verified(chunks, size=None, sha256=None, name="it"),
        "digested": lambda chunks: digested(chunks, Digest()),
    }
    stream = Stream([b"ab"] * 5)
    async with aclosing(parts[part](stream.chunks())) as chunks:
        await anext(chunks)
        before = stream.closed
    assert (before, stream.closed) == (False, True)
    failing = Stream([b"ab"], ConnectionResetError("gone"))
    with pytest.raises(ConnectionResetError, match="gone"):
        await collect(parts[part](failing.chunks()))
    assert failing.closed


@given(PIECES)
async def test_verified_gives_out_what_is_right(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    digest = hashlib.sha256(whole).hexdigest()
    chunks = verified(Stream(pieces).chunks(), size=len(whole), sha256=digest, name="it")
    assert b"".join(await collect(chunks)) == whole


@given(PIECES, st.integers(-1, 1), st.booleans())
async def test_verified_never_gives_out_all_of_what_is_wrong(pieces: list[bytes], more: int, size_only: bool) -> None:
    whole = b"".join(pieces)
    size = max(0, len(whole) + more)
    wrong_digest = None if size_only else hashlib.sha256(whole + b"x").hexdigest()
    if size == len(whole) and size_only:
        return
    seen = b""
    with pytest.raises(IntegrityMismatchError, match="it: "):
        async for chunk in verified(Stream(pieces).chunks(), size=size, sha256=wrong_digest, name="it"):
            seen += chunk
    assert whole.startswith(seen)
    assert not whole or len(seen) < len(whole)


@given(PIECES)
async def test_digest_is_that_of_hashlib(pieces: list[bytes]) -> None:
    digest, whole = Digest(), b""
    for piece in pieces:
        await digest.update(piece)
        whole += piece
        assert digest.size == len(whole)
        assert await digest.hexdigest() == hashlib.sha256(whole).hexdigest()
    assert base64_sha256(await digest.hexdigest()) == base64.b64encode(hashlib.sha256(whole).digest()).decode()


async def test_digest_of_chunks_large_and_small() -> None:
    pieces = [b"a" * (CHUNK - 1), b"b", b"c" * (3 * CHUNK), b"", b"d" * 70_000]
    digest = Digest()
    assert await collect(digested(Stream(pieces).chunks(), digest)) == pieces
    assert digest.size == sum(map(len, pieces))
    assert await digest.hexdigest() == hashlib.sha256(b"".join(pieces)).hexdigest()


@pytest.mark.parametrize("missing", [0, 1])
async def test_what_was_hashed_before_is_not_hashed_again(missing: int) -> None:
    """But must be as many bytes as come."""
    pieces = [b"a" * 100, b"b" * 50]
    digest = Digest()
    for piece in pieces[: 2 - missing]:
        digest.take(piece)
    sha256, seen = await digest.hexdigest(), b""
    chunks = verified(Stream(pieces).chunks(), size=150, sha256=sha256, name="it", digest=digest)
    if missing:
        with pytest.raises(IntegrityMismatchError, match="hashed"):
            async for chunk in chunks:
                seen += chunk
        assert len(seen) < 150
    else:
        assert b"".join([chunk async for chunk in chunks]) == b"".join(pieces)


async def test_a_digest_that_gathers_more_is_the_same() -> None:
    pieces = [b"a" * CHUNK, b"b" * (CHUNK // 2), b"c" * CHUNK, b"d" * (2 * CHUNK + 1), b"e"]
    digest = Digest(at_a_time=4 * CHUNK)
    for number, piece in enumerate(pieces, 1):
        await digest.update(piece)
        if number in (2, 5):
            assert await digest.hexdigest() == hashlib.sha256(b"".join(pieces[:number])).hexdigest()
