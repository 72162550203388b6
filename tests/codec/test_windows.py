"""Ranges of real deltas without the windows before them, and windows that nobody honest writes."""

from __future__ import annotations

import random
import subprocess
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.vcdiff import add, copy, number, run, start, window

from deltaglider_async.codec import xdelta
from deltaglider_async.codec.windows import Selection, UnknownWindowsError
from deltaglider_async.errors import DiffDecodeError
from deltaglider_async.streams import Chunks
from deltaglider_async.streams.chunks import window as cut

#: The smallest window that xdelta3 writes.
WINDOW = 16 * 1024
_random = random.Random(1)
REFERENCE = _random.randbytes(20 * WINDOW)
#: Unchanged, changed, repeated, and new text, each over several windows; the last one is short.
TARGET = (
    REFERENCE[: 3 * WINDOW]
    + b"".join(REFERENCE[place : place + 60] + b"changed" for place in range(0, 6 * WINDOW, 67))
    + bytes(2 * WINDOW)
    + b"".join(b"%d of a text that secondary compression makes smaller\n" % number for number in range(4000))
    + REFERENCE[5 * WINDOW :]
    + b"end"
)


@dataclass
class Leased:
    """A reference in a file, as a codec sees it."""

    path: str
    size: int = len(REFERENCE)
    fd: int | None = None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("windows")
    (path / "reference").write_bytes(REFERENCE)
    (path / "target").write_bytes(TARGET)
    return path


def encoded(folder: Path, *options: str) -> bytes:
    command = ["xdelta3", "-e", "-c", *options, "-s", "reference", "target"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout


async def chunks_of(data: bytes, size: int = 5000) -> Chunks:
    for position in range(0, len(data), size):
        yield data[position : position + size]


async def part_of(folder: Path, delta: bytes, begin: int, stop: int, size: int = len(TARGET)) -> tuple[bytes, int, int]:
    """A range, how much of the target was left out before it, and how long the delta was without that."""
    needed, left_out = await xdelta.part(lambda: chunks_of(delta), size, begin, stop)
    async with aclosing(needed):
        shorter = b"".join([chunk async for chunk in needed])
    decoder = xdelta.decode(Leased(str(folder / "reference")), chunks_of(shorter), size)
    async with aclosing(cut(decoder, begin - left_out, stop - left_out)) as chunks:
        return b"".join([chunk async for chunk in chunks]), left_out, len(shorter)


SMALL = ("-W", str(WINDOW))
WRITTEN = {
    "ours": ("-D", "-A=nonce", "-3", "-S", "none", *SMALL),
    "no header": ("-D", "-A", "-1", "-S", "none", *SMALL),
    "no checksums": ("-D", "-n", "-S", "none", *SMALL),
    "djw": ("-D", "-9", "-S", "djw", *SMALL),
    "lzma": ("-D", "-9", "-S", "lzma", *SMALL),
    "odd windows": ("-D", "-S", "none", "-W", "50001"),
    "one window": ("-D", "-S", "none"),
}


@pytest.mark.parametrize("name", WRITTEN)
async def test_a_range_is_those_bytes_without_the_windows_before_it(folder: Path, name: str) -> None:
    delta = encoded(folder, *WRITTEN[name])
    size, choose = len(TARGET), random.Random(2)
    for begin in (0, WINDOW - 1, 7 * WINDOW, size - 1, *(choose.randrange(size) for _ in range(3))):
        for stop in {begin + 1, choose.randrange(begin, size) + 1}:
            found, left_out, length = await part_of(folder, delta, begin, stop)
            assert found == TARGET[begin:stop], (begin, stop)
            if name in ("lzma", "one window"):
                continue  # remembers the windows before, or there are none
            step = 50001 if name == "odd windows" else WINDOW
            assert left_out == begin // step * step
            assert (length < len(delta)) == (begin >= step or stop <= (size - 1) // step * step)


async def test_windows_of_lzma_that_are_not_compressed_are_left_out(tmp_path: Path) -> None:
    """As of the original's deltas of a large file with few changes."""
    (tmp_path / "reference").write_bytes(REFERENCE)
    (tmp_path / "target").write_bytes(REFERENCE)
    delta = encoded(tmp_path, "-9", "-D", "-S", "lzma", *SMALL)
    found, left_out, _ = await part_of(tmp_path, delta, 9 * WINDOW + 5, 9 * WINDOW + 9, len(REFERENCE))
    assert (found, left_out) == (REFERENCE[9 * WINDOW + 5 : 9 * WINDOW + 9], 9 * WINDOW)


async def test_what_is_recompressed_is_decoded_from_its_start(folder: Path) -> None:
    delta = encoded(folder, "-A=target/G/source/", "-S", "none", *SMALL)
    _, left_out = await xdelta.part(lambda: chunks_of(delta), len(TARGET), 5 * WINDOW, 6 * WINDOW)
    assert left_out == 0


async def test_a_damaged_delta_gives_those_bytes_or_an_error(folder: Path) -> None:
    """What is left out is not decoded. Wherever one bit of it is wrong, a range is not at another place for that."""
    delta = encoded(folder, *WRITTEN["ours"])
    begin, stop, choose = 9 * WINDOW + 7, 9 * WINDOW + 70, random.Random(3)
    flips = [*range(30, 60), *(choose.randrange(len(delta)) for _ in range(20))]
    for place in flips:
        damaged = bytearray(delta)
        damaged[place] ^= 1 << choose.randrange(8)
        try:
            found, _, _ = await part_of(folder, bytes(damaged), begin, stop)
        except DiffDecodeError:
            continue
        assert found == TARGET[begin:stop], place
    for length in (len(delta) - 1, len(delta) // 2):
        _, left_out = await xdelta.part(lambda length=length: chunks_of(delta[:length]), len(TARGET), begin, stop)  # type: ignore[misc]
        assert left_out == 0


FIRST = window(1000, copy(1000), addresses=number(0), source=(1000, 0))
HOSTILE = {
    "copies from the target": b"\x02" + window(10, copy(10), addresses=number(0), source=(10, 0))[1:],
    "unknown bits": b"\x08" + window(10, run(10), b"x")[1:],
    "sections beyond the window": window(10, run(10), b"x", lengths=(1, 2, 5000)),
    "a number without end": b"\x00" + b"\x80" * 40,
    "larger than the file": window(1 << 40, run(10), b"x"),
    "smaller than the file": window(5, add(5), b"x" * 5),
    "ends within": window(10, run(10), b"x")[:-1],
    "ends within its head": window(10, run(10), b"x")[:3],
    "nothing, many times": window(0) * 5000,
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_windows_that_contradict_themselves_are_left_to_xdelta3(folder: Path, name: str) -> None:
    delta = start() + FIRST + HOSTILE[name]
    size = 1000 if name == "nothing, many times" else 1010
    needed, left_out = await xdelta.part(lambda: chunks_of(delta), size, 1000 * (size > 1000), size)
    async with aclosing(needed):
        assert (b"".join([chunk async for chunk in needed]), left_out) == (delta, 0)


def selection(data: bytes, pieces: list[int]) -> Selection | None:
    found, position = Selection(0, None, 100_000, 60_000, 61_000), 0
    try:
        for length in [*pieces, len(data)]:
            found.feed(data[position : position + length])
            position += length
        found.finish()
    except UnknownWindowsError:
        return None
    return found


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Mostly windows that make 100,000 bytes."""
    sizes = draw(st.lists(st.integers(0, 50_000), max_size=6))
    sizes.append(100_000 - sum(sizes) if sum(sizes) <= 100_000 else draw(st.integers(0, 10)))
    return b"".join(window(size, run(size), b"x", source=draw(st.none() | st.just((10, 300)))) for size in sizes)


@given(streams() | st.binary(max_size=200), st.lists(st.integers(0, 30), max_size=30))
def test_how_a_stream_is_cut_changes_nothing(data: bytes, pieces: list[int]) -> None:
    whole, other = selection(data, []), selection(data, pieces)
    assert (whole and (whole.spans, whole.left_out)) == (other and (other.spans, other.left_out))
    if whole is not None:
        assert whole.left_out <= 60_000
        assert all(0 <= begin <= end <= len(data) for begin, end in whole.spans)
