"""What a put would come to, and what it came to."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.errors import InvalidRequestError, LocalIOError, NotFoundError
from tests.engine.conftest import MakeClient, content, version

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BASE = content(1, 2_000_000)

File = Callable[[bytes], Path]


@pytest.fixture
def file(tmp_path: Path) -> File:
    def write(body: bytes) -> Path:
        path = tmp_path / "app-2.0.zip"
        path.write_bytes(body)
        return path

    return write


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
async def test_an_estimate_is_near_what_the_put_comes_to(
    client: DeltaGliderClient, bucket: str, file: File, share: float
) -> None:
    await client.put_object(Bucket=bucket, Key="a/app-1.0.zip", Body=BASE)
    new = int(share * len(BASE))
    path = file(BASE[new:] + os.urandom(new))
    estimate = await client.estimate_compression(path, bucket, "a/")
    summary = await client.upload(path, f"s3://{bucket}/a/", max_ratio=1.0)
    assert estimate.original_size == len(BASE)
    assert estimate.delta_ratio == pytest.approx(summary.delta_ratio, abs=0.05)
    assert estimate.estimated_compressed_size == pytest.approx(summary.stored_size, abs=0.05 * len(BASE))
    assert estimate.savings_percent == pytest.approx(100 * estimate.estimated_ratio)
    assert estimate.confidence > 0.9
    assert estimate.recommended_reference == "a/reference.bin"
    assert estimate.should_use_delta == (summary.delta_ratio <= 0.5)


async def test_a_part_of_the_file_is_enough(client: DeltaGliderClient, bucket: str, file: File) -> None:
    await client.put_object(Bucket=bucket, Key="a/app-1.0.zip", Body=BASE)
    path = file(BASE[: len(BASE) // 2] + os.urandom(len(BASE) // 2))
    estimate = await client.estimate_compression(path, bucket, "a", 500_000)
    assert estimate.delta_ratio == pytest.approx(0.5, abs=0.1)
    with pytest.raises(InvalidRequestError, match="sample_size"):
        await client.estimate_compression(path, bucket, "a/", 0)


async def test_the_reference_is_downloaded_once(
    client: DeltaGliderClient, make_client: MakeClient, bucket: str, file: File
) -> None:
    await client.put_object(Bucket=bucket, Key="a/app-1.0.zip", Body=BASE)
    path = file(version(BASE, 2))
    async with make_client() as other:
        got: list[str] = []
        other.meta.events.register("before-call.s3.GetObject", lambda **_: got.append("reference"))
        for _ in range(3):
            await other.estimate_compression(path, bucket, "a/")
    assert got == ["reference"]


async def test_a_url_names_the_folder_or_the_object(client: DeltaGliderClient, bucket: str, file: File) -> None:
    await client.put_object(Bucket=bucket, Key="a/app-1.0.zip", Body=BASE)
    path = file(BASE)
    for url in (f"s3://{bucket}/a/", f"s3://{bucket}/a/other-name.zip"):
        assert (await client.estimate_compression(path, url)).recommended_reference == "a/reference.bin"
    assert (await client.estimate_compression(path, f"s3://{bucket}")).recommended_reference is None
    assert not (await client.estimate_compression(path, f"s3://{bucket}/a/notes.txt")).should_use_delta


async def test_the_first_file_of_a_folder_saves_nothing_yet(client: DeltaGliderClient, bucket: str, file: File) -> None:
    estimate = await client.estimate_compression(file(BASE), bucket, "new/")
    assert (estimate.estimated_ratio, estimate.should_use_delta, estimate.recommended_reference) == (0.0, True, None)
    assert estimate.estimated_compressed_size == len(BASE)


async def test_what_a_put_would_store_plain_is_said_so(
    client: DeltaGliderClient, make_client: MakeClient, bucket: str, file: File, s3: S3Client
) -> None:
    await client.put_object(Bucket=bucket, Key="a/app-1.0.zip", Body=BASE)
    plain = [await client.estimate_compression(file(gzip.compress(BASE, 1)), bucket, "a/")]
    plain.append(await client.estimate_compression(file(b""), bucket, "a/"))
    for settings in ({"max_ratio": 0.0}, {"delta_patterns": f"* !{bucket}/*"}, {"delta_max_size": 10}):
        async with make_client(**settings) as other:
            plain.append(await other.estimate_compression(file(BASE), bucket, "a/"))
    # A reference that no delta is made against, and one that is another tool's object.
    for space, body, metadata in (("b", b"\x1f\x8b" + BASE, {"dg-file-sha256": "0" * 64}), ("c", BASE, {})):
        key = f"{space}/reference.bin"
        if metadata:
            metadata = {"dg-file-sha256": hashlib.sha256(body).hexdigest()}
        await asyncio.to_thread(s3.put_object, Bucket=bucket, Key=key, Body=body, Metadata=metadata)
        plain.append(await client.estimate_compression(file(BASE), bucket, space))
    for estimate in plain:
        assert (estimate.should_use_delta, estimate.estimated_ratio, estimate.confidence) == (False, 0.0, 1.0)
        assert estimate.estimated_compressed_size == estimate.original_size


async def test_too_little_content_is_unknown(client: DeltaGliderClient, bucket: str, file: File) -> None:
    await client.put_object(Bucket=bucket, Key="a/app-1.0.zip", Body=BASE[:3000])
    estimate = await client.estimate_compression(file(BASE[:3000]), bucket, "a/")
    assert estimate.confidence < 0.5
    assert (estimate.estimated_ratio, estimate.should_use_delta) == (0.0, True)


async def test_estimates_of_nothing(client: DeltaGliderClient, bucket: str, tmp_path: Path, file: File) -> None:
    with pytest.raises(LocalIOError):
        await client.estimate_compression(tmp_path / "missing.zip", bucket)
    with pytest.raises(NotFoundError):
        await client.estimate_compression(file(BASE), "there-is-no-such-bucket")
    with pytest.raises(InvalidRequestError, match="no argument 'sample'"):
        await client.estimate_compression(file(BASE), bucket, sample=1)


async def test_object_info(client: DeltaGliderClient, bucket: str) -> None:
    await client.put_object(Bucket=bucket, Key="a/1.zip", Body=BASE)
    await client.put_object(Bucket=bucket, Key="a/2.zip", Body=version(BASE, 2))
    await client.put_object(Bucket=bucket, Key="a/notes.txt", Body=b"notes")
    info = await client.get_object_info(f"s3://{bucket}/a/2.zip")
    head = await client.head_object(Bucket=bucket, Key="a/2.zip")
    assert (info.key, info.size, info.original_size) == ("a/2.zip", len(BASE), len(BASE))
    assert (info.is_delta, info.delta_chain_length, info.reference_key) == (True, 1, "a/reference.bin")
    assert info.compressed_size < 1000
    assert info.compression_ratio == pytest.approx(1 - info.compressed_size / len(BASE))
    assert (info.etag, info.last_modified) == (head["ETag"].strip('"'), head["LastModified"])
    assert info.storage_class == "STANDARD"
    assert await client.get_object_info(f"s3://{bucket}/a/2.zip.delta") == info
    plain = await client.get_object_info(f"s3://{bucket}/a/notes.txt")
    assert (plain.is_delta, plain.delta_chain_length, plain.reference_key) == (False, 0, None)
    assert (plain.size, plain.compressed_size, plain.compression_ratio) == (5, 5, 0.0)
    with pytest.raises(NotFoundError):
        await client.get_object_info(f"s3://{bucket}/nothing")
    for wrong in (f"s3://{bucket}", "a/1.zip"):
        with pytest.raises(InvalidRequestError):
            await client.get_object_info(wrong)


async def test_similar_files(client: DeltaGliderClient, bucket: str) -> None:
    names = ["app-1.0.zip", "app-1.1.zip", "app-docs-1.1.zip", "app-1.1.txt", "unrelated.bin"]
    for name in names:
        await client.put_object(Bucket=bucket, Key=f"rel/{name}", Body=BASE[:20_000])
    await client.put_object(Bucket=bucket, Key="elsewhere/app-1.2.zip", Body=b"x")
    found = await client.find_similar_files(bucket, "rel/", "build/app-1.2.zip", limit=3)
    assert [each["Key"] for each in found] == ["rel/app-1.1.zip", "rel/app-1.0.zip", "rel/app-docs-1.1.zip"]
    assert 0.9 < found[0]["Similarity"] < 1
    assert set(found[0]) == {"Key", "Size", "Similarity", "LastModified"}
    assert found[0]["Size"] < 20_000
    await client.get_bucket_stats(bucket, "detailed")  # from now on it is known
    assert (await client.find_similar_files(bucket, "rel/", "app-1.0.zip"))[0] | {"LastModified": 0} == {
        "Key": "rel/app-1.0.zip",
        "Size": 20_000,
        "Similarity": 1.0,
        "LastModified": 0,
    }
    assert len(await client.find_similar_files(bucket, "", "app.zip")) == 5
    assert await client.find_similar_files(bucket, "none/", "app.zip") == []
    with pytest.raises(InvalidRequestError, match="limit"):
        await client.find_similar_files(bucket, "", "app.zip", limit=0)
