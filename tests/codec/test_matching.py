"""Windows that are made without an encoder: any decoder reads them, and they are made only where they are small."""

from __future__ import annotations

import errno
import os
import random
import re
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from tests.codec.test_xdelta import MIB, OnDisk, chunks, reference, whole

from deltaglider_async.codec import matchers, matching, samples, vcdiff, xdelta
from deltaglider_async.codec.encoders import BLOCK
from deltaglider_async.codec.matchers import Matcher
from deltaglider_async.codec.samples import Index, Mapped
from deltaglider_async.codec.vcdiff import Instructions
from deltaglider_async.streams.stops import StoppedError

NO_PROGRAM = "/nonexistent/xdelta3"


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def with_changes(base: bytes, places: list[int], new: bytes) -> bytes:
    changed = bytearray(base)
    for place in places:
        changed[place : place + len(new)] = new
    return bytes(changed)


def shuffled(base: bytes, piece: int, seed: int) -> bytes:
    pieces = [base[start : start + piece] for start in range(0, len(base), piece)]
    random.Random(seed).shuffle(pieces)
    return b"".join(pieces)


BASE = noise(3 * MIB)
#: A target, and how many bytes of a delta are enough for it.
TARGETS: dict[str, tuple[bytes, int]] = {
    "the same": (BASE, 100),
    "a byte": (with_changes(BASE, [MIB], b"?"), 150),
    "many bytes": (with_changes(BASE, list(range(1000, len(BASE), 100_000)), b"twelve bytes"), 1_000),
    "a page": (with_changes(BASE, [MIB], noise(4096, 1)), 4_300),
    "inserted in front": (noise(50_000, 2) + BASE, 50_100),
    "inserted inside": (BASE[:MIB] + noise(50_000, 2) + BASE[MIB:], 50_100),
    "removed in front": (BASE[12_345:], 200),
    "removed inside": (BASE[:MIB] + BASE[MIB + 54_321 :], 200),
    "cut": (BASE[:MIB], 100),
    "longer": (BASE + noise(1000, 3), 1_200),
    "moved": (BASE[2 * MIB :] + BASE[: 2 * MIB], 200),
    "pieces in another order": (shuffled(BASE, 10_000, 4), 6_000),
    "one byte only": (b"x", 100),
    "nothing of it": (noise(MIB, 5), MIB + 100),
}


@pytest.mark.parametrize("name", TARGETS)
async def test_what_is_made_here_is_what_xdelta3_reads(tmp_path: Path, name: str) -> None:
    target, enough = TARGETS[name]
    with reference(tmp_path, BASE) as known:
        delta = await whole(xdelta.encode(known, chunks(target), program=NO_PROGRAM, index=Index()))
        assert await whole(xdelta.decode(known, chunks(delta), len(target))) == target
    assert len(delta) <= enough
    (tmp_path / "delta").write_bytes(delta)
    # As the original does it.
    await anyio.run_process(["xdelta3", "-d", "-s", "reference", "delta", "target"], cwd=tmp_path)
    assert (tmp_path / "target").read_bytes() == target


@pytest.mark.parametrize("seed", range(40))
async def test_any_two_files(tmp_path: Path, seed: int) -> None:
    chosen = random.Random(seed)
    alphabet = bytes(chosen.sample(range(256), chosen.choice([1, 2, 4, 16, 256])))

    def some(most: int) -> bytes:
        return bytes(chosen.choices(alphabet, k=chosen.randint(1, most)))

    base = some(20_000) * chosen.randint(1, 20)
    target = bytearray(base)
    for _ in range(chosen.randint(0, 60)):
        place, stop = sorted(chosen.randint(0, len(target)) for _ in range(2))
        action = chosen.randrange(4)
        if action == 0:
            target[place:place] = some(300)
        elif action == 1:
            del target[place : place + chosen.randint(1, 300)]
        elif action == 2:
            target[place : place + 5] = some(5)
        else:
            target[place:place] = target[place:stop][:5000]
    target = target or bytearray(b"x")
    with reference(tmp_path, base) as known:
        delta = await whole(xdelta.encode(known, chunks(bytes(target), 7_000), index=Index()))
        assert await whole(xdelta.decode(known, chunks(delta), len(target))) == bytes(target)


def words(size: int, seed: int) -> bytes:
    """Text: what is new in it is worth an encoder's work."""
    chosen = random.Random(seed)
    vocabulary = [bytes(chosen.choices(b"abcdefghijklmnop", k=7)) for _ in range(300)]
    return b" ".join(chosen.choices(vocabulary, k=size // 8))


async def test_what_an_encoder_makes_less_of_goes_to_one_block_by_block(tmp_path: Path) -> None:
    base = noise(BLOCK) + words(BLOCK, 1) + noise(BLOCK, 2)
    # The middle block has much that is new and can be made small; the others have nothing.
    target = base[:BLOCK] + words(BLOCK // 2, 3) + base[BLOCK + BLOCK // 2 :]
    index = Index()
    with reference(tmp_path, base) as known:
        here = [made is not None for made in await windows(known, index, target)]
        assert here == [True, False, True]
        delta = await whole(xdelta.encode(known, chunks(target, 700_001), index=index))
        assert await whole(xdelta.decode(known, chunks(delta), len(target))) == target
        alone = await whole(xdelta.encode(known, chunks(target)))
    assert len(delta) < 1.01 * len(alone)


async def windows(known: OnDisk, index: Index, target: bytes) -> list[bytes | None]:
    matcher = Matcher(known, index)
    return [await matcher.window(target[start : start + BLOCK]) for start in range(0, len(target), BLOCK)]


async def test_blocks_that_are_refused_are_not_tried_for_ever(tmp_path: Path) -> None:
    base = words(2 * MIB, 1)
    with reference(tmp_path, base) as known:
        matcher = Matcher(known, Index())
        assert [await matcher.window(words(MIB, seed)) for seed in range(2, 6)] == [None] * 4
        # Not even what would be easy now.
        assert await matcher.window(base) is None


@pytest.mark.parametrize("byte", [0, 255])
async def test_files_of_one_byte_take_no_more_time_or_memory_than_others(tmp_path: Path, byte: int) -> None:
    base = bytes([byte]) * (5 * MIB)
    index = Index()
    with reference(tmp_path, base) as known:
        (made,) = await windows(known, index, base[: 2 * MIB] + noise(100) + base[:MIB])
        assert made is not None and len(made) < 300
        assert await windows(known, index, noise(MIB)) != [None]
        with closing(Mapped(known)) as mapped:
            found = [len(positions) for _, positions in index.samples(mapped, threading.Event())]
            assert sum(found) < 100


@dataclass
class Counted:
    """A kind of sample that counts how many it has found."""

    pattern: re.Pattern[bytes]
    found: int = 0

    def finditer(self, text: bytes) -> Iterator[re.Match[bytes]]:
        for each in self.pattern.finditer(text):
            self.found += 1
            yield each


def test_what_repeats_takes_no_longer_to_index(tmp_path: Path) -> None:
    size = 64 * MIB
    with reference(tmp_path, bytes(size)) as known, closing(Mapped(known)) as mapped:
        kind = Counted(re.compile(b"\\0(?s:.{15})"))
        assert samples._positions(kind, mapped, threading.Event()) == {bytes(16): 0}  # type: ignore[arg-type]
        assert kind.found < 1.1 * samples._MOST


async def test_few_bytes_at_the_end_need_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Index, "samples")
    with reference(tmp_path, BASE) as known:
        (made,) = await windows(known, Index(), BASE[:-15] + b"fifteen others.")
    assert made is not None and len(made) < 100


async def test_an_index_that_nobody_waits_for_is_given_up(tmp_path: Path) -> None:
    index, stop = Index(), threading.Event()
    stop.set()
    with reference(tmp_path, noise(MIB)) as known, closing(Mapped(known)) as mapped, pytest.raises(StoppedError):
        matching.window(mapped, index, noise(MIB, 1), 0, 0, stop)
    with reference(tmp_path, BASE) as known:
        assert await windows(known, index, BASE[100:]) != [None]


@pytest.mark.parametrize("error", [OSError(errno.ENOMEM, "no room"), MemoryError()])
@pytest.mark.parametrize("where", [(matchers, "Mapped"), (samples, "_positions")])
async def test_without_memory_for_an_index_an_encoder_makes_the_delta(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    where: tuple[object, str],
    error: Exception,
) -> None:
    def failing(*_: object) -> object:
        raise error

    monkeypatch.setattr(*where, failing)
    target = noise(50_000, 2) + BASE
    with reference(tmp_path, BASE) as known:
        delta = await whole(xdelta.encode(known, chunks(target), index=Index()))
        assert await whole(xdelta.decode(known, chunks(delta), len(target))) == target
    assert len(delta) < 51_000
    assert f"cannot look into a reference of {len(BASE)} bytes" in caplog.text


async def test_a_bug_in_matching_is_not_hidden_by_another_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> object:
        raise LookupError("a bug")

    monkeypatch.setattr(matching, "_copies", failing)
    with reference(tmp_path, BASE) as known, pytest.raises(LookupError, match="a bug"):
        await whole(xdelta.encode(known, chunks(noise(3 * BLOCK)), index=Index()))


async def test_what_is_scattered_is_left_to_an_encoder(tmp_path: Path) -> None:
    """Each copy takes some microseconds, and the thread has the interpreter to itself."""
    base = noise(2 * MIB)
    target = bytearray(base)
    target[20::40] = bytes(255 - byte for byte in base[20::40])
    with reference(tmp_path, base) as known:
        assert await windows(known, Index(), bytes(target)) == [None]


async def test_memory_is_not_that_of_the_reference(tmp_path: Path, resident: Callable[[], int]) -> None:
    base = noise(64 * MIB)
    target = noise(1000, 1) + base
    with reference(tmp_path, base) as known:
        matcher = Matcher(known, Index())
        before = resident()
        for start in range(0, len(target), BLOCK):
            assert await matcher.window(target[start : start + BLOCK]) is not None
            assert resident() - before < 48 * MIB  # the index is most of it


@pytest.fixture
def resident() -> Callable[[], int]:
    if not Path("/proc/self/statm").exists():
        pytest.fail("how much memory is resident is read from /proc here")

    def read() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    return read


@pytest.mark.parametrize("near", [True, False])
async def test_every_mode_of_addresses_is_read(tmp_path: Path, near: bool) -> None:
    """Copies forth and back, near and far, again and again from the same place, of every size that has a code."""
    base, chosen = noise(1 << 20), random.Random(near)
    window, made = Instructions(0, len(base)), bytearray()
    places = [chosen.randrange(len(base) - 400) for _ in range(20)]
    for number in range(5_000):
        place = chosen.choice(places) + (chosen.randrange(100) if near else 0)
        size = chosen.randint(1, 300) if number % 3 else chosen.randint(1, 20)
        if number % 5 == 0:
            window.add(data := chosen.randbytes(size))
            made += data
        else:
            window.copy(place, size)
            made += base[place : place + size]
    delta = vcdiff.header(b"x") + window.finish(zlib.adler32(made))
    (tmp_path / "delta").write_bytes(delta)
    with reference(tmp_path, base) as known:
        assert await whole(xdelta.decode(known, chunks(delta), len(made))) == made
