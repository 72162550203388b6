"""Completions that end early, meet others, or are repeated: the object is the whole upload, and nothing is left."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.errors import InvalidRequestError, NotFoundError, PreconditionFailedError
from deltaglider_async.session import create_client
from deltaglider_async.store.heads import Heads
from tests.engine.conftest import content, version
from tests.engine.test_multipart import CANDIDATE, PLAIN, Sent, read, stored
from tests.real_servers import CONDITIONAL

BASE = content(1, 100_000)
DATA, OTHER = version(BASE, 1), version(BASE, 2)
#: Of completions, that do not hold of what is there.
CONDITIONS: list[dict[str, Any]] = [{"IfNoneMatch": "*"}, {"IfMatch": '"00000000000000000000000000000000"'}]
#: moto keeps no IfMatch of these, and answers with an internal error where an upload has gone.
REAL = CONDITIONAL[0] != "moto"
CONDITIONS = CONDITIONS if REAL else CONDITIONS[:1]
#: More calls than any completion makes.
ENDLESS = 60

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def endpoint(real_server: Callable[[str], str]) -> str:
    """One of the servers that keep conditions is enough here; moto's forgets an upload with an internal error."""
    return real_server(CONDITIONAL[0])


@pytest.fixture
async def client(endpoint: str) -> AsyncIterator[DeltaGliderClient]:
    async with create_client(endpoint_url=endpoint) as client:
        yield client


@pytest.fixture
async def bucket(client: DeltaGliderClient) -> str:
    name = f"test-{secrets.token_hex(6)}"
    await client.create_bucket(Bucket=name)
    # What the endpoint can do is asked now, and not among the calls that are counted.
    await client.put_object(Bucket=name, Key="asked/1.zip", Body=BASE)
    await client.put_object(Bucket=name, Key="asked/1.zip", Body=BASE, use_delta=False)
    answer = await client.put_object(Bucket=name, Key="asked/2.zip", Body=BASE, IfNoneMatch="*")
    if REAL:
        await client.put_object(Bucket=name, Key="asked/2.zip", Body=BASE, IfMatch=answer["ETag"])
    sent = await Sent.begin(client, name, "asked/2.zip")
    for arguments in CONDITIONS:
        with pytest.raises(PreconditionFailedError):
            await sent.complete(**arguments)
    await sent.abort()
    return name


class DiedError(Exception):
    """The process has ended here."""


class Dying:
    """botocore's client in a process that dies at its n-th call: before it is sent, or when it has been done."""

    def __init__(self, s3: Any, last: int, done: bool) -> None:
        self._s3, self._last, self._done = s3, last, done
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._s3, name)
        if name in ("meta", "exceptions"):
            return attribute

        async def call(**arguments: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) > self._last or (len(self.calls) == self._last and not self._done):
                raise DiedError
            answer = await attribute(**arguments)
            if len(self.calls) == self._last:
                if "Body" in answer:
                    answer["Body"].close()
                raise DiedError
            return answer

        return call


@contextmanager
def dying(client: DeltaGliderClient, last: int, done: bool) -> Iterator[Dying]:
    store = client._engine.store
    s3, heads = store.s3, store._heads
    store.s3 = Dying(s3, last, done)
    store._heads = Heads(store.s3)  # HEADs count too
    try:
        yield store.s3
    finally:
        store.s3, store._heads = s3, heads


Prepare = Callable[[DeltaGliderClient, str, str], Any]


async def empty(client: DeltaGliderClient, bucket: str, key: str) -> dict[str, Any]:
    """The first file of its folder."""
    return {}


async def reference(client: DeltaGliderClient, bucket: str, key: str) -> dict[str, Any]:
    """A folder with a reference."""
    await client.put_object(Bucket=bucket, Key=f"{key.rpartition('/')[0]}/0.zip", Body=BASE)
    return {}


async def delta(client: DeltaGliderClient, bucket: str, key: str) -> dict[str, Any]:
    """An older delta of the key."""
    await reference(client, bucket, key)
    await client.put_object(Bucket=bucket, Key=key, Body=OTHER)
    return {}


async def plain(client: DeltaGliderClient, bucket: str, key: str) -> dict[str, Any]:
    """A plain form, and a leftover beside it."""
    await delta(client, bucket, key)
    await client._s3.put_object(Bucket=bucket, Key=key, Body=b"plain")
    return {}


async def only_if_new(client: DeltaGliderClient, bucket: str, key: str) -> dict[str, Any]:
    return {"IfNoneMatch": "*"}


async def swapped_delta(client: DeltaGliderClient, bucket: str, key: str) -> dict[str, Any]:
    await delta(client, bucket, key)
    return {"IfMatch": (await client.head_object(Bucket=bucket, Key=key))["ETag"]}


async def swapped_plain(client: DeltaGliderClient, bucket: str, key: str) -> dict[str, Any]:
    answer = await client.put_object(Bucket=bucket, Key=key, Body=OTHER, use_delta=False)
    return {"IfMatch": answer["ETag"]}


BEFORE = [empty, reference, delta, plain, only_if_new, *([swapped_delta, swapped_plain] if REAL else [])]


async def temporary(client: DeltaGliderClient, bucket: str) -> list[str]:
    return [name for name in await stored(client, bucket) if "/.deltaglider/multipart/" in name]


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("before", BEFORE)
async def test_a_completion_that_died_is_repeated(
    client: DeltaGliderClient, bucket: str, before: Prepare, done: bool
) -> None:
    for last in range(1, ENDLESS):
        key = f"{last}/1.zip"
        conditions = await before(client, bucket, key)
        sent = await Sent.begin(client, bucket, key)
        await sent.send(1, DATA)
        with dying(client, last, done) as s3:
            try:
                await sent.complete(**conditions)
                died = False
            except DiedError:
                died = True
        answer = await sent.complete(**conditions)
        head = await client.head_object(Bucket=bucket, Key=key)
        assert (answer["Key"], answer["ETag"]) == (key, head["ETag"])
        assert await read(client, bucket, key) == DATA
        assert await temporary(client, bucket) == []
        assert "Uploads" not in await client.list_multipart_uploads(Bucket=bucket)
        if not died:
            assert "complete_multipart_upload" in s3.calls
            assert last > 8
            return
    raise AssertionError("it never ended")


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
async def test_a_completion_that_died_can_be_aborted(client: DeltaGliderClient, bucket: str, done: bool) -> None:
    for last in range(1, ENDLESS):
        key = f"{last}/1.zip"
        await delta(client, bucket, key)
        sent = await Sent.begin(client, bucket, key)
        await sent.send(1, DATA)
        with dying(client, last, done):
            try:
                await sent.complete()
                return
            except DiedError:
                pass
        try:
            await sent.abort()
        except NotFoundError:
            assert await read(client, bucket, key) == DATA  # it had come to its end
        assert await temporary(client, bucket) == []
        assert await read(client, bucket, key) in (DATA, OTHER)
    raise AssertionError("it never ended")


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
async def test_what_was_put_between_is_replaced_or_stays_whole(
    client: DeltaGliderClient, bucket: str, done: bool
) -> None:
    for last in range(1, ENDLESS):
        key = f"{last}/1.zip"
        await reference(client, bucket, key)
        sent = await Sent.begin(client, bucket, key)
        await sent.send(1, DATA)
        with dying(client, last, done):
            try:
                await sent.complete()
                return
            except DiedError:
                pass
        await client.put_object(Bucket=bucket, Key=key, Body=OTHER)
        try:
            await sent.complete()
            assert await read(client, bucket, key) == DATA
        except client.exceptions.NoSuchUpload:
            assert await read(client, bucket, key) == OTHER
        assert await temporary(client, bucket) == []
    raise AssertionError("it never ended")


async def test_another_process_completes_it(client: DeltaGliderClient, bucket: str, endpoint: str) -> None:
    sent = await Sent.begin(client, bucket, CANDIDATE, Metadata={"team": "core"})
    await sent.send(1, DATA)
    async with create_client(endpoint_url=endpoint) as other:
        await sent.complete(other)
        assert (await other.head_object(Bucket=bucket, Key=CANDIDATE))["Metadata"] == {"team": "core"}
    assert await read(client, bucket, CANDIDATE) == DATA


async def test_no_version_of_the_temporary_object_is_kept(client: DeltaGliderClient, bucket: str) -> None:
    await client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    sent = await Sent.begin(client, bucket, CANDIDATE)
    await sent.send(1, DATA)
    answer = await sent.complete()
    assert answer["VersionId"]
    versions = await client._s3.list_object_versions(Bucket=bucket, Prefix="app/")
    names = [each["Key"] for kind in ("Versions", "DeleteMarkers") for each in versions.get(kind, ())]
    assert names == [f"{CANDIDATE}.delta", "app/reference.bin"]


@pytest.mark.parametrize("conditions", [{}, {"IfNoneMatch": "*"}])
async def test_side_by_side_all_that_succeed_made_the_object(
    client: DeltaGliderClient, bucket: str, conditions: dict[str, Any]
) -> None:
    for number in range(6):
        key = f"side/{number}.zip"
        sent = await Sent.begin(client, bucket, key)
        data = version(BASE, number)
        await sent.send(1, data)
        answers = await asyncio.gather(*(sent.complete(**conditions) for _ in range(4)), return_exceptions=True)
        failed = [answer for answer in answers if isinstance(answer, BaseException)]
        assert len(failed) < len(answers)
        for error in failed:
            assert isinstance(error, client.exceptions.NoSuchUpload), error
        assert await read(client, bucket, key) == data
        assert await temporary(client, bucket) == []


class Interrupted:
    """botocore's client with something else that happens before it reads an object."""

    def __init__(self, s3: Any, happens: Callable[[], Awaitable[Any]]) -> None:
        self._s3, self._happens = s3, happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._s3, name)

    async def get_object(self, **arguments: Any) -> Any:
        happens, self._happens = self._happens, nothing
        await happens()
        return await self._s3.get_object(**arguments)


async def nothing() -> None:
    pass


async def test_another_completion_may_finish_first(client: DeltaGliderClient, bucket: str, endpoint: str) -> None:
    sent = await Sent.begin(client, bucket, CANDIDATE)
    await sent.send(1, DATA)
    async with create_client(endpoint_url=endpoint) as other:
        store = other._engine.store
        store.s3 = Interrupted(store.s3, sent.complete)
        answer = await sent.complete(other)
    assert answer["ETag"] == (await client.head_object(Bucket=bucket, Key=CANDIDATE))["ETag"]
    assert await read(client, bucket, CANDIDATE) == DATA


async def test_an_abort_may_come_between(client: DeltaGliderClient, bucket: str, endpoint: str) -> None:
    sent = await Sent.begin(client, bucket, CANDIDATE)
    await sent.send(1, DATA)
    async with create_client(endpoint_url=endpoint) as other:
        store = other._engine.store
        store.s3 = Interrupted(store.s3, sent.abort)
        with pytest.raises(other.exceptions.NoSuchUpload):
            await sent.complete(other)
    assert await stored(client, bucket, "app/") == []


async def test_a_repetition_with_other_parts_is_refused(client: DeltaGliderClient, bucket: str) -> None:
    sent = await Sent.begin(client, bucket, CANDIDATE)
    await sent.send(1, DATA)
    with dying(client, 5, True), pytest.raises(DiedError):
        await sent.complete()
    assert len(await temporary(client, bucket)) == 1
    for parts in (
        [],
        [{"PartNumber": 1, "ETag": '"00000000000000000000000000000000"'}],
        [{"PartNumber": 1, "ETag": sent.parts[1]}, {"PartNumber": 2, "ETag": sent.parts[1]}],
    ):
        with pytest.raises(client.exceptions.NoSuchUpload):
            await sent.complete(MultipartUpload={"Parts": parts})
    await sent.complete()
    assert await read(client, bucket, CANDIDATE) == DATA


async def test_an_upload_that_was_completed_and_replaced_is_gone(client: DeltaGliderClient, bucket: str) -> None:
    sent = await Sent.begin(client, bucket, CANDIDATE)
    await sent.send(1, DATA)
    first = await sent.complete()
    assert (await sent.complete())["ETag"] == first["ETag"]
    await client.put_object(Bucket=bucket, Key=CANDIDATE, Body=OTHER)
    with pytest.raises(client.exceptions.NoSuchUpload):
        await sent.complete()
    assert await read(client, bucket, CANDIDATE) == OTHER


@pytest.mark.parametrize("key", [CANDIDATE, PLAIN])
@pytest.mark.parametrize("use_delta", [True, False])
async def test_an_unmet_condition_leaves_the_upload_as_it_is(
    client: DeltaGliderClient, bucket: str, key: str, use_delta: bool
) -> None:
    sent = await Sent.begin(client, bucket, key)
    await sent.send(1, DATA)
    with pytest.raises(NotFoundError):
        await sent.complete(IfMatch='"00000000000000000000000000000000"')
    answer = await client.put_object(Bucket=bucket, Key=key, Body=OTHER, use_delta=use_delta)
    with pytest.raises(PreconditionFailedError):
        await sent.complete(IfNoneMatch="*")
    with pytest.raises(PreconditionFailedError):
        await sent.complete(IfMatch='"00000000000000000000000000000000"')
    assert await read(client, bucket, key) == OTHER
    assert len((await client.list_parts(**sent.at))["Parts"]) == 1
    if key == PLAIN and use_delta:  # nothing swaps a delta for parts that lie at the key itself
        with pytest.raises(InvalidRequestError, match="use_delta=True"):
            await sent.complete(IfMatch=answer["ETag"])
        await sent.complete()
    else:
        await sent.complete(IfMatch=answer["ETag"])
    assert await read(client, bucket, key) == DATA


async def test_conditions_that_would_be_ignored_are_refused(ignorant_endpoint: str) -> None:
    async with create_client(endpoint_url=ignorant_endpoint) as client:
        bucket = f"test-{secrets.token_hex(6)}"
        await client.create_bucket(Bucket=bucket)
        await client.put_object(Bucket=bucket, Key="app/keep.txt", Body=b"so that rclone keeps the folder")
        for key in (CANDIDATE, PLAIN):
            sent = await Sent.begin(client, bucket, key)
            await sent.send(1, DATA)
            for condition in CONDITIONS:
                with pytest.raises(InvalidRequestError, match="answers 200 whether"):
                    await sent.complete(**condition)
            await sent.complete()
            assert await read(client, bucket, key) == DATA
