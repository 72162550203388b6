"""Metadata in listings: MinIO's, as HEAD tells them; from nobody else, and never for more than they save."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.real_servers import CONDITIONAL

from deltaglider_async import create_client
from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.store import listed

DELTA = {"dg-file-sha256": "0" * 64, "dg-file-size": "4000", "dg-ref-key": "a/reference.bin", "dg-ref-sha256": "1" * 64}


@pytest.fixture
async def client(real_endpoint: str) -> AsyncIterator[DeltaGliderClient]:
    async with create_client(endpoint_url=real_endpoint) as client:
        yield client


@pytest.fixture
async def place(client: DeltaGliderClient) -> str:
    name = f"test-{secrets.token_hex(8)}"
    await client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def is_minio(client: DeltaGliderClient, request: pytest.FixtureRequest) -> bool:
    return "minio" in request.node.callspec.id


async def fill(client: DeltaGliderClient, bucket: str, names: list[str], **more: str) -> None:
    for number, name in enumerate(names):
        metadata = DELTA | {"dg-file-size": str(4000 + number), "Mixed-Case": 'a <&> "b"'} | more
        await client._s3.put_object(Bucket=bucket, Key=name, Body=b"12345", Metadata=metadata)


@contextmanager
def counted(client: DeltaGliderClient) -> Iterator[Counter[str]]:
    calls = Counter[str]()

    def sent(event_name: str, **_: Any) -> None:
        calls[event_name.rpartition(".")[2]] += 1

    client.meta.events.register("before-send.s3", sent)
    try:
        yield calls
    finally:
        client.meta.events.unregister("before-send.s3", sent)


AWKWARD = [
    "a b.delta",
    "a+b.delta",
    "ä%20&<x>.delta",
    "日本.delta",
    "a'\".delta",
    *(f"a/{n}.delta" for n in range(6)),
    "z",
]


async def test_a_listing_tells_what_heads_tell(client: DeltaGliderClient, place: str, is_minio: bool) -> None:
    await fill(client, place, AWKWARD)
    store = client._engine.store
    with counted(client) as calls:
        [page] = [page async for page in store.pages(place, metadata=True)]
        [again] = [page async for page in store.pages(place, metadata=True)]
    assert calls == {"ListObjectsV2": 3 if is_minio else 2}
    assert page["Contents"] == again["Contents"]
    assert {item["Key"] for item in page["Contents"]} == set(AWKWARD)
    for item in page["Contents"]:
        head = await store.head_existing(place, item["Key"])
        assert item.get("Metadata") == (head["Metadata"] if is_minio else None)
        assert item["ETag"].strip('"') == head["ETag"].strip('"')
    [plain] = [page async for page in store.pages(place)]
    assert all("Metadata" not in item for item in plain["Contents"])


async def test_statistics_and_listings_are_the_same_with_it(
    client: DeltaGliderClient, place: str, is_minio: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(client, place, [f"a/{number}.zip.delta" for number in range(30)])
    await client._s3.put_object(Bucket=place, Key="a/none.zip.delta", Body=b"12345")  # asked, as it tells nothing
    with counted(client) as calls:
        stats = await client.get_bucket_stats(place, "detailed")
    assert calls["HeadObject"] == (1 if is_minio else 31)
    with counted(client) as calls:
        shown = await client.list_objects_v2(Bucket=place, FetchMetadata=True)
    assert calls["HeadObject"] == (1 if is_minio else 31)
    assert stats.total_size == sum(range(4000, 4030)) + 5

    monkeypatch.setattr(listed, "_ask", lambda **_: None)
    async with create_client(endpoint_url=client.meta.endpoint_url) as other:
        monkeypatch.setattr(other._engine.store._listed, "_tells", False)
        assert await other.get_bucket_stats(place, "detailed") == stats
        theirs = await other.list_objects_v2(Bucket=place, FetchMetadata=True)
        assert theirs["Contents"] == shown["Contents"]


async def test_few_deltas_are_not_worth_it(client: DeltaGliderClient, place: str) -> None:
    await fill(client, place, ["a/1.delta", "a/2.delta", *(f"b{number}" for number in range(20))])
    with counted(client) as calls:
        await client.list_objects_v2(Bucket=place, FetchMetadata=True)
    assert calls == {"ListObjectsV2": 1, "HeadObject": 2}


@pytest.mark.parametrize("real_endpoint", [name for name in CONDITIONAL if name == "minio"], indirect=True)
@pytest.mark.parametrize(("name", "value"), [("a!b", "name"), ("b", "\u00e4")])
async def test_what_a_listing_cannot_spell_is_asked_for(
    client: DeltaGliderClient, place: str, name: str, value: str
) -> None:
    await fill(client, place, [f"a/{number}.delta" for number in range(12)])

    def add(params: dict[str, Any], **_: Any) -> None:
        params["headers"][f"x-amz-meta-{name}"] = value

    client.meta.events.register("before-call.s3.PutObject", add)
    await fill(client, place, ["b/odd.delta"])
    client.meta.events.unregister("before-call.s3.PutObject", add)
    with counted(client) as calls:
        stats = await client.get_bucket_stats(place, "detailed")
    assert stats.total_size == sum(range(4000, 4012)) + 4000
    assert 1 <= calls["HeadObject"] <= 13
