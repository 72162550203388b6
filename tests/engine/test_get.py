"""Gets on a real server: what is asked for comes back exactly, and nothing damaged is ever complete."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import hashlib
import itertools
import os
import random
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from deltaglider_async import create_client
from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.codec import xdelta
from deltaglider_async.errors import (
    CodecUnavailableError,
    DeltaGliderError,
    DiffDecodeError,
    IntegrityMismatchError,
    NotFoundError,
    PreconditionFailedError,
    StorageIOError,
)
from deltaglider_async.store.body import Request, body_chunks
from deltaglider_async.streams import part_file
from deltaglider_async.streams.body import ObjectBody
from tests.engine.conftest import MakeClient, content, version
from tests.servers import cutting_off

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

MIB = 1024 * 1024
#: Long enough that neither pipes nor buffers hold all of it.
LONG = content(11, 6 * MIB)
BASE = content(1)
#: Of which a third is not in the reference: its delta has content of its own to be damaged.
TARGET = BASE[:200_000] + content(2, 40_000) + BASE[240_000:]


async def put_raw(s3: S3Client, bucket: str, key: str, data: bytes, metadata: Mapping[str, str] | None = None) -> None:
    await asyncio.to_thread(s3.put_object, Bucket=bucket, Key=key, Body=data, Metadata=dict(metadata or {}))


async def raw(s3: S3Client, bucket: str, key: str) -> tuple[bytes, dict[str, str]]:
    def get() -> tuple[bytes, dict[str, str]]:
        answer = s3.get_object(Bucket=bucket, Key=key)
        return answer["Body"].read(), answer["Metadata"]

    return await asyncio.to_thread(get)


async def read(client: DeltaGliderClient, bucket: str, key: str, **arguments: Any) -> bytes:
    async with (await client.get_object(Bucket=bucket, Key=key, **arguments))["Body"] as body:
        data: bytes = await body.read()
    return data


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Both:
    """The same content in both forms: `delta` and `plain` are keys. `process`: whether a delta's body has one."""

    client: DeltaGliderClient
    bucket: str
    data: bytes = TARGET
    delta: str = "a/1.zip"
    plain: str = "a/1.bin"
    process: bool = False

    async def body(self, key: str, **arguments: Any) -> ObjectBody:
        body: ObjectBody = (await self.client.get_object(Bucket=self.bucket, Key=key, **arguments))["Body"]
        return body


async def both_forms(client: DeltaGliderClient, bucket: str, base: bytes, data: bytes) -> Both:
    both = Both(client, bucket, data)
    await client.put_object(Bucket=bucket, Key="a/0.zip", Body=base)
    for key, form in ((both.delta, "delta"), (both.plain, "plain")):
        put = await client.put_object(Bucket=bucket, Key=key, Body=data, Metadata={"build": "17"})
        assert put["DeltaGliderInfo"]["StoredAs"] == form
    return both


@pytest.fixture
async def both(client: DeltaGliderClient, bucket: str) -> Both:
    return await both_forms(client, bucket, BASE, TARGET)


@pytest.fixture(params=["here", "by xdelta3"])
async def long(client: DeltaGliderClient, bucket: str, request: pytest.FixtureRequest) -> Both:
    """With deltas of few instructions, which are decoded here, or by a process as those of many are."""
    process = request.param == "by xdelta3"
    if process:
        request.getfixturevalue("by_xdelta3")
    return replace(await both_forms(client, bucket, LONG, version(LONG, 2)), process=process)


FORMS = pytest.mark.parametrize("form", ["delta", "plain"])

# -- ranges

SIZE = len(TARGET)


@FORMS
async def test_a_range_is_those_bytes(both: Both, form: str) -> None:
    key = getattr(both, form)
    for asked, start, stop in (
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=199990-200009", 199_990, 200_010),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        ("bytes=250000-", 250_000, SIZE),
        ("bytes=0-", 0, SIZE),
        ("bytes=-1", SIZE - 1, SIZE),
        ("bytes=-70000", SIZE - 70_000, SIZE),
        (f"bytes=-{SIZE + 5}", 0, SIZE),
        (f"bytes=100-{SIZE + 100}", 100, SIZE),
    ):
        answer = await both.client.get_object(Bucket=both.bucket, Key=key, Range=asked)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206, asked
        assert answer["ContentRange"] == f"bytes {start}-{stop - 1}/{SIZE}", asked
        assert answer["ContentLength"] == stop - start, asked
        assert answer["Metadata"] == {"build": "17"}
        assert answer["DeltaGliderInfo"]["IsDelta"] == (form == "delta")
        async with answer["Body"] as body:
            assert await body.read() == TARGET[start:stop], asked


@FORMS
async def test_a_range_outside_of_the_object_is_refused_as_by_s3(both: Both, form: str) -> None:
    for asked in (f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 1}", f"bytes={SIZE + 77}-", "bytes=-0"):
        with pytest.raises(ClientError) as refused:
            await both.client.get_object(Bucket=both.bucket, Key=getattr(both, form), Range=asked)
        assert isinstance(refused.value, StorageIOError)
        assert refused.value.response["Error"].get("Code") == "InvalidRange", asked
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 416, asked


async def test_a_malformed_range_is_ignored(both: Both) -> None:
    for asked in (
        "bytes=5-2",
        "bytes=a-b",
        "bytes=",
        "bytes=-",
        "lines=0-5",
        "0-5",
        "bytes=0-1,4-5",
        "bytes=0x0-5",
        "",
    ):
        answer = await both.client.get_object(Bucket=both.bucket, Key=both.delta, Range=asked)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200, asked
        assert answer["ContentLength"] == SIZE, asked
        assert "ContentRange" not in answer, asked
        async with answer["Body"] as body:
            assert await body.read() == TARGET, asked


@FORMS
async def test_a_part_does_not_carry_the_digest_of_the_whole(both: Both, form: str) -> None:
    """boto3 and others check a body against `ChecksumSHA256`: of a part it would never match."""
    answer = await both.client.get_object(Bucket=both.bucket, Key=getattr(both, form), Range="bytes=0-9")
    await answer["Body"].aclose()
    assert "ChecksumSHA256" not in answer


async def test_a_range_stops_the_decoder_after_it(long: Both) -> None:
    before = children()
    body = await long.body(long.delta, Range="bytes=10-19")
    async with body:
        assert await body.read(10) == long.data[10:20]
        assert (children() != before) == long.process
        assert await body.read() == b""
        assert children() == before  # at its end, not only when it is closed


async def test_a_random_range_of_either_form_is_the_same(long: Both) -> None:
    choose = random.Random(5)
    for _ in range(8):
        start = choose.randrange(len(long.data))
        stop = choose.randrange(start, len(long.data)) + 1
        parts = [
            await read(long.client, long.bucket, key, Range=f"bytes={start}-{stop - 1}")
            for key in ("a/1.zip", "a/1.bin")
        ]
        assert parts == [long.data[start:stop]] * 2


# -- the body


def children() -> set[int]:
    """Processes that this one started, and those that they started."""
    return {child.pid for child in psutil.Process().children(recursive=True)}


def descriptors() -> list[str]:
    """What is open, except for sockets and the listing itself."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            target = str(link.readlink())
            if not target.startswith(("socket:", "/proc")):
                found.append(target.split(":")[0])  # pipes are numbered
    return sorted(found)


async def until_gone(before: set[int]) -> None:
    async with asyncio.timeout(10):
        while children() - before:  # noqa: ASYNC110  # nothing tells when a process has gone
            await asyncio.sleep(0.005)


@FORMS
async def test_read_gives_exactly_what_is_asked_for(long: Both, form: str) -> None:
    key = getattr(long, form)
    async with await long.body(key) as body:
        position = 0
        for size in (0, 1, 10, 65_536, MIB - 1, MIB + 1, 2 * MIB + 17):
            assert await body.read(size) == long.data[position : position + size]
            position += size
            assert body.tell() == position
        assert await body.read() == long.data[position:]
        assert body.tell() == len(long.data)
        for nothing in (await body.read(), await body.read(5), await body.readany()):
            assert nothing == b""
    async with await long.body(key) as body:
        assert await body.read(len(long.data) + 1) == long.data
    async with await long.body(key) as body:
        assert await body.read(-1) == long.data


@FORMS
async def test_every_way_of_iterating_gives_the_same(long: Both, form: str) -> None:
    key = getattr(long, form)
    async with await long.body(key) as body:
        assert b"".join([chunk async for chunk in body]) == long.data
    async with await long.body(key) as body:
        chunks = [chunk async for chunk in body.iter_chunks(700_001)]
        assert [len(chunk) for chunk in chunks[:-1]] == [700_001] * (len(chunks) - 1)
        assert b"".join(chunks) == long.data
    async with await long.body(key) as body:
        pieces = []
        while piece := await body.readany():
            pieces.append(piece)
        assert b"".join(pieces) == long.data


async def test_a_body_may_pass_from_task_to_task(long: Both) -> None:
    before = children()
    body = await long.body(long.delta)
    parts = [await asyncio.create_task(body.read(900_000)) for _ in range(3)]
    parts.append(await asyncio.create_task(body.read()))
    assert b"".join(parts) == long.data
    await asyncio.create_task(body.aclose())
    assert children() == before


@FORMS
async def test_closing_early_gives_everything_back(long: Both, form: str) -> None:
    key = getattr(long, form)
    await read(long.client, long.bucket, key)
    before = children(), descriptors()
    for amount, how in itertools.product((0, 1000), ("async with", "aclose", "close", "twice")):
        body = await long.body(key)
        if amount:
            assert await body.read(amount) == long.data[:amount]
            assert (children() != before[0]) == (form == "delta" and long.process)
        if how == "async with":
            async with body:
                pass
        elif how == "close":
            await body.close()
        else:
            await body.aclose()
            if how == "twice":
                await body.aclose()
        assert (children(), descriptors()) == before
    assert await read(long.client, long.bucket, key) == long.data


async def test_a_body_that_is_dropped_leaves_no_process(long: Both) -> None:
    await read(long.client, long.bucket, long.delta)
    before = children(), descriptors()
    for key, amount in itertools.product((long.delta, long.plain), (0, 1000)):
        body = await long.body(key)
        assert await body.read(amount) == long.data[:amount]
        del body
        gc.collect()
        await until_gone(before[0])
        async with asyncio.timeout(10):
            while descriptors() != before[1]:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert await read(long.client, long.bucket, key) == long.data


async def test_an_error_in_the_block_ends_the_decoder(long: Both) -> None:
    before = children(), descriptors()
    with pytest.raises(RuntimeError, match="of the caller"):
        async with await long.body(long.delta) as body:
            await body.read(10)
            raise RuntimeError("of the caller")
    assert (children(), descriptors()) == before


@FORMS
async def test_a_cancelled_read_ends_everything(long: Both, form: str) -> None:
    before = children(), descriptors()
    for delay in (0.0, 0.001, 0.004, 0.01, 0.02):
        body = await long.body(getattr(long, form))
        task = asyncio.create_task(body.read())
        await asyncio.sleep(delay)
        if task.cancel():
            with pytest.raises(asyncio.CancelledError):
                await task
        await body.aclose()
        assert (children(), descriptors()) == before


async def test_reading_on_after_a_cancelled_read_is_no_end(long: Both) -> None:
    """Else whoever tries again after a timeout takes a part for the whole."""
    body = await long.body(long.delta)
    async with body:
        first = await body.read(10)
        task = asyncio.create_task(body.read())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        try:
            rest = await body.read()
        except DeltaGliderError:
            return
        assert first + rest == long.data


async def test_reading_on_after_an_error_is_no_end(both: Both, s3: S3Client) -> None:
    data, metadata = await raw(s3, both.bucket, "a/1.zip.delta")
    await put_raw(s3, both.bucket, "a/1.zip.delta", data, {**metadata, "dg-file-sha256": "0" * 64})
    async with await both.body(both.delta) as body:
        for _ in range(2):
            with pytest.raises(IntegrityMismatchError):
                await body.read()


async def test_many_bodies_at_once_share_what_they_need(make_client: MakeClient, bucket: str) -> None:
    """With memory for one decoder, all still come to their end, whatever the order they are read in."""
    async with make_client(memory_mb=70) as client:
        both = await both_forms(client, bucket, BASE, TARGET)
        bodies = [await both.body(both.delta) for _ in range(6)]
        assert await asyncio.gather(*(body.read() for body in bodies)) == [TARGET] * 6


# -- conditions, heads, what is not there


@FORMS
async def test_conditions_hold_for_both_forms(both: Both, form: str) -> None:
    where = {"Bucket": both.bucket, "Key": getattr(both, form)}
    etag = (await both.client.head_object(**where))["ETag"]
    for call in (both.client.get_object, both.client.head_object):
        answer: Mapping[str, Any] = await call(**where, IfMatch=etag)
        assert answer["ETag"] == etag
        with pytest.raises(PreconditionFailedError) as failed:
            await call(**where, IfMatch='"0123456789abcdef"')
        assert isinstance(failed.value, ClientError)
        assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
        with pytest.raises(ClientError) as unmodified:
            await call(**where, IfNoneMatch=etag)
        assert unmodified.value.response["ResponseMetadata"]["HTTPStatusCode"] == 304
        other: Mapping[str, Any] = await call(**where, IfNoneMatch='"0123456789abcdef"')
        assert other["ETag"] == etag
        if "Body" in answer:
            assert await answer["Body"].read() == await other["Body"].read() == TARGET


@FORMS
async def test_head_and_get_say_the_same(both: Both, form: str) -> None:
    where = {"Bucket": both.bucket, "Key": getattr(both, form)}
    head, get = await both.client.head_object(**where), await both.client.get_object(**where)
    await get["Body"].aclose()
    for name in (
        "ContentLength",
        "ETag",
        "Metadata",
        "ContentType",
        "ChecksumSHA256",
        "LastModified",
        "DeltaGliderInfo",
    ):
        assert head[name] == get[name], name
    assert head["ContentLength"] == SIZE
    assert head["Metadata"] == {"build": "17"}
    info = head["DeltaGliderInfo"]
    assert info["ReferenceKey"] == ("a/reference.bin" if form == "delta" else None)
    assert info["OriginalSize"] == SIZE
    assert (info["StoredSize"] < SIZE) == (form == "delta")


async def test_what_is_not_there_is_what_boto3_and_the_original_say(client: DeltaGliderClient, bucket: str) -> None:
    for key in ("nothing", "a/nothing.zip", "nothing.delta", "k" * 1024):
        with pytest.raises(NotFoundError) as missing:
            await client.get_object(Bucket=bucket, Key=key)
        assert isinstance(missing.value, client.exceptions.NoSuchKey)
        assert f"s3://{bucket}/{key}" in str(missing.value)
        with pytest.raises(NotFoundError) as missing:
            await client.head_object(Bucket=bucket, Key=key)
        assert isinstance(missing.value, ClientError)
    with pytest.raises(NotFoundError) as no_bucket:
        await client.get_object(Bucket="there-is-no-such-bucket", Key="a")
    assert isinstance(no_bucket.value, client.exceptions.NoSuchBucket)


async def test_the_stored_name_of_a_delta_means_the_object(both: Both) -> None:
    assert await read(both.client, both.bucket, "a/1.zip.delta") == TARGET


async def test_somebody_elses_delta_file_is_itself(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    await put_raw(s3, bucket, "a/x.zip.delta", b"rsync's")
    assert await read(client, bucket, "a/x.zip.delta") == b"rsync's"
    with pytest.raises(NotFoundError):
        await client.get_object(Bucket=bucket, Key="a/x.zip")


async def test_the_plain_form_is_the_object(both: Both, s3: S3Client) -> None:
    await put_raw(s3, both.bucket, both.delta, b"plain now")
    assert await read(both.client, both.bucket, both.delta) == b"plain now"
    assert (await both.client.head_object(Bucket=both.bucket, Key=both.delta))["ContentLength"] == 9


@pytest.mark.parametrize("key", ["a/1.zip", "a/1.txt"])
async def test_an_encoded_object_is_not_decoded_on_the_way(client: DeltaGliderClient, bucket: str, key: str) -> None:
    await client.put_object(Bucket=bucket, Key="a/0.zip", Body=BASE)
    data = TARGET if key.endswith("zip") else gzip.compress(TARGET)
    await client.put_object(Bucket=bucket, Key=key, Body=data, ContentEncoding="gzip")
    assert await read(client, bucket, key) == data


async def test_metadata_of_the_users_own_is_never_taken_for_ours(client: DeltaGliderClient, bucket: str) -> None:
    names = (
        "codec", "note", "tool", "md5", "file-size", "file_sha256", "ref-path", "ref_key", "ref-sha256", "delta-size",
        "original-name", "compression", "source_name", "user-team",
    )  # fmt: skip
    wrong = []
    await client.put_object(Bucket=bucket, Key="a/0.zip", Body=BASE)
    for name in names:
        for key in (f"a/{name}.zip", f"a/{name}.txt"):
            await client.put_object(Bucket=bucket, Key=key, Body=TARGET, Metadata={name: "mine"})
            head = await client.head_object(Bucket=bucket, Key=key)
            expected = ({name: "mine"}, "a/reference.bin" if key.endswith("zip") else None, SIZE)
            info = head["DeltaGliderInfo"]
            if (head["Metadata"], info["ReferenceKey"], info["OriginalSize"]) != expected:
                wrong.append((key, "head"))
            try:
                if await read(client, bucket, key) != TARGET:
                    wrong.append((key, "content"))
            except DeltaGliderError as error:
                wrong.append((key, str(error)))
    assert wrong == []


# -- damage


async def assert_never_wrong(
    both: Both, folder: Path, what: object, right: bytes | None = None
) -> DeltaGliderError | None:
    """A typed error, or the right bytes where those are given; a file there is untouched, or replaced by them."""
    target = folder / "file"
    await asyncio.to_thread(target.write_bytes, b"what was there before")
    try:
        await both.client.download(f"s3://{both.bucket}/{both.delta}", target)
    except DeltaGliderError as error:
        assert target.read_bytes() == b"what was there before", what
        assert [path.name for path in folder.iterdir()] == ["file"], what
        return error
    assert right is not None, f"{what}: no error"
    assert target.read_bytes() == right, what
    assert [path.name for path in folder.iterdir()] == ["file"], what
    return None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "downloads").mkdir()
    return tmp_path / "downloads"


async def test_a_damaged_delta_is_never_a_wrong_object(both: Both, s3: S3Client, folder: Path) -> None:
    data, metadata = await raw(s3, both.bucket, "a/1.zip.delta")
    assert len(data) > 40_000
    del metadata["dg-delta-size"]  # a wrong length would be refused before it is decoded
    choose = random.Random(6)
    damaged: dict[str, bytes] = {
        "empty": b"",
        "garbage": content(3, 5000),
        "doubled": data * 2,
        "text": b"<html>" * 100,
    }
    # Headers and instructions are at both ends, literal bytes between them.
    places = [*range(20), *range(len(data) - 10, len(data)), *(choose.randrange(len(data)) for _ in range(20))]
    for place in places:
        flipped = bytearray(data)
        flipped[place] ^= 1 << choose.randrange(8)
        damaged[f"bit flipped in byte {place}"] = bytes(flipped)
    for length in (
        *range(1, 8),
        *(choose.randrange(len(data)) for _ in range(10)),
        len(data) - 3,
        len(data) - 2,
        len(data) - 1,
    ):
        damaged[f"cut to {length} bytes"] = data[:length]
    errors = 0
    for what, wrong in damaged.items():
        await put_raw(s3, both.bucket, "a/1.zip.delta", wrong, metadata)
        # A bit of the nonce, for one, changes nothing.
        harmless = TARGET if what.startswith("bit") else None
        errors += await assert_never_wrong(both, folder, what, harmless) is not None
    assert errors > 50


async def test_a_part_of_a_damaged_delta_is_never_short(both: Both, s3: S3Client) -> None:
    """Ranges cannot be compared with the recorded digest; that they have the announced length is the least."""
    data, metadata = await raw(s3, both.bucket, "a/1.zip.delta")
    await put_raw(s3, both.bucket, "a/1.zip.delta", data, {**metadata, "dg-file-size": str(SIZE + 1000)})
    for asked in (f"bytes=0-{SIZE + 500}", f"bytes={SIZE - 10}-", "bytes=-1010", f"bytes={SIZE + 5}-{SIZE + 10}"):
        with pytest.raises(DeltaGliderError):
            await read(both.client, both.bucket, both.delta, Range=asked)


LIES: dict[str, Callable[[dict[str, str]], dict[str, str]]] = {
    "smaller": lambda m: {**m, "dg-file-size": str(SIZE - 1)},
    "much smaller": lambda m: {**m, "dg-file-size": "0"},
    "larger": lambda m: {**m, "dg-file-size": str(SIZE + 1)},
    "negative": lambda m: {**m, "dg-file-size": "-1"},
    "no number": lambda m: {**m, "dg-file-size": "many"},
    "other digest": lambda m: {**m, "dg-file-sha256": sha256(b"")},
    "digest of another length": lambda m: {**m, "dg-file-sha256": "abc"},
    "other reference": lambda m: {**m, "dg-ref-sha256": sha256(b"")},
    "no digest of a reference": lambda m: {**m, "dg-ref-sha256": "../../etc"},
    "unknown codec": lambda m: {**m, "dg-codec": "inflate/2"},
    "without size": lambda m: {key: value for key, value in m.items() if key != "dg-file-size"},
    "without digest": lambda m: {key: value for key, value in m.items() if key != "dg-file-sha256"},
    "without the reference's digest": lambda m: {key: value for key, value in m.items() if key != "dg-ref-sha256"},
}


async def test_metadata_that_lies_gives_no_object(both: Both, s3: S3Client, folder: Path) -> None:
    data, metadata = await raw(s3, both.bucket, "a/1.zip.delta")
    for lie, make in LIES.items():
        await put_raw(s3, both.bucket, "a/1.zip.delta", data, make(metadata))
        error = await assert_never_wrong(both, folder, lie)
        assert isinstance(error, DiffDecodeError | IntegrityMismatchError), lie
        assert f"s3://{both.bucket}/a/1.zip" in str(error), lie
        if lie == "unknown codec":
            assert "inflate/2" in str(error)
            assert "Upgrade" in str(error)
        with pytest.raises(type(error)):
            await read(both.client, both.bucket, both.delta)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "dg-x-y": lambda name: name,
    "dg_x_y": lambda name: name.replace("-", "_"),
    "x_y": lambda name: name.removeprefix("dg-").replace("-", "_"),
    "x-y": lambda name: name.removeprefix("dg-"),
}


@pytest.mark.parametrize("stored", ["a/1.zip.delta", "a/reference.bin"])
async def test_every_historical_spelling_is_understood(
    both: Both, s3: S3Client, make_client: MakeClient, stored: str
) -> None:
    data, metadata = await raw(s3, both.bucket, stored)
    metadata.pop("build", None)
    async with make_client() as client:
        for number, spelled in enumerate(SPELLINGS.values()):
            # In a place of its own: what one spelling told is not remembered for the next.
            for name in ("a/1.zip.delta", "a/reference.bin"):
                own = (data, {spelled(key): value for key, value in metadata.items()})
                other, its = own if name == stored else await raw(s3, both.bucket, name)
                its = {**its, "dg-ref-key": f"{number}/reference.bin"} if "dg-ref-key" in its else its
                await put_raw(s3, both.bucket, f"{number}{name[1:]}", other, its)
        for number, spelling in enumerate(SPELLINGS):
            await client.clear_cache()
            assert await read(client, both.bucket, f"{number}/1.zip") == TARGET, spelling
            head = await client.head_object(Bucket=both.bucket, Key=f"{number}/1.zip")
            assert head["Metadata"] == ({} if stored.endswith("delta") else {"build": "17"})
            # The reference is recognised by whoever writes, too.
            put = await client.put_object(Bucket=both.bucket, Key=f"{number}/2.zip", Body=version(BASE, 2))
            assert put["DeltaGliderInfo"]["IsDelta"], spelling


@pytest.mark.parametrize("space", ["a", ""])
async def test_what_the_proxy_wrote_is_read(
    client: DeltaGliderClient, bucket: str, s3: S3Client, make_client: MakeClient, space: str
) -> None:
    folder = f"{space}/" if space else ""
    for name, data in (("0.zip", BASE), ("1.zip", TARGET)):
        await client.put_object(Bucket=bucket, Key=folder + name, Body=data)
    data, metadata = await raw(s3, bucket, f"{folder}1.zip.delta")
    del metadata["dg-ref-key"]
    metadata |= {"dg-ref-path": "reference.bin", "dg-md5": hashlib.md5(TARGET).hexdigest(), "user-team": "core"}  # noqa: S324
    await put_raw(s3, bucket, f"{folder}1.zip.delta", data, metadata)
    async with make_client() as fresh:
        head = await fresh.head_object(Bucket=bucket, Key=f"{folder}1.zip")
        assert head["DeltaGliderInfo"]["ReferenceKey"] == f"{folder}reference.bin"
        assert await read(fresh, bucket, f"{folder}1.zip") == TARGET


async def test_a_folder_that_is_not_ascii_names_its_reference(client: DeltaGliderClient, bucket: str) -> None:
    for number in range(2):
        put = await client.put_object(Bucket=bucket, Key=f"größe/{number}.zip", Body=version(BASE, number))
        head = await client.head_object(Bucket=bucket, Key=f"größe/{number}.zip")
        assert (
            head["DeltaGliderInfo"]["ReferenceKey"] == put["DeltaGliderInfo"]["ReferenceKey"] == "größe/reference.bin"
        )


async def test_a_delta_that_was_moved_with_its_reference_is_read(
    both: Both, s3: S3Client, make_client: MakeClient
) -> None:
    """`dg-ref-key` names a place where nothing, or something else, is; the neighbour is right."""
    for name in ("reference.bin", "1.zip.delta"):
        data, metadata = await raw(s3, both.bucket, f"a/{name}")
        await put_raw(s3, both.bucket, f"b/{name}", data, metadata)
    await put_raw(s3, both.bucket, "a/reference.bin", b"another", {"dg-file-sha256": sha256(b"another")})
    async with make_client() as client:
        assert await read(client, both.bucket, "b/1.zip") == TARGET
        await asyncio.to_thread(s3.delete_object, Bucket=both.bucket, Key="a/reference.bin")
    async with make_client() as client:
        assert await read(client, both.bucket, "b/1.zip") == TARGET


@pytest.mark.parametrize("what", ["missing", "other", "other with the same claim", "without metadata", "empty", "cut"])
async def test_a_wrong_reference_gives_no_object(
    both: Both, s3: S3Client, make_client: MakeClient, folder: Path, what: str
) -> None:
    data, metadata = await raw(s3, both.bucket, "a/reference.bin")
    if what == "missing":
        await asyncio.to_thread(s3.delete_object, Bucket=both.bucket, Key="a/reference.bin")
    elif what == "other":
        await put_raw(
            s3, both.bucket, "a/reference.bin", data[::-1], {**metadata, "dg-file-sha256": sha256(data[::-1])}
        )
    else:
        wrong = {"empty": b"", "cut": data[:-1], "without metadata": data}.get(what, data[::-1])
        await put_raw(s3, both.bucket, "a/reference.bin", wrong, {} if what == "without metadata" else metadata)
    async with make_client() as client:
        error = await assert_never_wrong(Both(client, both.bucket), folder, what)
        assert isinstance(error, IntegrityMismatchError)
        assert metadata["dg-file-sha256"] in str(error)
        # Nor does the client that knew the reference deliver anything but the right bytes.
        await assert_never_wrong(both, folder, what, TARGET)


async def test_a_wrong_reference_is_not_remembered(both: Both, s3: S3Client, make_client: MakeClient) -> None:
    data, metadata = await raw(s3, both.bucket, "a/reference.bin")
    async with make_client() as client:
        await put_raw(s3, both.bucket, "a/reference.bin", data[::-1], metadata)
        with pytest.raises(IntegrityMismatchError):
            await read(client, both.bucket, both.delta)
        await put_raw(s3, both.bucket, "a/reference.bin", data, metadata)
        assert await read(client, both.bucket, both.delta) == TARGET


async def test_a_damaged_plain_object_is_never_complete(both: Both, s3: S3Client, folder: Path) -> None:
    data, metadata = await raw(s3, both.bucket, both.plain)
    for wrong in (data[:-1], data + b"x", b"", data[:-1] + bytes([data[-1] ^ 1])):
        await put_raw(s3, both.bucket, both.plain, wrong, metadata)
        body = await both.body(both.plain)
        seen = b""
        with pytest.raises(IntegrityMismatchError):
            while chunk := await body.readany():
                seen += chunk
        assert len(seen) < len(wrong) or not wrong
        plain = Both(both.client, both.bucket, delta=both.plain)
        assert await assert_never_wrong(plain, folder, len(wrong))


async def test_the_last_chunk_is_withheld_until_the_digest_matches(long: Both, s3: S3Client) -> None:
    data, metadata = await raw(s3, long.bucket, "a/1.zip.delta")
    await put_raw(s3, long.bucket, "a/1.zip.delta", data, {**metadata, "dg-file-sha256": sha256(b"")})
    seen = b""
    with pytest.raises(IntegrityMismatchError):
        async with await long.body(long.delta) as body:
            async for chunk in body:
                seen += chunk
    assert long.data.startswith(seen)
    assert len(seen) < len(long.data)


def vcdiff(reference: Path, target: Path, *options: str) -> bytes:
    """A delta as another tool makes it."""
    command = ["xdelta3", "-e", "-c", *options, "-s", str(reference), str(target)]
    return subprocess.run(command, check=True, capture_output=True).stdout


async def test_a_delta_that_expands_without_end_is_stopped(
    both: Both, s3: S3Client, tmp_path: Path, folder: Path
) -> None:
    (tmp_path / "base").write_bytes(BASE)
    with (tmp_path / "zeros").open("wb") as file:
        file.truncate(128 * MIB)
    bomb = await asyncio.to_thread(vcdiff, tmp_path / "base", tmp_path / "zeros", "-1", "-W", str(8 * MIB), "-A=x")
    assert len(bomb) < 10_000
    metadata = (await raw(s3, both.bucket, "a/1.zip.delta"))[1] | {"dg-delta-size": str(len(bomb))}
    await put_raw(s3, both.bucket, "a/1.zip.delta", bomb, metadata)
    before = children()
    phases: list[int] = []
    with pytest.raises(DiffDecodeError, match="more than the recorded"):
        body = (
            await both.client.get_object(
                Bucket=both.bucket, Key=both.delta, progress=lambda phase, position: phases.append(position)
            )
        )["Body"]
        assert await body.read(2 * SIZE) == b""
    assert max(phases) <= SIZE
    assert children() == before
    assert isinstance(await assert_never_wrong(both, folder, "bomb"), DiffDecodeError)


async def test_a_header_without_end_is_refused_before_it_is_read_to_its_end(both: Both, s3: S3Client) -> None:
    metadata = (await raw(s3, both.bucket, "a/1.zip.delta"))[1]
    del metadata["dg-delta-size"]
    await put_raw(s3, both.bucket, "a/1.zip.delta", b"\xd6\xc3\xc4\x00\x04" + b"\x80" * (4 * MIB), metadata)
    with pytest.raises(DiffDecodeError) as refused:
        await read(both.client, both.bucket, both.delta)
    assert str(4 * MIB + 5) not in str(refused.value)  # "the delta ends after ... bytes"


async def test_a_delta_of_another_length_than_recorded_is_refused(both: Both, s3: S3Client, folder: Path) -> None:
    data, metadata = await raw(s3, both.bucket, "a/1.zip.delta")
    for recorded in (len(data) - 1, len(data) + 1, 0):
        wrong = {**metadata, "dg-delta-size": str(recorded)}
        await put_raw(s3, both.bucket, "a/1.zip.delta", data, wrong)
        error = await assert_never_wrong(both, folder, recorded)
        assert isinstance(error, IntegrityMismatchError)
        assert f"{len(data):,} bytes" in str(error)
        assert f"s3://{both.bucket}/a/1.zip" in str(error)
    # Not every old writer recorded it, and what is no number says nothing.
    for unknown in ({}, {"dg-delta-size": "None"}):
        without = {name: value for name, value in metadata.items() if name != "dg-delta-size"} | unknown
        await put_raw(s3, both.bucket, "a/1.zip.delta", data, without)
        assert await read(both.client, both.bucket, both.delta) == TARGET


async def test_an_absurdly_large_delta_is_refused_before_it_is_read(
    both: Both, s3: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, metadata = await raw(s3, both.bucket, "a/1.zip.delta")
    metadata |= {"dg-delta-size": str(len(data) + 6 * MIB)}
    await put_raw(s3, both.bucket, "a/1.zip.delta", data + content(4, 6 * MIB), metadata)

    def unwanted(*_: Any) -> Any:
        raise AssertionError("it was spooled")

    monkeypatch.setattr("deltaglider_async.streams.spool.Spool.write", unwanted)
    with pytest.raises(IntegrityMismatchError, match="absurd"):
        await read(both.client, both.bucket, both.delta)


@pytest.mark.parametrize("what", ["1.zip.delta", "1.bin", "reference.bin"])
async def test_an_answer_that_breaks_off_is_an_error(both: Both, s3_endpoint: str, folder: Path, what: str) -> None:
    for keep in (0.0, 0.5, 0.99):
        async with cutting_off(s3_endpoint, what, keep) as endpoint, create_client(endpoint_url=endpoint) as client:
            cut = Both(client, both.bucket, delta="a/1.bin" if what == "1.bin" else "a/1.zip")
            error = await assert_never_wrong(cut, folder, what)
            assert isinstance(error, StorageIOError)
            assert "s3://" in str(error)


async def test_an_answer_that_does_not_break_off_is_none(both: Both, s3_endpoint: str) -> None:
    """The proxy of the tests around this one is not what fails."""
    async with cutting_off(s3_endpoint, "nothing", 0) as endpoint, create_client(endpoint_url=endpoint) as client:
        for key in (both.delta, both.plain):
            assert await read(client, both.bucket, key) == TARGET


async def test_a_range_that_breaks_off_is_an_error(both: Both, s3_endpoint: str) -> None:
    for what, key in (("1.bin", both.plain), ("1.zip.delta", both.delta)):
        async with cutting_off(s3_endpoint, what, 0.5) as endpoint, create_client(endpoint_url=endpoint) as client:
            with pytest.raises(StorageIOError):
                await read(client, both.bucket, key, Range="bytes=-100000")


async def test_verify_tells_damage_from_what_prevents_it(
    both: Both, s3: S3Client, make_client: MakeClient, by_xdelta3: None
) -> None:
    assert await both.client.verify(f"s3://{both.bucket}/a/1.zip")
    async with make_client(xdelta3="/nowhere/xdelta3") as client:
        with pytest.raises(CodecUnavailableError, match="DG_XDELTA3"):
            await read(client, both.bucket, both.delta)
        with pytest.raises(CodecUnavailableError, match="DG_XDELTA3"):
            await client.verify(f"s3://{both.bucket}/a/1.zip")
    data, metadata = await raw(s3, both.bucket, "a/1.zip.delta")
    await put_raw(s3, both.bucket, "a/1.zip.delta", data[:-1], metadata)
    verified = await both.client.verify(f"s3://{both.bucket}/a/1.zip")
    assert not verified
    assert verified.expected_sha256 == sha256(TARGET) != verified.actual_sha256


# -- files


async def test_a_download_replaces_a_file_only_when_it_is_complete(long: Both, folder: Path) -> None:
    target = folder / "file"
    target.write_bytes(b"before")
    before = children(), descriptors()
    url = f"s3://{long.bucket}/{long.delta}"
    for _ in range(2):  # the first has to fetch the reference
        begun = time.perf_counter()
        await long.client.download(url, folder / "other")
        duration = time.perf_counter() - begun
    (folder / "other").unlink()
    cut = 0
    for step in range(24):
        task = asyncio.create_task(long.client.download(url, target))
        await asyncio.sleep(duration * step / 24)
        cut += task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert target.read_bytes() in (b"before", long.data)
        assert [path.name for path in folder.iterdir()] == ["file"]
        assert (children(), descriptors()) == before
        target.write_bytes(b"before")
    assert cut > 5
    await long.client.download(url, target)
    assert target.read_bytes() == long.data


@pytest.mark.parametrize("named", [False, True], ids=["without a name", "with a name"])
async def test_a_download_cancelled_while_its_file_is_opened_leaves_none(
    both: Both, folder: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """Opening happens in a thread, which a cancellation does not stop."""
    opening, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    without_name = part_file._without_name

    def slowly(where: Path, mode: int) -> Any:
        loop.call_soon_threadsafe(opening.set)
        go_on.wait(10)
        return None if named else without_name(where, mode)

    monkeypatch.setattr(part_file, "_without_name", slowly)
    task = asyncio.create_task(both.client.download(f"s3://{both.bucket}/{both.delta}", folder / "file"))
    async with asyncio.timeout(10):
        await opening.wait()
    task.cancel()
    await asyncio.sleep(0.05)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.05)
    gc.collect()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["x" * 255, "版" * 85, "ü" * 127], ids=["ASCII", "Chinese", "German"])
async def test_a_download_takes_any_name_that_the_file_system_takes(both: Both, folder: Path, name: str) -> None:
    await both.client.download(f"s3://{both.bucket}/{both.delta}", folder / name)
    assert (folder / name).read_bytes() == TARGET


# -- what outside programs have a say in


def other_tools_metadata(delta: bytes, target: bytes, reference: bytes) -> dict[str, str]:
    return {
        "dg-tool": "deltaglider/6.2.0",
        "dg-original-name": "1.tar.gz",
        "dg-file-sha256": sha256(target),
        "dg-file-size": str(len(target)),
        "dg-created-at": "2026-01-02T03:04:05.6+00:00Z",
        "dg-ref-key": "gz/reference.bin",
        "dg-ref-sha256": sha256(reference),
        "dg-delta-size": str(len(delta)),
        "dg-delta-cmd": "xdelta3 -e -9 -s reference.bin 1.tar.gz 1.tar.gz.delta",
    }


@pytest.fixture(params=["gzip", "bzip2", "xz"])
async def recompressed(request: pytest.FixtureRequest, s3: S3Client, bucket: str, tmp_path: Path) -> bytes:
    """A delta that asks for an outside program on decoding, in `gz/`. Returns its original."""
    program: str = request.param
    assert shutil.which(program), f"{program} is missing; `make pytest` installs it"

    def make() -> tuple[bytes, bytes, bytes]:
        files = []
        for number in range(2):
            path = tmp_path / f"{number}.tar"
            path.write_bytes(version(BASE, number) + b"text that can be compressed " * 3000)
            # Its default level, at which xdelta3 compresses again.
            options = ["-n"] if program == "gzip" else []
            files.append(subprocess.run([program, *options, "-c", str(path)], check=True, capture_output=True).stdout)
            (tmp_path / f"{number}").write_bytes(files[-1])
        return files[0], files[1], vcdiff(tmp_path / "0", tmp_path / "1", "-9")

    reference, target, delta = await asyncio.to_thread(make)
    assert len(delta) < 2000  # the inside was compared
    await put_raw(s3, bucket, "gz/reference.bin", reference, {"dg-file-sha256": sha256(reference)})
    await put_raw(s3, bucket, "gz/1.tar.gz.delta", delta, other_tools_metadata(delta, target, reference))
    return target


async def test_a_delta_that_asks_for_it_is_recompressed_in_a_fixed_environment(
    client: DeltaGliderClient, bucket: str, recompressed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = children()
    for name, value in {"GZIP": "-1", "BZIP2": "-1", "XZ_OPT": "-0", "XZ_DEFAULTS": "-0", "XDELTA": "-v -v"}.items():
        monkeypatch.setenv(name, value)
    assert await read(client, bucket, "gz/1.tar.gz") == recompressed
    assert await read(client, bucket, "gz/1.tar.gz", Range="bytes=5-20") == recompressed[5:21]
    async with (await client.get_object(Bucket=bucket, Key="gz/1.tar.gz"))["Body"] as body:
        await body.read(10)
    await until_gone(before)


async def test_our_own_deltas_never_start_an_outside_program(
    client: DeltaGliderClient, bucket: str, s3: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gzip stream as reference, and a delta of its raw bytes: no program is asked for, none is started."""
    trap = tmp_path / "bin"
    trap.mkdir()
    for program in ("gzip", "bzip2", "xz", "uncompress"):
        (trap / program).write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\nexit 1\n")
        (trap / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{trap}:{os.environ['PATH']}")
    monkeypatch.setenv("XDELTA", "-v -v")
    (tmp_path / "reference").write_bytes(reference := gzip.compress(BASE, mtime=0))
    (tmp_path / "target").write_bytes(target := reference + b"more")
    delta = await asyncio.to_thread(vcdiff, tmp_path / "reference", tmp_path / "target", "-D", "-A=nonce")
    await put_raw(s3, bucket, "gz/reference.bin", reference, {"dg-file-sha256": sha256(reference)})
    await put_raw(s3, bucket, "gz/1.tar.gz.delta", delta, other_tools_metadata(delta, target, reference))
    assert await read(client, bucket, "gz/1.tar.gz") == target
    assert not (tmp_path / "started").exists()


@dataclass
class Leased:
    """A reference in a file, as a codec sees it."""

    path: str
    size: int
    fd: int | None = None


async def stream(data: bytes) -> AsyncIterator[bytes]:
    yield data


def with_application_header(delta: bytes, text: bytes) -> bytes:
    """A delta whose own application header of one letter is replaced."""
    assert delta[:7] == b"\xd6\xc3\xc4\x00\x04\x01x"
    assert len(text) < 128
    return delta[:5] + struct.pack("B", len(text)) + text + delta[7:]


@pytest.mark.parametrize(
    "header",
    [b"a//b/", b"a/Q/b/", b"a/G/b/Z", b"../../x//../../y/", b"/", b"////////", b"a/;touch x/b/`touch x`", b"\xff\x00"],
)
async def test_no_application_header_makes_anything_else_happen(tmp_path: Path, header: bytes) -> None:
    """File names in it are never opened; letters of unknown programs are nothing or an error."""
    (tmp_path / "reference").write_bytes(BASE)
    (tmp_path / "target").write_bytes(TARGET)
    delta = await asyncio.to_thread(vcdiff, tmp_path / "reference", tmp_path / "target", "-D", "-S", "none", "-A=x")
    before, seen = set(tmp_path.iterdir()), b""
    source: Any = stream(with_application_header(delta, header))
    try:
        async for chunk in xdelta.decode(Leased(str(tmp_path / "reference"), len(BASE)), source, SIZE):
            seen += chunk
    except DiffDecodeError:
        assert seen != TARGET
    else:
        assert seen == TARGET
    assert set(tmp_path.iterdir()) == before


async def test_more_gets_than_connections_all_end(s3_endpoint: str, bucket: str) -> None:
    """Those that wait for a reference hold no connection that its download needs."""
    config = Config(max_pool_connections=4)
    async with create_client(endpoint_url=s3_endpoint, config=config) as writer:
        for number in range(12):
            await writer.put_object(Bucket=bucket, Key=f"a/{number}.zip", Body=version(content(1), number))
    read: dict[int, bytes] = {}
    async with create_client(endpoint_url=s3_endpoint, config=config) as client:

        async def get(number: int) -> None:
            async with (await client.get_object(Bucket=bucket, Key=f"a/{number}.zip"))["Body"] as body:
                read[number] = await body.read()

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for number in range(12):
                    tasks.start_soon(get, number)
    assert read == {number: version(content(1), number) for number in range(12)}


async def test_a_recompressed_file_may_be_much_smaller_than_its_delta(
    client: DeltaGliderClient, bucket: str, s3: S3Client, tmp_path: Path
) -> None:
    """Its delta is that of the content, which has little in common with the reference's and packs well."""

    def make() -> tuple[bytes, bytes, bytes]:
        choose = random.Random(9)
        packed = []
        for name, letters in (("0", b"01"), ("1", b"ab")):
            (tmp_path / f"{name}.tar").write_bytes(bytes(choose.choices(letters, k=2 * MIB)))
            command = ["bzip2", "-c", str(tmp_path / f"{name}.tar")]
            packed.append(subprocess.run(command, check=True, capture_output=True).stdout)
            (tmp_path / name).write_bytes(packed[-1])
        return packed[0], packed[1], vcdiff(tmp_path / "0", tmp_path / "1", "-0", "-S", "none")

    reference, target, delta = await asyncio.to_thread(make)
    assert len(delta) > 2 * len(target) + MIB
    await put_raw(s3, bucket, "gz/reference.bin", reference, {"dg-file-sha256": sha256(reference)})
    await put_raw(s3, bucket, "gz/1.tar.gz.delta", delta, other_tools_metadata(delta, target, reference))
    assert await read(client, bucket, "gz/1.tar.gz") == target


async def test_a_long_body_may_come_in_large_pieces(client: DeltaGliderClient, s3: S3Client, bucket: str) -> None:
    """asyncio would read 256 KiB at a time."""
    await put_raw(s3, bucket, "long.bin", content(3, 5 * MIB))
    answer = await client._engine.store.get_existing(bucket, "long.bin")
    transport: Any = answer["Body"].connection.transport
    pieces = body_chunks(client._engine.store, answer, Request(bucket, "long.bin", {}, "long.bin"))
    async with contextlib.aclosing(pieces):
        await anext(pieces)
        assert transport.max_size == MIB
