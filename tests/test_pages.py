"""Paginators and waiters are botocore's, over logical keys; what is not ours is passed through."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import OperationNotPageableError, WaiterError

from deltaglider_async import create_client
from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.client.operations import DELTA_AWARE, REFUSED_ON_DELTAS, STORED_OBJECT, kind_of
from deltaglider_async.errors import InvalidRequestError
from tests.engine.conftest import content, version
from tests.test_listing_compared import filled, names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BASE = content(11, 3_000)
KEYS = [f"app/app-1.{number}.zip" for number in range(7)]


@pytest.fixture
async def client(s3_endpoint: str) -> AsyncIterator[DeltaGliderClient]:
    async with create_client(endpoint_url=s3_endpoint) as client:
        yield client


@pytest.fixture
async def seven(client: DeltaGliderClient, bucket: str) -> str:
    """A bucket with seven deltas, and their hidden reference."""
    for number, key in enumerate(KEYS):
        await client.put_object(Bucket=bucket, Key=key, Body=version(BASE, number), max_ratio=1)
    return bucket


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
async def test_pages_go_through_a_listing(client: DeltaGliderClient, seven: str, operation: str) -> None:
    assert client.can_paginate(operation)
    paginator: Any = client.get_paginator(operation)  # type: ignore[call-overload]
    pages = paginator.paginate(Bucket=seven, PaginationConfig={"PageSize": 3})
    assert [[item["Key"] for item in page["Contents"]] async for page in pages] == [KEYS[:3], KEYS[3:6], KEYS[6:]]
    pages = paginator.paginate(Bucket=seven, PaginationConfig={"PageSize": 2})
    assert [key async for key in pages.search("Contents[].Key")] == KEYS
    pages = paginator.paginate(Bucket=seven, Delimiter="/", PaginationConfig={"PageSize": 2})
    assert [found async for found in pages.search("CommonPrefixes[].Prefix")] == ["app/"]
    pages = paginator.paginate(Bucket=seven, FetchMetadata=True)
    assert {size async for size in pages.search("Contents[].Size")} == {len(BASE)}


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
async def test_a_listing_goes_on_where_max_items_ended_it(
    client: DeltaGliderClient, seven: str, operation: str
) -> None:
    paginator: Any = client.get_paginator(operation)  # type: ignore[call-overload]
    token, found = None, []
    while True:
        config = {"MaxItems": 2, "PageSize": 3, "StartingToken": token}
        result = await paginator.paginate(Bucket=seven, PaginationConfig=config).build_full_result()
        found.append([item["Key"] for item in result["Contents"]])
        token = result.get("NextToken")
        if token is None:
            break
    assert found == [KEYS[:2], KEYS[2:4], KEYS[4:6], KEYS[6:]]


async def test_pages_of_versions_are_those_of_plain_objects(real_server: Any) -> None:
    keys = names(9, 10)
    async with filled(real_server("minio"), keys) as both:
        results = []
        for client, bucket in ((both.ours, both.bucket), (both.raw, both.raw_bucket)):
            pages = client.get_paginator("list_object_versions").paginate(
                Bucket=bucket, PaginationConfig={"PageSize": 3}
            )
            results.append([key async for key in pages.search("Versions[].Key")])
        assert results[0] == results[1] == sorted(keys, key=str.encode)


async def test_what_has_no_pages_has_no_paginator(client: DeltaGliderClient) -> None:
    assert not client.can_paginate("put_object")
    paginator: Any = client.get_paginator
    with pytest.raises(OperationNotPageableError):
        paginator("put_object")


async def test_waiters_wait_for_logical_objects(client: DeltaGliderClient, seven: str) -> None:
    quickly: Any = {"Delay": 0, "MaxAttempts": 2}
    await client.get_waiter("object_exists").wait(Bucket=seven, Key=KEYS[0])
    await client.get_waiter("object_not_exists").wait(Bucket=seven, Key="app/none.zip")
    await client.get_waiter("bucket_exists").wait(Bucket=seven)
    await client.get_waiter("bucket_not_exists").wait(Bucket=f"{seven}-none")
    with pytest.raises(WaiterError):
        await client.get_waiter("object_not_exists").wait(Bucket=seven, Key=KEYS[0], WaiterConfig=quickly)
    with pytest.raises(WaiterError):
        await client.get_waiter("object_exists").wait(Bucket=seven, Key="app/none.zip", WaiterConfig=quickly)


async def test_a_waiter_sees_what_comes_while_it_waits(client: DeltaGliderClient, seven: str) -> None:
    often: Any = {"Delay": 0, "MaxAttempts": 10_000}
    waiting = client.get_waiter("object_exists").wait(Bucket=seven, Key="app/new.zip", WaiterConfig=often)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(waiting)
        await client.put_object(Bucket=seven, Key="app/new.zip", Body=version(BASE, 77), max_ratio=1)


async def test_everything_else_is_passed_through(client: DeltaGliderClient, bucket: str) -> None:
    rules: Any = [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]
    await client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
    assert (await client.get_bucket_cors(Bucket=bucket))["CORSRules"] == rules
    await client.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert (await client.get_bucket_tagging(Bucket=bucket))["TagSet"] == [{"Key": "a", "Value": "b"}]
    assert (await client.get_bucket_location(Bucket=bucket))["ResponseMetadata"]["HTTPStatusCode"] == 200
    with pytest.raises(client.exceptions.ClientError, match="NoSuchBucketPolicy"):
        await client.get_bucket_policy(Bucket=bucket)
    assert client.meta.service_model.service_name == "s3"
    assert "ObjectExists" in client._rooms.store.s3.waiter_names or "object_exists" in client.waiter_names


async def test_what_botocore_has_not_is_no_attribute(client: DeltaGliderClient) -> None:
    for name in ("put_objects", "_private", "__len__"):
        assert not hasattr(client, name)
        with pytest.raises(AttributeError, match=name):
            getattr(client, name)


async def test_no_operation_with_a_key_is_passed_through_unseen(client: DeltaGliderClient) -> None:
    service = client.meta.service_model
    kinds = {name: kind_of(service, name) for name in service.operation_names}
    assert not [name for name, kind in kinds.items() if kind == "unknown"]
    known = DELTA_AWARE | STORED_OBJECT | REFUSED_ON_DELTAS
    methods = {operation: name for name, operation in client.meta.method_to_api_mapping.items()}
    for name in known & kinds.keys():
        own = hasattr(DeltaGliderClient, methods[name])
        assert own or not hasattr(client, methods[name]), name
    for name in STORED_OBJECT | (REFUSED_ON_DELTAS & kinds.keys()):
        assert hasattr(DeltaGliderClient, methods[name]), name


async def test_an_operation_of_a_newer_botocore_that_has_a_key_is_not_offered(
    client: DeltaGliderClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deltaglider_async.client.operations.STORED_OBJECT", STORED_OBJECT - {"GetObjectAcl"})
    assert kind_of(client.meta.service_model, "GetObjectAcl") == "unknown"
    with pytest.raises(AttributeError, match="would take a delta for one"):
        client.__getattr__("get_object_acl")  # type: ignore[attr-defined]


async def test_a_closed_client_says_so(s3_endpoint: str, bucket: str) -> None:
    client = await create_client(endpoint_url=s3_endpoint).open()
    async with client as same:
        assert same is client
        await same.head_bucket(Bucket=bucket)
    for use in (
        lambda: client.get_paginator("list_objects_v2"),
        lambda: client.get_waiter("object_exists"),
        lambda: client.put_bucket_policy,
    ):
        with pytest.raises(InvalidRequestError, match="closed"):
            use()
    with pytest.raises(InvalidRequestError, match="closed"):
        async with client:
            pass
    assert not hasattr(client, "put_objects")
    await client.close()  # as often as you like
