"""Which puts try a delta: the policy of the client, and what beats it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.errors import ConfigurationError
from deltaglider_async.session import create_client
from tests.engine.conftest import MakeClient, content, version

BASE = content(7)


async def is_delta(client: DeltaGliderClient, bucket: str, key: str, body: Any = BASE, **arguments: Any) -> bool:
    put = await client.put_object(Bucket=bucket, Key=key, Body=body, **arguments)
    stored = {item["Key"] async for page in client._engine.store.pages(bucket) for item in page["Contents"]}
    assert (key in stored) != (f"{key}.delta" in stored)
    response = await client.get_object(Bucket=bucket, Key=key)
    assert await response["Body"].read() == (body if isinstance(body, bytes) else BASE)
    operation: str = put["DeltaGliderInfo"]["Operation"]
    return operation != "upload_direct"


async def test_patterns_of_the_environment_decide(
    make_client: MakeClient, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DG_DELTA_PATTERNS", f"*.bin !{bucket}/raw/*")
    async with make_client() as client:
        assert await is_delta(client, bucket, "app/1.bin")
        assert await is_delta(client, bucket, "app/2.bin", version(BASE, 2))
        assert not await is_delta(client, bucket, "app/1.zip")
        assert not await is_delta(client, bucket, "raw/1.bin")


async def test_a_star_makes_every_key_a_candidate(s3_endpoint: str, bucket: str) -> None:
    async with create_client(endpoint_url=s3_endpoint, delta_policy="*") as client:
        for key in ("a", "x/readme.txt", "x/y/", "x/y/a b"):
            assert await is_delta(client, bucket, key), key


async def test_the_argument_of_create_client_beats_the_environment(
    s3_endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DG_DELTA_PATTERNS", "*")
    async with create_client(endpoint_url=s3_endpoint, delta_policy="!*") as client:
        assert not await is_delta(client, bucket, "a.zip")
        assert client.delta_policy.is_candidate(bucket, "a.zip") is False
    with pytest.raises(ConfigurationError, match="DG_DELTA_PATTERNS"):
        await create_client(endpoint_url=s3_endpoint, delta_policy="")


async def test_use_delta_of_a_call_beats_names_and_sizes(make_client: MakeClient, bucket: str) -> None:
    async with make_client(delta_patterns="*.bin", delta_min_size=1_000_000) as client:
        assert not await is_delta(client, bucket, "a/1.bin")
        assert await is_delta(client, bucket, "a/2.txt", use_delta=True)
        assert not await is_delta(client, bucket, "a/3.bin", use_delta=False)


async def test_sizes_decide(make_client: MakeClient, bucket: str) -> None:
    async with make_client(delta_max_size=len(BASE), delta_patterns=f"* !small/*@..{len(BASE)}") as client:
        assert await is_delta(client, bucket, "a/1")
        assert not await is_delta(client, bucket, "a/2", BASE + b"x")
        info = (await client.put_object(Bucket=bucket, Key="a/3", Body=BASE + b"x"))["DeltaGliderInfo"]
        assert "DG_DELTA_MAX_SIZE" in (info["Reason"] or "")


async def test_a_long_stream_of_unknown_length_is_no_small_file(make_client: MakeClient, bucket: str) -> None:
    async def stream(times: int) -> AsyncIterator[bytes]:
        for _ in range(times):
            yield bytes(1024 * 1024)

    async with make_client(delta_patterns="*@8MiB..") as client:
        for times, operation in ((2, "upload_direct"), (9, "create_reference")):
            put = await client.put_object(Bucket=bucket, Key=f"{times}/a", Body=stream(times))
            assert put["DeltaGliderInfo"]["Operation"] == operation
