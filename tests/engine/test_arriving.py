"""Gets that begin while their reference arrives: on real servers, with a proxy that holds its download back."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import deltaglider_async
from deltaglider_async import create_client
from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.errors import DeltaGliderError, IntegrityMismatchError, StorageIOError
from deltaglider_async.settings import Settings
from deltaglider_async.streams.body import ObjectBody
from tests.engine.conftest import content, version
from tests.engine.test_get import put_raw, raw, read
from tests.servers import Held, holding

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

MIB = 1024 * 1024
BASE = content(21, 12 * MIB)
TARGET = version(BASE, 3)
#: Bytes of the reference that pass at first. What has been gathered of them can be read.
FIRST = 9 * MIB


@dataclass(frozen=True)
class World:
    """A client that has nothing in its cache, before a server that holds the reference."""

    client: DeltaGliderClient
    bucket: str
    held: Held

    async def body(self, key: str = "a/1.zip") -> ObjectBody:
        body: ObjectBody = (await self.client.get_object(Bucket=self.bucket, Key=key))["Body"]
        return body

    def left(self) -> tuple[int, int, int, int]:
        """Budget, references, tasks of ours and plain references."""
        engine = self.client._engine
        live = len(engine.cache._references._live) + len(engine.cache._references._flights)
        ours = Path(deltaglider_async.__file__).parent
        frames = [frame for task in asyncio.all_tasks() for frame in task.get_stack()]
        tasks = [frame for frame in frames if Path(frame.f_code.co_filename).is_relative_to(ours)]
        return engine.gets.total - engine.gets.free, live, len(tasks), plain_files()


def plain_files() -> int:
    """References in memory that are open."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the listing itself
            found += "memfd:reference" in str(link.readlink())
    return found


@pytest.fixture
async def stored(client: DeltaGliderClient, bucket: str) -> str:
    """A bucket with a reference and two deltas of few instructions."""
    for number, data in enumerate((BASE, TARGET)):
        await client.put_object(Bucket=bucket, Key=f"a/{number}.zip", Body=data)
    return bucket


@asynccontextmanager
async def world(endpoint: str, bucket: str) -> AsyncIterator[World]:
    # Nothing of the deltas is decoded by a process: where one would be needed, the test fails.
    async with (
        holding(endpoint, "reference.bin", FIRST) as held,
        create_client(endpoint_url=held.url, settings=Settings(xdelta3="/nowhere/xdelta3")) as client,
    ):
        yield World(client, bucket, held)


async def damage(s3: S3Client, bucket: str, place: int) -> None:
    """Another byte in the stored reference."""
    data, metadata = await raw(s3, bucket, "a/reference.bin")
    other = bytearray(data)
    other[place] ^= 1
    await put_raw(s3, bucket, "a/reference.bin", bytes(other), metadata)


async def test_the_first_bytes_come_before_the_reference_has(s3_endpoint: str, stored: str) -> None:
    async with world(s3_endpoint, stored) as here:
        async with await here.body() as body:
            first = await body.read(3 * MIB)
            assert first == TARGET[: 3 * MIB]
            assert not here.held.go_on.is_set()
            here.held.go_on.set()
            assert first + await body.read() == TARGET
        await here.client._engine.cache.settle()
        assert here.left() == (0, 0, 0, 0)
        assert await read(here.client, stored, "a/0.zip") == BASE
        assert here.held.gets == 1  # it is in the cache now


async def test_gets_at_once_share_a_download_that_is_under_way(s3_endpoint: str, stored: str) -> None:
    """And go on when the one that began it has been closed; with what needs all of it, too."""
    async with world(s3_endpoint, stored) as here:
        async with await here.body() as one, await here.body("a/0.zip") as other:
            assert await one.read(MIB) == TARGET[:MIB]
            assert await other.read(MIB) == BASE[:MIB]
            part = asyncio.create_task(read(here.client, stored, "a/1.zip", Range="bytes=5-10"))
            await one.aclose()
            here.held.go_on.set()
            assert await other.read() == BASE[MIB:]
            assert await part == TARGET[5:11]
        assert here.held.gets == 1
        await here.client._engine.cache.settle()
        assert here.left() == (0, 0, 0, 0)


@pytest.mark.parametrize("cancelled", [False, True], ids=["closed", "cancelled"])
async def test_the_last_get_ends_the_download(s3_endpoint: str, stored: str, cancelled: bool) -> None:
    async with world(s3_endpoint, stored) as here:
        bodies = [await here.body(), await here.body("a/0.zip")]
        for body in bodies:
            await body.read(MIB)
        if cancelled:
            readers = [asyncio.create_task(body.read()) for body in bodies]
            await asyncio.sleep(0)
            for reader in readers:
                reader.cancel()
            await asyncio.wait(readers)
        else:
            for body in bodies:
                await body.aclose()
        assert here.left() == (0, 0, 0, 0)
        here.held.go_on.set()
        assert await read(here.client, stored, "a/1.zip") == TARGET


async def test_a_client_that_is_closed_ends_its_downloads(s3_endpoint: str, stored: str) -> None:
    """Else they would go on, with connections that nobody closes."""
    async with world(s3_endpoint, stored) as here:
        body, references = await here.body(), here.client._engine.cache._references
        await body.read(MIB)
        await here.client.aclose()
        assert not references._flights
        with pytest.raises(StorageIOError, match="cancelled"):
            await body.read()
        assert not references._live
        assert (here.held.gets, plain_files()) == (1, 0)


async def test_a_range_waits_for_the_verified_reference(s3_endpoint: str, stored: str, s3: S3Client) -> None:
    """It has no digest of its own."""
    await damage(s3, stored, len(BASE) - 5)
    async with world(s3_endpoint, stored) as here:
        part = asyncio.create_task(read(here.client, stored, "a/1.zip", Range="bytes=5-10"))
        await here.held.begun.wait()
        assert not part.done()
        here.held.go_on.set()
        with pytest.raises(IntegrityMismatchError):
            await part


@pytest.mark.parametrize("place", [100, 11 * MIB + 5])
async def test_a_damaged_reference_gives_no_whole_object(
    s3_endpoint: str, stored: str, s3: S3Client, tmp_path: Path, place: int
) -> None:
    """Neither a stream that looks complete, nor a file."""
    await damage(s3, stored, place)
    async with world(s3_endpoint, stored) as here:
        found, body = 0, await here.body()
        first = await body.read(MIB)
        here.held.go_on.set()
        with pytest.raises(IntegrityMismatchError, match="reference"):
            while chunk := await body.readany():
                found += len(chunk)
        assert len(first) + found < len(TARGET)
        with pytest.raises(IntegrityMismatchError, match="reference"):
            await body.readany()
        with pytest.raises(IntegrityMismatchError, match="reference"):
            await here.client.download_file(stored, "a/1.zip", str(tmp_path / "1.zip"))
        assert list(tmp_path.iterdir()) == []
        assert here.left() == (0, 0, 0, 0)
        assert here.client._engine.cache.stored_size() == 0


async def test_a_download_that_fails_half_way_fails_all_that_read_of_it(
    s3_endpoint: str, stored: str, s3: S3Client, tmp_path: Path
) -> None:
    """The rest of it is asked for again, and is another object's by then."""
    async with world(s3_endpoint, stored) as here:
        bodies = [await here.body(), await here.body("a/0.zip")]
        file = asyncio.create_task(here.client.download_file(stored, "a/1.zip", str(tmp_path / "1.zip")))
        for body in bodies:
            await body.read(MIB)
        await put_raw(s3, stored, "a/reference.bin", content(5))
        here.held.cut_off = True
        here.held.go_on.set()
        for reader in (*(asyncio.create_task(body.read()) for body in bodies), file):
            with pytest.raises(StorageIOError):
                await reader
        assert list(tmp_path.iterdir()) == []
        assert here.left() == (0, 0, 0, 0)


async def test_a_checksum_in_a_delta_is_compared_by_verify_and_for_ranges(
    client: DeltaGliderClient, stored: str, s3: S3Client
) -> None:
    """A get compares the SHA-256 of the whole, which says more; but not everybody's decoder leaves it at that."""
    delta, metadata = await raw(s3, stored, "a/0.zip.delta")
    # The first window's: after the header, its indicator, source, lengths and sizes (docs/bucket-format.md).
    checksum = zlib.adler32(BASE[: 8 * MIB]).to_bytes(4, "big")
    assert delta.count(checksum) == 1
    await put_raw(s3, stored, "a/0.zip.delta", delta.replace(checksum, bytes(4)), metadata)
    assert await read(client, stored, "a/0.zip") == BASE
    verified = await client.verify(f"s3://{stored}/a/0.zip")
    assert not verified
    assert "checksum" in verified.message
    with pytest.raises(DeltaGliderError, match="checksum"):
        await read(client, stored, "a/0.zip", Range="bytes=0-9")
