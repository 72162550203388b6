"""What we make of a file without xdelta3, and with which options it is asked."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from deltaglider_async.codec import xdelta
from deltaglider_async.errors import DiffEncodeError
from deltaglider_async.streams import Chunks

MIB = 1024 * 1024


@dataclass(frozen=True)
class OnDisk:
    """`Reference` of a file."""

    path: str
    size: int
    fd: int | None


@contextmanager
def reference(folder: Path, data: bytes) -> Iterator[OnDisk]:
    path = folder / "reference"
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        yield OnDisk(str(path), len(data), fd)
    finally:
        os.close(fd)


async def chunks(data: bytes, size: int = MIB) -> Chunks:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def whole(stream: Chunks) -> bytes:
    return b"".join([chunk async for chunk in stream])


@pytest.mark.parametrize("size", [1, MIB, 8 * MIB, 8 * MIB + 1, 20 * MIB + 5])
@pytest.mark.parametrize("step", [MIB, 300_001])
async def test_a_reference_is_told_in_some_bytes_that_xdelta3_reads(tmp_path: Path, size: int, step: int) -> None:
    data = random.Random(size).randbytes(size)
    with reference(tmp_path, data) as known:
        delta = await whole(xdelta.unchanged(known, chunks(data, step)))
        assert await whole(xdelta.decode(known, chunks(delta), size)) == data
        assert len(delta) < 200
        assert delta != await whole(xdelta.unchanged(known, chunks(data, step)))
        (tmp_path / "delta").write_bytes(delta)
        # As the original does it.
        await anyio.run_process(["xdelta3", "-d", "-s", "reference", "delta", "target"], cwd=tmp_path)
        assert (tmp_path / "target").read_bytes() == data


@pytest.mark.parametrize("changed", [-1, 1], ids=["shorter", "longer"])
async def test_what_is_not_the_reference_is_not_told_as_it(tmp_path: Path, changed: int) -> None:
    with reference(tmp_path, bytes(1000)) as known, pytest.raises(DiffEncodeError, match="has 1,000 bytes"):
        await whole(xdelta.unchanged(known, chunks(bytes(1000 + changed))))


def test_compressed_content_is_not_searched_for_what_it_repeats() -> None:
    assert "-N" in xdelta.options(1000, compressed=True)
    assert "-N" not in xdelta.options(1000, compressed=False)
    for level in range(1, 10):
        for compressed in (True, False):
            assert xdelta.options(1000, compressed=compressed, level=level)[0] == f"-{level}"
