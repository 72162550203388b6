"""gc on a real server: what goes, what stays, what comes back."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.engine import gc as engine_gc
from deltaglider_async.engine.fsck import fsck
from deltaglider_async.errors import InvalidRequestError, NotFoundError
from deltaglider_async.session import create_client
from deltaglider_async.store import upkeep
from deltaglider_async.types import Finding
from tests.engine.conftest import MakeClient, content, version
from tests.engine.test_fsck import BASE, LATER, OTHER, Bucket, put_versions, readable

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

DIGEST = sha256(version(BASE, 0)).hexdigest()
NOW: dict[str, Any] = {"older_than": timedelta(0), "exclusive": True}


@pytest.fixture
def raw(s3: S3Client, bucket: str) -> Bucket:
    return Bucket(s3, bucket)


@pytest.fixture
async def filled(client: DeltaGliderClient, bucket: str) -> str:
    """Three versions in `a/`."""
    await put_versions(client, bucket, "a/", 3)
    return bucket


async def collect(client: DeltaGliderClient, bucket: str, prefix: str = "", **options: Any) -> list[Finding]:
    """Clean, at a moment at which everything is old."""
    async with aclosing(engine_gc.gc(client._engine, bucket, prefix, now=LATER, **options)) as findings:
        return [finding async for finding in findings]


def kinds(found: list[Finding]) -> list[str]:
    return [finding.kind for finding in found]


async def test_nothing_to_remove(client: DeltaGliderClient, bucket: str, raw: Bucket) -> None:
    for folder in ("", "/", "a/", "a/b/"):
        await put_versions(client, bucket, folder, 2)
    await client.put_object(Bucket=bucket, Key="a/notes.txt", Body=b"plain")
    for key in ("a/notes.txt.delta", "x/reference.bin", "a/.deltaglider/notes.txt", "a/.deltaglider/tmp/x"):
        await raw.put(key, b"foreign")
    before = await raw.everything()
    for prefix in ("", "/", "a/", "a/b/"):
        assert await collect(client, bucket, prefix) == []
    assert await raw.everything() == before


async def test_what_is_young_stays(client: DeltaGliderClient, filled: str, raw: Bucket) -> None:
    await put_versions(client, filled, "empty/", 1)
    await raw.call("delete_object", Key="empty/0.zip.delta")
    await raw.put("a/2.zip", b"plain now")
    before = await raw.everything()
    async with aclosing(client.gc(filled)) as findings:
        assert [finding async for finding in findings] == []
    assert await raw.everything() == before


async def test_a_reference_goes_to_the_trash_and_then_for_good(
    client: DeltaGliderClient, filled: str, raw: Bucket
) -> None:
    for number in range(3):
        await raw.call("delete_object", Key=f"a/{number}.zip.delta")
    reference = (await raw.everything())["a/reference.bin"]
    (found,) = await collect(client, filled, dry_run=True)
    assert (found.kind, found.key, found.repaired, found.size) == (
        "unused-reference", "a/reference.bin", False, len(BASE),
    )  # fmt: skip
    (found,) = await collect(client, filled)
    assert found.repaired
    ((entry, kept),) = (await raw.everything()).items()
    assert entry.startswith(f"a/.deltaglider/trash/{DIGEST}/")
    assert kept == reference
    (found,) = await collect(client, filled)
    assert (found.kind, found.key, found.repaired) == ("old-trash", entry, True)
    assert await raw.everything() == {}


async def test_a_reference_is_kept_for_a_delta_of_somebody_else(
    client: DeltaGliderClient, filled: str, raw: Bucket
) -> None:
    """Whatever ends in `.delta` counts: better a reference too many."""
    for number in range(3):
        await raw.call("delete_object", Key=f"a/{number}.zip.delta")
    await raw.put("a/x.delta", b"foreign")
    assert await collect(client, filled) == []


@pytest.mark.parametrize("prefix", ["a/.deltaglider/", "a/.deltaglider/trash/", "a/"])
async def test_a_dropped_reference_that_is_missed_comes_back(
    client: DeltaGliderClient, filled: str, raw: Bucket, prefix: str
) -> None:
    """Also where the prefix shows the trash and not the deltas."""
    entry = await raw.drop("a/reference.bin")
    before = await raw.everything()
    (found,) = await collect(client, filled, prefix, dry_run=True)
    assert (found.kind, found.severity, found.repaired) == ("reference-in-trash", "error", False)
    assert await raw.everything() == before
    (found,) = await collect(client, filled, prefix)
    assert (found.kind, found.key, found.repaired) == ("reference-in-trash", entry, True)
    assert await raw.everything() == before | {"a/reference.bin": before[entry]}
    await readable(client, filled, "a/", 3)
    assert kinds(await collect(client, filled, prefix)) == ["old-trash"]
    await readable(client, filled, "a/", 3)


async def test_it_comes_back_under_its_digest_where_another_one_has_its_place(
    client: DeltaGliderClient, filled: str, raw: Bucket
) -> None:
    entry = await raw.drop("a/reference.bin")
    await raw.put("a/reference.bin", OTHER, {"dg-file-sha256": sha256(OTHER).hexdigest()})
    before = await raw.everything()
    (found,) = await collect(client, filled)
    assert found.repaired
    assert await raw.everything() == before | {f"a/.deltaglider/refs/{DIGEST}/reference.bin": before[entry]}
    await readable(client, filled, "a/", 3)


async def test_two_entries_of_one_reference(client: DeltaGliderClient, filled: str, raw: Bucket) -> None:
    data, metadata = await raw.get("a/reference.bin")
    first = await raw.drop("a/reference.bin", entry="first")
    second = first.replace("first", "second")
    await raw.put(second, data, metadata)
    assert kinds(await collect(client, filled)) == ["reference-in-trash"]
    assert {first, second, "a/reference.bin"} <= (await raw.everything()).keys()
    assert kinds(await collect(client, filled)) == ["old-trash", "old-trash"]
    await readable(client, filled, "a/", 3)


async def test_a_leftover_goes_and_then_its_reference(client: DeltaGliderClient, bucket: str, raw: Bucket) -> None:
    await put_versions(client, bucket, "a/", 1)
    await raw.put("a/0.zip", b"plain now")
    assert kinds(await collect(client, bucket, dry_run=True)) == ["leftover-delta"]
    assert kinds(await collect(client, bucket)) == ["leftover-delta", "unused-reference"]
    assert kinds(await collect(client, bucket)) == ["old-trash"]
    assert (await raw.everything()).keys() == {"a/0.zip"}


async def test_a_leftover_that_is_put_again_meanwhile_stays(
    client: DeltaGliderClient, filled: str, raw: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen, then deleted and put again by another client, then removed by its ETag: the new one has another."""
    await raw.put("a/1.zip", b"plain now")
    remove = engine_gc.Sweep._remove

    async def late(self: engine_gc.Sweep, *arguments: Any, **options: Any) -> Finding | None:
        await client.delete_object(Bucket=filled, Key="a/1.zip")
        await client.put_object(Bucket=filled, Key="a/1.zip", Body=version(BASE, 1))
        return await remove(self, *arguments, **options)

    monkeypatch.setattr(engine_gc.Sweep, "_remove", late)
    assert await collect(client, filled) == []
    await readable(client, filled, "a/", 3)


async def test_what_moved_deltas_need_is_kept(client: DeltaGliderClient, filled: str, raw: Bucket) -> None:
    """Another tool has moved deltas to a folder without a reference: theirs is where they were, or in the trash."""
    for number in range(3):
        await raw.move(f"a/{number}.zip.delta", f"b/{number}.zip.delta")
    assert await collect(client, filled) == []
    await readable(client, filled, "b/", 3)
    await raw.drop("a/reference.bin")
    assert await collect(client, filled) == []
    async with aclosing(client.fsck(filled, repair=True)) as findings:
        assert {finding.kind async for finding in findings} == {"reference-in-trash", "recent-trash"}
    await readable(client, filled, "b/", 3)
    assert kinds(await collect(client, filled)) == ["old-trash"]
    await readable(client, filled, "b/", 3)


async def test_temporary_copies_go_when_they_have_expired(client: DeltaGliderClient, bucket: str, raw: Bucket) -> None:
    for name, expires in (("past", "2026-01-02T03:04:05Z"), ("future", "2150-01-02T03:04:05Z"), ("odd", "soon")):
        await raw.put(f".deltaglider/tmp/{name}_x.zip", b"copy", {"dg-expires-at": expires})
    (found,) = await collect(client, bucket)
    assert (found.kind, found.key) == ("expired-temporary", ".deltaglider/tmp/past_x.zip")
    assert (await raw.everything()).keys() == {".deltaglider/tmp/future_x.zip", ".deltaglider/tmp/odd_x.zip"}


async def test_unfinished_uploads_of_ours_only(client: DeltaGliderClient, bucket: str, raw: Bucket) -> None:
    for key in (
        "a/reference.bin",
        "a/1.zip.delta",
        "a/.deltaglider/refs/0/reference.bin",
        "a/1.zip",
        "b/reference.bin",
    ):
        await raw.call("create_multipart_upload", Key=key)
    found = await collect(client, bucket, "a/")
    assert sorted((each.kind, each.key, each.repaired) for each in found) == [
        ("unfinished-upload", key, True)
        for key in ("a/.deltaglider/refs/0/reference.bin", "a/1.zip.delta", "a/reference.bin")
    ]
    uploads = await raw.call("list_multipart_uploads")
    assert sorted(each["Key"] for each in uploads["Uploads"]) == ["a/1.zip", "b/reference.bin"]


# -- what it refuses


async def test_less_than_a_day_needs_the_promise(client: DeltaGliderClient, filled: str, raw: Bucket) -> None:
    await raw.put("a/2.zip", b"plain now")
    before = await raw.everything()
    with pytest.raises(InvalidRequestError, match="--exclusive"):
        await anext(client.gc(filled, older_than=timedelta(hours=23)))
    assert await raw.everything() == before
    async with aclosing(client.gc(filled, **NOW)) as findings:
        assert [finding.kind async for finding in findings] == ["leftover-delta"]


async def test_a_bucket_that_is_not_there(client: DeltaGliderClient) -> None:
    with pytest.raises(NotFoundError):
        await anext(client.gc("there-is-no-such-bucket"))
    with pytest.raises(NotFoundError):
        await anext(client.gc("there-is-no-such-bucket", dry_run=True))


async def test_endpoints_that_delete_blindly_need_the_promise(ignorant_endpoint: str) -> None:
    async with create_client(endpoint_url=ignorant_endpoint) as client:
        bucket, s3 = f"test-{secrets.token_hex(6)}", client._engine.store.s3
        await client.create_bucket(Bucket=bucket)
        for folder in ("a/", "b/"):
            await put_versions(client, bucket, folder, 2)
        await s3.put_object(Bucket=bucket, Key="a/1.zip", Body=b"plain")
        for number in range(2):
            await s3.delete_object(Bucket=bucket, Key=f"b/{number}.zip.delta")

        async def names() -> list[str]:
            pages = client._engine.store.pages(bucket)
            return sorted([item["Key"] async for page in pages for item in page["Contents"]])

        before = await names()
        with pytest.raises(
            InvalidRequestError, match=r"ignores|whether IfMatch holds.*--exclusive.*Nothing was removed"
        ):
            await collect(client, bucket)
        wanted = ["leftover-delta", "unused-reference"]
        assert sorted(kinds(await collect(client, bucket, dry_run=True))) == wanted
        assert await names() == before
        async with aclosing(client.gc(bucket, exclusive=True)) as findings:
            assert [finding async for finding in findings] == []  # all is young
        found = await collect(client, bucket, exclusive=True)
        assert (sorted(kinds(found)), all(each.repaired for each in found)) == (wanted, True)
        (entry,) = [name for name in await names() if name.startswith("b/")]
        assert entry.startswith(f"b/.deltaglider/trash/{DIGEST}/")
        assert kinds(await collect(client, bucket, exclusive=True)) == ["old-trash"]
        assert [name for name in before if name.startswith("a/") and name != "a/1.zip.delta"] == await names()
        await readable(client, bucket, "a/", 1)


# -- beside writers


async def test_nothing_is_lost_beside_writers(
    make_client: MakeClient, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is protected by more than its age counts as old, so that both get in the way as often as they can."""
    alone = engine_gc.Sweep.alone
    monkeypatch.setattr(engine_gc.Sweep, "_old", lambda sweep, modified: True)
    monkeypatch.setattr(engine_gc.Sweep, "entries", nothing)
    monkeypatch.setattr(
        engine_gc.Sweep, "alone", lambda self, item: nothing() if item.role == "probe" else alone(self, item)
    )
    acknowledged: dict[str, bytes] = {}
    busy = True

    async def write(who: int) -> None:
        async with make_client() as client:
            for turn in range(18):
                key = f"{turn % 2}/{who}.zip"
                if turn % 3 == 2:
                    await client.delete_object(Bucket=bucket, Key=key)
                    acknowledged.pop(key, None)
                else:
                    body = version(content(who, 20_000), turn)
                    use_delta = None if turn % 5 else False
                    await client.put_object(Bucket=bucket, Key=key, Body=body, use_delta=use_delta)
                    acknowledged[key] = body

    async def clean(how: str) -> None:
        async with make_client() as client:
            while busy:
                run = client.gc(bucket) if how == "gc" else client.fsck(bucket, repair=True)
                async with aclosing(run) as findings:
                    async for finding in findings:
                        assert finding.severity != "error" or finding.repaired

    async with anyio.create_task_group() as cleaners:
        for how in ("gc", "fsck"):
            cleaners.start_soon(clean, how)
        async with anyio.create_task_group() as writers:
            for who in range(3):
                writers.start_soon(write, who)
        busy = False
    async with make_client() as reader:
        async with aclosing(reader.fsck(bucket, repair=True)) as findings:
            assert [finding async for finding in findings if finding.severity == "error" and not finding.repaired] == []
        for key, body in acknowledged.items():
            async with (await reader.get_object(Bucket=bucket, Key=key))["Body"] as stream:
                assert await stream.read() == body


async def nothing(*_: Any, **__: Any) -> AsyncIterator[Finding]:
    found: list[Finding] = []
    for finding in found:
        yield finding


# -- multipart uploads of callers


async def begun(client: DeltaGliderClient, bucket: str, key: str) -> dict[str, Any]:
    """An upload with a part; what its completion takes."""
    upload = await client.create_multipart_upload(Bucket=bucket, Key=key)
    at: dict[str, Any] = {"Bucket": bucket, "Key": key, "UploadId": upload["UploadId"]}
    part = await client.upload_part(**at, PartNumber=1, Body=BASE)
    return at | {"MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}}


async def half_completed(client: DeltaGliderClient, raw: Bucket, key: str) -> dict[str, Any]:
    """One whose completion ended after its first step."""
    upload = await begun(client, raw.name, key)
    (stored,) = (await raw.call("list_multipart_uploads"))["Uploads"]
    parts = upload["MultipartUpload"]
    await raw.call("complete_multipart_upload", Key=stored["Key"], UploadId=stored["UploadId"], MultipartUpload=parts)
    return upload


@pytest.fixture
def moment() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize("days", [2, 6])
async def test_uploads_of_callers_stay(
    client: DeltaGliderClient, bucket: str, raw: Bucket, moment: datetime, days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = await half_completed(client, raw, "a/2.zip")
    upload = await begun(client, bucket, "a/1.zip")
    await as_begun(monkeypatch, moment)
    later = moment + timedelta(days=days)
    for exclusive in (False, True):
        async with aclosing(engine_gc.gc(client._engine, bucket, "", now=later, exclusive=exclusive)) as findings:
            assert [finding async for finding in findings] == []
    async with aclosing(fsck(client._engine, bucket, "", repair=True, exclusive=True, now=later)) as findings:
        found = [finding async for finding in findings]
    assert sorted((each.kind, each.severity, each.repaired) for each in found) == [("open-upload", "note", False)] * 2
    for each, key in ((upload, "a/1.zip"), (half, "a/2.zip")):
        await client.complete_multipart_upload(**each)
        async with (await client.get_object(Bucket=bucket, Key=key))["Body"] as body:
            assert await body.read() == BASE


async def as_begun(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    """moto says of every upload that it was begun in 2010."""
    uploads = upkeep.uploads

    async def told(*given: Any) -> AsyncIterator[upkeep.Upload]:
        async for upload in uploads(*given):
            yield replace(upload, initiated=moment)

    monkeypatch.setattr(upkeep, "uploads", told)


async def test_forgotten_uploads_go_after_a_week_where_nobody_writes(
    client: DeltaGliderClient, bucket: str, raw: Bucket, moment: datetime
) -> None:
    await half_completed(client, raw, "a/2.zip")
    await begun(client, bucket, "a/1.zip")
    week = moment + timedelta(days=7, hours=1)

    async def run(**options: Any) -> list[Finding]:
        async with aclosing(engine_gc.gc(client._engine, bucket, "", now=week, **options)) as findings:
            return [finding async for finding in findings]

    assert await run() == []
    assert await run(exclusive=True, older_than=timedelta(days=8)) == []
    found = await run(exclusive=True, dry_run=True)
    assert [(each.kind, each.severity, each.repaired) for each in found] == [("unfinished-upload", "waste", False)] * 2
    assert kinds(await run(exclusive=True)) == ["unfinished-upload"] * 2
    assert await raw.everything() == {}
    assert (await raw.call("list_multipart_uploads")).get("Uploads", []) == []


async def test_what_a_completion_left_goes_when_its_object_is_old(
    client: DeltaGliderClient, bucket: str, raw: Bucket, moment: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await begun(client, bucket, "a/1.zip")
    store = client._engine.store

    async def failing(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(store, "delete", failing)
        with pytest.raises(ZeroDivisionError):
            await client.complete_multipart_upload(**upload)
    (left,) = [key for key in await raw.everything() if "/multipart/" in key]

    async def run(age: timedelta) -> list[tuple[str, str]]:
        async with aclosing(engine_gc.gc(client._engine, bucket, "", now=moment + age)) as findings:
            return [(finding.kind, finding.key) async for finding in findings if finding.repaired]

    assert await run(timedelta(hours=20)) == []
    assert await run(timedelta(hours=25)) == [("unfinished-upload", left)]
    assert sorted(await raw.everything()) == ["a/1.zip.delta", "a/reference.bin"]
    assert (await client.complete_multipart_upload(**upload))["DeltaGliderInfo"]["OriginalSize"] == len(BASE)
