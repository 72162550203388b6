"""boto3's managed transfers: the same calls, the same results, the same errors as boto3's own."""

from __future__ import annotations

import asyncio
import copy
import io
import os
import secrets
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aioboto3
import aiofiles
import boto3  # type: ignore[import-untyped]
import psutil
import pytest
from boto3.exceptions import S3UploadFailedError  # type: ignore[import-untyped]
from boto3.s3.transfer import TransferConfig  # type: ignore[import-untyped]
from botocore.config import Config
from botocore.exceptions import ClientError

from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.errors import (
    IntegrityMismatchError,
    InvalidRequestError,
    LocalIOError,
    NotFoundError,
    PreconditionFailedError,
    SourceChangedError,
)
from deltaglider_async.session import create_client
from tests.engine.conftest import content, version

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

MIB = 1024 * 1024
BASE = content(1)
EXTRA = {
    "Metadata": {"build": "77"},
    "ContentType": "application/x-app",
    "CacheControl": "no-store",
    "ContentDisposition": 'attachment; filename="app"',
    "Tagging": "team=core&tier=1",
    "StorageClass": "STANDARD",
}


@pytest.fixture
async def client(s3_endpoint: str) -> AsyncIterator[DeltaGliderClient]:
    async with create_client(endpoint_url=s3_endpoint) as client:
        yield client


@pytest.fixture
async def real(conditional_endpoint: str) -> AsyncIterator[tuple[DeltaGliderClient, str]]:
    """A client of a real server, and a bucket there."""
    async with create_client(endpoint_url=conditional_endpoint) as client:
        name = f"test-{secrets.token_hex(8)}"
        await client.create_bucket(Bucket=name)
        yield client, name


def boto3_client(endpoint: str) -> S3Client:
    """boto3's own, whose transfers ours are compared with."""
    made: S3Client = boto3.client(
        "s3", endpoint_url=endpoint, config=Config(proxies={}, retries={"total_max_attempts": 1})
    )
    return made


@pytest.fixture
async def theirs(s3_endpoint: str) -> AsyncIterator[S3Client]:
    made = await asyncio.to_thread(boto3_client, s3_endpoint)
    yield made
    made.close()


async def read(client: Any, bucket: str, key: str) -> bytes:
    async with (await client.get_object(Bucket=bucket, Key=key))["Body"] as body:
        data: bytes = await body.read()
    return data


async def stored(client: DeltaGliderClient, bucket: str) -> set[str]:
    return {item["Key"] async for page in client._engine.store.pages(bucket) for item in page.get("Contents", ())}


def file_of(folder: Path, data: bytes, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


class Told:
    """What a callback was told."""

    def __init__(self) -> None:
        self.amounts: list[int] = []

    def plain(self, amount: int) -> None:
        self.amounts.append(amount)

    async def later(self, amount: int) -> None:
        await asyncio.sleep(0)
        self.amounts.append(amount)


#: A delta, an object that is never one, one that was tried and refused, and one in parts.
KINDS = {
    "delta": ("a/2.zip", version(BASE, 2)),
    "plain": ("a/2.txt", version(BASE, 2)),
    "refused": ("a/3.zip", content(7, 3 * MIB)),
    "long": ("a/long.bin2", content(8, 20 * MIB)),
    "empty": ("a/empty.zip", b""),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_file_goes_up_and_comes_down_as_in_boto3(
    real: tuple[DeltaGliderClient, str], kind: str, tmp_path: Path
) -> None:
    client, bucket = real
    key, data = KINDS[kind]
    await client.put_object(Bucket=bucket, Key="a/1.zip", Body=BASE)
    path, up, down = file_of(tmp_path, data), Told(), Told()
    extra = {name: value for name, value in EXTRA.items() if name != "StorageClass"}  # not every server has them
    await client.upload_file(str(path), bucket, key, extra, up.plain)
    assert sum(up.amounts) == len(data) and all(amount > 0 for amount in up.amounts)

    head = await client.head_object(Bucket=bucket, Key=key)
    assert head["Metadata"] == EXTRA["Metadata"]
    assert (head["ContentType"], head["CacheControl"]) == (EXTRA["ContentType"], EXTRA["CacheControl"])
    assert head["ContentDisposition"] == EXTRA["ContentDisposition"]
    assert head["DeltaGliderInfo"]["IsDelta"] == (kind == "delta")
    at = f"{key}.delta" if kind == "delta" else key
    tags = (await client._s3.get_object_tagging(Bucket=bucket, Key=at))["TagSet"]
    assert sorted((tag["Key"], tag["Value"]) for tag in tags) == [("team", "core"), ("tier", "1")]

    await client.download_file(bucket, key, tmp_path / "back", None, down.later)
    assert (tmp_path / "back").read_bytes() == data
    assert sum(down.amounts) == len(data) and all(amount > 0 for amount in down.amounts)


@pytest.mark.parametrize("key", ["a/2.zip", "a/2.txt"])
async def test_what_is_uploaded_is_what_boto3_would_have_uploaded(
    client: DeltaGliderClient, theirs: S3Client, bucket: str, tmp_path: Path, key: str
) -> None:
    await client.put_object(Bucket=bucket, Key="a/1.zip", Body=BASE)
    path = file_of(tmp_path, version(BASE, 2))
    for extra in (
        {},
        EXTRA,
        {"ServerSideEncryption": "AES256"},
        {"ChecksumAlgorithm": "SHA256", "ChecksumType": "COMPOSITE"},
    ):
        await client.upload_file(path, bucket, key, extra)
        await asyncio.to_thread(theirs.upload_file, str(path), bucket, "b/theirs", extra)
        ours: dict[str, Any] = dict(await client.head_object(Bucket=bucket, Key=key))
        other = await asyncio.to_thread(lambda: theirs.head_object(Bucket=bucket, Key="b/theirs"))
        different = {"ResponseMetadata", "ETag", "LastModified", "DeltaGliderInfo"}
        assert {
            name: value for name, value in ours.items() if name not in different and not name.startswith("Checksum")
        } == {name: value for name, value in other.items() if name not in different}
        buffers = io.BytesIO(), io.BytesIO()
        await client.download_fileobj(bucket, key, buffers[0])
        await asyncio.to_thread(theirs.download_fileobj, bucket, "b/theirs", buffers[1])
        assert buffers[0].getvalue() == buffers[1].getvalue() == version(BASE, 2)
    # What ours uploaded as it is, boto3 downloads.
    if key.endswith(".txt"):
        await asyncio.to_thread(theirs.download_file, bucket, key, str(tmp_path / "theirs"))
        assert (tmp_path / "theirs").read_bytes() == version(BASE, 2)


async def test_encryption_reaches_a_delta_and_its_reference(client: DeltaGliderClient, bucket: str) -> None:
    extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "arn:aws:kms:us-east-1:111122223333:key/1"}
    for number in (1, 2):
        await client.upload_fileobj(io.BytesIO(version(BASE, number)), bucket, f"a/{number}.zip", ExtraArgs=extra)
    assert await stored(client, bucket) == {"a/reference.bin", "a/1.zip.delta", "a/2.zip.delta"}
    for key in await stored(client, bucket):
        head = await client._s3.head_object(Bucket=bucket, Key=key)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == tuple(extra.values())


class Unseekable(io.RawIOBase):
    """A file that exists once, and gives a little at a time."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(memoryview(buffer)[:70_000])


async def test_file_objects_of_every_kind_go_up(client: DeltaGliderClient, bucket: str, tmp_path: Path) -> None:
    data = version(BASE, 3)
    path = file_of(tmp_path, data)
    started = io.BytesIO(b"skipped" + data)
    started.seek(7)
    reader, writer = os.pipe()

    def fill() -> None:
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(data)

    filling = asyncio.create_task(asyncio.to_thread(fill))
    with os.fdopen(reader, "rb") as pipe, path.open("rb") as plain:
        async with aiofiles.open(path, "rb") as later:
            files: list[Any] = [io.BytesIO(data), plain, later, started, Unseekable(data), pipe]
            for number, file in enumerate(files):
                told = Told()
                await client.upload_fileobj(file, bucket, f"a/{number}.zip", None, told.plain)
                assert sum(told.amounts) == len(data), file
                assert await read(client, bucket, f"a/{number}.zip") == data, file
                assert not file.closed
    await filling


class Slow(io.RawIOBase):
    """Takes less than it is given, as raw files may."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.taken += data[:1000]
        return min(1000, len(data))


class Bare:
    """Has nothing but `write`, which tells nothing."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def write(self, data: bytes) -> None:
        self.taken += data


@pytest.mark.parametrize("key", ["a/2.zip", "a/2.txt"])
async def test_file_objects_of_every_kind_take_a_download(
    client: DeltaGliderClient, bucket: str, tmp_path: Path, key: str
) -> None:
    data = version(BASE, 2)
    for name, body in (("a/1.zip", BASE), (key, data)):
        await client.put_object(Bucket=bucket, Key=name, Body=body)
    slow, bare, used = Slow(), Bare(), io.BytesIO(b"what was there before")
    used.seek(5)
    for file in (slow, bare, used):
        told = Told()
        await client.download_fileobj(bucket, key, file, None, told.later)
        assert sum(told.amounts) == len(data)
    assert slow.taken == bare.taken == used.getvalue() == data
    async with aiofiles.open(tmp_path / "later", "wb") as later:
        await client.download_fileobj(Bucket=bucket, Key=key, Fileobj=later)
    assert (tmp_path / "later").read_bytes() == data


async def test_a_download_streams_into_a_socket(client: DeltaGliderClient, bucket: str) -> None:
    data = content(4, 9 * MIB)
    await client.put_object(Bucket=bucket, Key="long.bin2", Body=data)

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await client.download_fileobj(bucket, "long.bin2", writer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == data
        writer.close()


async def test_nobody_gets_a_complete_wrong_download(
    client: DeltaGliderClient, s3: S3Client, bucket: str, tmp_path: Path
) -> None:
    path = file_of(tmp_path, b"what was there before")
    for key in ("a/1.zip", "a/2.zip", "a/2.txt"):
        await client.put_object(Bucket=bucket, Key=key, Body=version(BASE, 2))

    def damage(key: str, place: int) -> None:
        answer = s3.get_object(Bucket=bucket, Key=key)
        data = bytearray(answer["Body"].read())
        data[place] ^= 1
        s3.put_object(Bucket=bucket, Key=key, Body=bytes(data), Metadata=answer["Metadata"])

    await asyncio.to_thread(damage, "a/2.txt", 1000)
    await asyncio.to_thread(damage, "a/reference.bin", 1000)
    await client.clear_cache()
    for key in ("a/2.zip", "a/2.txt"):
        buffer, told = io.BytesIO(), Told()
        with pytest.raises(IntegrityMismatchError):
            await client.download_fileobj(bucket, key, buffer, Callback=told.plain)
        assert sum(told.amounts) <= len(buffer.getvalue()) < len(BASE)
        with pytest.raises(IntegrityMismatchError):
            await client.download_file(bucket, key, str(path))
        assert path.read_bytes() == b"what was there before"
    assert names_in(tmp_path) == ["file"]


# -- errors


async def test_errors_are_those_of_boto3(
    client: DeltaGliderClient, theirs: S3Client, bucket: str, tmp_path: Path
) -> None:
    path = file_of(tmp_path, b"data")
    no_folder, nowhere = str(tmp_path / "none" / "file"), "no-such-bucket-0"
    await client.put_object(Bucket=bucket, Key="there", Body=b"data")
    source = {"Bucket": bucket, "Key": "missing"}
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("download_file", (bucket, "missing", str(path))),
        ("download_file", (nowhere, "missing", str(path))),
        ("download_file", (bucket, "there", no_folder)),
        ("download_file", (bucket, "there", str(tmp_path))),
        ("download_file", (bucket, "there", str(path), {"ContentType": "x"})),
        ("download_file", (bucket, "there", 7)),
        ("download_fileobj", (bucket, "missing", io.BytesIO())),
        ("download_fileobj", (bucket, "there", object())),
        ("upload_file", (str(path), nowhere, "key")),
        ("upload_file", (no_folder, bucket, "key")),
        ("upload_file", (str(tmp_path), bucket, "key")),
        ("upload_file", (b"bytes", bucket, "key")),
        ("upload_file", (str(path), bucket, "key", {"Body": b"x"})),
        ("upload_fileobj", (io.BytesIO(b"data"), nowhere, "key")),
        ("upload_fileobj", ("no file", bucket, "key")),
        ("upload_fileobj", (io.BytesIO(b"data"), bucket, "key", {"IfMatches": "x"})),
        ("copy", (source, bucket, "key")),
        ("copy", ({"Bucket": bucket, "Key": "there"}, nowhere, "key")),
        ("copy", ({"Bucket": bucket, "Key": "there"}, bucket, "key", {"ContentLength": 1})),
        ("copy", ({"Bucket": bucket, "Key": "there"}, bucket, "key", {"CopySourceIfMatch": '"other"'})),
    ]  # fmt: skip
    for name, arguments in calls:
        with pytest.raises(Exception) as expected:
            await asyncio.to_thread(getattr(theirs, name), *map(copy.copy, arguments))  # it closes files
        with pytest.raises(Exception) as ours:
            await getattr(client, name)(*arguments)
        described = f"{name}{arguments}: {ours.value!r} instead of {expected.value!r}"
        if isinstance(expected.value, (AttributeError, TypeError)):  # something that boto3 did not foresee
            assert isinstance(ours.value, InvalidRequestError), described
            continue
        kind = ClientError if isinstance(expected.value, ClientError) else type(expected.value)
        assert isinstance(ours.value, kind), described
        if isinstance(expected.value, ClientError):
            assert isinstance(ours.value, ClientError)
            assert ours.value.response["Error"]["Code"] == expected.value.response["Error"]["Code"], described
        if "extra_args" in str(expected.value):
            assert str(ours.value) == str(expected.value)
    assert path.read_bytes() == b"data"
    assert await stored(client, bucket) == {"there"}
    assert names_in(tmp_path) == ["file"]


async def test_errors_are_those_of_this_package_too(client: DeltaGliderClient, bucket: str, tmp_path: Path) -> None:
    path = file_of(tmp_path, b"data")
    with pytest.raises(NotFoundError) as uploading:
        await client.upload_file(path, "no-such-bucket-0", "key")
    assert isinstance(uploading.value, S3UploadFailedError)
    assert isinstance(uploading.value, client.exceptions.NoSuchBucket)
    assert "there is no bucket 'no-such-bucket-0'" in str(uploading.value)
    with pytest.raises(NotFoundError) as downloading:
        await client.download_file(bucket, "missing", path)
    assert isinstance(downloading.value, client.exceptions.NoSuchKey)
    assert f"s3://{bucket}/missing" in str(downloading.value)
    with pytest.raises(LocalIOError, match=r"cannot read .*none"):
        await client.upload_file(tmp_path / "none", bucket, "key")
    with pytest.raises(InvalidRequestError, match="Config is dict"):
        await client.upload_file(path, bucket, "key", Config={"max_concurrency": 1})  # type: ignore[arg-type]
    with pytest.raises(SourceChangedError):
        await client.upload_fileobj(Unseekable(b"data"), bucket, "key", {"MpuObjectSize": 5})
    assert await stored(client, bucket) == set()


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_an_error_of_the_callback_ends_the_transfer(
    client: DeltaGliderClient, bucket: str, tmp_path: Path, kind: str
) -> None:
    def refuse(amount: int) -> None:
        raise RuntimeError("stop")

    async def refuse_later(amount: int) -> None:
        refuse(amount)

    callback: Callable[[int], Any] = refuse if kind == "plain" else refuse_later
    await client.put_object(Bucket=bucket, Key="long.bin2", Body=content(4, 9 * MIB))
    with pytest.raises(RuntimeError, match="stop"):
        await client.download_file(bucket, "long.bin2", tmp_path / "back", Callback=callback)
    assert names_in(tmp_path) == []
    with pytest.raises(RuntimeError, match="stop"):
        await client.upload_fileobj(io.BytesIO(content(5, 40 * MIB)), bucket, "other.bin2", Callback=callback)
    assert await stored(client, bucket) == {"long.bin2"}
    assert "Uploads" not in await client._s3.list_multipart_uploads(Bucket=bucket)


async def test_a_slow_callback_is_told_larger_sums(client: DeltaGliderClient, bucket: str) -> None:
    data, told, ended = content(4, 9 * MIB), Told(), asyncio.Event()

    async def slow(amount: int) -> None:
        told.plain(amount)
        if len(told.amounts) == 1:
            await ended.wait()

    class Sink:
        async def write(self, chunk: bytes) -> None:
            self.size = getattr(self, "size", 0) + len(chunk)
            if self.size == len(data):
                ended.set()

    await client.put_object(Bucket=bucket, Key="long.bin2", Body=data)
    await client.download_fileobj(bucket, "long.bin2", Sink(), Callback=slow)
    assert len(told.amounts) <= 3 and sum(told.amounts) == len(data)


# -- what it takes, and what it leaves


class Waiting:
    """An async file that stops in the middle until it is cancelled."""

    def __init__(self, data: bytes, stop_at: int) -> None:
        self._data, self._stop_at, self._position = data, stop_at, 0
        self.reached = asyncio.Event()

    async def read(self, size: int) -> bytes:
        await self._step(size)
        return self._data[self._position - size : self._position]

    async def write(self, chunk: bytes) -> None:
        await self._step(len(chunk))

    async def _step(self, size: int) -> None:
        if self._position >= self._stop_at:
            self.reached.set()
            await asyncio.Event().wait()
        self._position += size


@pytest.mark.parametrize(("key", "reached"), [("a/2.zip", 5 * MIB), ("a/2.txt", 26 * MIB)])
async def test_a_cancelled_upload_leaves_nothing(real: tuple[DeltaGliderClient, str], key: str, reached: int) -> None:
    client, bucket = real
    await client.put_object(Bucket=bucket, Key="a/1.zip", Body=BASE)
    before = await stored(client, bucket)
    file, told = Waiting(content(3, reached + MIB), reached), Told()
    upload = asyncio.create_task(client.upload_fileobj(file, bucket, key, Callback=told.later))
    await file.reached.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert sum(told.amounts) <= reached
    assert await stored(client, bucket) == before
    assert "Uploads" not in await client._s3.list_multipart_uploads(Bucket=bucket, Prefix=key)
    assert not xdelta3_processes()


@pytest.mark.parametrize("key", ["a/2.zip", "a/2.txt"])
async def test_a_cancelled_download_leaves_nothing(
    client: DeltaGliderClient, bucket: str, key: str, tmp_path: Path
) -> None:
    base = content(3, 9 * MIB)
    for number, name in enumerate(("a/1.zip", key)):
        await client.put_object(Bucket=bucket, Key=name, Body=version(base, number))
    file = Waiting(b"", 3 * MIB)
    download = asyncio.create_task(client.download_fileobj(bucket, key, file))
    await file.reached.wait()
    download.cancel()
    with pytest.raises(asyncio.CancelledError):
        await download
    assert not xdelta3_processes()

    reached = asyncio.Event()

    async def stop(amount: int) -> None:
        reached.set()
        await asyncio.Event().wait()

    into_file = asyncio.create_task(client.download_file(bucket, key, tmp_path / "file", Callback=stop))
    await reached.wait()
    into_file.cancel()
    with pytest.raises(asyncio.CancelledError):
        await into_file
    assert names_in(tmp_path) == [] and not xdelta3_processes()


def xdelta3_processes() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "xdelta3" in child.name()]


async def test_memory_does_not_grow_with_the_file(real: tuple[DeltaGliderClient, str], tmp_path: Path) -> None:
    client, bucket = real
    size = 20 * MIB
    peaks: dict[str, int] = {}
    path = file_of(tmp_path, content(3, size))
    await client.put_object(Bucket=bucket, Key="a/1.zip", Body=path)

    class Sink:
        def write(self, chunk: bytes) -> None:
            pass

    tracemalloc.start()
    try:
        for key in ("a/2.zip", "a/2.txt"):
            tracemalloc.reset_peak()
            start = tracemalloc.get_traced_memory()[0]
            await client.upload_file(path, bucket, key)
            peaks[f"up {key}"] = tracemalloc.get_traced_memory()[1] - start
            tracemalloc.reset_peak()
            await client.download_fileobj(bucket, key, Sink())
            peaks[f"down {key}"] = tracemalloc.get_traced_memory()[1] - start
    finally:
        tracemalloc.stop()
    print(peaks)
    assert peaks["down a/2.zip"] < 12 * MIB
    assert peaks["down a/2.txt"] < 8 * MIB
    assert peaks["up a/2.zip"] < 24 * MIB  # two blocks, and the index of the reference


async def test_max_concurrency_bounds_the_parts_under_way(
    client: DeltaGliderClient, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = client._engine.store.s3
    upload_part, running, most = s3.upload_part, 0, 0

    async def counted(**arguments: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await upload_part(**arguments)
        finally:
            running -= 1

    monkeypatch.setattr(s3, "upload_part", counted)
    data = content(3, 25 * MIB)
    for config, expected in (
        (TransferConfig(max_concurrency=1), 1),
        (TransferConfig(use_threads=False), 1),
        (TransferConfig(max_concurrency=2), 2),
        (None, 3),
    ):
        most = 0
        await client.upload_fileobj(io.BytesIO(data), bucket, "long.bin2", Config=config)
        assert most == expected
    assert await read(client, bucket, "long.bin2") == data


@pytest.mark.parametrize("key", ["a/2.zip", "a/2.txt"])
async def test_max_bandwidth_is_kept_by_what_goes_over_the_network(
    client: DeltaGliderClient, bucket: str, tmp_path: Path, key: str
) -> None:
    base = content(3, 4 * MIB)
    path = file_of(tmp_path, version(base, 2))
    await client.put_object(Bucket=bucket, Key="a/1.zip", Body=base)
    loop, config = asyncio.get_running_loop(), TransferConfig(max_bandwidth=10 * MIB)
    plain = key.endswith(".txt")
    for number in (1, 2):  # each transfer has its own
        start = loop.time()
        if number == 1:
            await client.upload_file(path, bucket, key, Config=config)
        else:
            await client.download_file(bucket, key, tmp_path / "back", Config=config)
        # A delta is small: nothing is to be waited for, but how long that takes cannot be said.
        assert loop.time() - start >= (0.4 if plain else 0)
    assert (tmp_path / "back").read_bytes() == version(base, 2)


# -- copies


async def test_a_copy_on_one_endpoint_moves_the_delta(client: DeltaGliderClient, bucket: str) -> None:
    for number in (1, 2):
        await client.put_object(
            Bucket=bucket, Key=f"a/{number}.zip", Body=version(BASE, number), Metadata={"n": str(number)}
        )
    source, told = {"Bucket": bucket, "Key": "a/2.zip"}, Told()
    async with create_client(endpoint_url=str(client.meta.endpoint_url)) as other:
        for key, source_client in (("b/1.zip", None), ("b/2.zip", other), ("b/3.zip", client._s3)):
            told.amounts.clear()
            await client.copy(source, bucket, key, None, told.plain, source_client)
            assert sum(told.amounts) == len(BASE)
            assert await read(client, bucket, key) == version(BASE, 2)
            assert (await client.head_object(Bucket=bucket, Key=key))["Metadata"] == {"n": "2"}
    assert await stored(client, bucket) == {
        "a/reference.bin", "a/1.zip.delta", "a/2.zip.delta",
        "b/reference.bin", "b/1.zip.delta", "b/2.zip.delta", "b/3.zip.delta",
    }  # fmt: skip
    # Moved with their reference, not made anew from b/1.zip.
    reference = await client._s3.get_object(Bucket=bucket, Key="b/reference.bin")
    assert await reference["Body"].read() == version(BASE, 1)


@pytest.mark.parametrize("whose", ["ours", "aioboto3's"])
async def test_a_copy_between_endpoints_streams_with_all_that_belongs_to_the_object(
    client: DeltaGliderClient, bucket: str, real: tuple[DeltaGliderClient, str], whose: str
) -> None:
    there, other_bucket = real
    source = client if whose == "ours" else client._s3
    objects = {"a/1.zip": BASE, "a/2.zip": version(BASE, 2), "a/notes.txt": b"notes", "a/empty.zip": b""}
    for key, data in objects.items():
        extra = {"Metadata": {"of": "it"}, "ContentType": "application/x-app", "Tagging": "team=core"}
        await client.put_object(Bucket=bucket, Key=key, Body=data, **extra)  # type: ignore[arg-type]
    for key, data in objects.items():
        told = Told()
        await there.copy({"Bucket": bucket, "Key": key}, other_bucket, key, Callback=told.later, SourceClient=source)
        assert sum(told.amounts) == len(data)
        assert await read(there, other_bucket, key) == data
        head = await there.head_object(Bucket=other_bucket, Key=key)
        assert (head["Metadata"], head["ContentType"]) == ({"of": "it"}, "application/x-app")
        at = f"{key}.delta" if f"{key}.delta" in await stored(there, other_bucket) else key
        tags = await there._s3.get_object_tagging(Bucket=other_bucket, Key=at)
        assert tags["TagSet"] == [{"Key": "team", "Value": "core"}]
    assert await stored(there, other_bucket) == {
        "a/reference.bin", "a/1.zip.delta", "a/2.zip.delta", "a/notes.txt", "a/empty.zip",
    }  # fmt: skip

    extra_args = {"MetadataDirective": "REPLACE", "Metadata": {"new": "1"}, "TaggingDirective": "REPLACE"}
    await there.copy({"Bucket": bucket, "Key": "a/2.zip"}, other_bucket, "a/3.zip", extra_args, SourceClient=source)
    head = await there.head_object(Bucket=other_bucket, Key="a/3.zip")
    assert head["Metadata"] == {"new": "1"} and head.get("ContentType") != "application/x-app"

    with pytest.raises(NotFoundError) as missing:
        await there.copy({"Bucket": bucket, "Key": "missing"}, other_bucket, "x", SourceClient=source)
    assert isinstance(missing.value, ClientError) and missing.value.response["Error"]["Code"] == "404"
    with pytest.raises(PreconditionFailedError):
        await there.copy(
            {"Bucket": bucket, "Key": "a/2.zip"}, other_bucket, "x", {"CopySourceIfMatch": '"x"'}, SourceClient=source
        )


async def test_a_plain_object_becomes_a_delta_on_another_endpoint(
    s3_endpoint: str, s3: S3Client, bucket: str, real: tuple[DeltaGliderClient, str]
) -> None:
    """A bucket that this package never wrote to, read by a client of aioboto3's."""
    there, other_bucket = real

    def fill() -> None:
        for number in (1, 2):
            s3.put_object(Bucket=bucket, Key=f"a/{number}.zip", Body=version(BASE, number))

    await asyncio.to_thread(fill)
    async with aioboto3.Session().client("s3", endpoint_url=s3_endpoint) as source:
        for number in (1, 2):
            key = f"a/{number}.zip"
            await there.copy({"Bucket": bucket, "Key": key}, other_bucket, key, SourceClient=source)
            assert await read(there, other_bucket, key) == version(BASE, number)
    assert await stored(there, other_bucket) == {"a/reference.bin", "a/1.zip.delta", "a/2.zip.delta"}
