"""Servers that keep some conditions, or all, or answer 200 to every one and ignore it, as rclone's does."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.errors import InvalidRequestError
from deltaglider_async.session import create_client
from deltaglider_async.store.conditions import Condition, Operation
from tests.engine.conftest import content, version
from tests.real_servers import CONDITIONAL

BASE = content(1)


@pytest.fixture
async def client(ignorant_endpoint: str) -> AsyncIterator[DeltaGliderClient]:
    async with create_client(endpoint_url=ignorant_endpoint) as client:
        yield client


@pytest.fixture
async def place(client: DeltaGliderClient) -> str:
    name = f"test-{secrets.token_hex(6)}"
    await client.create_bucket(Bucket=name)
    return name


async def read(client: DeltaGliderClient, bucket: str, key: str) -> bytes:
    async with (await client.get_object(Bucket=bucket, Key=key))["Body"] as body:
        data: bytes = await body.read()
    return data


async def names(client: DeltaGliderClient, bucket: str) -> list[str]:
    return [item["Key"] async for page in client._engine.store.pages(bucket) for item in page.get("Contents", ())]


@pytest.mark.parametrize(
    ("operation", "condition"),
    [
        ("PutObject", "IfNoneMatch"),
        ("PutObject", "IfMatch"),
        ("CompleteMultipartUpload", "IfNoneMatch"),
        ("DeleteObject", "IfMatch"),
    ],
)
async def test_what_an_endpoint_keeps_is_found_out(
    client: DeltaGliderClient, place: str, s3_endpoint: str, bucket: str, operation: Operation, condition: Condition
) -> None:
    assert not await client._engine.conditions.keeps(place, "a", operation, condition, {})
    assert await names(client, place) == []
    async with create_client(endpoint_url=s3_endpoint) as other:
        assert await other._engine.conditions.keeps(bucket, "a", operation, condition, {})
        assert await names(other, bucket) == []


#: MinIO has no If-Match on DeleteObject, and moto none on CompleteMultipartUpload.
NOT_KEPT = {"minio": {("DeleteObject", "IfMatch")}, "moto": {("CompleteMultipartUpload", "IfMatch")}}


@pytest.mark.parametrize("server", CONDITIONAL)
async def test_what_a_real_server_keeps_is_found_out(real_server: Callable[[str], str], server: str) -> None:
    questions: list[tuple[Operation, Condition]] = [
        (operation, condition)
        for operation in ("PutObject", "CompleteMultipartUpload", "DeleteObject")
        for condition in ("IfNoneMatch", "IfMatch")
        if (operation, condition) != ("DeleteObject", "IfNoneMatch")
    ]
    async with create_client(endpoint_url=real_server(server)) as client:
        place = f"test-{secrets.token_hex(6)}"
        await client.create_bucket(Bucket=place)
        kept = {question for question in questions if await client._engine.conditions.keeps(place, "a", *question, {})}
        assert kept == set(questions) - NOT_KEPT.get(server, set())
        assert await names(client, place) == []


async def test_references_go_under_their_digest(client: DeltaGliderClient, place: str) -> None:
    for number in range(3):
        put = await client.put_object(Bucket=place, Key=f"a/{number}.zip", Body=version(BASE, number))
    key = put["DeltaGliderInfo"]["ReferenceKey"] or ""
    assert key.startswith("a/.deltaglider/refs/")
    assert sorted(await names(client, place)) == [key, *(f"a/{number}.zip.delta" for number in range(3))]
    await client.clear_cache()
    for number in range(3):
        assert await read(client, place, f"a/{number}.zip") == version(BASE, number)
    stats = await client.get_bucket_stats(place, "detailed")
    assert (stats.object_count, stats.delta_objects, stats.orphaned_references) == (3, 3, 0)
    assert len(BASE) < stats.compressed_size < len(BASE) + 5000
    with pytest.raises(InvalidRequestError, match="3 deltas"):
        await client.delete_object(Bucket=place, Key=key)


async def test_a_reference_whose_key_metadata_cannot_spell_is_found_by_its_digest(
    client: DeltaGliderClient, place: str, ignorant_endpoint: str
) -> None:
    for number in range(2):
        await client.put_object(Bucket=place, Key=f"ü/{number}.zip", Body=version(BASE, number))
    async with create_client(endpoint_url=ignorant_endpoint) as other:  # which has not seen the reference
        for number in range(2):
            assert await read(other, place, f"ü/{number}.zip") == version(BASE, number)


async def test_four_clients_put_first_files_at_once(real_endpoint: str) -> None:
    place = f"test-{secrets.token_hex(6)}"

    async def put(who: int) -> None:
        async with create_client(endpoint_url=real_endpoint) as own:
            for folder in range(10):
                body = version(content(folder), who)
                await own.put_object(Bucket=place, Key=f"{folder}/{who}.zip", Body=body)

    async with create_client(endpoint_url=real_endpoint) as client:
        await client.create_bucket(Bucket=place)
        async with anyio.create_task_group() as tasks:
            for who in range(4):
                tasks.start_soon(put, who)
        for folder in range(10):
            for who in range(4):
                assert await read(client, place, f"{folder}/{who}.zip") == version(content(folder), who)


async def test_a_condition_that_would_be_ignored_is_refused(client: DeltaGliderClient, place: str) -> None:
    put = await client.put_object(Bucket=place, Key="a.txt", Body=b"one")
    conditions: list[dict[str, Any]] = [{"IfNoneMatch": "*"}, {"IfMatch": put["ETag"]}]
    for condition in conditions:
        with pytest.raises(InvalidRequestError, match="Nothing was stored"):
            await client.put_object(Bucket=place, Key="a.txt", Body=b"two", **condition)
    with pytest.raises(InvalidRequestError, match="Nothing was deleted"):
        await client.delete_object(Bucket=place, Key="a.txt", IfMatch='"other"')
    assert await read(client, place, "a.txt") == b"one"


async def test_a_leftover_stays_where_deletes_are_blind(client: DeltaGliderClient, place: str) -> None:
    for number in range(2):
        await client.put_object(Bucket=place, Key=f"a/{number}.zip", Body=version(BASE, number))
    await client.put_object(Bucket=place, Key="a/1.zip", Body=b"plain", use_delta=False)
    assert "a/1.zip.delta" in await names(client, place)
    assert await read(client, place, "a/1.zip") == b"plain"
    assert [item["Key"] for item in (await client.list_objects_v2(Bucket=place))["Contents"]] == ["a/0.zip", "a/1.zip"]
    await client.delete_object(Bucket=place, Key="a/1.zip")
    assert [item["Key"] for item in (await client.list_objects_v2(Bucket=place))["Contents"]] == ["a/0.zip"]
