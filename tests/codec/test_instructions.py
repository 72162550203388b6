"""Windows that are decoded here: to what xdelta3 decodes them to, or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.codec.test_xdelta import MIB, OnDisk, chunks, reference
from tests.vcdiff import LARGEST_WINDOW, add, copy, number, run, start, window

from deltaglider_async.codec import xdelta
from deltaglider_async.codec.instructions import _CODES, RefusedError, Target
from deltaglider_async.codec.process import stream_through
from deltaglider_async.codec.vcdiff import ADLER32, beginning
from deltaglider_async.codec.windows import UnknownWindowsError, read_window
from deltaglider_async.errors import CodecUnavailableError, DiffDecodeError
from deltaglider_async.streams import Chunks
from deltaglider_async.streams.digest import Digest

_random = random.Random(1)
REFERENCE = _random.randbytes(300_000)
#: Whoever starts it is told so.
NOWHERE = "/nowhere/xdelta3"


async def unaided(known: OnDisk, delta: bytes, size: int, step: int = MIB) -> bytes:
    """The body without any process. Raises `CodecUnavailableError` where there would have been one."""
    async with aclosing(xdelta.decode(known, chunks(delta, step), size, program=NOWHERE)) as body:
        return b"".join([chunk async for chunk in body])


def by_xdelta3(known: OnDisk, delta: bytes) -> bytes | None:
    """The body; None where there is none."""
    command = ["xdelta3", "-d", "-c", "-q", "-D", "-R", "-B", str(MIB), "-s", known.path]
    done = subprocess.run(command, input=delta, capture_output=True, check=False)
    return None if done.returncode else done.stdout


def here(known: OnDisk, delta: bytes) -> bytes | None:
    """The body by the windows of a delta, however many instructions they have; None where one is refused."""
    assert known.fd is not None
    made, (place, secondary) = b"", beginning(delta)
    try:
        while place < len(delta):
            found = read_window(delta, place)
            if (
                found.packed
                or secondary is not None
                or found.size > LARGEST_WINDOW
                or place + found.length > len(delta)
            ):
                return None
            target = Target(found, delta[place : place + found.length], known.fd, known.size)
            target.read()
            target.check()
            for begin in range(0, found.size, 30_011):
                made += target.chunk(begin, min(begin + 30_011, found.size))
            place += found.length
    except (RefusedError, UnknownWindowsError, IndexError):
        return None
    return made


def changed(data: bytes, choose: random.Random) -> bytes:
    """Another version: pieces moved, repeated, new, and of one byte only."""
    pieces = []
    for _ in range(choose.randrange(1, 30)):
        kind, length = choose.randrange(6), int(10 ** choose.uniform(0, 4.5))
        begin = choose.randrange(max(1, len(data) - length))
        if kind < 3:
            pieces.append(data[begin : begin + length])
        elif kind == 3:
            pieces.append(choose.randbytes(length % 500))
        elif kind == 4:
            pieces.append(bytes([choose.randrange(256)]) * length)
        else:
            pieces.append(choose.randbytes(1 + length % 40) * (length % 200))
    return b"".join(pieces)


def encoded(known: OnDisk, target: bytes, *options: str) -> bytes:
    command = ["xdelta3", "-e", "-c", "-q", "-D", "-A=nonce", "-S", "none", *options, "-s", known.path]
    return subprocess.run(command, input=target, capture_output=True, check=True).stdout


@pytest.mark.parametrize("level", range(1, 10))
@pytest.mark.parametrize("more", [(), ("-N",), ("-n",), ("-W", "16384")], ids=["", "N", "unchecked", "small windows"])
async def test_what_xdelta3_encodes_is_decoded_to_the_same(tmp_path: Path, level: int, more: tuple[str, ...]) -> None:
    choose = random.Random(level)
    with reference(tmp_path, REFERENCE) as known:
        for _ in range(4):
            target = changed(REFERENCE, choose)
            delta = encoded(known, target, f"-{level}", *more)
            assert here(known, delta) == target
            if target:
                assert await unaided(known, delta, len(target), choose.randrange(1, 100_000)) == target


def test_every_code_and_every_kind_of_address_is_xdelta3s(tmp_path: Path) -> None:
    """Random programs of all instructions. What an encoder never writes is decoded as well, or refused by both."""
    choose, used, decoded = random.Random(2), set[int](), 0
    with reference(tmp_path, REFERENCE) as known:
        for _ in range(400):
            begin, segment = choose.randrange(200_000), choose.randrange(1, 60_000)
            codes, data, addresses, position = b"", b"", b"", 0
            opcodes = [choose.randrange(256) for _ in range(choose.randrange(1, 40))]
            for opcode in opcodes:
                codes += bytes([opcode])
                for kind, length, mode in _CODES[opcode]:
                    if not length:
                        length = choose.randrange(1, 300)
                        codes += number(length)
                    if kind == 0:
                        data += choose.randbytes(1)
                    elif kind == 1:
                        data += choose.randbytes(length)
                    elif mode == 0:
                        # Mostly within the source or what there is of the target.
                        limit = max(1, segment - length) if choose.random() < 0.6 else segment + position
                        addresses += number(choose.randrange(limit))
                    elif mode == 1:
                        addresses += number(choose.randrange(1, segment + position + 1))
                    elif mode < 6:
                        addresses += number(choose.randrange(200))
                    else:
                        addresses += choose.randbytes(1)
                    position += length
            delta = start(b"") + window(position, codes, data, addresses, source=(segment, begin))
            ours = here(known, delta)
            assert ours == by_xdelta3(known, delta)
            if ours is not None:
                used.update(opcodes)
                decoded += 1
    assert decoded > 50
    assert used == set(range(256))


@pytest.mark.parametrize("checked", [False, True])
def test_a_damaged_delta_never_gives_what_xdelta3_does_not(tmp_path: Path, checked: bool) -> None:
    choose, accepted = random.Random(3), 0
    with reference(tmp_path, REFERENCE) as known:
        deltas = []
        for _ in range(20):
            target = changed(REFERENCE, choose)
            options = () if checked else ("-n",)
            deltas.append((encoded(known, target, f"-{choose.randrange(1, 10)}", *options), target))
        for _ in range(3000):
            delta, target = choose.choice(deltas)
            damaged = bytearray(delta)
            for _ in range(choose.randrange(1, 4)):
                place = choose.randrange(len(damaged))
                kind = choose.randrange(4)
                if kind == 0:
                    damaged[place] ^= 1 << choose.randrange(8)
                elif kind == 1:
                    damaged[place] = choose.randrange(256)
                elif kind == 2:
                    del damaged[place : place + choose.randrange(4)]
                else:
                    damaged[place:place] = choose.randbytes(choose.randrange(4))
            try:
                ours = here(known, bytes(damaged))
            except DiffDecodeError:
                continue  # the header, which both readers share
            if ours is not None and ours != target:
                accepted += 1
                assert ours == by_xdelta3(known, bytes(damaged))
    assert (accepted == 0) == checked


async def test_windows_of_many_instructions_go_to_xdelta3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And all that come after one of them."""
    base = random.Random(4).randbytes(12 * MIB)
    dense = bytearray(base[9 * MIB : 10 * MIB])
    dense[::40] = bytes(len(dense[::40]))
    target = base[: 9 * MIB] + dense + base[10 * MIB :]
    begun: list[Any] = []

    def counting(*arguments: Any) -> Chunks:
        begun.append(arguments[0])
        return stream_through(*arguments)

    with reference(tmp_path, base) as known:
        delta = encoded(known, target, "-3", "-W", str(MIB))
        with pytest.raises(CodecUnavailableError):
            await unaided(known, delta, len(target))
        monkeypatch.setattr("deltaglider_async.codec.xdelta.stream_through", counting)
        async with aclosing(xdelta.decode(known, chunks(delta, 1000), len(target))) as body:
            first = await anext(body)
            assert first == target[: len(first)]
            assert not begun
            assert first + b"".join([chunk async for chunk in body]) == target
        assert len(begun) == 1


async def test_a_proof_is_xdelta3s(tmp_path: Path) -> None:
    delta = start(b"") + window(1000, copy(1000), addresses=number(0), source=(1000, 0))
    with reference(tmp_path, REFERENCE) as known:
        assert await unaided(known, delta, 1000) == REFERENCE[:1000]
        with pytest.raises(CodecUnavailableError):
            async for _ in xdelta.decode(known, chunks(delta), 1000, program=NOWHERE, stock=True):
                pass


def checked(target: bytes, made: bytes, adler32: int) -> bytes:
    """A window as `made`, with a checksum."""
    found = read_window(made, 0)
    head = number(found.size) + b"\x00" + b"".join(map(number, found.sections)) + adler32.to_bytes(4, "big")
    sections = made[found.length - sum(found.sections) :]
    seen = bytes([ADLER32 | 1]) + number(found.source[0]) + number(found.source[1])
    return seen + number(len(head) + sum(found.sections)) + head + sections


async def test_no_byte_of_a_window_with_a_wrong_checksum_is_given(tmp_path: Path) -> None:
    """Nor of what another reference makes of it."""
    target = REFERENCE[5:100_005]
    made = window(100_000, copy(100_000), addresses=number(5), source=(200_000, 0))
    right, wrong = checked(target, made, zlib.adler32(target)), checked(target, made, 1)
    with reference(tmp_path, REFERENCE) as known:
        assert await unaided(known, start(b"") + right, 200_000) == target
        found = b""
        with pytest.raises(DiffDecodeError):
            async for chunk in xdelta.decode(known, chunks(start(b"") + right + wrong), 200_000):
                found += chunk
        assert found == target
    with reference(tmp_path, bytes(300_000)) as other, pytest.raises(DiffDecodeError, match="checksum"):
        await anext(xdelta.decode(other, chunks(start(b"") + right), 200_000))


async def test_where_a_digest_is_compared_checksums_do_not_count(tmp_path: Path) -> None:
    target = REFERENCE[5:100_005]
    made = window(100_000, copy(100_000), addresses=number(5), source=(200_000, 0))
    wrong = start(b"") + checked(target, made, 1)
    with reference(tmp_path, REFERENCE) as known:
        digest = Digest()
        body = xdelta.decode(known, chunks(wrong), 100_000, program=NOWHERE, digest=digest)
        assert b"".join([chunk async for chunk in body]) == target
        assert (digest.size, await digest.hexdigest()) == (100_000, hashlib.sha256(target).hexdigest())


async def test_a_digest_takes_what_both_decoders_make(tmp_path: Path) -> None:
    base = random.Random(7).randbytes(12 * MIB)
    dense = bytearray(base[9 * MIB : 10 * MIB])
    dense[::40] = bytes(len(dense[::40]))
    target = base[: 9 * MIB] + dense + base[10 * MIB :]
    with reference(tmp_path, base) as known:
        delta, digest = encoded(known, target, "-3", "-W", str(MIB)), Digest()
        async for _ in xdelta.decode(known, chunks(delta, 1000), len(target), digest=digest):
            pass
    assert (digest.size, await digest.hexdigest()) == (len(target), hashlib.sha256(target).hexdigest())


class Arriving:
    """A reference whose bytes are there as far as somebody waits for them."""

    def __init__(self, folder: Path, data: bytes) -> None:
        self._path, self._data = folder / "arriving", data
        self.verified = False
        self.arrived = 0
        self._path.write_bytes(bytes(len(data)))

    async def reached(self, offset: float) -> None:
        self.verified |= offset == math.inf
        self.arrived = max(self.arrived, int(min(offset, len(self._data))))
        await asyncio.to_thread(self._write)

    def _write(self) -> None:
        with self._path.open("r+b") as file:
            file.write(self._data[: self.arrived])

    @contextmanager
    def opened(self) -> Iterator[OnDisk]:
        with self._path.open("rb") as file:
            yield OnDisk(str(self._path), len(self._data), file.fileno())


@pytest.mark.parametrize("checksums", [True, False])
async def test_nothing_of_an_arriving_reference_is_read_before_it_is_there(tmp_path: Path, checksums: bool) -> None:
    choose = random.Random(5)
    for level in (1, 3, 9):
        with reference(tmp_path, REFERENCE) as known:
            target = changed(REFERENCE, choose) or REFERENCE
            delta = encoded(known, target, f"-{level}", "-W", "16384")
        arriving = Arriving(tmp_path, REFERENCE)
        with arriving.opened() as known:
            digest = None if checksums else Digest()
            body = xdelta.decode(
                known, chunks(delta), len(target), program=NOWHERE, reached=arriving.reached, digest=digest
            )
            assert b"".join([chunk async for chunk in body]) == target
        assert not arriving.verified


async def test_the_first_bytes_need_no_more_of_the_reference_than_they_copy(tmp_path: Path) -> None:
    base = random.Random(6).randbytes(8 * MIB)
    with reference(tmp_path, base) as known:
        delta = b"".join([chunk async for chunk in xdelta.unchanged(known, chunks(base))])
    arriving = Arriving(tmp_path, base)
    with arriving.opened() as known:
        body = xdelta.decode(
            known, chunks(delta), len(base), program=NOWHERE, reached=arriving.reached, digest=Digest()
        )
        async with aclosing(body):
            assert await anext(body) == base[:MIB]
            assert arriving.arrived < len(base)


async def test_xdelta3_begins_when_the_reference_is_verified(tmp_path: Path) -> None:
    target = REFERENCE[5:100_005]
    made = window(100_000, copy(100_000), addresses=number(5), source=(200_000, 0))
    refused = start(b"") + checked(target, made, zlib.adler32(target)) + checked(target, made, 1)
    arriving = Arriving(tmp_path, REFERENCE)
    with arriving.opened() as known, pytest.raises(CodecUnavailableError):
        async for _ in xdelta.decode(known, chunks(refused), 200_000, program=NOWHERE, reached=arriving.reached):
            assert not arriving.verified
    assert arriving.verified


@pytest.mark.parametrize("wait", ["closed", "cancelled"])
async def test_a_wait_for_an_arriving_reference_is_given_up_at_once(tmp_path: Path, wait: str) -> None:
    delta = start(b"") + window(1000, copy(1000), addresses=number(0), source=(1000, 0)) * 2
    waits = asyncio.Event()
    passed = iter((True, False))

    async def reached(offset: float) -> None:
        if not next(passed):
            waits.set()
            await asyncio.Event().wait()

    with reference(tmp_path, REFERENCE) as known:
        body = xdelta.decode(known, chunks(delta), 2000, program=NOWHERE, reached=reached)
        assert await anext(body) == REFERENCE[:1000]
        await waits.wait()
        if wait == "closed":
            await body.aclose()
        else:
            task = asyncio.create_task(anext(body))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await body.aclose()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


@pytest.mark.parametrize(
    "bad",
    [
        window(10, copy(10), addresses=number(299_995), source=(300_000, 0)),
        window(10, copy(10), addresses=number(0), source=(10, 299_995)),
        window(10, copy(10), addresses=number(0), source=(10, (1 << 63) - 5)),
        window(10, copy(10), addresses=number(5), source=(10, 0)),
        window(10, copy(10), addresses=number(10), source=(10, 0)),
        window(10, add(10), b"123456789"),
        window(10, add(9), b"123456789"),
        window(10, add(11), b"1234567890a"),
        window(10, run(10) + b"\x00", b"x"),
        window(10, run(10), b"xx"),
        window(10, run(10), b"x", b"\x00"),
        window(10, run(10), b""),
        window(10, copy(10), addresses=b"\x80", source=(10, 0)),
        window(10, copy(10), source=(10, 0)),
    ],
)
async def test_a_window_that_is_wrong_is_refused_by_both(tmp_path: Path, bad: bytes) -> None:
    good = window(1000, copy(1000), addresses=number(7), source=(5000, 0))
    with reference(tmp_path, REFERENCE) as known:
        assert here(known, start(b"") + bad) is None
        assert by_xdelta3(known, start(b"") + bad) is None
        with pytest.raises(CodecUnavailableError):
            await unaided(known, start(b"") + good + bad, 100_000)
        with pytest.raises(DiffDecodeError, match="xdelta3 could not decode"):
            async for _ in xdelta.decode(known, chunks(start(b"") + good + bad), 100_000):
                pass


async def test_a_delta_that_ends_too_early_is_an_error(tmp_path: Path) -> None:
    """But for one that ends between two windows: that is a shorter file, of another digest."""
    target = REFERENCE[:50_000] + b"some more" + REFERENCE[70_000:]
    with reference(tmp_path, REFERENCE) as known:
        delta, shorter = encoded(known, target, "-W", "131072"), 0
        for cut in range(1, 40):
            found = b""
            try:
                async for chunk in xdelta.decode(known, chunks(delta[:-cut]), len(target)):
                    found += chunk
            except DiffDecodeError:
                continue
            shorter += 1
            assert found == target[:262_144]
    assert shorter == 1


@pytest.mark.parametrize("length", [1, 6 * MIB])
async def test_what_is_given_up_leaves_nothing(tmp_path: Path, length: int) -> None:
    """Closed, cancelled, or failed at its source, in the middle of a window or not."""
    one = window(8 * MIB, run(8 * MIB), b"x")
    delta = start(b"") + one * 5

    async def failing() -> Chunks:
        yield delta[: len(delta) - length % 100]
        raise LookupError("the source failed")

    with reference(tmp_path, REFERENCE) as known:
        body = xdelta.decode(known, chunks(delta), 1 << 30, program=NOWHERE)
        assert await anext(body) == b"x" * MIB
        await body.aclose()
        with pytest.raises(TimeoutError):
            async with (
                asyncio.timeout(0.02),
                aclosing(xdelta.decode(known, chunks(start(b"") + one * 5000), 1 << 40)) as body,
            ):
                async for _ in body:
                    await asyncio.sleep(0)
        with pytest.raises(LookupError, match="source failed"):
            async for _ in xdelta.decode(known, failing(), 1 << 30, program=NOWHERE):
                pass
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
