"""The cache as its callers see it: bytes, downloads, bounds, and what is left on the machine."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import hashlib
import logging
import os
import random
import secrets
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import anyio
import pytest

from deltaglider_async.cache import VERIFIED, Lease, ReferenceCache
from deltaglider_async.cache.disk import DiskEntries
from deltaglider_async.cache.memory import MemoryEntries
from deltaglider_async.cache.plain import MemoryFile, NamedFile, Plain
from deltaglider_async.cache.sealed import SEGMENT, key_label
from deltaglider_async.errors import CacheCorruptionError, IntegrityMismatchError, StorageIOError
from deltaglider_async.settings import MIB, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator

Backend = Literal["filesystem", "memory"]
SIZES = [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 5 * SEGMENT + 7]
KEY = base64.b64encode(bytes(range(32))).decode()
linux = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memfd")


class Bucket:
    """One reference to be downloaded, in uneven chunks, and how often it was."""

    def __init__(self, plain: bytes, *, chunk: int = 300_000) -> None:
        self.plain = plain
        self.sha256 = hashlib.sha256(plain).hexdigest()
        self.size = len(plain)
        self.downloads = 0
        self.closed = 0
        self._chunk = chunk

    async def fetch(self) -> AsyncIterator[bytes]:
        self.downloads += 1
        try:
            for start in range(0, self.size, self._chunk):
                await asyncio.sleep(0)
                yield self.plain[start : start + self._chunk]
        finally:
            self.closed += 1

    def lease(self, cache: ReferenceCache, *, arriving: bool = False) -> contextlib.AbstractAsyncContextManager[Lease]:
        return settled(cache, cache.lease(self.sha256, self.size, self.fetch, arriving=arriving))


@contextlib.asynccontextmanager
async def settled(cache: ReferenceCache, lease: contextlib.AbstractAsyncContextManager[Lease]) -> AsyncIterator[Lease]:
    """The lease; at its end, nothing is being sealed any more."""
    try:
        async with lease as given:
            yield given
    finally:
        await cache.settle()


class Gate:
    """A download that waits in its middle until it is let go on, or told to fail."""

    def __init__(self, bucket: Bucket, first: int = 100) -> None:
        self._bucket = bucket
        self._first = first
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self.failure: Exception | None = None
        self.downloads = 0
        self.closed = 0

    async def fetch(self) -> AsyncIterator[bytes]:
        self.downloads += 1
        try:
            yield self._bucket.plain[: self._first]
            self.reached.set()
            await self.opened.wait()
            if self.failure is not None:
                raise self.failure
            yield self._bucket.plain[self._first :]
        finally:
            self.closed += 1

    def lease(self, cache: ReferenceCache, *, arriving: bool = False) -> contextlib.AbstractAsyncContextManager[Lease]:
        return settled(cache, cache.lease(self._bucket.sha256, self._bucket.size, self.fetch, arriving=arriving))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of this test's own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(autouse=True)
def nothing_left_behind(temporary: Path) -> Iterator[None]:
    """After every test: no file and no folder in the temporary folder."""
    yield
    assert list(temporary.rglob("*")) == []


@pytest.fixture(params=["filesystem", "memory"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return "memory" if request.param == "memory" else "filesystem"


@contextlib.asynccontextmanager
async def opened(settings: Settings | None = None) -> AsyncIterator[ReferenceCache]:
    cache = await ReferenceCache.open(settings or Settings())
    try:
        yield cache
    finally:
        await cache.aclose()


@contextlib.asynccontextmanager
async def opened_with(plain: Callable[[], Plain], limit: int = 100 * MIB) -> AsyncIterator[ReferenceCache]:
    """A cache that holds plain bytes as another platform would."""
    key = secrets.token_bytes(32)
    entries = await asyncio.to_thread(DiskEntries.private, None, key_label(key), limit)
    cache = ReferenceCache(entries, key, plain)
    try:
        yield cache
    finally:
        await cache.aclose()


def shared(folder: Path, key: str = KEY, size_mb: int = 100) -> Settings:
    return Settings(cache_dir=folder, cache_encryption_key=key, cache_disk_size_mb=size_mb)


def random_bucket(size: int = 2 * SEGMENT + 5) -> Bucket:
    return Bucket(secrets.token_bytes(size))


async def content(lease: Lease) -> bytes:
    return b"".join([chunk async for chunk in lease.chunks()])


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


async def test_gives_the_bytes_and_downloads_them_once(backend: Backend) -> None:
    async with opened(Settings(cache_backend=backend)) as cache:
        for size in SIZES:
            bucket = random_bucket(size)
            for _ in range(3):
                async with bucket.lease(cache) as lease:
                    assert (lease.sha256, lease.size) == (bucket.sha256, size)
                    assert await content(lease) == bucket.plain
            assert (bucket.downloads, bucket.closed) == (1, 1)


async def test_reads_at_any_position_and_by_several_readers_at_once() -> None:
    bucket = random_bucket()
    async with opened() as cache, bucket.lease(cache) as lease:
        assert await lease.read(SEGMENT - 3, 10) == bucket.plain[SEGMENT - 3 : SEGMENT + 7]
        assert await lease.read(bucket.size - 2, 100) == bucket.plain[-2:]
        assert await lease.read(bucket.size, 1) == b""
        assert await asyncio.gather(*(content(lease) for _ in range(5))) == [bucket.plain] * 5


async def test_a_lease_that_has_ended_cannot_be_read() -> None:
    bucket = random_bucket()
    async with opened() as cache:
        async with bucket.lease(cache) as lease:
            pass
        with pytest.raises(ValueError, match="ended"):
            await lease.read(0, 1)


@linux
async def test_another_process_reads_the_inherited_descriptor() -> None:
    bucket = random_bucket()
    async with opened() as cache, bucket.lease(cache) as lease:
        assert lease.fd is not None
        assert not os.get_inheritable(lease.fd)
        result = await anyio.run_process(["cat", lease.path], pass_fds=[lease.fd])
        assert result.stdout == bucket.plain


@linux
async def test_the_leased_bytes_cannot_be_changed() -> None:
    bucket = random_bucket()
    async with opened() as cache:
        for _ in range(2):
            async with bucket.lease(cache) as lease:
                assert lease.fd is not None
                with pytest.raises(PermissionError):
                    os.pwrite(lease.fd, b"x", 0)
                with Path(f"/proc/self/fd/{lease.fd}").open("r+b") as again, pytest.raises(PermissionError):
                    os.write(again.fileno(), b"x")
                with pytest.raises(PermissionError):
                    os.ftruncate(lease.fd, 0)


@linux
def test_what_somebody_reads_is_frozen_all_the_same() -> None:
    """A page that is being read counts as used: also in a pipe, where it can stay."""
    with contextlib.closing(MemoryFile()) as plain:
        plain.open()
        plain.write([bytes(65536)])
        near, far = os.pipe()
        try:
            assert plain.fd is not None
            assert os.splice(plain.fd, far, 4096, offset_src=0) == 4096
            plain.freeze()
            with pytest.raises(PermissionError):
                os.pwrite(plain.fd, b"x", 0)
        finally:
            os.close(near)
            os.close(far)


async def test_leases_of_one_reference_share_one_descriptor() -> None:
    bucket = random_bucket()
    async with opened() as cache:
        before = descriptors()
        async with bucket.lease(cache) as one:
            async with bucket.lease(cache) as other:
                assert one.fd == other.fd
                assert descriptors() == before + 1
            assert await content(one) == bucket.plain
        assert descriptors() == before


@linux
async def test_no_plain_byte_lies_in_any_file(tmp_path: Path) -> None:
    bucket = random_bucket(5 * SEGMENT + 7)
    async with opened(shared(tmp_path / "cache")) as cache, bucket.lease(cache) as lease:
        assert await content(lease) == bucket.plain
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    (file,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    written = file.read_bytes()
    assert len(written) > bucket.size
    blocks = {bucket.plain[start : start + 64] for start in range(0, bucket.size - 63, 64)}
    assert not any(written[start : start + 64] in blocks for start in range(len(written) - 63))


@pytest.mark.parametrize("change", ["longer", "shorter", "other"])
async def test_refuses_and_does_not_cache_other_bytes(change: str, backend: Backend) -> None:
    bucket = random_bucket()
    sent = {"longer": bucket.plain + b"x", "shorter": bucket.plain[:-1], "other": bucket.plain[:-1] + b"\0"}[change]
    if sent == bucket.plain:
        sent = bucket.plain[:-1] + b"\1"
    wrong = Bucket(sent)
    async with opened(Settings(cache_backend=backend)) as cache:
        before = descriptors()
        with pytest.raises(IntegrityMismatchError, match=bucket.sha256):
            async with cache.lease(bucket.sha256, bucket.size, wrong.fetch):
                pytest.fail("leased")
        assert (wrong.closed, cache.stored_size(), descriptors()) == (1, 0, before)
        async with bucket.lease(cache) as lease:
            assert await content(lease) == bucket.plain


async def test_refuses_a_digest_that_could_be_a_path() -> None:
    bucket = random_bucket(10)
    async with opened() as cache:
        for name in ("../../etc/passwd", "", "ab" * 31, bucket.sha256 + "\n"):
            with pytest.raises(IntegrityMismatchError):
                async with cache.lease(name, 10, bucket.fetch):
                    pytest.fail("leased")


async def test_a_live_reference_of_another_recorded_size_is_a_mismatch() -> None:
    bucket = random_bucket()
    async with opened() as cache, bucket.lease(cache):
        with pytest.raises(IntegrityMismatchError, match=str(bucket.size)):
            async with cache.lease(bucket.sha256, 5, bucket.fetch):
                pytest.fail("leased")


async def test_fifty_waiters_share_one_download(backend: Backend) -> None:
    bucket = random_bucket()
    gate = Gate(bucket)

    async def read() -> bytes:
        async with gate.lease(cache) as lease:
            return await content(lease)

    async with opened(Settings(cache_backend=backend)) as cache:
        before = descriptors()
        tasks = [asyncio.create_task(read()) for _ in range(50)]
        await gate.reached.wait()
        gate.opened.set()
        assert await asyncio.gather(*tasks) == [bucket.plain] * 50
        assert (gate.downloads, descriptors()) == (1, before)


async def test_waiters_share_one_download_of_what_is_too_large_to_be_cached() -> None:
    bucket = random_bucket()
    gate = Gate(bucket)

    async def read() -> bytes:
        async with gate.lease(cache) as lease:
            return await content(lease)

    async with opened(Settings(cache_backend="memory", cache_memory_size_mb=1)) as cache:
        tasks = [asyncio.create_task(read()) for _ in range(20)]
        await gate.reached.wait()
        gate.opened.set()
        assert await asyncio.gather(*tasks) == [bucket.plain] * 20
        assert (gate.downloads, cache.stored_size()) == (1, 0)


async def test_a_cancelled_download_goes_on_for_those_who_wait() -> None:
    bucket = random_bucket()
    gate = Gate(bucket)

    async def read() -> bytes:
        async with gate.lease(cache) as lease:
            return await content(lease)

    async with opened() as cache:
        before = descriptors()
        first = asyncio.create_task(read())
        await gate.reached.wait()
        waiters = [asyncio.create_task(read()) for _ in range(10)]
        await asyncio.sleep(0)
        waiters[3].cancel()
        first.cancel()
        await asyncio.wait([first, waiters[3]])
        gate.opened.set()
        results = await asyncio.gather(first, *waiters, return_exceptions=True)
        cancelled = [result for result in results if isinstance(result, asyncio.CancelledError)]
        assert (len(cancelled), results.count(bucket.plain), gate.downloads) == (2, 9, 1)
        assert descriptors() == before


@pytest.mark.parametrize("arriving", [False, True])
async def test_the_last_one_who_waits_ends_the_download(arriving: bool) -> None:
    bucket = random_bucket(9 * MIB)
    gate = Gate(bucket, 5 * MIB)

    async def read() -> None:
        async with gate.lease(cache, arriving=arriving) as lease:
            await lease.reached(VERIFIED)
            pytest.fail("there")

    async with opened() as cache:
        before, tasks = descriptors(), asyncio.all_tasks()
        waiters = [asyncio.create_task(read()) for _ in range(5)]
        await gate.reached.wait()
        for waiter in waiters:
            waiter.cancel()
        await asyncio.wait(waiters)
        assert (gate.closed, descriptors(), asyncio.all_tasks()) == (1, before, tasks)
        async with bucket.lease(cache) as lease:
            assert await content(lease) == bucket.plain


@linux
async def test_whoever_waits_is_told_when_all_tasks_are_cancelled_before_the_download_begins() -> None:
    """As a program may do that ends."""
    bucket = random_bucket()

    async def read(arriving: bool) -> None:
        async with bucket.lease(cache, arriving=arriving):
            pytest.fail("there")

    async with opened() as cache:
        before, others = descriptors(), asyncio.all_tasks()
        waiters = [asyncio.create_task(read(arriving)) for arriving in (False, True)]
        await asyncio.sleep(0)
        (flight,) = asyncio.all_tasks() - others - set(waiters)
        flight.cancel()
        for waiter in waiters:
            with pytest.raises(StorageIOError, match="cancelled"):
                await waiter
        assert (bucket.downloads, descriptors()) == (0, before)
        async with bucket.lease(cache) as lease:
            assert await content(lease) == bucket.plain


# -- leases of what is still arriving


async def test_an_arriving_reference_can_be_read_as_far_as_it_has_come() -> None:
    bucket = random_bucket(9 * MIB)
    gate = Gate(bucket, 5 * MIB)
    async with opened() as cache:
        before = descriptors()
        async with gate.lease(cache, arriving=True) as lease:
            assert lease.arriving
            await lease.reached(4 * MIB)
            assert await lease.read(0, 4 * MIB) == bucket.plain[: 4 * MIB]
            later = asyncio.ensure_future(lease.reached(9 * MIB + 100))  # all there is
            whole = asyncio.create_task(content_of(cache, gate))  # who needs it verified waits for the same download
            await asyncio.sleep(0)
            assert not later.done()
            gate.opened.set()
            await later
            assert await content(lease) == bucket.plain == await whole
            await lease.reached(VERIFIED)
            assert lease.reference.arrived == VERIFIED
        assert (gate.downloads, descriptors()) == (1, before)
        assert cache.stored_size() > bucket.size  # sealed as any other
        async with bucket.lease(cache, arriving=True) as lease:
            await lease.reached(VERIFIED)
            assert await content(lease) == bucket.plain
        assert bucket.downloads == 0


async def content_of(cache: ReferenceCache, gate: Gate) -> bytes:
    async with gate.lease(cache) as lease:
        return await content(lease)


async def test_an_arriving_reference_goes_on_for_the_others_when_the_first_has_left() -> None:
    bucket = random_bucket(9 * MIB)
    gate = Gate(bucket, 5 * MIB)
    async with opened() as cache:
        before = descriptors()
        async with gate.lease(cache, arriving=True):
            other = gate.lease(cache, arriving=True)
            lease = await other.__aenter__()
        assert gate.closed == 0
        gate.opened.set()
        await lease.reached(VERIFIED)
        assert await content(lease) == bucket.plain
        await other.__aexit__(None, None, None)
        assert (gate.downloads, descriptors()) == (1, before)


async def test_an_arriving_reference_that_fails_half_way_says_so_to_all() -> None:
    bucket = random_bucket(9 * MIB)
    gate = Gate(bucket, 5 * MIB)
    gate.failure = StorageIOError("connection lost")
    seen: list[BaseException] = []

    async def read(offset: float) -> None:
        async with gate.lease(cache, arriving=True) as lease:
            try:
                await lease.reached(offset)
            except StorageIOError as error:
                seen.append(error)
            with pytest.raises(StorageIOError):
                await lease.reached(1)  # nor does it go on after that
            raise seen[0]

    async with opened() as cache:
        before, tasks = descriptors(), asyncio.all_tasks()
        readers = [asyncio.create_task(read(offset)) for offset in (9 * MIB, VERIFIED)]
        await gate.reached.wait()
        readers.append(asyncio.create_task(read(5 * MIB + 1)))
        await asyncio.sleep(0)
        gate.opened.set()
        assert await asyncio.gather(*readers, return_exceptions=True) == [gate.failure] * 3
        assert seen == [gate.failure] * 3
        assert (gate.downloads, gate.closed, cache.stored_size()) == (1, 1, 0)
        assert (descriptors(), asyncio.all_tasks()) == (before, tasks)
        async with bucket.lease(cache) as lease:
            assert await content(lease) == bucket.plain


@pytest.mark.parametrize("change", ["longer", "shorter", "other"])
async def test_an_arriving_reference_that_is_damaged_is_never_verified(change: str) -> None:
    bucket = random_bucket(9 * MIB)
    wrong = {"longer": bucket.plain + b"x", "shorter": bucket.plain[:-1], "other": bucket.plain[:-1] + b"\0"}[change]
    if wrong == bucket.plain:
        wrong = bucket.plain[:-1] + b"\1"
    gate = Gate(Bucket(wrong), 5 * MIB)
    async with opened() as cache:
        before = descriptors()
        with pytest.raises(IntegrityMismatchError, match=bucket.sha256):
            async with cache.lease(bucket.sha256, bucket.size, gate.fetch, arriving=True) as lease:
                await lease.reached(4 * MIB)
                gate.opened.set()
                await lease.reached(VERIFIED)
        assert (gate.closed, cache.stored_size(), descriptors()) == (1, 0, before)


async def test_what_cannot_be_fetched_at_all_gives_no_arriving_lease(backend: Backend) -> None:
    bucket = random_bucket()

    async def gone() -> AsyncIterator[bytes]:
        if bucket.size:
            raise StorageIOError("gone")
        yield b""

    async with opened(Settings(cache_backend=backend)) as cache:
        before = descriptors()
        with pytest.raises(StorageIOError, match="gone"):
            async with cache.lease(bucket.sha256, bucket.size, gone, arriving=True):
                pytest.fail("leased")
        assert descriptors() == before


@pytest.mark.parametrize("size", [0, 1, 4 * MIB, 4 * MIB + 1])
async def test_an_arriving_reference_may_have_any_size(size: int) -> None:
    bucket = random_bucket(size)
    async with opened() as cache, bucket.lease(cache, arriving=True) as lease:
        await lease.reached(VERIFIED)
        assert await content(lease) == bucket.plain


class Halting(MemoryEntries):
    """Entries that are read half, then to their end when they are let go on, or turn out to be damaged."""

    def __init__(self) -> None:
        super().__init__(100 * MIB)
        self.go_on = threading.Event()
        self.damaged = False

    def read(self, sha256: str) -> Generator[bytes, None, None]:
        for number, block in enumerate(super().read(sha256)):
            if number == 6:
                self.go_on.wait(30)
                if self.damaged:
                    raise CacheCorruptionError("the disk has failed")
            yield block


@pytest.mark.parametrize("damaged", [False, True])
async def test_a_reference_can_be_read_while_it_comes_from_the_cache(damaged: bool) -> None:
    """If the entry turns out to be damaged, the rest comes from a download, into the same file."""
    bucket, entries = random_bucket(9 * MIB), Halting()
    cache, before = ReferenceCache(entries, secrets.token_bytes(32), MemoryFile), descriptors()
    entries.go_on.set()
    async with bucket.lease(cache):
        pass
    entries.go_on.clear()
    entries.damaged = damaged
    async with bucket.lease(cache, arriving=True) as lease:
        await lease.reached(4 * MIB)
        assert lease.arriving
        assert await lease.read(0, 4 * MIB) == bucket.plain[: 4 * MIB]
        entries.go_on.set()
        await lease.reached(VERIFIED)
        assert await content(lease) == bucket.plain
        assert bucket.downloads == 1 + damaged
    await cache.aclose()
    assert descriptors() == before


async def test_a_wait_for_the_cache_that_is_given_up_leaves_nothing() -> None:
    bucket, entries = random_bucket(9 * MIB), Halting()
    cache, before = ReferenceCache(entries, secrets.token_bytes(32), MemoryFile), descriptors()
    entries.go_on.set()
    async with bucket.lease(cache):
        pass
    entries.go_on.clear()

    async def read() -> None:
        async with bucket.lease(cache, arriving=True) as lease:
            await lease.reached(4 * MIB)
            reading.set()
            await lease.reached(VERIFIED)

    reading = asyncio.Event()
    task = asyncio.create_task(read())
    await reading.wait()
    task.cancel()
    await asyncio.sleep(0)
    entries.go_on.set()
    await asyncio.wait([task])
    assert descriptors() == before
    await cache.aclose()


async def test_a_draft_of_what_is_arriving_leaves_its_readers_their_bytes() -> None:
    bucket = random_bucket(9 * MIB)
    gate = Gate(bucket, 5 * MIB)
    async with opened() as cache:
        before = descriptors()
        async with gate.lease(cache, arriving=True) as lease:
            async with cache.draft(bucket.fetch(), bucket.size) as draft:
                assert draft is not None
                assert draft.path != lease.path
                assert lease.arriving
                gate.opened.set()
                await lease.reached(VERIFIED)
            assert await content(lease) == bucket.plain
        assert (gate.downloads, descriptors()) == (1, before)


async def test_a_waiter_that_is_cancelled_as_it_is_handed_its_lease_gives_it_back() -> None:
    bucket = random_bucket()
    gate = Gate(bucket)

    async def read() -> bytes:
        async with gate.lease(cache) as lease:
            waiter.cancel()  # in the same step in which the lease was handed out: nothing is stored in between
            return await content(lease)

    async with opened(Settings(cache_backend="memory", cache_memory_size_mb=1)) as cache:
        before = descriptors()
        first = asyncio.create_task(read())
        await gate.reached.wait()
        waiter = asyncio.create_task(read())
        await asyncio.sleep(0)
        gate.opened.set()
        assert await first == bucket.plain
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert (gate.downloads, descriptors()) == (1, before)


async def test_those_who_wait_get_the_same_failure_and_later_callers_try_anew() -> None:
    bucket = random_bucket()
    gate = Gate(bucket)
    gate.failure = StorageIOError("connection lost")

    async def read() -> None:
        async with gate.lease(cache):
            pytest.fail("leased")

    async with opened() as cache:
        before = descriptors()
        tasks = [asyncio.create_task(read()) for _ in range(10)]
        await gate.reached.wait()
        gate.opened.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(result is gate.failure for result in results)
        assert (gate.downloads, descriptors()) == (1, before)
        async with bucket.lease(cache) as lease:
            assert await content(lease) == bucket.plain


async def test_a_body_that_raises_ends_its_lease() -> None:
    bucket = random_bucket()
    async with opened() as cache:
        before = descriptors()
        with pytest.raises(ZeroDivisionError):
            async with bucket.lease(cache):
                raise ZeroDivisionError
        assert descriptors() == before


async def test_a_draft_is_a_live_reference_and_is_stored_when_kept(backend: Backend) -> None:
    bucket = random_bucket()
    async with opened(Settings(cache_backend=backend)) as cache:
        async with cache.draft(bucket.fetch(), bucket.size) as draft:
            assert draft is not None
            assert (draft.sha256, draft.size) == (bucket.sha256, bucket.size)
            async with bucket.lease(cache) as lease:
                assert lease.path == draft.path
            assert cache.stored_size() == 0
            await cache.keep(draft)
            await cache.keep(draft)
        await cache.settle()
        assert cache.stored_size() > bucket.size
        async with bucket.lease(cache) as lease:
            assert await content(lease) == bucket.plain
        assert bucket.downloads == 1


async def test_a_draft_above_the_limit_is_given_up_at_once() -> None:
    bucket = random_bucket()
    async with opened() as cache:
        before = descriptors()
        chunks = bucket.fetch()
        async with cache.draft(chunks, bucket.size - 1) as draft:
            assert draft is None
            assert descriptors() == before
        assert [chunk async for chunk in chunks] == []


async def test_two_drafts_of_the_same_bytes_share_one_descriptor() -> None:
    bucket = random_bucket()
    async with opened() as cache:
        before = descriptors()
        async with cache.draft(bucket.fetch(), MIB * 10) as one, cache.draft(bucket.fetch(), MIB * 10) as other:
            assert one is not None
            assert other is not None
            assert one.path == other.path
            assert descriptors() == before + 1
        assert descriptors() == before


async def test_a_draft_serves_those_who_wait_for_a_download_of_the_same_bytes() -> None:
    bucket = random_bucket()
    stuck = Gate(bucket)

    async def read() -> bytes:
        async with stuck.lease(cache) as lease:
            return await content(lease)

    async with opened() as cache:
        before = descriptors()
        first = asyncio.create_task(read())
        await stuck.reached.wait()
        second = asyncio.create_task(read())
        await asyncio.sleep(0)
        async with cache.draft(bucket.fetch(), bucket.size):
            assert await second == bucket.plain
            stuck.opened.set()
            assert await first == bucket.plain
        assert (stuck.downloads, descriptors()) == (1, before)


async def test_the_least_recently_used_entry_goes_first(backend: Backend) -> None:
    limit = 1
    settings = Settings(cache_backend=backend, cache_memory_size_mb=limit, cache_disk_size_mb=limit)
    buckets = [random_bucket(300_000) for _ in range(4)]
    async with opened(settings) as cache:
        for index in (0, 1, 2, 0, 3):
            async with buckets[index].lease(cache):
                assert cache.stored_size() <= limit * MIB
        for index in (0, 2, 3, 1):
            async with buckets[index].lease(cache) as lease:
                assert await content(lease) == buckets[index].plain
        assert [bucket.downloads for bucket in buckets] == [1, 2, 1, 1]


async def test_a_reference_above_the_bound_is_used_uncached(backend: Backend) -> None:
    settings = Settings(cache_backend=backend, cache_memory_size_mb=1, cache_disk_size_mb=1)
    small, large = random_bucket(1000), random_bucket(MIB)
    async with opened(settings) as cache:
        async with small.lease(cache):
            pass
        stored = cache.stored_size()
        assert stored > 1000
        for _ in range(2):
            async with large.lease(cache) as lease:
                assert await content(lease) == large.plain
        assert (large.downloads, cache.stored_size()) == (2, stored)


async def test_evict_and_clear_remove_entries_and_leave_leases_alone(backend: Backend) -> None:
    one, two, three = (random_bucket(1000) for _ in range(3))
    async with opened(Settings(cache_backend=backend)) as cache:
        for bucket in (one, two, three):
            async with bucket.lease(cache):
                pass
        each = cache.stored_size() // 3
        async with one.lease(cache) as lease:
            await cache.evict(one.sha256)
            await cache.evict(one.sha256)
            assert cache.stored_size() == 2 * each
            await cache.clear()
            assert cache.stored_size() == 0
            assert await content(lease) == one.plain
        async with one.lease(cache), two.lease(cache):
            assert (one.downloads, two.downloads, three.downloads) == (2, 2, 1)


async def test_a_cache_without_a_key_disappears(tmp_path: Path) -> None:
    bucket = random_bucket(1000)
    cache = await ReferenceCache.open(Settings(cache_dir=tmp_path / "cache"))
    async with bucket.lease(cache):
        pass
    (folder,) = (tmp_path / "cache").iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    (entry,) = folder.iterdir()
    assert entry.stat().st_mode & 0o777 == 0o600
    await cache.aclose()
    await cache.aclose()
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_is_never_closed_disappears_with_its_object(temporary: Path) -> None:
    cache = asyncio.run(ReferenceCache.open(Settings()))
    assert len(list(temporary.iterdir())) == 1
    del cache
    assert list(temporary.iterdir()) == []


async def test_two_caches_with_the_same_key_share_entries(tmp_path: Path) -> None:
    bucket = random_bucket()
    doubled = base64.b64encode(KEY.encode()).decode()
    async with opened(shared(tmp_path / "cache")) as one:
        async with bucket.lease(one):
            pass
        async with opened(shared(tmp_path / "cache", doubled)) as other, bucket.lease(other) as lease:
            assert await content(lease) == bucket.plain
    async with opened(shared(tmp_path / "cache")) as later, bucket.lease(later):
        assert later.stored_size() > bucket.size
    assert bucket.downloads == 1


async def test_entries_under_another_key_are_ignored_and_kept(tmp_path: Path) -> None:
    bucket = random_bucket()
    another = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    async with opened(shared(tmp_path / "cache")) as one, opened(shared(tmp_path / "cache", another)) as other:
        async with bucket.lease(one):
            pass
        assert other.stored_size() == 0
        async with bucket.lease(other):
            pass
        assert bucket.downloads == 2
        await other.clear()
        async with bucket.lease(one) as lease:
            assert await content(lease) == bucket.plain
        assert bucket.downloads == 2


@pytest.mark.parametrize("damage", ["flipped", "cut", "extended", "emptied", "unreadable"])
async def test_a_damaged_entry_is_downloaded_anew_and_replaced(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bucket = random_bucket()
    async with opened(shared(tmp_path / "cache")) as cache:
        async with bucket.lease(cache):
            pass
        (entry,) = (tmp_path / "cache").iterdir()
        sealed = entry.read_bytes()
        match damage:
            case "flipped":
                entry.write_bytes(sealed[:-1] + bytes([sealed[-1] ^ 1]))
            case "cut":
                os.truncate(entry, SEGMENT)
            case "extended":
                entry.write_bytes(sealed + b"x")
            case "emptied":
                os.truncate(entry, 0)
            case "unreadable":
                entry.unlink()
                entry.symlink_to(entry)
        before = descriptors()
        with caplog.at_level(logging.WARNING):
            async with bucket.lease(cache) as lease:
                assert await content(lease) == bucket.plain
        assert bucket.sha256 in caplog.text
        async with bucket.lease(cache) as lease:
            assert await content(lease) == bucket.plain
        assert (bucket.downloads, descriptors()) == (2, before)
        assert len(entry.read_bytes()) == len(sealed)


async def test_a_vanished_folder_does_not_fail_the_lease(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bucket = random_bucket()
    async with opened(shared(tmp_path / "cache")) as cache:
        shutil.rmtree(tmp_path / "cache")
        async with bucket.lease(cache) as lease:
            assert await content(lease) == bucket.plain
            await cache.keep(lease)
    assert "not cached" in caplog.text


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", "size=1m,mode=700", "none", str(folder)]
    if mount is None or subprocess.run([mount, *options], capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk_does_not_fail_the_lease(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    bucket = random_bucket()
    async with opened(shared(small_disk)) as cache:
        before = descriptors()
        async with bucket.lease(cache) as lease:
            assert await content(lease) == bucket.plain
            await cache.keep(lease)
        assert (cache.stored_size(), descriptors(), list(small_disk.iterdir())) == (0, before, [])
    assert "No space left" in caplog.text


async def test_without_memfd_a_lease_is_a_private_file_that_goes_with_it(temporary: Path) -> None:
    bucket = random_bucket()
    async with opened_with(NamedFile) as cache:
        before = set(temporary.rglob("*"))
        for _ in range(2):
            async with bucket.lease(cache) as lease, bucket.lease(cache) as other:
                file = Path(lease.path)
                assert lease.fd is None
                assert other.path == lease.path
                assert file.read_bytes() == bucket.plain == await content(lease)
                assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
            assert {path for path in temporary.rglob("*") if path.suffix != ".sealed"} == before
        async with cache.draft(bucket.fetch(), 10) as draft:
            assert draft is None
            assert {path for path in temporary.rglob("*") if path.suffix != ".sealed"} == before
        assert bucket.downloads == 2


@pytest.mark.parametrize("plain", [pytest.param(MemoryFile, marks=linux), NamedFile])
@pytest.mark.parametrize("native", [True, False], ids=["task.cancel", "cancel scope"])
async def test_cancellation_at_any_moment_leaves_nothing(plain: type[Plain], native: bool, temporary: Path) -> None:
    choice = random.Random(4711)
    buckets = [random_bucket(choice.randrange(3 * MIB)) for _ in range(3)]

    async def use(bucket: Bucket, steps: int) -> None:
        async with bucket.lease(cache, arriving=steps % 2 == 0) as lease:
            await lease.reached(VERIFIED)
            assert await content(lease) == bucket.plain
            async with cache.draft(lease.chunks(), 2 * MIB) as draft:
                if draft is not None:
                    await cache.keep(draft)
            if steps % 3 == 0:
                await cache.evict(bucket.sha256)

    async def cancelled(bucket: Bucket, steps: int) -> None:
        if native:
            task = asyncio.create_task(use(bucket, steps))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        else:
            async with anyio.create_task_group() as group:
                group.start_soon(use, bucket, steps)
                for _ in range(steps):
                    await asyncio.sleep(0)
                group.cancel_scope.cancel()

    async with opened_with(plain, limit=4 * MIB) as cache:
        before = descriptors()
        for _ in range(50):
            await asyncio.gather(
                *(cancelled(choice.choice(buckets), int(10 ** choice.uniform(0, 4))) for _ in range(4))
            )
        assert descriptors() == before
        files = [path for path in temporary.rglob("*") if path.is_file()]
        assert all(path.suffix == ".sealed" for path in files)
        for bucket in buckets:
            async with bucket.lease(cache) as lease:
                assert await content(lease) == bucket.plain
            assert bucket.downloads == bucket.closed
        assert descriptors() == before


# -- sealing, for which nobody waits


class Slowly(MemoryEntries):
    """Entries that are written when they are let go on."""

    def __init__(self, lasting: bool = False) -> None:
        super().__init__(100 * MIB)
        self.lasting = lasting
        self.written: list[str] = []
        self.writing, self.go_on = threading.Event(), threading.Event()

    def write(self, sha256: str, blocks: Iterable[bytes]) -> None:
        def slowly() -> Iterator[bytes]:
            for block in blocks:
                self.writing.set()
                self.go_on.wait(30)
                yield block

        super().write(sha256, slowly())
        self.written.append(sha256)


def leased(bucket: Bucket, cache: ReferenceCache) -> contextlib.AbstractAsyncContextManager[Lease]:
    return cache.lease(bucket.sha256, bucket.size, bucket.fetch)


async def test_nobody_waits_for_sealing_and_who_comes_meanwhile_shares_the_plain_bytes() -> None:
    bucket, entries = random_bucket(), Slowly()
    cache, before = ReferenceCache(entries, secrets.token_bytes(32), MemoryFile), descriptors()
    async with leased(bucket, cache) as lease:
        path = lease.path
    await asyncio.to_thread(entries.writing.wait, 30)
    assert cache.stored_size() == 0
    assert await cache.holds(bucket.sha256)
    async with leased(bucket, cache) as lease:
        assert lease.path == path
        entries.go_on.set()
        await cache.settle()
        assert cache.stored_size() > bucket.size
        assert await content(lease) == bucket.plain
    assert descriptors() == before
    async with leased(bucket, cache) as lease:
        assert await content(lease) == bucket.plain
    assert bucket.downloads == 1
    await cache.aclose()


@linux
@pytest.mark.parametrize("lasting", [False, True])
async def test_a_closed_cache_finishes_what_outlives_it_and_gives_up_the_rest(lasting: bool) -> None:
    bucket, entries, before = random_bucket(), Slowly(lasting), descriptors()
    cache = ReferenceCache(entries, secrets.token_bytes(32), MemoryFile)
    async with leased(bucket, cache):
        pass
    await asyncio.to_thread(entries.writing.wait, 30)
    closing = asyncio.create_task(cache.aclose())
    await asyncio.sleep(0.05)
    assert not closing.done()
    entries.go_on.set()
    await closing
    assert (entries.written == [bucket.sha256]) == lasting
    assert descriptors() == before


@linux
@pytest.mark.parametrize("all_of_them", [False, True])
async def test_what_is_evicted_is_not_stored_afterwards(all_of_them: bool) -> None:
    bucket, entries, before = random_bucket(), Slowly(), descriptors()
    cache = ReferenceCache(entries, secrets.token_bytes(32), MemoryFile)

    async def forget() -> None:
        await (cache.clear() if all_of_them else cache.evict(bucket.sha256))

    async with leased(bucket, cache):
        await forget()
    await cache.settle()
    assert (entries.writing.is_set(), descriptors()) == (False, before)
    async with leased(bucket, cache):
        pass
    await asyncio.to_thread(entries.writing.wait, 30)
    forgetting = asyncio.create_task(forget())
    await asyncio.sleep(0.05)
    entries.go_on.set()
    await forgetting
    assert (cache.stored_size(), descriptors(), bucket.downloads) == (0, before, 2)
    await cache.aclose()


@linux
async def test_one_is_sealed_unseen_at_a_time() -> None:
    """So that the plain bytes in memory are bounded: whoever gives back the next one waits, unless it has failed."""
    one, two, three = (random_bucket() for _ in range(3))
    entries, before = Slowly(), descriptors()
    cache = ReferenceCache(entries, secrets.token_bytes(32), MemoryFile)

    async def use(bucket: Bucket) -> None:
        async with leased(bucket, cache):
            pass

    await use(one)
    await asyncio.to_thread(entries.writing.wait, 30)
    second = asyncio.create_task(use(two))
    with pytest.raises(ZeroDivisionError):
        async with leased(three, cache):
            raise ZeroDivisionError
    await asyncio.sleep(0.05)
    assert not second.done()
    entries.go_on.set()
    await second
    await cache.settle()
    assert [entries.holds(bucket.sha256) for bucket in (one, two, three)] == [True, True, False]
    assert descriptors() == before
    await cache.aclose()


@linux
async def test_a_cancelled_wait_for_sealing_leaves_nothing() -> None:
    one, two = random_bucket(), random_bucket()
    entries, before = Slowly(), descriptors()
    cache = ReferenceCache(entries, secrets.token_bytes(32), MemoryFile)

    async def use(bucket: Bucket) -> None:
        async with leased(bucket, cache):
            pass

    await use(one)
    await asyncio.to_thread(entries.writing.wait, 30)
    waiting = [asyncio.create_task(use(two)), asyncio.create_task(cache.settle())]
    await asyncio.sleep(0.05)
    for task in waiting:
        task.cancel()
    await asyncio.sleep(0.05)
    entries.go_on.set()
    await asyncio.wait(waiting)
    await cache.settle()
    assert [task.cancelled() for task in waiting] == [True, True]
    assert descriptors() == before
    await cache.aclose()


@linux
async def test_sealing_that_is_cancelled_before_it_begins_leaves_nothing() -> None:
    bucket = random_bucket()
    async with opened() as cache:
        before, others = descriptors(), asyncio.all_tasks()
        async with leased(bucket, cache):
            pass
        for sealing in asyncio.all_tasks() - others:
            sealing.cancel()
        await cache.settle()
        assert not await cache.holds(bucket.sha256)
        assert descriptors() == before


@linux
def test_what_a_loop_that_ended_has_left_open_goes_with_its_object() -> None:
    before, plain = descriptors(), MemoryFile()
    plain.open()
    assert descriptors() == before + 1
    del plain
    gc.collect()
    assert descriptors() == before
