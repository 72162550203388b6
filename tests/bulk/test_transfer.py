"""Order and failures are shown on a client that the test controls; bytes on a real server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest

from deltaglider_async.bulk.actions import Action, Copy, Delete, Download, Options, Refusal, Upload, Verify
from deltaglider_async.bulk.events import Advanced, Event, Failed, Finished, Planned, Skipped, Started, Summary
from deltaglider_async.bulk.schedule import Limits
from deltaglider_async.bulk.transfer import transfer
from deltaglider_async.errors import IntegrityMismatchError, SourceChangedError, StorageIOError
from deltaglider_async.format.candidates import DEFAULT_POLICY
from deltaglider_async.session import create_client
from deltaglider_async.store.limits import Pace, limits
from deltaglider_async.types import Progress

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

    from deltaglider_async.client import DeltaGliderClient


async def plan(actions: Iterable[Action]) -> AsyncGenerator[Action, None]:
    for action in actions:
        yield action


async def events(client: Any, actions: Iterable[Action], limits: Limits | None = None) -> list[Event]:
    async with aclosing(transfer(client, plan(actions), limits=limits)) as happening:
        return [event async for event in happening]


def put(key: str, size: int = 1) -> Copy:
    return Copy("from", key, "b", key, size)


class Gate:
    """A client whose puts stay under way until they are let go."""

    delta_policy = DEFAULT_POLICY

    def __init__(self) -> None:
        self.under_way: dict[str, anyio.Event] = {}
        self.changed = anyio.Event()
        self.cancelled: list[str] = []
        self.most = 0

    async def copy_object(self, *, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        let_go = self.under_way[Key] = anyio.Event()
        self.most = max(self.most, len(self.under_way))
        self.changed.set()
        try:
            await let_go.wait()
        except BaseException:
            self.cancelled.append(Key)
            raise
        finally:
            del self.under_way[Key]
        return {"DeltaGliderInfo": {"OriginalSize": 1, "StoredSize": 1}}

    async def until(self, keys: set[str]) -> None:
        while self.under_way.keys() != keys:
            self.changed = anyio.Event()
            await self.changed.wait()


class Instant:
    """A client whose puts end at once."""

    delta_policy = DEFAULT_POLICY

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def copy_object(self, *, Key: str, progress: Any, **_: Any) -> dict[str, Any]:  # noqa: N803
        await anyio.lowlevel.checkpoint()
        self.keys.append(Key)
        progress("sending", 1)
        if "bad" in Key:
            raise StorageIOError(f"put {Key}: broken")
        return {"DeltaGliderInfo": {"OriginalSize": 10, "StoredSize": 4}}


async def test_the_first_of_a_new_deltaspace_goes_first_and_then_all_at_once() -> None:
    gate = Gate()
    actions = [put("x/1.zip"), put("x/2.zip"), put("x/3.zip"), put("y/1.zip")]
    async with anyio.create_task_group() as group:
        group.start_soon(events, gate, actions)
        await gate.until({"x/1.zip", "y/1.zip"})
        gate.under_way["x/1.zip"].set()
        await gate.until({"x/2.zip", "x/3.zip", "y/1.zip"})
        for let_go in gate.under_way.values():
            let_go.set()


async def test_concurrency_is_bounded() -> None:
    gate = Gate()
    async with anyio.create_task_group() as group:

        async def go() -> None:
            await events(gate, [put(f"{number}.txt") for number in range(20)], Limits.of(3))
            group.cancel_scope.cancel()

        group.start_soon(go)
        while True:
            await gate.until(set(gate.under_way) or {"none yet"}) if gate.under_way else await gate.changed.wait()
            for let_go in list(gate.under_way.values()):
                let_go.set()
            await anyio.lowlevel.checkpoint()
    assert gate.most == 3


async def test_one_failing_object_does_not_stop_the_others() -> None:
    client = Instant()
    refused = Refusal("upload", "odd", "no")
    happened = await events(client, [put("1.txt"), put("bad.txt"), refused, put("x/bad.zip"), put("x/2.zip")])
    failed = {event.action: str(event.error) for event in happened if isinstance(event, Failed)}
    assert failed == {put("bad.txt"): "put bad.txt: broken", put("x/bad.zip"): "put x/bad.zip: broken"}
    assert Skipped(refused) in happened
    assert {event.action for event in happened if isinstance(event, Finished)} == {put("1.txt"), put("x/2.zip")}
    assert Started(refused) not in happened


async def test_each_object_starts_advances_and_finishes_in_this_order() -> None:
    happened = await events(Instant(), [put("a.txt", 10)])
    assert [type(event) for event in happened if not isinstance(event, Planned)] == [Started, Advanced, Finished]
    assert [event for event in happened if isinstance(event, Planned)] == [Planned(1, 10, complete=True)]
    (finished,) = (event for event in happened if isinstance(event, Finished))
    assert (finished.summary.original_size, finished.summary.stored_size, finished.summary.saved) == (10, 4, 6)


async def test_ten_thousand_objects_are_read_only_so_far_ahead() -> None:
    ahead = done = most = 0

    async def counted() -> AsyncGenerator[Action, None]:
        nonlocal ahead, most
        for number in range(10_000):
            ahead += 1
            most = max(most, ahead - done)
            yield put(f"{number}.txt")

    async with aclosing(transfer(cast("DeltaGliderClient", Instant()), counted(), lookahead=50)) as happening:
        async for event in happening:
            done += isinstance(event, Finished)
    assert done == 10_000
    assert most <= 50 + 32 + 64 + 10  # read ahead, under way, told but not yet taken


async def test_an_error_of_the_plan_is_raised_after_what_was_planned() -> None:
    async def broken() -> AsyncGenerator[Action, None]:
        yield put("1.txt")
        yield put("2.txt")
        raise StorageIOError("the listing broke off")

    client = Instant()
    happened: list[Event] = []
    with pytest.raises(StorageIOError, match="broke off"):
        async with aclosing(transfer(cast("DeltaGliderClient", client), broken())) as happening:
            async for event in happening:
                happened.append(event)  # noqa: PERF401, what happened before the error counts
    assert client.keys == ["1.txt", "2.txt"]
    assert sum(isinstance(event, Finished) for event in happened) == 2


async def test_stopping_early_cancels_what_is_under_way_and_closes_the_plan() -> None:
    gate = Gate()
    closed = False

    async def endless() -> AsyncGenerator[Action, None]:
        nonlocal closed
        try:
            number = 0
            while True:
                yield put(f"{number}.txt")
                number += 1
        finally:
            closed = True

    started = 0
    async with aclosing(
        transfer(cast("DeltaGliderClient", gate), endless(), limits=Limits.of(2), lookahead=5)
    ) as happening:
        async for event in happening:
            started += isinstance(event, Started)
            if started == 2:
                await gate.until({"0.txt", "1.txt"})
                break
    assert sorted(gate.cancelled) == ["0.txt", "1.txt"]
    assert closed


async def test_cancelling_the_consumer_cancels_the_transfer() -> None:
    gate = Gate()
    with anyio.CancelScope() as scope:
        async with aclosing(transfer(cast("DeltaGliderClient", gate), plan([put("1.txt")]))) as happening:
            async for event in happening:
                if isinstance(event, Started):
                    await gate.until({"1.txt"})
                    scope.cancel()
    assert gate.cancelled == ["1.txt"]


@pytest.fixture
async def client(s3_endpoint: str) -> AsyncIterator[DeltaGliderClient]:
    async with create_client(endpoint_url=s3_endpoint) as ready:
        yield ready


async def test_a_new_folder_gets_one_reference_and_every_byte_comes_back(
    client: DeltaGliderClient, bucket: str, tmp_path: Path
) -> None:
    base = os.urandom(50_000)
    contents = {f"app-{number}.zip": base + bytes([number]) * number for number in range(8)} | {"empty.zip": b""}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    uploads = [Upload(tmp_path / name, bucket, f"r/{name}", len(contents[name])) for name in contents]
    happened = await events(client, uploads)
    assert not [event for event in happened if isinstance(event, Failed)]
    stored = sum(event.summary.stored_size or 0 for event in happened if isinstance(event, Finished))
    assert stored < 2 * len(base)  # with eight references, or whole files, it would be more

    out = tmp_path / "out"
    modified = datetime(2024, 5, 6, tzinfo=UTC)
    downloads = [Download(bucket, f"r/{name}", out / "deep" / name, out, None, modified) for name in contents]
    happened = await events(client, downloads)
    assert not [event for event in happened if isinstance(event, Failed)]
    assert sum(isinstance(event, Finished) for event in happened) == 9
    assert {path.name: path.read_bytes() for path in (out / "deep").iterdir()} == contents
    assert (out / "deep" / "empty.zip").stat().st_mtime == modified.timestamp()


async def test_a_copy_keeps_bytes_type_and_metadata(client: DeltaGliderClient, bucket: str) -> None:
    content = os.urandom(20_000)
    await client.put_object(Bucket=bucket, Key="a/1.zip", Body=content, ContentType="x/y", Metadata={"owner": "me"})
    (*_, finished) = await events(client, [Copy(bucket, "a/1.zip", bucket, "b/2.zip", None, Options())])
    assert isinstance(finished, Finished)
    answer = await client.get_object(Bucket=bucket, Key="b/2.zip")
    async with answer["Body"] as body:
        assert await body.read() == content
    assert (answer["ContentType"], answer["Metadata"]) == ("x/y", {"owner": "me"})


async def test_a_copy_tells_what_the_bucket_grew_by(client: DeltaGliderClient, bucket: str) -> None:
    base = os.urandom(100_000)
    for number in range(2):
        await client.put_object(Bucket=bucket, Key=f"a/{number}.zip", Body=base + bytes([number]))
    await client.put_object(Bucket=bucket, Key="a/1.txt", Body=b"text")
    stored = []
    for key in ("a/0.zip", "a/1.zip", "a/1.txt"):
        happened = await events(client, [Copy(bucket, key, bucket, f"b/{key[2:]}", None, Options())])
        (*_, finished) = happened
        assert isinstance(finished, Finished)
        assert [type(event) for event in happened if not isinstance(event, (Planned, Advanced))] == [Started, Finished]
        assert any(isinstance(event, Advanced) and event.phase == "sending" for event in happened)
        assert finished.summary.original_size == (4 if key == "a/1.txt" else len(base) + 1)
        stored.append(finished.summary.stored_size or 0)
    assert len(base) < stored[0] < len(base) + 5000  # with the new reference
    assert stored[1] < 5000
    assert stored[2] == 4


@pytest.mark.parametrize("options", [Options(use_delta=False), Options(max_ratio=0.0), Options(max_ratio=0.5)])
async def test_a_copy_with_options_is_put_anew(client: DeltaGliderClient, bucket: str, options: Options) -> None:
    base = os.urandom(50_000)
    await client.put_object(Bucket=bucket, Key="a/0.zip", Body=base)
    await client.put_object(Bucket=bucket, Key="a/1.zip", Body=base, use_delta=False)
    for number in range(2):
        (*_, finished) = await events(
            client, [Copy(bucket, f"a/{number}.zip", bucket, f"b/{number}.zip", None, options)]
        )
        assert isinstance(finished, Finished)
        head = await client.head_object(Bucket=bucket, Key=f"b/{number}.zip")
        assert head["DeltaGliderInfo"]["IsDelta"] == (options.max_ratio == 0.5)  # of the plain form, too


async def test_a_delete_removes_the_key_alone(client: DeltaGliderClient, bucket: str) -> None:
    for key in ("a/1.zip", "a/1.zip.txt", "a/1.zi"):
        await client.put_object(Bucket=bucket, Key=key, Body=b"x" * 100)
    (*_, finished) = await events(client, [Delete(bucket, "a/1.zip")])
    assert isinstance(finished, Finished)
    page = await client.list_objects_v2(Bucket=bucket)
    assert [entry["Key"] for entry in page["Contents"]] == ["a/1.zi", "a/1.zip.txt"]


async def test_a_file_is_not_written_where_a_folder_or_a_link_is(
    client: DeltaGliderClient, bucket: str, tmp_path: Path
) -> None:
    await client.put_object(Bucket=bucket, Key="k", Body=b"x")
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "folder").mkdir(parents=True)
    outside.mkdir()
    (root / "link").symlink_to(outside)
    downloads = [Download(bucket, "k", root / name / "k", root, 1, None) for name in ("link",)]
    downloads.append(Download(bucket, "k", root / "folder", root, 1, None))
    failed = [event for event in await events(client, downloads) if isinstance(event, Failed)]
    assert len(failed) == 2
    assert not list(outside.iterdir())
    assert not list((root / "folder").iterdir())


async def test_a_download_replaces_a_link_and_does_not_follow_it(s3_endpoint: str, bucket: str, tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (outside / "victim").write_bytes(b"untouched")
    (root / "file").symlink_to(outside / "victim")
    (root / "new").symlink_to(outside / "nothing")
    (root / "folder").symlink_to(outside)
    names = ("file", "new", "folder/file", "folder")
    async with create_client(endpoint_url=s3_endpoint) as client:
        for name in names:
            await client.put_object(Bucket=bucket, Key=name, Body=b"content of " + name.encode())
        downloads = [Download(bucket, name, root / name, root, 1, None) for name in names]
        happened = await events(client, downloads)
    assert sorted(type(event).__name__ for event in happened).count("Failed") == 2
    assert (outside / "victim").read_bytes() == b"untouched"
    assert [path.name for path in outside.iterdir()] == ["victim"]
    for name in ("file", "new"):
        assert not (root / name).is_symlink()
        assert (root / name).read_bytes() == b"content of " + name.encode()


MOVED = Options(move=True)


async def test_a_move_removes_the_source_when_the_copy_is_complete(
    client: DeltaGliderClient, bucket: str, tmp_path: Path
) -> None:
    base = os.urandom(30_000)
    for name in ("1.zip", "2.zip", "3.txt"):
        (tmp_path / name).write_bytes(base + name.encode())
        (*_, finished) = await events(client, [Upload(tmp_path / name, bucket, f"a/{name}", None, MOVED)])
        assert isinstance(finished, Finished)
        (*_, finished) = await events(client, [Copy(bucket, f"a/{name}", bucket, f"b/{name}", None, MOVED)])
        assert isinstance(finished, Finished)
        assert not (tmp_path / name).exists()
    for name in ("1.zip", "2.zip", "3.txt"):
        place = tmp_path / "out" / name
        (*_, finished) = await events(client, [Download(bucket, f"b/{name}", place, None, None, None, MOVED)])
        assert isinstance(finished, Finished)
        assert place.read_bytes() == base + name.encode()
    assert not (await client.list_objects_v2(Bucket=bucket)).get("Contents")


class Meddler:
    """The client, and somebody who writes a source again right after it was read."""

    def __init__(self, client: DeltaGliderClient, meddle: Callable[[], Awaitable[object]]) -> None:
        self._client = client
        self._meddle = meddle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def put_object(self, **arguments: Any) -> Any:
        answer = await self._client.put_object(**arguments)
        await self._meddle()
        return answer

    async def delete_object(self, **arguments: Any) -> Any:
        await self._meddle()
        return await self._client.delete_object(**arguments)


async def test_a_file_that_is_written_while_it_is_moved_stays(
    client: DeltaGliderClient, bucket: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"before")

    async def meddle() -> None:
        await asyncio.to_thread(path.write_bytes, b"after it")

    (*_, failed) = await events(Meddler(client, meddle), [Upload(path, bucket, "a.zip", None, MOVED)])
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, SourceChangedError)
    assert path.read_bytes() == b"after it"


@pytest.mark.parametrize("key", ["a/1.zip", "a/1.txt"])
async def test_an_object_that_is_written_while_it_is_moved_stays(
    client: DeltaGliderClient, bucket: str, tmp_path: Path, key: str
) -> None:
    async def meddle() -> None:
        await client.put_object(Bucket=bucket, Key=key, Body=b"after it")

    moves: list[Action] = [
        Download(bucket, key, tmp_path / "out", None, None, None, MOVED), Copy(bucket, key, bucket, "b", None, MOVED),
    ]  # fmt: skip
    for action in moves:
        await client.put_object(Bucket=bucket, Key=key, Body=b"before")
        (*_, failed) = await events(Meddler(client, meddle), [action])
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, SourceChangedError)
        answer = await client.get_object(Bucket=bucket, Key=key)
        async with answer["Body"] as body:
            assert await body.read() == b"after it"
    assert (tmp_path / "out").read_bytes() == b"before"


async def test_an_object_that_is_damaged_fails_its_check(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    await client.put_object(Bucket=bucket, Key="good", Body=b"good")
    await client.put_object(Bucket=bucket, Key="bad", Body=b"bad")
    metadata = await asyncio.to_thread(lambda: s3.head_object(Bucket=bucket, Key="bad")["Metadata"])
    await asyncio.to_thread(lambda: s3.put_object(Bucket=bucket, Key="bad", Body=b"BAD", Metadata=metadata))
    happened = await events(client, [Verify(bucket, "good"), Verify(bucket, "bad")])
    assert [event.action for event in happened if isinstance(event, Finished)] == [Verify(bucket, "good")]
    (failed,) = (event for event in happened if isinstance(event, Failed))
    assert isinstance(failed.error, IntegrityMismatchError)


async def test_what_is_done_for_an_action_can_be_replaced(tmp_path: Path) -> None:
    seen: list[Action] = []

    async def perform(action: Action, progress: Progress) -> Summary:
        seen.append(action)
        progress("sending", 3)
        return Summary(3, 1)

    client = cast("DeltaGliderClient", Instant())
    async with aclosing(transfer(client, plan([put("a", 3), put("b", 3)]), perform=perform)) as happening:
        finished = [event async for event in happening if isinstance(event, Finished)]
    assert [event.action for event in finished] == seen == [put("a", 3), put("b", 3)]


async def test_copies_read_from_another_service(client: DeltaGliderClient, bucket: str) -> None:
    async with create_client(endpoint_url=client.meta.endpoint_url) as elsewhere:
        base = os.urandom(30_000)
        for number in range(2):
            await elsewhere.put_object(
                Bucket=bucket, Key=f"a/{number}.zip", Body=base, ContentType="x/y", Metadata={"owner": "me"}
            )
        copies = [Copy(bucket, f"a/{number}.zip", bucket, f"b/{number}.zip") for number in range(2)]
        async with aclosing(transfer(client, plan(copies), source=elsewhere)) as happening:
            assert not [event async for event in happening if isinstance(event, Failed)]
    answer = await client.get_object(Bucket=bucket, Key="b/1.zip")
    async with answer["Body"] as body:
        assert await body.read() == base
    assert (answer["ContentType"], answer["Metadata"]) == ("x/y", {"owner": "me"})


async def test_a_pace_holds_for_all_that_the_transfer_does_and_for_nothing_else() -> None:
    paces: list[Pace | None] = []

    async def perform(action: Action, progress: Progress) -> Summary:
        paces.append(limits().pace)
        return Summary(0)

    client = cast("DeltaGliderClient", Instant())
    slow = Limits(bytes_per_second=1000)
    async with aclosing(transfer(client, plan([put("a"), put("b")]), limits=slow, perform=perform)) as happening:
        outside = [limits().pace async for _ in happening]
    assert set(outside) == {None}
    assert paces[0] is paces[1] is not None  # one for all objects together


async def test_a_copy_that_is_stored_as_asked_for_keeps_its_tags(s3_endpoint: str, bucket: str, s3: S3Client) -> None:
    s3.put_object(Bucket=bucket, Key="a.zip", Body=bytes(5000), Tagging="stage=beta&team=a%2Bb")
    async with create_client(endpoint_url=s3_endpoint) as client:
        happened = await events(client, [Copy(bucket, "a.zip", bucket, "b.zip", 5000, Options(use_delta=False))])
    assert isinstance(happened[-1], Finished | Planned)
    tags = s3.get_object_tagging(Bucket=bucket, Key="b.zip")["TagSet"]
    assert sorted((tag["Key"], tag["Value"]) for tag in tags) == [("stage", "beta"), ("team", "a+b")]


async def test_a_slow_consumer_holds_transfers_back_and_misses_no_end(client: DeltaGliderClient) -> None:
    """Events that wait are bounded; of those that are left out, none is the last of an object."""
    under_way = 0

    async def perform(action: Action, progress: Progress) -> Summary:
        nonlocal under_way
        under_way += 1
        for position in range(100):
            progress("sending", position)
            await asyncio.sleep(0)
        return Summary(1)

    async def plan() -> AsyncGenerator[Action, None]:
        for number in range(500):
            yield Delete("bucket", f"{number}")

    finished: list[str] = []
    async with aclosing(transfer(client, plan(), perform=perform)) as events:
        async for event in events:
            if len(finished) < 5:
                await asyncio.sleep(0.02)
                assert under_way < 200
            if isinstance(event, Finished):
                assert isinstance(event.action, Delete)
                finished.append(event.action.key)
    assert sorted(finished, key=int) == [str(number) for number in range(500)]
