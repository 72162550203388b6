"""Many plain puts ask a listing for older deltas, not each its own key."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError
from tests.bulk.test_removal import sent_by

from deltaglider_async.bulk.events import Event, Finished
from deltaglider_async.bulk.plan import planned, uploads
from deltaglider_async.bulk.sources import walk
from deltaglider_async.bulk.transfer import transfer
from deltaglider_async.engine import listed
from deltaglider_async.session import create_client

if TYPE_CHECKING:
    import pytest
    from types_boto3_s3 import S3Client

    from deltaglider_async.client import DeltaGliderClient


async def uploaded(client: DeltaGliderClient, folder: Path, bucket: str, prefix: str) -> list[Event]:
    async with aclosing(transfer(client, planned(walk(folder), uploads(bucket, prefix)))) as events:
        return [event async for event in events]


def files(folder: Path, number: int) -> Path:
    for each in range(number):
        (folder / f"{each:04}.txt").write_bytes(b"%d" % each)
    return folder


async def test_one_page_tells_of_a_folder_and_older_deltas_still_go(
    s3_endpoint: str, bucket: str, s3: S3Client, tmp_path: Path
) -> None:
    async with create_client(endpoint_url=s3_endpoint) as client:
        for name in ("0003", "0150", "0199"):
            body = bytes(20_000) + name.encode()
            await client.put_object(Bucket=bucket, Key=f"p/{name}.txt", Body=body, use_delta=True)
        sent = sent_by(client)
        happened = await uploaded(client, files(tmp_path, 200), bucket, "p/")
        assert sum(isinstance(event, Finished) for event in happened) == 200
        assert sent["ListObjectsV2"] <= 12  # one for the keys, the others for the reference that goes
        assert sent["HeadObject"] < 100
        stored = await asyncio.to_thread(s3.list_objects_v2, Bucket=bucket, Prefix="p/", Delimiter="/")
        assert [item["Key"] for item in stored["Contents"]] == [f"p/{number:04}.txt" for number in range(200)]


async def test_who_may_not_list_looks_at_single_keys(s3_endpoint: str, bucket: str, tmp_path: Path) -> None:
    async with create_client(endpoint_url=s3_endpoint) as client:
        sent = sent_by(client)

        def refuse(**_: object) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "Access Denied"}}, "ListObjectsV2")

        client.meta.events.register("before-call.s3.ListObjectsV2", refuse)
        happened = await uploaded(client, files(tmp_path, 40), bucket, "p/")
        assert sum(isinstance(event, Finished) for event in happened) == 40
        assert sent["HeadObject"] >= 40


async def test_a_folder_of_many_other_objects_is_not_listed_page_after_page(
    s3_endpoint: str, bucket: str, s3: S3Client, tmp_path: Path
) -> None:
    for number in range(60):
        for other in range(3):
            await asyncio.to_thread(s3.put_object, Bucket=bucket, Key=f"p/{number:04}.txt.{other}", Body=b"")
    async with create_client(endpoint_url=s3_endpoint) as client:
        client.meta.events.register(
            "before-parameter-build.s3.ListObjectsV2", lambda params, **_: params.update(MaxKeys=20)
        )
        sent = sent_by(client)
        happened = await uploaded(client, files(tmp_path, 60), bucket, "p/")
        assert sum(isinstance(event, Finished) for event in happened) == 60
        assert sent["ListObjectsV2"] <= 2


async def test_a_page_is_believed_for_some_seconds_only(
    s3_endpoint: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listed, "_FRESH", 0.0)
    async with create_client(endpoint_url=s3_endpoint) as client:
        sent = sent_by(client)
        await uploaded(client, files(tmp_path, 40), bucket, "p/")
        assert sent["HeadObject"] >= 40
