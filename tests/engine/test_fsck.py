"""fsck on a real server: every kind of finding is made for real, found, mended where that can be, and gone then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.engine import fsck as engine_fsck
from deltaglider_async.errors import InvalidRequestError, NotFoundError
from deltaglider_async.session import create_client
from deltaglider_async.store.s3 import Store
from deltaglider_async.types import Finding
from tests.engine.conftest import content, version

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BASE = content(1, 60_000)
OTHER = content(2, 60_000)
#: A moment at which everything that a test made is old.
LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_fsck, "_SECONDS_FOR_PUTS", 0)


class Bucket:
    """A bucket as other tools see it, from within a running loop."""

    def __init__(self, s3: S3Client, name: str) -> None:
        self.s3 = s3
        self.name = name

    async def call(self, operation: str, **arguments: Any) -> Any:
        return await asyncio.to_thread(getattr(self.s3, operation), Bucket=self.name, **arguments)

    async def put(self, key: str, data: bytes, metadata: Mapping[str, str] | None = None, **arguments: Any) -> None:
        await self.call("put_object", Key=key, Body=data, Metadata=dict(metadata or {}), **arguments)

    async def get(self, key: str) -> tuple[bytes, dict[str, str]]:
        answer = await self.call("get_object", Key=key)
        return await asyncio.to_thread(answer["Body"].read), _of_object(answer)

    async def move(self, key: str, to: str) -> None:
        data, metadata = await self.get(key)
        await self.put(to, data, metadata)
        await self.call("delete_object", Key=key)

    async def drop(self, key: str, space: str = "a", entry: str = "0123456789abcdef") -> str:
        """Move a reference to the trash; its key there."""
        data, _ = await self.get(key)
        to = f"{space}/.deltaglider/trash/{sha256(data).hexdigest()}/{entry}/reference.bin".lstrip("/")
        await self.move(key, to)
        return to

    async def everything(self) -> dict[str, tuple[str, dict[str, str]]]:
        """ETag and metadata of all that is stored, by key."""
        listed = await self.call("list_objects_v2")
        heads = {item["Key"]: await self.call("head_object", Key=item["Key"]) for item in listed.get("Contents", [])}
        return {key: (head["ETag"], _of_object(head)) for key, head in heads.items()}


def _of_object(answer: Any) -> dict[str, str]:
    """The metadata without that of the write."""
    return {name: value for name, value in answer["Metadata"].items() if name != "dg-put-id"}


@pytest.fixture
def raw(s3: S3Client, bucket: str) -> Bucket:
    return Bucket(s3, bucket)


async def check(client: DeltaGliderClient, bucket: str, prefix: str = "", **options: Any) -> list[Finding]:
    async with aclosing(engine_fsck.fsck(client._engine, bucket, prefix, **options)) as findings:
        return [finding async for finding in findings]


def kinds(found: list[Finding]) -> list[str]:
    return [finding.kind for finding in found]


def left(found: list[Finding]) -> list[str]:
    """What makes `dg fsck` fail."""
    return [finding.kind for finding in found if finding.severity != "note" and not finding.repaired]


async def put_versions(client: DeltaGliderClient, bucket: str, folder: str, count: int, base: bytes = BASE) -> None:
    for number in range(count):
        await client.put_object(Bucket=bucket, Key=f"{folder}{number}.zip", Body=version(base, number))


async def readable(client: DeltaGliderClient, bucket: str, folder: str, count: int, base: bytes = BASE) -> None:
    """Read all of them as a new client would, whose cache is empty."""
    async with create_client(endpoint_url=client.meta.endpoint_url) as reader:
        for number in range(count):
            async with (await reader.get_object(Bucket=bucket, Key=f"{folder}{number}.zip"))["Body"] as body:
                assert await body.read() == version(base, number)


@pytest.fixture
async def filled(client: DeltaGliderClient, bucket: str) -> str:
    """Three versions in `a/`."""
    await put_versions(client, bucket, "a/", 3)
    return bucket


Damage = Callable[[Bucket], Any]


# -- nothing wrong


async def test_a_healthy_bucket_has_no_findings(client: DeltaGliderClient, bucket: str, raw: Bucket) -> None:
    for folder in ("", "/", "a/", "a/b/", "a/b/c/", "é/"):
        await put_versions(client, bucket, folder, 2, content(len(folder), 20_000))
    await client.put_object(Bucket=bucket, Key="a/notes.txt", Body=b"plain")
    await raw.put("a/+x/foreign.txt", b"of another tool")
    await raw.put(".deltaglider/stats_quick.json", b"{}")
    before = await raw.everything()
    for options in ({}, {"read_data": True}, {"repair": True}, {"repair": True, "exclusive": True}, {"now": LATER}):
        for prefix in ("", "a/", "/", "a/b/", "nothing/"):
            assert await check(client, bucket, prefix, **options) == []
    assert await raw.everything() == before


async def test_the_layout_of_endpoints_without_conditions_is_healthy(ignorant_endpoint: str) -> None:
    async with create_client(endpoint_url=ignorant_endpoint) as client:
        await client.create_bucket(Bucket="healthy")
        for folder in ("", "a/", "a/b/"):
            await put_versions(client, "healthy", folder, 2)
        found = await check(client, "healthy", read_data=True)
        assert [finding for finding in found if finding.kind != "unchecked"] == []


async def test_a_bucket_of_many_pages(
    client: DeltaGliderClient, bucket: str, raw: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = Store.pages
    monkeypatch.setattr(Store, "pages", lambda store, name, given: pages(store, name, {**given, "MaxKeys": 10}))
    for folder in ("", "a/", "a/b/"):
        await put_versions(client, bucket, folder, 2)
    delta, metadata = await raw.get("a/0.zip.delta")
    for number in range(120):
        await raw.put(f"a/{number:04}.zip.delta", delta, metadata)
    seen: list[int] = []
    assert await check(client, bucket, progress=seen.append) == []
    assert seen == [*range(10, 130, 10), 129]
    await raw.call("delete_object", Key="a/reference.bin")
    (found,) = await check(client, bucket)
    assert (found.affected_count, len(found.affected)) == (122, 100)
    assert found.affected[:3] == ("a/0.zip", "a/0000.zip", "a/0001.zip")
    assert found.detail.startswith("122 objects are not readable")


# -- references


async def test_a_reference_that_is_nowhere(client: DeltaGliderClient, filled: str, raw: Bucket) -> None:
    data, _ = await raw.get("a/reference.bin")
    await raw.call("delete_object", Key="a/reference.bin")
    for repair in (False, True):
        (found,) = await check(client, filled, repair=repair)
        assert (found.kind, found.severity, found.key, found.repaired) == (
            "missing-reference", "error", "a/reference.bin", False,
        )  # fmt: skip
        assert sha256(data).hexdigest() in found.detail
        assert found.affected == ("a/0.zip", "a/1.zip", "a/2.zip")
        assert f"s3://{filled}/a/reference.bin" in found.advice


async def test_what_the_advice_says_mends_it(client: DeltaGliderClient, filled: str, raw: Bucket) -> None:
    """The reference is the first file that was put; here another reference has taken its place."""
    await raw.put("a/reference.bin", OTHER, {"dg-file-sha256": sha256(OTHER).hexdigest()})
    (found,) = await check(client, filled)
    assert found.kind == "missing-reference"
    assert sha256(OTHER).hexdigest() in found.detail
    digest = sha256(version(BASE, 0)).hexdigest()
    key = f"a/.deltaglider/refs/{digest}/reference.bin"
    assert f"s3://{filled}/{key}" in found.advice
    await raw.put(key, version(BASE, 0), {"dg-file-sha256": digest})
    assert await check(client, filled) == []
    await readable(client, filled, "a/", 3)


@pytest.mark.parametrize("space", ["", "a"])
async def test_a_reference_in_the_trash_is_restored(
    client: DeltaGliderClient, bucket: str, raw: Bucket, space: str
) -> None:
    folder = f"{space}/".lstrip("/")
    await put_versions(client, bucket, folder, 3)
    entry = await raw.drop(f"{folder}reference.bin", space)
    before = await raw.everything()
    assert kinds(await check(client, bucket)) == ["reference-in-trash", "recent-trash"]
    assert await raw.everything() == before
    found = await check(client, bucket, repair=True, now=LATER)
    assert kinds([each for each in found if each.severity == "error"]) == ["reference-in-trash"]
    assert left(found) == []
    assert await raw.everything() == before | {f"{folder}reference.bin": before[entry]}
    await readable(client, bucket, folder, 3)
    assert left(await check(client, bucket)) == []
    # A day later the entry is of no use any more.
    assert kinds(await check(client, bucket, repair=True, now=LATER)) == ["old-trash"]
    assert await check(client, bucket, now=LATER) == []
    await readable(client, bucket, folder, 3)


async def replace_reference(raw: Bucket) -> None:
    await raw.put("a/reference.bin", OTHER, {"dg-file-sha256": sha256(OTHER).hexdigest(), "dg-note": "reference"})


async def in_the_trash(raw: Bucket) -> None:
    await raw.drop("a/reference.bin")
    await replace_reference(raw)


async def in_an_older_version(raw: Bucket) -> None:
    data, metadata = await raw.get("a/reference.bin")
    await raw.call("put_bucket_versioning", VersioningConfiguration={"Status": "Enabled"})
    await raw.put("a/reference.bin", data, metadata)
    await raw.put("a/reference.bin", content(5), {"dg-file-sha256": sha256(content(5)).hexdigest()})
    await replace_reference(raw)


async def in_another_folder(raw: Bucket) -> None:
    await raw.move("a/reference.bin", "z/y/reference.bin")
    await replace_reference(raw)


@pytest.mark.parametrize("damage", [in_the_trash, in_an_older_version, in_another_folder])
async def test_a_reference_that_another_one_has_replaced_is_put_under_its_digest(
    client: DeltaGliderClient, filled: str, raw: Bucket, damage: Damage
) -> None:
    await damage(raw)
    await put_versions(client, filled, "a/more-", 2, OTHER)
    before = await raw.everything()
    found = await check(client, filled)
    (error,) = [each for each in found if each.severity == "error"]
    assert (error.kind, error.key, error.affected) == (
        "different-reference", "a/reference.bin", ("a/0.zip", "a/1.zip", "a/2.zip"),
    )  # fmt: skip
    assert await raw.everything() == before
    assert left(await check(client, filled, repair=True)) == []
    after = await raw.everything()
    digest = sha256(version(BASE, 0)).hexdigest()
    assert after.keys() - before.keys() == {f"a/.deltaglider/refs/{digest}/reference.bin"}
    assert before.items() <= after.items()
    assert left(await check(client, filled, read_data=True)) == []
    await readable(client, filled, "a/", 3)
    await readable(client, filled, "a/more-", 2, OTHER)


async def test_a_deleted_reference_is_restored_from_an_older_version(
    client: DeltaGliderClient, filled: str, raw: Bucket
) -> None:
    data, metadata = await raw.get("a/reference.bin")
    await raw.call("put_bucket_versioning", VersioningConfiguration={"Status": "Enabled"})
    await raw.put("a/reference.bin", data, metadata)
    await raw.call("delete_object", Key="a/reference.bin")
    (found,) = await check(client, filled, repair=True)
    assert (found.kind, found.repaired) == ("missing-reference", True)
    assert await raw.get("a/reference.bin") == (data, metadata)
    assert await check(client, filled) == []
    await readable(client, filled, "a/", 3)


async def test_a_reference_without_its_digest_gets_it_back(client: DeltaGliderClient, filled: str, raw: Bucket) -> None:
    data, _ = await raw.get("a/reference.bin")
    await raw.put("a/reference.bin", data)
    before = await raw.everything()
    (found,) = await check(client, filled)
    assert (found.kind, found.affected_count) == ("damaged-reference", 3)
    (found,) = await check(client, filled, repair=True)
    assert found.repaired
    after = await raw.everything()
    assert before.items() <= after.items()
    await readable(client, filled, "a/", 3)
    assert left(await check(client, filled, read_data=True)) == []


async def test_an_object_in_place_of_a_reference_that_is_none(
    client: DeltaGliderClient, filled: str, raw: Bucket
) -> None:
    await raw.put("a/reference.bin", b"a file of that name")
    (found,) = await check(client, filled, repair=True)
    assert found.kind == "missing-reference"
    assert "The object in its place is no reference" in found.detail


async def test_a_reference_in_another_folder_gets_a_copy_beside_the_deltas(
    client: DeltaGliderClient, filled: str, raw: Bucket
) -> None:
    """As after `aws s3 mv` of the deltas alone. The folder that they came from may then be emptied."""
    for number in range(3):
        await raw.move(f"a/{number}.zip.delta", f"moved/here/{number}.zip.delta")
    found = await check(client, filled, now=LATER)
    assert kinds(found) == ["reference-elsewhere"]
    assert (found[0].severity, found[0].key) == ("note", "moved/here/reference.bin")
    found = await check(client, filled, repair=True, now=LATER)
    assert (kinds(found), left(found)) == (["reference-elsewhere", "unused-reference"], [])
    assert "a/reference.bin" not in await raw.everything()
    assert left(await check(client, filled, read_data=True)) == []
    assert left(await check(client, filled, repair=True, now=LATER)) == []
    await readable(client, filled, "moved/here/", 3)
    assert await check(client, filled, now=LATER) == []


async def test_a_reference_in_the_trash_of_another_folder(client: DeltaGliderClient, filled: str, raw: Bucket) -> None:
    for number in range(3):
        await raw.move(f"a/{number}.zip.delta", f"b/{number}.zip.delta")
    await raw.drop("a/reference.bin")
    assert kinds(await check(client, filled, now=LATER)) == ["reference-in-trash"]
    assert left(await check(client, filled, repair=True, now=LATER)) == []
    await readable(client, filled, "b/", 3)


async def test_a_reference_whose_bytes_are_not_its_digest(client: DeltaGliderClient, filled: str, raw: Bucket) -> None:
    data, metadata = await raw.get("a/reference.bin")
    await raw.put("a/reference.bin", data[:-1] + b"!", metadata)
    assert await check(client, filled) == []
    async with create_client(endpoint_url=client.meta.endpoint_url) as fresh:
        (found,) = await check(fresh, filled, read_data=True)
    assert (found.kind, found.key) == ("damaged-reference", "a/reference.bin")
    assert metadata["dg-file-sha256"] in found.detail


async def test_an_entry_of_the_trash_that_is_damaged_is_not_restored(
    client: DeltaGliderClient, filled: str, raw: Bucket
) -> None:
    entry = await raw.drop("a/reference.bin")
    data, metadata = await raw.get(entry)
    await raw.put(entry, data[:-1] + b"!", metadata)
    before = await raw.everything()
    found = await check(client, filled, repair=True, now=LATER)
    assert (kinds(found), left(found)) == (["reference-in-trash"], ["reference-in-trash"])
    assert await raw.everything() == before


# -- deltas


async def test_a_delta_with_damaged_metadata(client: DeltaGliderClient, filled: str, raw: Bucket) -> None:
    data, metadata = await raw.get("a/1.zip.delta")
    await raw.put("a/1.zip.delta", data, metadata | {"dg-file-sha256": "nonsense"})
    for repair, read_data in ((False, False), (True, False), (False, True)):
        (found,) = await check(client, filled, repair=repair, read_data=read_data)
        assert (found.kind, found.key, found.affected) == ("damaged-metadata", "a/1.zip.delta", ("a/1.zip",))
        assert "dg-file-sha256 is 'nonsense'" in found.detail


async def test_a_delta_that_may_need_any_reference_keeps_the_trash(
    client: DeltaGliderClient, filled: str, raw: Bucket
) -> None:
    data, metadata = await raw.get("a/1.zip.delta")
    del metadata["dg-ref-sha256"]
    await raw.put("a/1.zip.delta", data, metadata)
    for number in (0, 2):
        await raw.call("delete_object", Key=f"a/{number}.zip.delta")
    await raw.drop("a/reference.bin")
    before = await raw.everything()
    assert left(await check(client, filled, repair=True, now=LATER)) == ["damaged-metadata", "old-trash"]
    assert await raw.everything() == before


async def test_damaged_bytes_are_found_by_reading(client: DeltaGliderClient, filled: str, raw: Bucket) -> None:
    await client.put_object(Bucket=filled, Key="a/notes.txt", Body=b"plain text")
    for key in ("a/1.zip.delta", "a/notes.txt"):
        data, metadata = await raw.get(key)
        await raw.put(key, data[:-1] + b"!", metadata)
    assert await check(client, filled) == []
    found = await check(client, filled, read_data=True)
    assert [(each.kind, each.key, each.affected) for each in found] == [
        ("damaged-data", "a/1.zip.delta", ("a/1.zip",)),
        ("damaged-data", "a/notes.txt", ("a/notes.txt",)),
    ]


async def test_a_codec_of_a_later_version_is_said_not_to_be_read(
    client: DeltaGliderClient, filled: str, raw: Bucket
) -> None:
    data, metadata = await raw.get("a/1.zip.delta")
    await raw.put("a/1.zip.delta", data, metadata | {"dg-codec": "later"})
    (found,) = await check(client, filled, read_data=True)
    assert (found.kind, found.severity, found.key) == ("unchecked", "note", "a/1.zip.delta")


async def test_what_a_missing_reference_makes_unreadable_is_said_once(
    client: DeltaGliderClient, filled: str, raw: Bucket
) -> None:
    await raw.call("delete_object", Key="a/reference.bin")
    async with create_client(endpoint_url=client.meta.endpoint_url) as fresh:
        assert kinds(await check(fresh, filled, read_data=True)) == ["missing-reference"]


async def test_a_change_while_it_looks_is_no_finding(
    client: DeltaGliderClient, filled: str, raw: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The metadata that are asked for first are those of a moment ago: all is deleted or put again meanwhile."""
    data, metadata = await raw.get("a/1.zip.delta")
    await raw.put("a/1.zip.delta", data, metadata | {"dg-file-sha256": "nonsense"})
    await raw.call("delete_object", Key="a/reference.bin")
    asked = engine_fsck.Check.ask

    async def then_changes(self: engine_fsck.Check, page: Any) -> None:
        await asked(self, page)
        for number in range(3):
            await client.delete_object(Bucket=filled, Key=f"a/{number}.zip")
        await put_versions(client, filled, "a/", 3, OTHER)

    monkeypatch.setattr(engine_fsck.Check, "ask", then_changes)
    assert await check(client, filled) == []


# -- waste


async def test_waste_of_every_kind(client: DeltaGliderClient, filled: str, raw: Bucket) -> None:
    """Left alone while it is young, removed when it is old, and nothing else with it."""
    needed = await raw.everything()
    await put_versions(client, filled, "empty/", 2)
    await raw.put("a/2.zip", b"plain now")
    needed["a/2.zip"] = (await raw.everything())["a/2.zip"]
    del needed["a/2.zip.delta"]
    for number in range(2):
        await raw.call("delete_object", Key=f"empty/{number}.zip.delta")
    entry = f"a/.deltaglider/trash/{'0' * 64}/0123456789abcdef/reference.bin"
    await raw.put(entry, b"dropped", {"dg-file-sha256": "0" * 64})
    await raw.put(".deltaglider/tmp/1_x.zip", b"copy", {"dg-expires-at": "2026-01-02T03:04:05.6+00:00Z"})
    await raw.put(".deltaglider/tmp/2_x.zip", b"copy", {"dg-expires-at": "2150-01-02T03:04:05Z"})
    needed[".deltaglider/tmp/2_x.zip"] = (await raw.everything())[".deltaglider/tmp/2_x.zip"]
    await raw.put("a/.deltaglider/probe/0123", b"probe")
    upload = await raw.call("create_multipart_upload", Key="a/reference.bin")
    await raw.call("create_multipart_upload", Key="a/of-a-user.zip")

    young = await check(client, filled, repair=True)
    assert sorted(kinds([each for each in young if each.kind != "unfinished-upload"])) == ["recent-trash"]
    before = await raw.everything()
    old = await check(client, filled, now=LATER)
    assert sorted(each.kind for each in old if each.severity == "waste") == sorted(
        ["leftover-delta", "unused-reference", "old-trash", "expired-temporary", "old-probe"]
        + ["unfinished-upload"] * (upload["UploadId"] in str(await raw.call("list_multipart_uploads")))
    )
    assert all(each.advice for each in old)
    assert sum(each.size for each in old if each.kind == "old-trash") == len(b"dropped")
    assert await raw.everything() == before
    assert left(await check(client, filled, repair=True, now=LATER)) == []
    (dropped,) = [key for key in await raw.everything() if key.startswith("empty/.deltaglider/trash/")]
    assert {key: value for key, value in (await raw.everything()).items() if key != dropped} == needed
    assert left(await check(client, filled, repair=True, now=LATER)) == []
    assert await raw.everything() == needed
    assert await check(client, filled, now=LATER) == []
    uploads = (await raw.call("list_multipart_uploads")).get("Uploads", [])
    assert [each["Key"] for each in uploads] == ["a/of-a-user.zip"]
    await readable(client, filled, "a/", 2)


async def test_foreign_objects_are_named_and_left_alone(client: DeltaGliderClient, filled: str, raw: Bucket) -> None:
    await raw.put("b/x.zip", b"foreign")
    for key in ("b/x.zip.delta", "b/reference.bin", "b/.deltaglider/notes.txt", "b/y.delta"):
        await raw.put(key, b"foreign")
    before = await raw.everything()
    found = await check(client, filled, repair=True, exclusive=True)
    assert [(each.kind, each.severity, each.key) for each in found if each.kind != "unchecked"] == [
        ("foreign-object", "note", "b/.deltaglider/notes.txt"),
        ("foreign-delta", "note", "b/y.delta"),
        ("foreign-reference", "note", "b/reference.bin"),
    ]
    assert await raw.everything() == before


async def test_nothing_is_removed_by_endpoints_that_delete_blindly(ignorant_endpoint: str) -> None:
    """Mending goes on; removing needs the promise that nobody else writes."""
    async with create_client(endpoint_url=ignorant_endpoint) as client:
        bucket, s3 = "blind", client._engine.store.s3
        await client.create_bucket(Bucket=bucket)
        await put_versions(client, bucket, "a/", 3)
        await put_versions(client, bucket, "b/", 1)
        await s3.put_object(Bucket=bucket, Key="a/2.zip", Body=b"plain")
        await s3.delete_object(Bucket=bucket, Key="b/0.zip.delta")
        digest = sha256(version(BASE, 0)).hexdigest()
        home = f"a/.deltaglider/refs/{digest}/reference.bin"
        entry = f"a/.deltaglider/trash/{digest}/0123456789abcdef/reference.bin"
        await s3.copy_object(Bucket=bucket, Key=entry, CopySource={"Bucket": bucket, "Key": home})
        await s3.delete_object(Bucket=bucket, Key=home)
        found = await check(client, bucket, repair=True, now=LATER)
        assert sorted(left(found)) == ["leftover-delta", "old-trash", "unused-reference"] or sorted(left(found)) == [
            "leftover-delta", "unused-reference",
        ]  # fmt: skip
        assert "reference-in-trash" in kinds([each for each in found if each.repaired])
        assert all("--exclusive" in each.advice for each in found if each.severity == "waste")
        assert left(await check(client, bucket, repair=True, exclusive=True, now=LATER)) == []
        assert left(await check(client, bucket, repair=True, exclusive=True, now=LATER)) == []
        found = await check(client, bucket, read_data=True, now=LATER)
        assert [each for each in found if each.kind != "unchecked"] == []
        names = [item["Key"] async for page in client._engine.store.pages(bucket) for item in page["Contents"]]
        assert sorted(names) == [home, "a/0.zip.delta", "a/1.zip.delta", "a/2.zip"]
        await readable(client, bucket, "a/", 2)


# -- lifecycle rules


async def rules(raw: Bucket, *given: Mapping[str, Any]) -> None:
    configuration = {"Rules": [{"ID": f"rule {n}", "Status": "Enabled", **rule} for n, rule in enumerate(given)]}
    await raw.call("put_bucket_lifecycle_configuration", LifecycleConfiguration=configuration)


async def test_a_rule_that_takes_the_reference_alone(client: DeltaGliderClient, filled: str, raw: Bucket) -> None:
    await rules(raw, {"Filter": {"Prefix": "a/reference.bin"}, "Expiration": {"Days": 30}})
    for repair in (False, True):
        (found,) = await check(client, filled, repair=repair)
        assert (found.kind, found.key, found.affected_count, found.repaired) == (
            "reference-expires-first", "a/reference.bin", 3, False,
        )  # fmt: skip
        assert "'rule 0'" in found.detail
        assert found.advice.startswith("Change the rule")


async def test_a_rule_by_age_takes_both_and_a_reference_is_renewed(
    client: DeltaGliderClient, filled: str, raw: Bucket
) -> None:
    await rules(raw, {"Filter": {"Prefix": "a/"}, "Expiration": {"Date": LATER}})
    assert await check(client, filled) == []
    # The server dates objects itself; a rule for the reference that ends earlier stands for an older reference.
    await rules(
        raw,
        {"Filter": {"Prefix": "a/reference.bin"}, "Expiration": {"Days": 5}},
        {"Filter": {"Prefix": "a/"}, "Expiration": {"Days": 9}},
    )
    before = await raw.everything()
    (found,) = await check(client, filled)
    assert (found.kind, found.repaired) == ("reference-expires-first", False)
    (found,) = await check(client, filled, repair=True, now=LATER)
    assert found.repaired
    assert await raw.everything() == before


async def test_rules_by_tags(client: DeltaGliderClient, bucket: str, raw: Bucket) -> None:
    await put_versions(client, bucket, "a/", 1)
    await rules(raw, {"Filter": {"Tag": {"Key": "keep", "Value": "no"}}, "Transitions": [
        {"Days": 10, "StorageClass": "GLACIER"},
    ]})  # fmt: skip
    assert await check(client, bucket) == []
    tags = {"TagSet": [{"Key": "keep", "Value": "no"}]}
    await raw.call("put_object_tagging", Key="a/reference.bin", Tagging=tags)
    (found,) = await check(client, bucket)
    assert (found.kind, "is archived on" in found.detail) == ("reference-expires-first", True)
    await raw.call("put_object_tagging", Key="a/0.zip.delta", Tagging=tags)
    assert await check(client, bucket) == []


async def test_an_archived_reference(client: DeltaGliderClient, filled: str, raw: Bucket) -> None:
    data, metadata = await raw.get("a/reference.bin")
    await raw.put("a/reference.bin", data, metadata, StorageClass="GLACIER")
    (found,) = await check(client, filled)
    assert (found.kind, found.severity, found.affected_count) == ("archived-reference", "error", 3)


# -- the client's method


async def test_the_client_takes_a_folder_in_either_spelling(
    client: DeltaGliderClient, filled: str, raw: Bucket
) -> None:
    await put_versions(client, filled, "ab/", 2)
    await raw.call("delete_object", Key="ab/reference.bin")

    async def found(prefix: str) -> list[str]:
        async with aclosing(client.fsck(filled, prefix=prefix)) as findings:
            return [finding.kind async for finding in findings]

    assert [await found(prefix) for prefix in ("a", "a/", "ab", "")] == [
        [], [], ["missing-reference"], ["missing-reference"],
    ]  # fmt: skip


async def test_what_cannot_be_checked_is_an_error(client: DeltaGliderClient, bucket: str) -> None:
    with pytest.raises(NotFoundError):
        await anext(client.fsck("there-is-no-such-bucket"))
    with pytest.raises(InvalidRequestError, match="Prefix"):
        client.fsck(bucket, Prefix="a/")


async def test_it_can_be_left_at_any_point(client: DeltaGliderClient, bucket: str, raw: Bucket) -> None:
    async def some() -> AsyncIterator[Finding]:
        async with aclosing(client.fsck(bucket)) as findings:
            async for finding in findings:
                yield finding

    for folder in ("a", "b"):
        await put_versions(client, bucket, f"{folder}/", 1)
        await raw.call("delete_object", Key=f"{folder}/reference.bin")
    async with aclosing(some()) as findings:  # type: ignore[type-var]
        assert (await anext(findings)).key == "a/reference.bin"
