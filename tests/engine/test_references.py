"""References that were dropped, replaced, moved away or are about to expire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

from deltaglider_async.cache import ReferenceCache
from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.engine.core import Engine
from deltaglider_async.errors import IntegrityMismatchError, NotFoundError
from deltaglider_async.format.keys import is_trash
from deltaglider_async.settings import Settings
from deltaglider_async.store.s3 import Store
from tests.engine.conftest import MakeClient, content, version
from tests.explorer.s3 import OLD, FakeS3, Gate, Objects, Stored

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BASE = content(1, 60_000)


async def read(client: DeltaGliderClient, bucket: str, key: str, **arguments: Any) -> bytes:
    async with (await client.get_object(Bucket=bucket, Key=key, **arguments))["Body"] as body:
        data: bytes = await body.read()
    return data


async def names(client: DeltaGliderClient, bucket: str) -> list[str]:
    return [item["Key"] async for page in client._engine.store.pages(bucket) for item in page.get("Contents", ())]


@pytest.fixture
async def versioned(bucket: str, s3: S3Client) -> str:
    """A bucket that keeps versions."""
    await asyncio.to_thread(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


async def test_a_version_is_read_where_its_reference_is_known(
    make_client: MakeClient, versioned: str, s3: S3Client
) -> None:
    bucket = versioned
    async with make_client() as client:
        versions = [
            (await client.put_object(Bucket=bucket, Key="a/app.zip", Body=version(BASE, number)))["VersionId"]
            for number in range(3)
        ]
        plain = await client.put_object(Bucket=bucket, Key="a/app.zip", Body=b"plain", use_delta=False)
        await client.delete_object(Bucket=bucket, Key="a/app.zip")
        with pytest.raises(NotFoundError):
            await client.get_object(Bucket=bucket, Key="a/app.zip")
        # The reference was dropped with the last delta, and gc has been here since.
        for key in filter(is_trash, await names(client, bucket)):
            await asyncio.to_thread(s3.delete_object, Bucket=bucket, Key=key)
        assert await names(client, bucket) == []
    async with make_client() as client:
        for number, name in enumerate(versions):
            assert await read(client, bucket, "a/app.zip", VersionId=name) == version(BASE, number)
            head = await client.head_object(Bucket=bucket, Key="a/app.zip", VersionId=name)
            assert head["ContentLength"] == len(BASE)
        assert await read(client, bucket, "a/app.zip", VersionId=plain["VersionId"]) == b"plain"


async def test_a_version_whose_reference_is_nowhere_is_a_clear_error(
    make_client: MakeClient, versioned: str, s3: S3Client
) -> None:
    bucket = versioned
    async with make_client() as client:
        put = await client.put_object(Bucket=bucket, Key="a/app.zip", Body=BASE)
    listed = await asyncio.to_thread(s3.list_object_versions, Bucket=bucket, Prefix="a/reference.bin")
    for item in listed["Versions"]:
        await asyncio.to_thread(s3.delete_object, Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])
    async with make_client() as client:
        with pytest.raises(IntegrityMismatchError, match=r"a/reference\.bin is missing, and it is not in the trash"):
            await read(client, bucket, "a/app.zip", VersionId=put["VersionId"])


async def test_a_put_beside_another_reference_keeps_its_own(
    make_client: MakeClient, bucket: str, s3: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its look and its write, the reference is dropped and another client creates another one."""
    async with make_client() as client, make_client() as other:
        await client.put_object(Bucket=bucket, Key="a/0.zip", Body=BASE)
        store = client._engine.store
        swapped: list[str] = []
        original = store.put

        async def put(bucket: str, key: str, *rest: Any, **more: Any) -> Any:
            if key == "a/1.zip.delta" and not swapped:
                swapped.append(key)
                await other.delete_object(Bucket=bucket, Key="a/0.zip")
                await other.put_object(Bucket=bucket, Key="a/2.zip", Body=content(2, 60_000))
            return await original(bucket, key, *rest, **more)

        monkeypatch.setattr(store, "put", put)
        told = await client.put_object(Bucket=bucket, Key="a/1.zip", Body=version(BASE, 1))
        kept = told["DeltaGliderInfo"]["ReferenceKey"] or ""
        assert kept.startswith("a/.deltaglider/refs/")
        stored = {key for key in await names(client, bucket) if not is_trash(key)}
        assert stored == {"a/1.zip.delta", "a/2.zip.delta", "a/reference.bin", kept}
        head = await asyncio.to_thread(s3.head_object, Bucket=bucket, Key="a/1.zip.delta")
        assert head["Metadata"]["dg-ref-key"] == kept
    async with make_client() as client:
        assert await read(client, bucket, "a/1.zip") == version(BASE, 1)
        assert await read(client, bucket, "a/2.zip") == content(2, 60_000)


# -- Lifecycle rules. No server lets its objects be older than they are, so this one is in memory.


class ExpiringS3(FakeS3):
    """Objects expire some days after they were written; `only` names the keys for which the rule is."""

    days = 30
    only = ""

    def _expiration(self, key: str, stored: Stored) -> dict[str, str]:
        if self.only not in key:
            return {}
        date = format_datetime(stored.modified + timedelta(days=self.days), usegmt=True)
        return {"Expiration": f'expiry-date="{date}", rule-id="old things"'}

    async def head_object(self, *, Bucket: str, Key: str, **arguments: Any) -> dict[str, Any]:
        answer = await super().head_object(Bucket=Bucket, Key=Key, **arguments)
        return answer | self._expiration(Key, self.objects[Key])

    async def put_object(self, *, Bucket: str, Key: str, Body: Any, **arguments: Any) -> dict[str, Any]:
        answer = await super().put_object(Bucket=Bucket, Key=Key, Body=Body, **arguments)
        return answer | self._expiration(Key, self.objects[Key])


@asynccontextmanager
async def expiring(objects: Objects, only: str = "") -> AsyncIterator[DeltaGliderClient]:
    s3 = ExpiringS3(objects, Gate(open=True), "client")
    s3.only = only
    settings = Settings(cache_backend="memory")
    cache = await ReferenceCache.open(settings)
    client = DeltaGliderClient(Engine(Store(s3), cache, settings), cache.aclose)
    try:
        yield client
    finally:
        await client.aclose()


async def test_a_reference_is_renewed_before_it_expires_under_a_new_delta() -> None:
    objects = Objects()
    async with expiring(objects) as client:
        await client.put_object(Bucket="bucket", Key="a/0.zip", Body=BASE)
        objects.update(objects.aged())
        before = objects["a/reference.bin"]
        assert before.modified == OLD
        told = await client.put_object(Bucket="bucket", Key="a/1.zip", Body=version(BASE, 1))
        assert told["DeltaGliderInfo"]["StoredAs"] == "delta"
        after = objects["a/reference.bin"]
        assert (after.data, after.attributes["Metadata"]) == (before.data, before.attributes["Metadata"])
        assert after.modified == objects["a/1.zip.delta"].modified > OLD
        assert objects["a/0.zip.delta"].modified == OLD


async def test_where_a_rule_takes_the_reference_alone_files_are_stored_plain() -> None:
    objects = Objects()
    async with expiring(objects, only="reference.bin") as client:
        for number in range(2):
            told = await client.put_object(Bucket="bucket", Key=f"a/{number}.zip", Body=version(BASE, number))
            assert told["DeltaGliderInfo"]["StoredAs"] == "plain"
            assert "lifecycle rule" in (told["DeltaGliderInfo"]["Reason"] or "")
        assert {key for key in objects if not is_trash(key)} == {"a/0.zip", "a/1.zip"}
        assert await read(client, "bucket", "a/1.zip") == version(BASE, 1)
