"""What we make of a file without xdelta3, and with which options it is asked."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from deltaglider_async.codec import xdelta
from deltaglider_async.errors import CodecUnavailableError, DiffEncodeError
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


def edited(base: bytes, seed: int) -> bytes:
    """A quarter of it is new, in pieces."""
    edited, chosen = bytearray(base), random.Random(seed)
    for place in range(0, len(base), MIB):
        edited[place : place + MIB // 4] = chosen.randbytes(MIB // 4)
    return bytes(edited[: len(base)])


class Spare:
    """`spare` for a number of encoders, which it counts."""

    def __init__(self, most: int) -> None:
        self.free = most
        self.granted = 0

    @contextmanager
    def __call__(self) -> Iterator[bool]:
        granted = self.free > 0
        self.free -= granted
        self.granted += granted
        try:
            yield granted
        finally:
            self.free += granted


@pytest.mark.parametrize("size", [1, 16 * MIB, 41 * MIB + 5])
@pytest.mark.parametrize("level", [("-1", "-N", "-S", "none"), ("-1", "-S", "djw")], ids=["none", "djw"])
@pytest.mark.parametrize("most", [0, 3])
async def test_several_encoders_make_one_delta(tmp_path: Path, size: int, level: tuple[str, ...], most: int) -> None:
    base = random.Random(1).randbytes(20 * MIB)
    data, spare = edited((base * 3)[:size], 2), Spare(most)
    with reference(tmp_path, base) as known:
        delta = await whole(xdelta.encode(known, chunks(data, 700_001), options=level, spare=spare))
        assert await whole(xdelta.decode(known, chunks(delta), size)) == data
        assert len(delta) < 0.27 * size + 1000
        (tmp_path / "delta").write_bytes(delta)
        await anyio.run_process(["xdelta3", "-d", "-s", "reference", "delta", "target"], cwd=tmp_path)
        assert (tmp_path / "target").read_bytes() == data
    if size > 20 * MIB:
        assert bool(spare.granted) == bool(most)
    assert spare.free == most


async def test_much_alike_takes_one_encoder(tmp_path: Path) -> None:
    base, spare = random.Random(1).randbytes(20 * MIB), Spare(3)
    with reference(tmp_path, base) as known:
        delta = await whole(xdelta.encode(known, chunks(base[5:] + b"more"), spare=spare))
        assert await whole(xdelta.decode(known, chunks(delta), len(base))) == base[5:] + b"more"
    assert spare.granted == 0


@pytest.mark.parametrize("after", [0, 3, 20, 30])
async def test_an_error_of_the_body_is_the_error(tmp_path: Path, after: int) -> None:
    async def failing() -> Chunks:
        for number in range(after):
            yield random.Random(number).randbytes(MIB)
        raise LookupError("the body failed")

    spare = Spare(1)
    with reference(tmp_path, bytes(MIB)) as known, pytest.raises(LookupError, match="the body failed"):
        await whole(xdelta.encode(known, failing(), spare=spare))
    assert spare.free == 1


async def test_a_delta_that_is_given_up_leaves_no_encoder(tmp_path: Path) -> None:
    data, spare = random.Random(3).randbytes(64 * MIB), Spare(2)
    with reference(tmp_path, bytes(MIB)) as known:
        delta = xdelta.encode(known, chunks(data), spare=spare)
        async for _ in delta:
            if spare.granted:
                break
        await delta.aclose()
        assert spare.free == 2
        with pytest.raises(CodecUnavailableError):
            await whole(xdelta.encode(known, chunks(data), program="/nonexistent", spare=spare))
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


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
