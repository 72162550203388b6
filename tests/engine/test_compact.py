"""An object becomes a delta at its place: readable at every moment, also if the process dies."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.errors import InvalidRequestError, NotFoundError, SourceChangedError
from deltaglider_async.session import create_client
from tests.engine.conftest import content, version
from tests.real_servers import CONDITIONAL

BASE = content(1)
KEY = "app/2.zip"


class Died(BaseException):
    """The process is no more."""


async def read(client: DeltaGliderClient, bucket: str, key: str = KEY) -> bytes:
    async with (await client.get_object(Bucket=bucket, Key=key))["Body"] as body:
        return await body.read()


async def stored(client: DeltaGliderClient, bucket: str) -> list[str]:
    page = await client._s3.list_objects_v2(Bucket=bucket)
    return [item["Key"] for item in page.get("Contents", ()) if ".deltaglider/" not in item["Key"]]


async def put_plain(client: DeltaGliderClient, bucket: str, key: str, body: bytes, **arguments: Any) -> None:
    await client.put_object(Bucket=bucket, Key=key, Body=body, use_delta=False, **arguments)


@pytest.fixture(params=["moto", *CONDITIONAL])
async def place(
    request: pytest.FixtureRequest, real_server: Callable[[str], str]
) -> AsyncIterator[tuple[DeltaGliderClient, str]]:
    """A client and an empty bucket, on servers that differ in the conditions that they keep."""
    async with create_client(endpoint_url=real_server(request.param)) as client:
        bucket = f"test-{secrets.token_hex(8)}"
        await client.create_bucket(Bucket=bucket)
        yield client, bucket


async def test_a_plain_object_becomes_a_delta_and_keeps_what_belongs_to_it(
    client: DeltaGliderClient, bucket: str
) -> None:
    await put_plain(client, bucket, "app/1.zip", BASE)
    await put_plain(
        client, bucket, KEY, version(BASE, 2),
        Metadata={"build": "17"}, ContentType="application/zip", CacheControl="no-cache", Tagging="team=a",
        StorageClass="STANDARD_IA",
    )  # fmt: skip
    first = await client.compact_object(Bucket=bucket, Key="app/1.zip", exclusive=True)
    second = await client.compact_object(Bucket=bucket, Key=KEY, exclusive=True)
    assert (first["Operation"], second["Operation"]) == ("create_reference", "create_delta")
    assert second["StoredSize"] < second["OriginalSize"] / 10
    assert await stored(client, bucket) == ["app/1.zip.delta", "app/2.zip.delta", "app/reference.bin"]
    assert await read(client, bucket, "app/1.zip") == BASE
    assert await read(client, bucket) == version(BASE, 2)
    head = await client.head_object(Bucket=bucket, Key=KEY)
    assert head["Metadata"] == {"build": "17"}
    assert (head["ContentType"], head["CacheControl"]) == ("application/zip", "no-cache")
    assert head["StorageClass"] == "STANDARD_IA"
    tags = await client.get_object_tagging(Bucket=bucket, Key=KEY)
    assert tags["TagSet"] == [{"Key": "team", "Value": "a"}]


async def test_what_a_put_would_store_plain_stays_plain(client: DeltaGliderClient, bucket: str) -> None:
    await put_plain(client, bucket, "app/1.zip", BASE)
    await client.compact_object(Bucket=bucket, Key="app/1.zip", exclusive=True)
    others = {"app/notes.txt": b"text", "app/other.zip": content(9), "app/gz.zip": b"\x1f\x8b" + BASE, "app/0.zip": b""}
    for key, body in others.items():
        await put_plain(client, bucket, key, body)
        etag = (await client.head_object(Bucket=bucket, Key=key))["ETag"]
        info = await client.compact_object(Bucket=bucket, Key=key, exclusive=True)
        assert info["Operation"] == "copy_plain"
        assert info["Reason"]
        assert (await client.head_object(Bucket=bucket, Key=key))["ETag"] == etag
        assert await read(client, bucket, key) == body
    assert not [key for key in await stored(client, bucket) if key.removesuffix(".delta") in others and ".delta" in key]


async def test_a_delta_is_left_alone(client: DeltaGliderClient, bucket: str) -> None:
    await client.put_object(Bucket=bucket, Key=KEY, Body=BASE)
    etag = (await client.head_object(Bucket=bucket, Key=KEY))["ETag"]
    info = await client.compact_object(Bucket=bucket, Key=KEY, exclusive=True)
    assert info["Operation"] == "copy_delta"
    assert (await client.head_object(Bucket=bucket, Key=KEY))["ETag"] == etag


async def test_a_missing_object_and_one_that_others_may_write_are_refused(
    client: DeltaGliderClient, bucket: str
) -> None:
    with pytest.raises(NotFoundError):
        await client.compact_object(Bucket=bucket, Key=KEY, exclusive=True)
    await put_plain(client, bucket, KEY, BASE)
    with pytest.raises(InvalidRequestError, match="exclusive=True"):
        await client.compact_object(Bucket=bucket, Key=KEY, exclusive=False)
    assert await stored(client, bucket) == [KEY]


#: All that changes a bucket; a conditional delete is one of these, too.
WRITES = ("put", "delete", "copy")


def die_at(client: DeltaGliderClient, call: int, *, after: bool, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the process die before or after its n-th call that changes the bucket, and record them."""
    store, calls = client._engine.store, list[str]()

    def dying(name: str) -> Callable[..., Any]:
        original = getattr(type(store), name)

        async def call_it(*arguments: Any, **named: Any) -> Any:
            if ".deltaglider/" in arguments[1] and "refs/" not in arguments[1]:  # a trial of what the endpoint keeps
                return await original(store, *arguments, **named)
            calls.append(f"{name} {arguments[1]}")
            if len(calls) == call and not after:
                raise Died
            result = await original(store, *arguments, **named)
            if len(calls) == call:
                raise Died
            return result

        return call_it

    for name in WRITES:
        monkeypatch.setattr(store, name, dying(name))
    return calls


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
async def test_death_at_any_step_leaves_the_object_readable_and_a_second_run_finishes(
    first: bool, after: bool, place: tuple[DeltaGliderClient, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, bucket = place
    body = version(BASE, 2)
    for call in range(1, 10):
        for key in await stored(client, bucket):
            await client._s3.delete_object(Bucket=bucket, Key=key)
        if not first:
            await client.put_object(Bucket=bucket, Key="app/1.zip", Body=BASE)
        await put_plain(client, bucket, KEY, body)
        with monkeypatch.context() as dying:
            calls = die_at(client, call, after=after, monkeypatch=dying)
            try:
                await client.compact_object(Bucket=bucket, Key=KEY, exclusive=True)
            except Died:
                died = True
            else:
                died = False
        assert await read(client, bucket) == body
        listed = [item["Key"] for item in (await client.list_objects_v2(Bucket=bucket))["Contents"]]
        assert listed == [*([] if first else ["app/1.zip"]), KEY]
        await client.compact_object(Bucket=bucket, Key=KEY, exclusive=True)
        assert await read(client, bucket) == body
        assert KEY not in await stored(client, bucket)
        assert f"{KEY}.delta" in await stored(client, bucket)
        assert not [finding async for finding in client.fsck(bucket) if finding.severity == "error"]
        if not died:
            break
    assert not died
    assert len(calls) == (3 if first else 2)  # the reference, the delta, the deletion of the plain form
    assert calls[-1].startswith("delete")


async def test_what_was_put_meanwhile_stays(
    place: tuple[DeltaGliderClient, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody should write; whoever does, with other bytes, loses nothing."""
    client, bucket = place
    await put_plain(client, bucket, KEY, BASE)
    store = client._engine.store
    original = type(store).put

    async def put(bucket_: str, key: str, *arguments: Any, **named: Any) -> Any:
        result = await original(store, bucket_, key, *arguments, **named)
        if key.endswith(".delta"):
            await client._s3.put_object(Bucket=bucket, Key=KEY, Body=b"newer")
        return result

    with monkeypatch.context() as interfering:
        interfering.setattr(store, "put", put)
        with pytest.raises(SourceChangedError):
            await client.compact_object(Bucket=bucket, Key=KEY, exclusive=True)
    assert await read(client, bucket) == b"newer"
