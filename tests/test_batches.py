"""The original's methods for many files, and its upload in chunks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.client.original import _AT_ONCE
from deltaglider_async.errors import InvalidRequestError, LocalIOError, NotFoundError
from deltaglider_async.session import create_client
from tests.engine.conftest import content, version

MIB = 1024 * 1024
BASE = content(1)


@pytest.fixture
async def client(s3_endpoint: str) -> AsyncIterator[DeltaGliderClient]:
    async with create_client(endpoint_url=s3_endpoint) as client:
        yield client


def written(folder: Path, files: dict[str, bytes]) -> list[Path]:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return [folder / name for name in files]


class Told:
    """What a callback was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def plain(self, *arguments: Any) -> None:
        self.calls.append(arguments)

    async def later(self, *arguments: Any) -> None:
        await asyncio.sleep(0)
        self.calls.append(arguments)


@pytest.mark.parametrize("prefix", ["releases", "releases/"])
async def test_a_batch_goes_up_in_order_and_comes_down_in_order(
    client: DeltaGliderClient, bucket: str, tmp_path: Path, prefix: str
) -> None:
    files = {"notes.txt": b"notes", **{f"app-{number}.zip": version(BASE, number) for number in range(12)}}
    paths, up, down = written(tmp_path / "from", files), Told(), Told()
    summaries = await client.upload_batch(list(map(str, paths)), f"s3://{bucket}/{prefix}", 0.5, up.plain)
    assert [summary.key for summary in summaries] == [f"releases/{name}" for name in files]
    assert [summary.original_size for summary in summaries] == list(map(len, files.values()))
    operations = [summary.operation for summary in summaries]
    # The first that can be is the reference, however many are under way; all others are deltas against it.
    assert operations == ["upload_direct", "create_reference", *["create_delta"] * 11]
    assert up.calls == [(name, index, 13) for index, name in enumerate(files, 1)]

    urls = [f"s3://{bucket}/releases/{name}" for name in files]
    output = tmp_path / "new" / "folder"
    assert await client.download_batch(urls, output, down.later) == [output / name for name in files]
    assert {path.name: path.read_bytes() for path in output.iterdir()} == files
    assert sorted(down.calls) == sorted((name, index, 13) for index, name in enumerate(files, 1))
    assert [call[1] for call in down.calls[:_AT_ONCE]] == list(range(1, _AT_ONCE + 1))


async def test_no_file_of_a_batch_overwrites_another(client: DeltaGliderClient, bucket: str, tmp_path: Path) -> None:
    paths = written(tmp_path, {"1/app.zip": BASE, "2/app.zip": version(BASE, 2)})
    with pytest.raises(InvalidRequestError, match=r"1/app\.zip and .*2/app\.zip would both become 'app\.zip'"):
        await client.upload_batch(paths, f"s3://{bucket}/a")
    assert (await client.list_objects_v2(Bucket=bucket))["KeyCount"] == 0
    for number in (1, 2):
        await client.put_object(Bucket=bucket, Key=f"{number}/app.zip", Body=version(BASE, number))
    urls = [f"s3://{bucket}/1/app.zip", f"s3://{bucket}/2/app.zip"]
    with pytest.raises(InvalidRequestError, match=r"1/app\.zip and .*2/app\.zip would both become 'app\.zip'"):
        await client.download_batch(urls, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    # The same twice is no loss.
    assert await client.download_batch([urls[0], urls[0]], tmp_path / "out") == [tmp_path / "out" / "app.zip"] * 2
    assert (tmp_path / "out" / "app.zip").read_bytes() == version(BASE, 1)


@pytest.mark.parametrize("url", ["s3://{}/a/", "s3://{}/a/..", "s3://{}/.", "s3://{}", "s3://{}/nul\0"])
async def test_names_that_are_none_are_refused_before_anything_is_written(
    client: DeltaGliderClient, bucket: str, tmp_path: Path, url: str
) -> None:
    with pytest.raises(InvalidRequestError):
        await client.download_batch([url.format(bucket)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


async def test_the_error_of_a_batch_is_that_of_the_file_that_failed(
    client: DeltaGliderClient, bucket: str, tmp_path: Path
) -> None:
    paths = written(tmp_path, {f"app-{number}.zip": version(BASE, number) for number in range(3)})
    with pytest.raises(LocalIOError, match=r"missing\.zip"):
        await client.upload_batch([*paths, tmp_path / "missing.zip"], f"s3://{bucket}/a")
    await client.upload_batch(paths, f"s3://{bucket}/a/")
    with pytest.raises(NotFoundError, match=r"a/missing\.zip"):
        await client.download_batch([f"s3://{bucket}/a/app-1.zip", f"s3://{bucket}/a/missing.zip"], tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {"app-1.zip"}
    # A folder of that name stays one.
    (tmp_path / "other" / "app-1.zip").mkdir(parents=True)
    with pytest.raises(LocalIOError):
        await client.download_batch([f"s3://{bucket}/a/app-1.zip"], tmp_path / "other")
    with pytest.raises(LocalIOError, match="cannot create the folder"):
        await client.download_batch([f"s3://{bucket}/a/app-1.zip"], paths[0])
    assert not await client.upload_batch([], f"s3://{bucket}/a")
    assert not await client.download_batch([], tmp_path)


async def test_a_batch_has_so_many_files_under_way_and_no_more(
    client: DeltaGliderClient, bucket: str, tmp_path: Path
) -> None:
    paths = written(tmp_path, {f"{number}.txt": b"text" for number in range(3 * _AT_ONCE)})
    begun, enough = 0, asyncio.Event()

    async def wait(name: str, index: int, total: int) -> None:
        nonlocal begun
        begun += 1
        if begun == _AT_ONCE:
            await asyncio.sleep(0.05)  # would any more begin, they would by now
            assert begun == _AT_ONCE
            enough.set()
        await enough.wait()

    await client.upload_batch(paths, f"s3://{bucket}/a", progress_callback=wait)
    assert begun == len(paths)


@pytest.mark.parametrize(("key", "size"), [("a.zip", 3 * MIB + 5), ("a.txt", 3 * MIB + 5), ("a.zip", 0), ("a.zip", 7)])
@pytest.mark.parametrize("kind", ["plain", "later"])
async def test_an_upload_in_chunks_tells_of_each_once(
    client: DeltaGliderClient, bucket: str, tmp_path: Path, key: str, size: int, kind: str
) -> None:
    (path,), told = written(tmp_path, {"file": content(2, size)}), Told()
    summary = await client.upload_chunked(path, f"s3://{bucket}/{key}", MIB, getattr(told, kind), 0.9)
    assert (summary.key, summary.original_size) == (key, size)
    chunks = 4 if size > MIB else 1
    assert told.calls == [(chunk, chunks, min(chunk * MIB, size), size) for chunk in range(1, chunks + 1)]
    assert (await client.head_object(Bucket=bucket, Key=key))["ContentLength"] == size


async def test_an_upload_in_chunks_tells_nothing_that_was_not_done(
    client: DeltaGliderClient, bucket: str, tmp_path: Path
) -> None:
    told = Told()
    with pytest.raises(LocalIOError):
        await client.upload_chunked(tmp_path / "missing", f"s3://{bucket}/a.zip", progress_callback=told.plain)
    (path,) = written(tmp_path, {"file": BASE})
    with pytest.raises(NotFoundError):
        await client.upload_chunked(path, "s3://no-such-bucket-0/a.txt", 1000, told.plain)
    assert not [call for call in told.calls if call[0] == call[1]]
    with pytest.raises(InvalidRequestError, match="chunk_size"):
        await client.upload_chunked(path, f"s3://{bucket}/a.zip", 0)
    assert (await client.upload_chunked(path, f"s3://{bucket}/in/")).key == "in/file"
