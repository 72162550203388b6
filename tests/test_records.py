"""Each operation logs one record, with fields that can be searched and counted."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deltaglider_async.errors import NotFoundError
from deltaglider_async.session import create_client
from tests.engine.conftest import content, version

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BASE = content(1, 40_000)


def records(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What was logged of operations since the last call."""
    found = [vars(record) for record in caplog.records if record.name == "deltaglider_async.operations"]
    caplog.clear()
    return found


async def test_puts_and_gets_tell_sizes_durations_and_cache_hits(
    s3_endpoint: str, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with create_client(s3_endpoint) as client:
        await client.put_object(Bucket=bucket, Key="a/0.zip", Body=BASE)
        put = await client.put_object(Bucket=bucket, Key="a/1.zip", Body=version(BASE, 1))
        stored = put["DeltaGliderInfo"]["StoredSize"]
        first, second = records(caplog)
        assert (first["op"], first["key"], first["cache_hit"]) == ("put_object", "a/0.zip", None)
        assert (second["bucket"], second["key"], second["deltaspace"]) == (bucket, "a/1.zip", f"{bucket}/a")
        assert (second["sizes"], second["cache_hit"]) == ({"file": len(BASE), "stored": stored}, True)
        assert second["durations"]["total"] > 0
        assert second["error"] is None
        assert second["levelno"] == logging.INFO
        assert second["message"].startswith(f"put_object s3://{bucket}/a/1.zip: done, ")

        await client.clear_cache()
        for hit in (False, True):
            response = await client.get_object(Bucket=bucket, Key="a/1.zip")
            assert records(caplog) == []  # it is not over
            assert await response["Body"].read() == version(BASE, 1)
            [read] = records(caplog)
            assert (read["op"], read["cache_hit"]) == ("get_object", hit)
            assert read["sizes"] == {"file": len(BASE), "stored": stored}


async def test_a_body_that_nobody_reads_is_over_when_it_is_closed(
    s3_endpoint: str, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with create_client(s3_endpoint) as client:
        await client.put_object(Bucket=bucket, Key="notes.txt", Body=b"text")
        records(caplog)
        body = (await client.get_object(Bucket=bucket, Key="notes.txt"))["Body"]
        await body.aclose()
        await body.aclose()
        assert [(each["op"], each["sizes"], each["cache_hit"]) for each in records(caplog)] == [
            ("get_object", {"file": 4, "stored": 4}, None)
        ]


async def test_what_fails_says_with_what(
    s3_endpoint: str, s3: S3Client, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with create_client(s3_endpoint) as client:
        with pytest.raises(NotFoundError):
            await client.head_object(Bucket=bucket, Key="none.zip")
        [failed] = records(caplog)
        assert (failed["op"], failed["key"], failed["error"]) == ("head_object", "none.zip", "404")

        for name in ("a/0.zip", "a/1.zip"):
            await client.put_object(Bucket=bucket, Key=name, Body=version(BASE, len(name)))
        s3.delete_object(Bucket=bucket, Key="a/reference.bin")
        await client.clear_cache()
        records(caplog)
        assert not await client.verify(f"s3://{bucket}/a/1.zip")
        [failed] = records(caplog)
        assert (failed["op"], failed["error"]) == ("get_object", "IntegrityMismatchError")


async def test_every_kind_of_operation_logs_one_record(
    s3_endpoint: str, bucket: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "0.zip"
    file.write_bytes(BASE)
    async with create_client(s3_endpoint) as client:
        await client.upload(file, f"s3://{bucket}/a/")
        await client.upload_file(str(file), bucket, "a/1.zip")
        await client.copy_object(Bucket=bucket, Key="a/2.zip", CopySource=f"{bucket}/a/1.zip")
        await client.copy({"Bucket": bucket, "Key": "a/1.zip"}, bucket, "a/3.zip")
        await client.list_objects_v2(Bucket=bucket, Prefix="a/")
        await client.put_object_tagging(
            Bucket=bucket, Key="a/1.zip", Tagging={"TagSet": [{"Key": "stage", "Value": "beta"}]}
        )
        await client.get_bucket_stats(bucket)
        await client.download(f"s3://{bucket}/a/1.zip", tmp_path / "restored.zip")
        await client.get_object_info(f"s3://{bucket}/a/1.zip")
        await client.delete_object(Bucket=bucket, Key="a/1.zip")
        await client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a/2.zip"}]})
        await client.delete_objects_recursive(Bucket=bucket, Prefix="a/")
    told = [(each["op"], each["bucket"], each["key"]) for each in records(caplog)]
    assert told == [
        ("put_object", bucket, "a/0.zip"),
        ("put_object", bucket, "a/1.zip"),
        ("copy_object", bucket, "a/2.zip"),
        ("copy", bucket, "a/3.zip"),
        ("list_objects_v2", bucket, "a/"),
        ("put_object_tagging", bucket, "a/1.zip"),
        ("get_bucket_stats", bucket, ""),
        ("get_object", bucket, "a/1.zip"),
        ("head_object", bucket, "a/1.zip"),
        ("delete_object", bucket, "a/1.zip"),
        ("delete_objects", bucket, ""),
        ("delete_objects_recursive", bucket, "a/"),
    ]


async def test_a_higher_level_is_quiet(s3_endpoint: str, bucket: str, caplog: pytest.LogCaptureFixture) -> None:
    async with create_client(s3_endpoint, log_level="WARNING") as client:
        await client.list_objects_v2(Bucket=bucket)
    assert records(caplog) == []
