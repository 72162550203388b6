"""A bucket whose objects cannot be deleted for a day, on a real server. (VersityGW locks keys instead of versions.)"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.session import create_client
from tests.engine.conftest import content, version
from tests.real_servers import CONDITIONAL

if TYPE_CHECKING:
    import pytest

BASE = content(1, 60_000)


async def test_nothing_is_lost_under_object_lock(
    real_server: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Locked objects need a checksum of S3's own kind. To AWS it is always sent.
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
    endpoint = real_server("minio" if "minio" in CONDITIONAL else "moto")
    bucket = f"locked-{secrets.token_hex(6)}"
    async with create_client(endpoint_url=endpoint) as client:
        await client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
        rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
        await client._engine.store.s3.put_object_lock_configuration(
            Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
        )
        put = [
            await client.put_object(Bucket=bucket, Key=f"a/{number}.zip", Body=version(BASE, number))
            for number in range(3)
        ]
        assert [each["DeltaGliderInfo"]["StoredAs"] for each in put] == ["reference+delta", "delta", "delta"]
        again = await client.put_object(Bucket=bucket, Key="a/1.zip", Body=version(BASE, 7))
        plain = await client.put_object(Bucket=bucket, Key="a/2.zip", Body=b"plain", use_delta=False)
        for number in range(2):
            await client.delete_object(Bucket=bucket, Key=f"a/{number}.zip")
    async with create_client(endpoint_url=endpoint) as client:
        assert [item["Key"] for item in (await client.list_objects_v2(Bucket=bucket))["Contents"]] == ["a/2.zip"]
        assert await read(client, bucket, "a/2.zip") == b"plain"
        for number, each in enumerate(put):
            name = each["VersionId"]
            assert await read(client, bucket, f"a/{number}.zip", VersionId=name) == version(BASE, number)
        assert await read(client, bucket, "a/1.zip", VersionId=again["VersionId"]) == version(BASE, 7)
        assert await read(client, bucket, "a/2.zip", VersionId=plain["VersionId"]) == b"plain"


async def read(client: DeltaGliderClient, bucket: str, key: str, **arguments: Any) -> bytes:
    async with (await client.get_object(Bucket=bucket, Key=key, **arguments))["Body"] as body:
        data: bytes = await body.read()
    return data
