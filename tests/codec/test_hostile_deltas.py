"""Deltas that were made to do harm: an error, within bounds of output, memory and time. The real xdelta3 decodes them.

That time is bounded is shown in test_process.py, where a process that only burns CPU time is ended. Here the test's own
timeout is what fails if one of these hangs.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from tests.vcdiff import LARGEST_WINDOW, LZMA, add, copy, number, packed, packed_window, run, start, window

from deltaglider_async.codec import xdelta
from deltaglider_async.errors import DiffDecodeError
from deltaglider_async.streams import CHUNK, Chunks

REFERENCE = random.Random(1).randbytes(3_000_000)
MIB = 1 << 20
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux sets limits on a process that runs")


@dataclass
class Leased:
    """A reference in a file, as a codec sees it."""

    path: str
    size: int
    fd: int | None = None


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Leased:
    path = tmp_path_factory.mktemp("reference") / "reference"
    path.write_bytes(REFERENCE)
    return Leased(str(path), len(REFERENCE))


async def chunks_of(data: bytes) -> Chunks:
    for position in range(0, len(data), CHUNK):
        yield data[position : position + CHUNK]


@dataclass
class Seen:
    """What a decode gave, and the most that its process took."""

    output: bytearray = field(default_factory=bytearray)
    memory: int = 0


def look_at(seen: Seen, known: set[int], ended: threading.Event) -> None:
    """Note the most that new children of this process hold, in bytes of resident memory, until told to end."""
    this = psutil.Process()
    while not ended.wait(0.001):
        for child in this.children():
            try:
                if child.pid not in known and child.name() == "xdelta3":
                    seen.memory = max(seen.memory, child.memory_info().rss)
            except psutil.NoSuchProcess:
                continue


async def decode(reference: Leased, delta: bytes, size: int, program: str = "xdelta3") -> Seen:
    """Decode to the end, or to the error, which then has what was seen as `seen`."""
    seen, ended = Seen(), threading.Event()
    known = {child.pid for child in psutil.Process().children()}
    looking = asyncio.create_task(asyncio.to_thread(look_at, seen, known, ended))
    try:
        async with aclosing(xdelta.decode(reference, chunks_of(delta), size, program=program)) as body:
            async for chunk in body:
                seen.output += chunk
    except DiffDecodeError as error:
        error.seen = seen  # type: ignore[attr-defined]
        raise
    finally:
        ended.set()
        await looking
    return seen


async def refused(reference: Leased, delta: bytes, size: int) -> tuple[str, Seen]:
    with pytest.raises(DiffDecodeError) as error:
        await decode(reference, delta, size)
    return str(error.value), error.value.seen  # type: ignore[attr-defined]


async def test_what_these_tests_make_by_hand_is_decoded(reference: Leased) -> None:
    """Else the errors below might have another reason."""
    delta = (
        start(b"nonce", LZMA)
        + window(8, add(5) + run(3), b"hello!")
        + window(1000, copy(600) + copy(400), b"", number(5) + number(1000), source=(10_000, 2_000_000))
        + packed_window(7, packed(add(5) + run(2), 1), packed(b"again!", 1))
        + window(0)
    )
    body = b"hello!!!" + REFERENCE[2_000_005:2_000_605] + REFERENCE[2_001_000:2_001_400] + b"again!!"
    assert (await decode(reference, delta, len(body))).output == body


async def test_copies_from_everywhere_are_exact_and_read_little(reference: Leased) -> None:
    """The decoder holds a small part of the reference: a copy from elsewhere costs a small block, not all of it."""
    choose = random.Random(2)
    places = [choose.randrange(len(REFERENCE) - 40) for _ in range(50_000)]
    sizes = [choose.randrange(20, 40) for _ in places]
    delta = start(b"") + window(
        sum(sizes),
        b"".join(map(copy, sizes)),
        addresses=b"".join(map(number, places)),
        source=(len(REFERENCE), 0),
    )
    body = b"".join(REFERENCE[place : place + size] for place, size in zip(places, sizes, strict=True))
    seen = await decode(reference, delta, len(body))
    assert seen.output == body
    assert seen.memory < 32 * MIB


async def test_a_run_without_end_is_stopped_at_the_recorded_size(reference: Leased) -> None:
    delta = start(b"") + window(LARGEST_WINDOW, run(LARGEST_WINDOW), b"x") * 100_000
    message, seen = await refused(reference, delta, 20 * MIB)
    assert "more than the recorded" in message
    assert len(seen.output) <= 20 * MIB
    assert seen.memory < 64 * MIB


async def test_a_copy_without_end_is_stopped_at_the_recorded_size(reference: Leased) -> None:
    copies = window(3_000_000, copy(3_000_000), b"", number(0), source=(3_000_000, 0))
    message, seen = await refused(reference, start(b"") + copies * 100_000, 7_000_000)
    assert "more than the recorded" in message
    assert len(seen.output) <= 7_000_000


async def test_millions_of_empty_windows_give_nothing(reference: Leased) -> None:
    seen = await decode(reference, start(b"") + window(5, add(5), b"hello") + window(0) * 3_000_000, 10_000_000)
    assert seen.output == b"hello"
    assert seen.memory < 64 * MIB


CLAIMS = {
    "window": window((1 << 32) - 1, run((1 << 32) - 1), b"x"),
    "window beyond all numbers": b"\x00" + b"\xff" * 20,
    "instruction": window(10, run(1 << 31), b"x"),
    "data": window(5, add(5), b"hello", lengths=(3 << 30, 2, 0)),
    "instructions": window(5, add(5), b"hello", lengths=(5, 3 << 30, 0)),
    "addresses": window(5, add(5), b"hello", lengths=(5, 2, 3 << 30)),
    "all sections": window(5, add(5), b"hello", lengths=(1 << 31, 1 << 31, 1 << 31)),
    "source": window(5, copy(5), b"", number(4_000_000), source=((1 << 32) - 10, 0)),
    "place of the source": window(5, copy(5), b"", number(0), source=(5, 1 << 62)),
    "address": window(5, copy(5), b"", number(1 << 31), source=(100, 0)),
    "address in the target": window(5, copy(5), b"", number(150), source=(100, 0)),
    "negative": b"\x00" + b"\xff\xff\xff\xff\x7f" * 3,
}


@pytest.mark.parametrize("claim", CLAIMS)
async def test_a_claim_of_a_giant_size_takes_no_memory(reference: Leased, claim: str) -> None:
    for more in (b"", bytes(5 * MIB)):
        _, seen = await refused(reference, start(b"") + CLAIMS[claim] + more, 100 * MIB)
        assert seen.output == b""
        assert seen.memory < 64 * MIB


@pytest.fixture(scope="module")
def packed_bombs() -> dict[str, bytes]:
    """By what is packed: some kilobytes that expand to 600 MiB of a section."""
    small, large = packed(add(5), 1), packed(bytes(16), 600 << 16, b"hello")
    return {
        "data": start(b"", LZMA) + packed_window(5, small, large),
        "instructions": start(b"", LZMA) + packed_window(5, large, small),
    }


@ON_LINUX
@pytest.mark.parametrize("section", ["data", "instructions"])
async def test_a_section_that_unpacks_to_more_than_the_memory_allowed(
    reference: Leased, packed_bombs: dict[str, bytes], section: str
) -> None:
    bomb = packed_bombs[section]
    assert len(bomb) < 200_000
    _, seen = await refused(reference, bomb, 5)
    assert seen.output == b""
    assert seen.memory <= xdelta.MEMORY


@ON_LINUX
def test_without_a_limit_it_would_take_that_memory(
    reference: Leased, packed_bombs: dict[str, bytes], tmp_path: Path
) -> None:
    """The bomb is one: this xdelta3 is built with lzma, and the limit is what stops it."""
    (tmp_path / "bomb").write_bytes(packed_bombs["data"])
    script = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=-3, stderr=-3); " + (
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10)"
    )
    command = ["xdelta3", "-d", "-c", "-q", "-D", "-R", "-s", reference.path, str(tmp_path / "bomb")]
    peak = subprocess.run([sys.executable, "-c", script, *command], check=True, capture_output=True, text=True).stdout
    assert int(peak) > xdelta.MEMORY


async def test_a_header_that_asks_for_an_unknown_program_starts_no_process(reference: Leased) -> None:
    """`program` is not there: whoever tried to start it would be told so."""
    for application in (b"target/Q/source/", b"target//source/GG", b"/" * 50):
        with pytest.raises(DiffDecodeError, match=r"asks for|more parts"):
            delta = start(application) + window(5, add(5), b"hello")
            await decode(reference, delta, 5, program="/nowhere/xdelta3")


@ON_LINUX
async def test_limits_follow_from_size_and_header(reference: Leased, tmp_path: Path) -> None:
    """As the process sees them, which is what counts."""
    program = tmp_path / "xdelta3"
    program.write_text("#!/bin/sh\nread line\nulimit -t\nulimit -v\nulimit -f\necho $*\n")
    program.chmod(0o755)
    limits = []
    for application, size in ((b"", 1000), (b"", 1 << 30), (b"t/G/s/G", 1000)):
        delta = start(application) + b"\n" + bytes(100)
        limits.append(bytes((await decode(reference, delta, size, str(program))).output).decode().splitlines())
    plain, large, recompressed = limits
    assert int(plain[0]) == xdelta.CPU_FLOOR < int(large[0]) < 10_000
    assert int(recompressed[0]) > 10 * int(plain[0])
    assert int(plain[1]) << 10 == int(large[1]) << 10 == xdelta.MEMORY < int(recompressed[1]) << 10
    assert plain[2] == large[2] == recompressed[2] == "0"
    assert "-D -R" in plain[3]
    assert "-D" not in recompressed[3]
    assert "-R" not in recompressed[3]
