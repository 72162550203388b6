"""Byte for byte there and back: what is put, however it is given, and what is then really stored."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiofiles
import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol

from deltaglider_async import create_client
from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.errors import InvalidRequestError, NotFoundError, SourceChangedError
from tests import artifacts

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

MIB = 1024 * 1024
DELTA_FIELDS = {
    "dg-tool", "dg-original-name", "dg-file-sha256", "dg-file-size", "dg-created-at", "dg-ref-key", "dg-ref-sha256",
    "dg-delta-size", "dg-delta-cmd",
}  # fmt: skip
Stored = dict[str, tuple[bytes, dict[str, str]]]
"""What other tools see: bytes and user metadata by key."""


@pytest.fixture(scope="module")
def trees() -> tuple[artifacts.Tree, artifacts.Tree]:
    return artifacts.releases()[:2]


@pytest.fixture
async def client(s3_endpoint: str) -> AsyncIterator[DeltaGliderClient]:
    async with create_client(endpoint_url=s3_endpoint) as client:
        yield client


async def stored(s3: S3Client, bucket: str, prefix: str = "") -> Stored:
    def read() -> Stored:
        found: Stored = {}
        for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
            answer = s3.get_object(Bucket=bucket, Key=item["Key"])
            found[item["Key"]] = answer["Body"].read(), answer["Metadata"]
        return found

    return await asyncio.to_thread(read)


async def content(client: DeltaGliderClient, bucket: str, key: str) -> bytes:
    async with (await client.get_object(Bucket=bucket, Key=key))["Body"] as body:
        data: bytes = await body.read()
    return data


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def assert_is_delta(found: Stored, key: str, data: bytes, reference: bytes, space: str) -> None:
    """`key` is stored as the format says, beside a reference with these bytes."""
    assert key not in found
    delta, metadata = found[f"{key}.delta"]
    assert delta.startswith(b"\xd6\xc3\xc4")
    assert set(metadata) - {"dg-note"} == DELTA_FIELDS
    assert metadata["dg-original-name"] == key.rpartition("/")[2]
    assert metadata["dg-file-sha256"] == sha256(data)
    assert metadata["dg-file-size"] == str(len(data))
    assert metadata["dg-ref-key"] == f"{space}/reference.bin"
    assert metadata["dg-ref-sha256"] == sha256(reference)
    assert metadata["dg-delta-size"] == str(len(delta))
    assert metadata["dg-created-at"].endswith("Z")
    datetime.fromisoformat(metadata["dg-created-at"])
    stored_reference, reference_metadata = found[f"{space}/reference.bin"]
    assert stored_reference == reference
    assert set(reference_metadata) == {
        "dg-tool",
        "dg-source-name",
        "dg-file-sha256",
        "dg-created-at",
        "dg-note",
        "dg-put-id",
    }
    assert reference_metadata["dg-file-sha256"] == sha256(reference)
    assert reference_metadata["dg-note"] == "reference"


@pytest.mark.parametrize(
    ("suffix", "make"),
    [("zip", artifacts.zipped), ("jar", artifacts.jar), ("tar", artifacts.tarred), ("deb", artifacts.deb)],
)
async def test_a_second_release_is_a_small_delta(
    client: DeltaGliderClient, s3: S3Client, bucket: str, tmp_path: Path,
    trees: tuple[artifacts.Tree, artifacts.Tree], suffix: str, make: Callable[[artifacts.Tree], bytes],
) -> None:  # fmt: skip
    first, second = map(make, trees)
    keys = f"library/library-1.{suffix}", f"library/library-2.{suffix}"
    answers = [
        await client.put_object(Bucket=bucket, Key=key, Body=data)
        for key, data in zip(keys, (first, second), strict=True)
    ]
    assert [answer["DeltaGliderInfo"]["Operation"] for answer in answers] == ["create_reference", "create_delta"]
    found = await stored(s3, bucket)
    assert set(found) == {"library/reference.bin", *(f"{key}.delta" for key in keys)}
    assert_is_delta(found, keys[0], first, first, "library")
    assert found[f"{keys[0]}.delta"][1]["dg-note"] == "zero-diff (reference identical)"
    assert_is_delta(found, keys[1], second, first, "library")
    assert len(found[f"{keys[1]}.delta"][0]) < len(second) / 10
    for key, data in zip(keys, (first, second), strict=True):
        assert await content(client, bucket, key) == data
        await client.download(f"s3://{bucket}/{key}", tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == data
        assert await client.verify(f"s3://{bucket}/{key}")


async def test_a_file_identical_to_the_reference_is_a_delta_of_almost_nothing(
    client: DeltaGliderClient, s3: S3Client, bucket: str, trees: tuple[artifacts.Tree, artifacts.Tree]
) -> None:
    data = artifacts.zipped(trees[0])
    for key in ("library/a.zip", "library/b.zip"):
        await client.put_object(Bucket=bucket, Key=key, Body=data)
    found = await stored(s3, bucket)
    assert_is_delta(found, "library/b.zip", data, data, "library")
    assert len(found["library/b.zip.delta"][0]) < 4096
    assert await content(client, bucket, "library/b.zip") == data


@pytest.fixture(scope="module")
def compressed(
    trees: tuple[artifacts.Tree, artifacts.Tree], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[bytes, bytes]]:
    """Two releases in each kind of whole-stream compression, by suffix."""
    first, second = ({name: tree[name] for name in tree if name.startswith(("asyncio", "VERSION"))} for tree in trees)
    made = {"tgz": (artifacts.npm_tgz(first), artifacts.npm_tgz(second))}
    kinds: list[artifacts.Compression] = ["gz", "bz2", "xz"]
    for kind in kinds:
        folders = tmp_path_factory.mktemp(kind), tmp_path_factory.mktemp(kind)
        made[f"tar.{kind}"] = (
            artifacts.compressed_tar(first, kind, folders[0]),
            artifacts.compressed_tar(second, kind, folders[1]),
        )
    return made


@pytest.mark.parametrize("suffix", ["tgz", "tar.gz", "tar.bz2", "tar.xz"])
async def test_a_compressed_stream_is_stored_as_itself(
    client: DeltaGliderClient, s3: S3Client, bucket: str, compressed: dict[str, tuple[bytes, bytes]],
    trees: tuple[artifacts.Tree, artifacts.Tree], suffix: str,
) -> None:  # fmt: skip
    archive = artifacts.zipped(trees[0])
    await client.put_object(Bucket=bucket, Key="after-a-zip/library.zip", Body=archive)
    for space in ("alone", "after-a-zip"):
        for number, data in enumerate(compressed[suffix], 1):
            key = f"{space}/library-{number}.{suffix}"
            info = (await client.put_object(Bucket=bucket, Key=key, Body=data))["DeltaGliderInfo"]
            assert (info["Operation"], info["StoredSize"]) == ("upload_direct", len(data))
            assert await content(client, bucket, key) == data
    found = await stored(s3, bucket)
    assert set(found) == {
        "after-a-zip/reference.bin", "after-a-zip/library.zip.delta",
        *(f"{space}/library-{number}.{suffix}" for space in ("alone", "after-a-zip") for number in (1, 2)),
    }  # fmt: skip
    plain, metadata = found[f"alone/library-2.{suffix}"]
    assert plain == compressed[suffix][1]
    assert set(metadata) == {
        "dg-tool", "dg-original-name", "dg-file-sha256", "dg-file-size", "dg-created-at", "dg-compression",
    }  # fmt: skip
    assert (metadata["dg-compression"], metadata["dg-file-sha256"]) == ("none", sha256(plain))


async def test_content_decides_and_not_the_name(
    client: DeltaGliderClient, s3: S3Client, bucket: str, compressed: dict[str, tuple[bytes, bytes]]
) -> None:
    """A compressed stream under another candidate's name would make a reference that the original cannot use."""
    for suffix, (data, _) in compressed.items():
        await client.put_object(Bucket=bucket, Key=f"named/{suffix}.zip", Body=data)
    found = await stored(s3, bucket)
    assert {key: data for key, (data, _) in found.items()} == {
        f"named/{suffix}.zip": data for suffix, (data, _) in compressed.items()
    }


async def test_a_tgz_of_npm_is_not_what_gzip_would_write_again(compressed: dict[str, tuple[bytes, bytes]]) -> None:
    """The premise of the tests above: recompressing these with any level of gzip gives other bytes."""
    data = compressed["tgz"][0]
    tar = gzip.decompress(data)
    assert all(gzip.compress(tar, level, mtime=0) != data for level in (1, 6, 9))


@pytest.mark.parametrize("data", [b"", b"x"], ids=["empty", "one byte"])
@pytest.mark.parametrize("space", ["alone", "beside"])
async def test_next_to_nothing_is_stored_as_itself(
    client: DeltaGliderClient, s3: S3Client, bucket: str, data: bytes, space: str
) -> None:
    await client.put_object(Bucket=bucket, Key="beside/big.zip", Body=random.Random(1).randbytes(50_000))
    await client.put_object(Bucket=bucket, Key=f"{space}/small.zip", Body=data)
    assert {key: plain for key, (plain, _) in (await stored(s3, bucket, f"{space}/small")).items()} == {
        f"{space}/small.zip": data
    }
    assert (f"{space}/reference.bin" in await stored(s3, bucket)) == (space == "beside")
    answer = await client.get_object(Bucket=bucket, Key=f"{space}/small.zip")
    assert answer["ContentLength"] == len(data)
    assert await answer["Body"].read() == data


# -- every kind of Body


class UploadFile:
    """Reads as Starlette's `UploadFile` does: an async `read`, no async iteration."""

    def __init__(self, data: bytes) -> None:
        self.filename = "upload.zip"
        self._data = memoryview(data)

    async def read(self, size: int = -1) -> bytes:
        chunk = self._data[: size if size >= 0 else None]
        self._data = self._data[len(chunk) :]
        return bytes(chunk)


class SyncPipe:
    """A blocking reader that can neither seek nor tell, such as a pipe or `subprocess.Popen.stdout`."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def read(self, size: int = -1) -> bytes:
        chunk = self._data[: size if size >= 0 else None]
        self._data = self._data[len(chunk) :]
        return bytes(chunk)


def stream_reader(data: bytes) -> aiohttp.StreamReader:
    loop = asyncio.get_running_loop()
    reader = aiohttp.StreamReader(BaseProtocol(loop), 2**30, loop=loop)
    for start in range(0, len(data), 100_000):
        reader.feed_data(data[start : start + 100_000])
    reader.feed_eof()
    return reader


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    yield b""
    for start in range(0, len(data), 70_001):
        await asyncio.sleep(0)
        yield data[start : start + 70_001]


Kind = Callable[[bytes, Path], AbstractAsyncContextManager[Any]]
KINDS: dict[str, Kind] = {}
#: Those whose length is known before they are read.
SIZED = {"bytes", "bytearray", "memoryview", "path", "file", "file from the middle"}


def kind(name: str) -> Callable[[Callable[[bytes, Path], AsyncIterator[Any]]], Kind]:
    def register(function: Callable[[bytes, Path], AsyncIterator[Any]]) -> Kind:
        KINDS[name] = asynccontextmanager(function)
        return KINDS[name]

    return register


def given(name: str, make: Callable[[bytes], Any]) -> None:
    @kind(name)
    async def body(data: bytes, path: Path) -> AsyncIterator[Any]:
        yield make(data)


given("bytes", bytes)
given("bytearray", bytearray)
given("memoryview", memoryview)
given("aiohttp stream", stream_reader)
given("async iterator", pieces)
given("upload file", UploadFile)
given("blocking pipe", SyncPipe)


@kind("path")
async def a_path(data: bytes, path: Path) -> AsyncIterator[Any]:
    await asyncio.to_thread(path.write_bytes, data)
    yield path


@kind("file")
async def a_file(data: bytes, path: Path) -> AsyncIterator[Any]:
    await asyncio.to_thread(path.write_bytes, data)
    with path.open("rb") as file:
        yield file


@kind("file from the middle")
async def a_file_from_the_middle(data: bytes, path: Path) -> AsyncIterator[Any]:
    await asyncio.to_thread(path.write_bytes, b"already read" + data)
    with path.open("rb") as file:
        assert file.read(12) == b"already read"
        yield file


@kind("aiofiles file")
async def an_aiofiles_file(data: bytes, path: Path) -> AsyncIterator[Any]:
    await asyncio.to_thread(path.write_bytes, data)
    async with aiofiles.open(path, "rb") as file:
        yield file


LARGE = 9 * MIB
"""More than is read into memory before anything is decided."""


@pytest.fixture(scope="module")
def reference() -> bytes:
    return random.Random(2).randbytes(LARGE)


@pytest.fixture(scope="module")
def prepared(s3_endpoint: str, s3: S3Client, reference: bytes) -> Iterator[str]:
    """A bucket with a reference of `LARGE` bytes in `large/`, and a small one in `small/`."""
    name = "prepared-for-bodies"
    s3.create_bucket(Bucket=name)

    async def put() -> None:
        # The environment of the tests is not there yet.
        opening = create_client(s3_endpoint, aws_access_key_id="any", aws_secret_access_key="any")
        async with opening as client:
            await client.put_object(Bucket=name, Key="large/first.zip", Body=reference)
            await client.put_object(Bucket=name, Key="small/first.zip", Body=reference[:10_000])

    asyncio.run(put())
    yield name


BODIES = {
    "large delta": ("large", lambda reference: reference[:MIB] + b"inserted" + reference[MIB:], True),
    "large refused": ("large", lambda reference: random.Random(3).randbytes(2 * MIB) + reference, False),
    "small delta": ("small", lambda reference: reference[:5000] + b"inserted" + reference[5000:10_000], True),
}


@pytest.mark.parametrize("name", KINDS)
async def test_every_kind_of_body_comes_back(
    client: DeltaGliderClient, prepared: str, reference: bytes, tmp_path: Path, name: str
) -> None:
    for what, (space, make, is_delta) in BODIES.items():
        data = await asyncio.to_thread(make, reference)
        key = f"{space}/{name}, {what}.zip"
        async with KINDS[name](data, tmp_path / "file") as body:
            answer = await client.put_object(Bucket=prepared, Key=key, Body=body, max_ratio=0.1)
        assert answer["DeltaGliderInfo"]["IsDelta"] == is_delta, what
        assert answer["DeltaGliderInfo"]["OriginalSize"] == len(data), what
        assert await content(client, prepared, key) == data, what
    # Where no delta is tried, a stream is sent as it comes.
    for data in (reference[:777], reference):
        async with KINDS[name](data, tmp_path / "file") as body:
            answer = await client.put_object(Bucket=prepared, Key=f"plain/{name}", Body=body)
        assert not answer["DeltaGliderInfo"]["IsDelta"]
        assert await content(client, prepared, f"plain/{name}") == data


async def test_a_file_unlike_the_reference_is_stored_as_itself(
    client: DeltaGliderClient, prepared: str, tmp_path: Path
) -> None:
    data = random.Random(4).randbytes(LARGE)
    async with KINDS["upload file"](data, tmp_path / "file") as body:
        info = (await client.put_object(Bucket=prepared, Key="large/unlike.zip", Body=body))["DeltaGliderInfo"]
    assert (info["Operation"], info["StoredSize"]) == ("upload_direct", LARGE)
    assert await content(client, prepared, "large/unlike.zip") == data


async def test_text_is_utf8(client: DeltaGliderClient, bucket: str) -> None:
    for text in ("héllo 中", "中" * (LARGE // 3)):
        for key in ("text.txt", "text.zip"):
            await client.put_object(Bucket=bucket, Key=key, Body=text)
            assert await content(client, bucket, key) == text.encode()


@pytest.mark.parametrize("name", KINDS)
async def test_an_announced_length_is_held_to(
    client: DeltaGliderClient, prepared: str, reference: bytes, tmp_path: Path, name: str
) -> None:
    expected = InvalidRequestError if name in SIZED else SourceChangedError
    sizes = [3000] if name in SIZED else [3000, LARGE]
    for size, suffix in itertools.product(sizes, ("zip", "txt")):
        key = f"large/announced {name} {size}.{suffix}"
        data = reference[:size]
        for wrong in (size - 1, size + 1):
            async with KINDS[name](data, tmp_path / "file") as body:
                with pytest.raises(expected):
                    await client.put_object(Bucket=prepared, Key=key, Body=body, ContentLength=wrong)
            with pytest.raises(NotFoundError):
                await client.head_object(Bucket=prepared, Key=key)
        async with KINDS[name](data, tmp_path / "file") as body:
            await client.put_object(Bucket=prepared, Key=key, Body=body, ContentLength=size)
        assert await content(client, prepared, key) == data


@pytest.mark.parametrize(
    "body", [5, 1.5, ["a"], {"a": b"b"}, object(), iter([b"a"])], ids=lambda body: type(body).__name__
)
async def test_anything_else_is_refused(client: DeltaGliderClient, bucket: str, body: object) -> None:
    for key in ("key", "key.zip"):
        with pytest.raises(InvalidRequestError, match="Body"):
            await client.put_object(Bucket=bucket, Key=key, Body=body)


async def test_streams_of_something_else_are_refused(
    client: DeltaGliderClient, s3: S3Client, bucket: str, tmp_path: Path
) -> None:
    async def numbers() -> AsyncIterator[Any]:
        yield b"bytes first"
        yield 5

    path = tmp_path / "text"
    path.write_text("text")
    for key in ("key", "key.zip"):
        with path.open() as file, pytest.raises(InvalidRequestError, match="binary"):
            await client.put_object(Bucket=bucket, Key=key, Body=file)
        async with aiofiles.open(path) as async_file:
            with pytest.raises(InvalidRequestError, match="str"):
                await client.put_object(Bucket=bucket, Key=key, Body=async_file)
        with pytest.raises(InvalidRequestError, match="int"):
            await client.put_object(Bucket=bucket, Key=key, Body=numbers())
    assert await stored(s3, bucket) == {}
