"""A place for bytes that are needed again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from deltaglider_async.errors import LocalIOError
from deltaglider_async.streams import CHUNK
from deltaglider_async.streams.spool import Spool


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


async def contents(spool: Spool) -> bytes:
    return b"".join([chunk async for chunk in spool.chunks()])


@pytest.mark.parametrize("sizes", [[], [0], [1], [10, 10], [10, 11], [21], [5] * 50, [20, 0, 1], [3 * CHUNK, 1]])
async def test_what_was_written_is_read_any_number_of_times(sizes: list[int]) -> None:
    before, written = open_files(), b""
    async with Spool(in_memory=20) as spool:
        for number, size in enumerate(sizes):
            chunk = bytes([number]) * size
            await spool.write(chunk)
            written += chunk
            assert spool.size == len(written)
        assert (open_files() > before) == (len(written) > 20)
        assert await contents(spool) == written
        assert await contents(spool) == written
        assert all(len(chunk) <= max(20, CHUNK) for chunk in [chunk async for chunk in spool.chunks()])
    assert open_files() == before


async def test_a_spool_in_a_file_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with Spool(in_memory=0) as spool:
        await spool.write(b"content")
        assert list(tmp_path.iterdir()) == []
        assert await contents(spool) == b"content"


async def test_two_readers_do_not_disturb_each_other() -> None:
    async with Spool(in_memory=0) as spool:
        await spool.write(b"a" * CHUNK + b"b" * CHUNK)
        one, two = spool.chunks(), spool.chunks()
        assert await anext(one) == await anext(two) == b"a" * CHUNK
        assert await anext(one) == b"b" * CHUNK
        assert await anext(two) == b"b" * CHUNK
        await one.aclose()
        await two.aclose()


async def test_no_room_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nothing"))
    before = open_files()
    async with Spool(in_memory=3) as spool:
        await spool.write(b"abc")
        with pytest.raises(LocalIOError, match=r"temporary folder .*nothing.*TMPDIR") as full:
            await spool.write(b"d")
        assert full.value.errno == 2
    assert open_files() == before
