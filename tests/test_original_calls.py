"""Calls as programs for the original write them: what it took by position is taken by position."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from deltaglider_async.session import create_client
from tests.engine.conftest import content, version

BASE = content(1, 40_000)


async def test_what_the_original_takes_by_position_is_taken_by_position(s3_endpoint: str, bucket: str) -> None:
    own = f"{bucket}-own"
    async with create_client(s3_endpoint, "WARNING") as client:
        await client.create_bucket(own)
        await client.put_object(own, "a/0.zip", BASE, {"stage": "beta"})
        await client.put_object(own, "a/1.zip", version(BASE, 1))
        assert (await client.head_object(own, "a/0.zip"))["Metadata"] == {"stage": "beta"}
        async with (await client.get_object(own, "a/1.zip"))["Body"] as body:
            assert await body.read() == version(BASE, 1)
        page = await client.list_objects(own, "a/", "/", 1, None, None, True)
        assert [(item["Key"], item["Size"]) for item in page["Contents"]] == [("a/0.zip", len(BASE))]
        page = await client.list_objects(own, "a/", "/", 1000, page["NextContinuationToken"])
        assert [item["Key"] for item in page["Contents"]] == ["a/1.zip"]
        assert (await client.get_bucket_acl(own))["Grants"]
        assert (await client.get_bucket_stats(own, "detailed", False, True)).delta_objects == 2
        assert (await client.purge_temp_files(own))["expired_count"] == 0
        assert await client.rehydrate_for_download(own, "a/1.zip", 60)
        assert (await client.delete_object(own, "a/0.zip"))["DeltaGliderInfo"]["Type"] == "delta"
        assert (await client.delete_objects(own, {"Objects": [{"Key": "a/1.zip"}]}))["Deleted"][0]["Key"] == "a/1.zip"
        await client.delete_objects_recursive(own, "a/")
        assert "Contents" not in await client.list_objects_v2(Bucket=own)


async def test_errors_of_such_calls_speak_of_the_key_that_was_given(s3_endpoint: str, bucket: str) -> None:
    async with create_client(s3_endpoint) as client:
        await client.put_object(bucket, "a/0.zip", BASE)
        with pytest.raises(ClientError) as named:
            await client.get_object(Bucket=bucket, Key="a/1.zip")
        with pytest.raises(ClientError) as placed:
            await client.get_object(bucket, "a/1.zip")
    told: dict[str, object] = dict(placed.value.response["Error"])
    assert told == dict(named.value.response["Error"])
    assert told["Key"] == "a/1.zip"


async def test_a_listing_shows_the_original_size_that_a_head_has_told(s3_endpoint: str, bucket: str) -> None:
    async with create_client(s3_endpoint) as client:
        for number in range(2):
            await client.put_object(Bucket=bucket, Key=f"a/{number}.zip", Body=version(BASE, number))

        async def shown() -> list[tuple[int, str]]:
            page, first = await client.list_objects_v2(Bucket=bucket), await client.list_objects(Bucket=bucket)
            found = [(item["Size"], item["Metadata"]["deltaglider-original-size"]) for item in page["Contents"]]
            assert found == [
                (item["Size"], item["Metadata"]["deltaglider-original-size"]) for item in first["Contents"]
            ]
            return found

        unknown = await shown()
        assert all(size < 1000 and original == "unknown" for size, original in unknown)
        await client.head_object(Bucket=bucket, Key="a/1.zip")
        assert await shown() == [unknown[0], (len(BASE), str(len(BASE)))]
        put = await client.put_object(Bucket=bucket, Key="a/1.zip", Body=version(BASE, 7))  # which no HEAD has told
        assert await shown() == [unknown[0], (put["DeltaGliderInfo"]["StoredSize"], "unknown")]
        await client.get_bucket_stats(bucket, "detailed")
        assert await shown() == [(len(BASE), str(len(BASE)))] * 2
        await client.clear_cache()
        assert [original for _, original in await shown()] == ["unknown", "unknown"]
