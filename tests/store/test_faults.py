"""Calls that fail on their way: what is resumed, and what is recognised as done."""

from __future__ import annotations

import random
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from botocore.config import Config
from tests.engine.conftest import content, version
from tests.torture.proxy import Fault, Proxy, faulty

from deltaglider_async import create_client
from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.errors import NotFoundError, PreconditionFailedError, StorageIOError
from deltaglider_async.format.metadata import PUT_ID
from deltaglider_async.store.body import Request, body_chunks
from deltaglider_async.store.conditions import Operation
from deltaglider_async.store.s3 import LARGEST_SINGLE_PUT

BASE = content(1)
LONG = random.Random(2).randbytes(LARGEST_SINGLE_PUT + 1024)


Script = list[tuple[str, str, Fault]]
"""Each entry hits one call: the next of that method whose target contains that text."""


@pytest.fixture
async def sound(conditional_endpoint: str) -> AsyncIterator[DeltaGliderClient]:
    """A client without a proxy."""
    async with create_client(endpoint_url=conditional_endpoint) as client:
        yield client


@pytest.fixture
async def place(sound: DeltaGliderClient) -> str:
    name = f"test-{secrets.token_hex(6)}"
    await sound.create_bucket(Bucket=name)
    return name


Through = Callable[[Script], AbstractAsyncContextManager[tuple[DeltaGliderClient, Proxy]]]


@pytest.fixture
def through(conditional_endpoint: str) -> Through:
    """`async with through(script) as (client, proxy)`. Every entry of the script must have been used."""
    return lambda script: _through(conditional_endpoint, script)


@asynccontextmanager
async def _through(endpoint: str, script: Script) -> AsyncIterator[tuple[DeltaGliderClient, Proxy]]:
    left = list(script)

    def choose(method: str, target: str) -> Fault | None:
        for entry in left:
            if entry[0] == method and entry[1] in unquote(target):
                left.remove(entry)
                return entry[2]
        return None

    config = Config(read_timeout=1)
    async with (
        faulty(endpoint, choose) as (url, proxy),
        create_client(endpoint_url=url, config=config) as client,
    ):
        yield client, proxy
    assert left == []


async def read(client: DeltaGliderClient, bucket: str, key: str, **arguments: Any) -> bytes:
    async with (await client.get_object(Bucket=bucket, Key=key, **arguments))["Body"] as body:
        data: bytes = await body.read()
    return data


def gets(proxy: Proxy, name: str) -> int:
    """How many answers to a GET of an object brought bytes of it."""
    return sum(
        exchange.method == "GET" and urlsplit(exchange.target).path.endswith(name) and exchange.status in (200, 206)
        for exchange in proxy.exchanges
    )


@pytest.mark.parametrize("fault", [Fault.TRUNCATE, Fault.STALL])
async def test_a_body_that_breaks_off_is_resumed_where_it_did(
    sound: DeltaGliderClient, place: str, through: Through, fault: Fault
) -> None:
    await sound.put_object(Bucket=place, Key="a.bin", Body=BASE)
    async with through([("GET", "a.bin", fault)] * 2) as (client, proxy):
        assert await read(client, place, "a.bin") == BASE
        assert gets(proxy, "a.bin") == 3


async def test_a_range_is_resumed_within_itself(sound: DeltaGliderClient, place: str, through: Through) -> None:
    await sound.put_object(Bucket=place, Key="a.bin", Body=BASE)
    for asked, wanted in {
        "bytes=1000-100999": BASE[1000:101_000],
        "bytes=-5000": BASE[-5000:],
        "bytes=299000-": BASE[299_000:],
    }.items():
        async with through([("GET", "a.bin", Fault.TRUNCATE)] * 3) as (client, proxy):
            assert await read(client, place, "a.bin", Range=asked) == wanted
            assert gets(proxy, "a.bin") == 4


async def test_deltas_and_references_are_resumed(sound: DeltaGliderClient, place: str, through: Through) -> None:
    for number in range(2):
        await sound.put_object(Bucket=place, Key=f"a/{number}.zip", Body=version(BASE, number))
    script = [("GET", "1.zip.delta", Fault.TRUNCATE), ("GET", "reference.bin", Fault.STALL)]
    async with through([*script, ("GET", "reference.bin", Fault.TRUNCATE)]) as (client, proxy):
        assert await read(client, place, "a/1.zip") == version(BASE, 1)
        assert (gets(proxy, "1.zip.delta"), gets(proxy, "reference.bin")) == (2, 3)


async def test_a_customers_key_goes_with_every_part(s3_endpoint: str, bucket: str) -> None:
    key: dict[str, Any] = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": secrets.token_bytes(32)}
    async with _through(s3_endpoint, [("GET", "a.bin", Fault.TRUNCATE)] * 2) as (client, proxy):
        await client.put_object(Bucket=bucket, Key="a.bin", Body=BASE, **key)
        assert await read(client, bucket, "a.bin", **key) == BASE
        sent = [exchange.head.lower() for exchange in proxy.exchanges if exchange.method == "GET"]
        assert [b"\r\nx-amz-server-side-encryption-customer-key:" in head for head in sent] == [True] * 3


@pytest.mark.parametrize("now", ["another", "nothing"])
async def test_bytes_of_two_objects_never_meet(
    sound: DeltaGliderClient, place: str, through: Through, now: str
) -> None:
    await sound.put_object(Bucket=place, Key="a.bin", Body=BASE)
    async with through([("GET", "a.bin", Fault.TRUNCATE)]) as (client, _):
        body = (await client.get_object(Bucket=place, Key="a.bin"))["Body"]
        if now == "another":
            await sound.put_object(Bucket=place, Key="a.bin", Body=version(BASE, 9))
        else:
            await sound.delete_object(Bucket=place, Key="a.bin")
        with pytest.raises(StorageIOError, match="replaced or deleted") as error:
            await body.read()
        assert f"s3://{place}/a.bin" in str(error.value)
        assert not isinstance(error.value, PreconditionFailedError)


async def test_bytes_of_two_objects_never_meet_where_conditions_are_ignored(ignorant_endpoint: str) -> None:
    async with _through(ignorant_endpoint, [("GET", "a.bin", Fault.TRUNCATE)]) as (client, _):
        name = f"test-{secrets.token_hex(6)}"
        await client.create_bucket(Bucket=name)
        await client.put_object(Bucket=name, Key="a.bin", Body=BASE)
        body = (await client.get_object(Bucket=name, Key="a.bin"))["Body"]
        await client.put_object(Bucket=name, Key="a.bin", Body=version(BASE, 9))
        with pytest.raises(StorageIOError, match="replaced or deleted"):
            await body.read()


async def test_a_service_without_ranges_or_conditions_is_read_from_the_start(
    sound: DeltaGliderClient, place: str, through: Through, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sound.put_object(Bucket=place, Key="a.bin", Body=BASE)
    async with through([("GET", "a.bin", Fault.TRUNCATE)] * 3) as (client, _):
        store = client._engine.store
        get = store.get_existing
        monkeypatch.setattr(store, "get_existing", lambda bucket, key, arguments: get(bucket, key))
        request = Request(place, "a.bin", {}, "it")
        read = b"".join([chunk async for chunk in body_chunks(store, await get(place, "a.bin"), request)])
        assert read == BASE


async def test_an_error_that_breaks_off_is_asked_for_again(
    sound: DeltaGliderClient, place: str, through: Through
) -> None:
    await sound.put_object(Bucket=place, Key="a.bin", Body=BASE)
    async with through([("GET", "b.bin", Fault.TRUNCATE)] * 5) as (client, _):
        with pytest.raises(NotFoundError):
            await read(client, place, "b.bin")
    async with through([("GET", "b.bin", Fault.TRUNCATE)] * 6) as (client, _):
        with pytest.raises(StorageIOError):
            await read(client, place, "b.bin")


#: What becomes of the first attempt, of which the client learns nothing.
LOST = [Fault.RESET_AFTER, Fault.DUPLICATE, Fault.TRUNCATE]


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize("body", [BASE, LONG], ids=["PutObject", "CompleteMultipartUpload"])
async def test_a_conditional_put_that_meets_itself_is_done(
    sound: DeltaGliderClient, place: str, through: Through, fault: Fault, body: bytes
) -> None:
    call = ("POST", "uploadId=") if body is LONG else ("PUT", f"{place}/a.zip")
    async with through([(*call, fault)]) as (client, _):
        put = await client.put_object(Bucket=place, Key="a.zip", Body=body, IfNoneMatch="*", Metadata={"user": "own"})
    head = await sound.head_object(Bucket=place, Key="a.zip")
    assert put["ETag"] == head["ETag"]
    assert head["Metadata"] == {"user": "own"}
    assert await read(sound, place, "a.zip") == body
    async with through([(*call, fault)]) as (client, _):  # and one that meets another is not
        with pytest.raises(PreconditionFailedError):
            await client.put_object(Bucket=place, Key="a.zip", Body=body[::-1], IfNoneMatch="*")
    assert await read(sound, place, "a.zip") == body
    operation: Operation = "CompleteMultipartUpload" if body is LONG else "PutObject"
    if not await sound._engine.conditions.keeps(place, "", operation, "IfMatch", {}):
        return  # moto, of a multipart upload
    async with through([(*call, fault)]) as (client, _):
        again = await client.put_object(Bucket=place, Key="a.zip", Body=body[::-1], IfMatch=put["ETag"])
    assert again["ETag"] != put["ETag"]
    assert await read(sound, place, "a.zip") == body[::-1]


@pytest.mark.parametrize("fault", LOST)
async def test_a_reference_that_meets_itself_is_used(
    sound: DeltaGliderClient, place: str, through: Through, fault: Fault
) -> None:
    async with through([("PUT", "reference.bin", fault)]) as (client, proxy):
        put = await client.put_object(Bucket=place, Key="a/0.zip", Body=BASE)
        assert put["DeltaGliderInfo"]["Operation"] == "create_reference"
        # Taken for another's, it would be looked up and downloaded, and the file encoded once more.
        assert gets(proxy, "reference.bin") == 0
    stored = await sound._engine.store.head_existing(place, "a/reference.bin")
    assert len(stored["Metadata"][PUT_ID]) == 16
    assert await read(sound, place, "a/0.zip") == BASE


@pytest.mark.parametrize("fault", LOST)
async def test_a_long_put_whose_last_answer_was_lost_is_done(
    sound: DeltaGliderClient, place: str, through: Through, fault: Fault
) -> None:
    async with through([("POST", "uploadId=", fault)]) as (client, _):
        await client.put_object(Bucket=place, Key="a.bin", Body=LONG)
    assert await read(sound, place, "a.bin") == LONG


async def test_metadata_that_leaves_no_room_is_kept_and_the_write_not_recognised(
    sound: DeltaGliderClient, place: str, through: Through
) -> None:
    metadata = {"user": "x" * 2010}
    async with through([("PUT", "a.bin", Fault.RESET_AFTER)]) as (client, _):
        with pytest.raises(PreconditionFailedError):
            await client.put_object(Bucket=place, Key="a.bin", Body=BASE, IfNoneMatch="*", Metadata=metadata)
    assert (await sound.head_object(Bucket=place, Key="a.bin"))["Metadata"] == metadata


@pytest.mark.parametrize("faults", [[fault] for fault in LOST] + [[Fault.RESET_AFTER, Fault.STALL]])
async def test_a_conditional_delete_that_finds_nothing_the_second_time_is_done(
    sound: DeltaGliderClient, place: str, through: Through, faults: list[Fault]
) -> None:
    put = await sound.put_object(Bucket=place, Key="a.bin", Body=BASE)
    async with through([("DELETE", "a.bin", fault) for fault in faults]) as (client, _):
        assert await client._engine.store.delete_if_unchanged(place, "a.bin", put["ETag"])
    with pytest.raises(NotFoundError):
        await sound.head_object(Bucket=place, Key="a.bin")
    if await sound._engine.conditions.keeps(place, "", "DeleteObject", "IfMatch", {}):
        other = await sound.put_object(Bucket=place, Key="a.bin", Body=BASE[::-1])
        assert not await sound._engine.store.delete_if_unchanged(place, "a.bin", put["ETag"])
        assert (await sound.head_object(Bucket=place, Key="a.bin"))["ETag"] == other["ETag"]


async def test_a_callers_conditional_delete_that_botocore_repeated_is_done(
    sound: DeltaGliderClient, place: str, through: Through
) -> None:
    put = await sound.put_object(Bucket=place, Key="a.bin", Body=BASE)
    async with through([("DELETE", "a.bin", Fault.STALL)]) as (client, _):  # not an error that aiohttp repeats
        await client._engine.store.delete(place, "a.bin", {"IfMatch": put["ETag"]})
    with pytest.raises(NotFoundError):
        await sound.head_object(Bucket=place, Key="a.bin")


async def test_what_a_probe_meets_again_was_not_kept(ignorant_endpoint: str) -> None:
    """A server that completes what it should have refused, at an attempt whose answer is lost."""
    async with _through(ignorant_endpoint, [("POST", "uploadId=", Fault.RESET_AFTER)]) as (client, _):
        name = f"test-{secrets.token_hex(6)}"
        await client.create_bucket(Bucket=name)
        assert not await client._engine.conditions.keeps(name, "a", "CompleteMultipartUpload", "IfNoneMatch", {})
