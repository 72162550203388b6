"""What a put reads, read more than once."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from deltaglider_async.errors import SourceChangedError
from deltaglider_async.streams import CHUNK, Chunks
from deltaglider_async.streams.source import (
    Source,
    bytes_source,
    digest_of,
    path_source,
    replayable,
    same_again,
    settle,
)


class Once:
    """A stream that exists once, and waits before each piece until it is let on, as a slow sender does."""

    def __init__(self, pieces: Sequence[bytes], error: Exception | None = None) -> None:
        self.pieces = pieces
        self.given = 0
        self.opened = 0
        self.closed = False
        self.let_on = asyncio.Semaphore(0)
        self._error = error

    def source(self) -> Source:
        return Source(self._open, None, rereadable=False)

    async def _open(self) -> Chunks:
        self.opened += 1
        try:
            for piece in self.pieces:
                await self.let_on.acquire()
                self.given += 1
                yield piece
            if self._error is not None:
                raise self._error
        finally:
            self.closed = True

    def go(self, count: int = 1000) -> None:
        for _ in range(count):
            self.let_on.release()


async def whole(source: Source) -> bytes:
    return b"".join([chunk async for chunk in source.open()])


PIECES = [bytes([number]) * 1000 for number in range(12)]
DATA = b"".join(PIECES)


async def test_a_source_that_can_be_read_again_is_left_as_it_is() -> None:
    source = bytes_source(DATA)
    async with replayable(source) as same:
        assert same is source


@pytest.mark.parametrize("first", range(0, 13, 3))
async def test_a_pass_that_is_given_up_midway_is_begun_again(first: int) -> None:
    stream = Once(PIECES)
    stream.go()
    async with replayable(stream.source()) as source:
        assert source.rereadable
        given_up = source.open()
        seen = b"".join([await anext(given_up) for _ in range(first)])
        await given_up.aclose()
        assert seen == DATA[: 1000 * first]
        assert stream.given == first
        for _ in range(3):
            assert await whole(source) == DATA
    assert (stream.opened, stream.closed) == (1, True)


@pytest.mark.parametrize("in_file", [False, True])
async def test_a_cancelled_pass_loses_no_byte(in_file: bool) -> None:
    """It is cancelled while it waits for a slow stream, which goes on; what then comes is still there."""
    pieces = [piece * (CHUNK // 1000 if in_file else 1) for piece in PIECES]
    stream = Once(pieces)
    async with replayable(stream.source()) as source:
        for number in range(len(pieces)):
            task = asyncio.create_task(whole(source))
            await asyncio.sleep(0.002)
            task.cancel()
            if number % 2:
                stream.go(1)  # comes while nobody waits for it
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()
            if not number % 2:
                stream.go(1)
        stream.go()
        assert await whole(source) == b"".join(pieces)
    assert stream.opened == 1


@pytest.mark.parametrize("seed", range(4))
async def test_passes_cancelled_at_any_moment_lose_no_byte(seed: int) -> None:
    """Also while what came is being written to the spool's file."""
    choose = random.Random(seed)
    pieces = [choose.randbytes(choose.choice([1, 1000, CHUNK])) for _ in range(16)]
    stream = Once(pieces)
    async with replayable(stream.source()) as source:
        for _ in range(25):
            task = asyncio.create_task(whole(source))
            stream.go(choose.randrange(2))
            for _ in range(choose.randrange(12)):
                await asyncio.sleep(choose.choice([0, 0, 0.0005]))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        stream.go()
        assert await whole(source) == b"".join(pieces)
        assert await whole(source) == b"".join(pieces)


async def test_leaving_while_a_slow_stream_is_waited_for_ends_it() -> None:
    stream = Once(PIECES)
    async with asyncio.timeout(10), replayable(stream.source()) as source:
        task = asyncio.create_task(whole(source))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        before = stream.closed
    assert (before, stream.closed) == (False, True)
    assert len(asyncio.all_tasks()) == 1


async def test_an_error_of_the_stream_is_raised_by_every_pass() -> None:
    """A pass after it must not take what came before it for the whole."""
    stream = Once(PIECES, ConnectionResetError("the sender went away"))
    stream.go()
    async with replayable(stream.source()) as source:
        for _ in range(3):
            with pytest.raises(ConnectionResetError, match="went away"):
                await whole(source)
    assert stream.closed


@pytest.mark.parametrize("limit", [0, 999, 1000, 11_999, 12_000, 20_000])
async def test_a_short_stream_is_kept_and_a_long_one_goes_on(limit: int) -> None:
    stream = Once(PIECES)
    stream.go()
    settled = await settle(stream.source(), limit)
    assert settled.rereadable == (len(DATA) <= limit)
    assert settled.size == (len(DATA) if len(DATA) <= limit else None)
    assert stream.given == min(12, limit // 1000 + 1)
    assert await whole(settled) == DATA
    assert stream.closed


async def test_another_pass_must_give_the_same() -> None:
    versions = [DATA, DATA, DATA + b"x", DATA[:-1], b"x" + DATA[1:]]
    source = Source(lambda: bytes_source(versions.pop(0)).open(), None, rereadable=True, name="notes.txt")
    digest = await digest_of(source)
    sha256, size = await digest.hexdigest(), digest.size
    assert b"".join([chunk async for chunk in same_again(source, sha256, size)]) == DATA
    for _ in range(3):
        with pytest.raises(SourceChangedError, match=r"notes\.txt changed while it was read"):
            async for _ in same_again(source, sha256, size):
                pass


@pytest.mark.parametrize(("size", "at_once"), [(0, True), (10_000, True), (CHUNK, True), (CHUNK + 1, False)])
async def test_a_short_file_is_read_in_one_visit_to_a_thread(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int, at_once: bool
) -> None:
    content = random.Random(size).randbytes(size)
    file = tmp_path / "file"
    file.write_bytes(content)
    visits = 0
    loop = asyncio.get_running_loop()
    usual = loop.run_in_executor

    def count(*arguments: Any) -> Any:
        nonlocal visits
        visits += 1
        return usual(*arguments)

    monkeypatch.setattr(loop, "run_in_executor", count)
    source, status = await path_source(file)
    assert visits == 1
    assert (source.size, status.st_size, source.name) == (size, size, str(file))
    settled = await settle(source, 8 * CHUNK)
    assert (await digest_of(settled)).size == size
    assert b"".join([chunk async for chunk in settled.open()]) == content
    assert (source.data == content) is at_once
    assert at_once == (visits == 1 + (size == CHUNK))  # a megabyte is hashed in a thread


async def test_a_file_that_grows_while_it_is_read_is_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"short")
    usual = os.fstat

    def grow(descriptor: int) -> os.stat_result:
        status = usual(descriptor)
        with file.open("ab") as more:
            more.write(b", but not for long")
        return status

    monkeypatch.setattr(os, "fstat", grow)
    with pytest.raises(SourceChangedError, match="it had 5 bytes when the put began, now more"):
        await path_source(file)
