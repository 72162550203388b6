"""What statistics ask, what they remember, and what makes them forget."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.engine import ranges
from deltaglider_async.engine.known import Known
from deltaglider_async.errors import InvalidRequestError, NotFoundError
from deltaglider_async.format.keys import SIZES_KEY
from deltaglider_async.session import create_client
from deltaglider_async.types import BucketStats
from tests.engine.conftest import MakeClient, content, version

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BASE = content(1, 50_000)


@contextmanager
def counted(client: DeltaGliderClient) -> Iterator[Counter[str]]:
    """The calls that a client sends, by operation."""
    calls = Counter[str]()

    def sent(model: Any, **_: Any) -> None:
        calls[model.name] += 1

    events = client.meta.events
    events.register("before-call.s3", sent)
    try:
        yield calls
    finally:
        events.unregister("before-call.s3", sent)


async def fill(s3: S3Client, bucket: str, objects: dict[str, tuple[int, dict[str, str]]]) -> None:
    def put() -> None:
        for key, (size, metadata) in objects.items():
            s3.put_object(Bucket=bucket, Key=key, Body=bytes(size), Metadata=metadata)

    await asyncio.to_thread(put)


def delta(space: str, original: int) -> dict[str, str]:
    return {
        "dg-file-sha256": "0" * 64,
        "dg-file-size": str(original),
        "dg-ref-key": f"{space}/reference.bin",
        "dg-ref-sha256": "1" * 64,
    }


def releases(spaces: int, versions: int) -> dict[str, tuple[int, dict[str, str]]]:
    """Folders of deltas: each is 10 bytes, of 100."""
    objects: dict[str, tuple[int, dict[str, str]]] = {}
    for space in range(spaces):
        objects[f"s{space:02}/reference.bin"] = (90, {})
        objects |= {f"s{space:02}/{number}.zip.delta": (10, delta(f"s{space:02}", 100)) for number in range(versions)}
    return objects


async def test_a_second_detailed_run_over_an_unchanged_bucket_sends_lists_only(
    client: DeltaGliderClient, bucket: str, s3: S3Client
) -> None:
    await fill(s3, bucket, {**releases(3, 4), "odd/1.zip.delta": (5, {})})
    with counted(client) as calls:
        first = await client.get_bucket_stats(bucket, "detailed", refresh_cache=True)
    assert calls == {"ListObjectsV2": 1, "HeadObject": 13}
    client._engine.remembered.changed(bucket)
    with counted(client) as calls:
        assert await client.get_bucket_stats(bucket, "detailed") == first
    assert calls == {"ListObjectsV2": 1}
    assert "odd/1.zip.delta" in first.warnings[0]


async def test_what_other_calls_asked_is_not_asked_again(client: DeltaGliderClient, bucket: str) -> None:
    for number in range(4):
        await client.put_object(Bucket=bucket, Key=f"{number // 2}/{number}.zip", Body=version(BASE, number))
    await client.head_object(Bucket=bucket, Key="0/0.zip")
    await client.list_objects_v2(Bucket=bucket, Prefix="1/", FetchMetadata=True)
    with counted(client) as calls:
        assert (await client.get_bucket_stats(bucket, "detailed")).total_size == 4 * len(BASE)
    assert calls == {"ListObjectsV2": 1, "HeadObject": 1}


async def test_only_what_is_new_is_asked(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    await fill(s3, bucket, releases(2, 3))
    await client.get_bucket_stats(bucket, "detailed")
    # One new, one replaced: not by this client.
    changed = {"s00/9.zip.delta": (10, delta("s00", 100)), "s01/1.zip.delta": (20, delta("s01", 500))}
    await fill(s3, bucket, changed)
    client._engine.remembered.changed(bucket)
    with counted(client) as calls:
        stats = await client.get_bucket_stats(bucket, "detailed")
    assert calls == {"ListObjectsV2": 1, "HeadObject": 2}
    assert stats.total_size == 6 * 100 + 500


async def test_what_is_kept_in_the_bucket_serves_other_processes(
    client: DeltaGliderClient, make_client: MakeClient, bucket: str, s3: S3Client
) -> None:
    await fill(s3, bucket, releases(2, 5))
    first = await client.get_bucket_stats(bucket, "detailed", remember=True)
    async with make_client() as other:
        with counted(other) as calls:
            assert await other.get_bucket_stats(bucket, "detailed", remember=True) == first
        assert calls == {"ListObjectsV2": 1, "GetObject": 1}
        with counted(other) as calls:  # nothing new: nothing is written; and it is the session's now
            other._engine.remembered.changed(bucket)
            await other.get_bucket_stats(bucket, "detailed")
        assert calls == {"ListObjectsV2": 1}
    # Where it was not asked for, it is neither read nor written.
    async with make_client() as third:
        with counted(third) as calls:
            assert await third.get_bucket_stats(bucket, "detailed") == first
        assert calls == {"ListObjectsV2": 1, "HeadObject": 10}
    # It belongs to the format: no listing shows it, nothing counts it.
    assert first.object_count == 10
    shown = await client.list_objects_v2(Bucket=bucket, Prefix=".deltaglider/")
    assert shown["KeyCount"] == 0
    assert [finding async for finding in client.fsck(bucket) if finding.key == SIZES_KEY] == []


@pytest.mark.parametrize("damage", [b"", b"rubbish", b"dg-sizes-1\n1234"])
async def test_a_damaged_object_is_ignored_with_a_warning_and_made_anew(
    client: DeltaGliderClient, make_client: MakeClient, bucket: str, s3: S3Client, damage: bytes
) -> None:
    await fill(s3, bucket, releases(1, 2))
    await asyncio.to_thread(s3.put_object, Bucket=bucket, Key=SIZES_KEY, Body=damage)
    stats = await client.get_bucket_stats(bucket, "detailed", remember=True)
    assert stats.total_size == 200
    assert SIZES_KEY in stats.warnings[0]
    async with make_client() as other:
        with counted(other) as calls:
            assert (await other.get_bucket_stats(bucket, "detailed", remember=True)).warnings == ()
        assert calls == {"ListObjectsV2": 1, "GetObject": 1}


async def test_a_run_over_a_part_keeps_what_is_known_of_the_rest(
    client: DeltaGliderClient, make_client: MakeClient, bucket: str, s3: S3Client
) -> None:
    await fill(s3, bucket, releases(2, 3))
    for prefix in ("s00/", "s01/"):
        await client.get_bucket_stats(bucket, "detailed", prefix=prefix, remember=True)
    async with make_client() as other:
        with counted(other) as calls:
            await other.get_bucket_stats(bucket, "detailed", remember=True)
        assert calls == {"ListObjectsV2": 1, "GetObject": 1}


async def test_the_originals_own_objects_are_left_alone(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    await fill(s3, bucket, {**releases(1, 1), ".deltaglider/stats_detailed.json": (3, {})})
    await client.get_bucket_stats(bucket, "detailed", remember=True)
    theirs = await asyncio.to_thread(s3.get_object, Bucket=bucket, Key=".deltaglider/stats_detailed.json")
    assert theirs["ContentLength"] == 3


async def test_a_result_serves_the_calls_that_want_less(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    await fill(s3, bucket, releases(2, 2))
    sampled = await client.get_bucket_stats(bucket, "sampled")
    with counted(client) as calls:
        assert await client.get_bucket_stats(bucket) == sampled
    assert not calls
    detailed = await client.get_bucket_stats(bucket, detailed_stats=True)
    with counted(client) as calls:
        for mode in ("quick", "sampled", "detailed"):
            assert await client.get_bucket_stats(bucket, mode) is detailed
    assert not calls
    with counted(client) as calls:
        await client.get_bucket_stats(bucket, "detailed", use_cache=False)
        await client.get_bucket_stats(bucket, "detailed", refresh_cache=True)
    assert calls == {"ListObjectsV2": 2, "HeadObject": 8}


async def test_every_write_of_the_session_invalidates(client: DeltaGliderClient, bucket: str, tmp_path: Path) -> None:
    await client.put_object(Bucket=bucket, Key="a/1.zip", Body=BASE)
    file = tmp_path / "3.zip"
    file.write_bytes(version(BASE, 3))
    writes: list[Any] = [
        lambda: client.put_object(Bucket=bucket, Key="a/2.zip", Body=version(BASE, 2)),
        lambda: client.upload(file, f"s3://{bucket}/a/"),
        lambda: client.copy_object(Bucket=bucket, Key="b/1.zip", CopySource=f"{bucket}/a/1.zip"),
        lambda: client.delete_object(Bucket=bucket, Key="a/2.zip"),
        lambda: client._s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "b/1.zip.delta"}]}),
        lambda: client.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}),
    ]
    for write in writes:
        stats = await client.get_bucket_stats(bucket, "detailed")
        assert await client.get_bucket_stats(bucket) is stats
        await write()
        assert client._engine.remembered.latest(bucket) is None
        again = await client.get_bucket_stats(bucket, "detailed")
        assert again == await client.get_bucket_stats(bucket, "detailed", use_cache=False)


async def test_reading_does_not_invalidate(client: DeltaGliderClient, bucket: str) -> None:
    await client.put_object(Bucket=bucket, Key="a/1.zip", Body=BASE)
    stats = await client.get_bucket_stats(bucket, "detailed", remember=True)
    await (await client.get_object(Bucket=bucket, Key="a/1.zip"))["Body"].read()
    await client.list_objects_v2(Bucket=bucket)
    await client.head_bucket(Bucket=bucket)
    assert await client.get_bucket_stats(bucket) is stats


async def test_a_write_during_a_run_keeps_its_result_from_being_remembered(
    client: DeltaGliderClient, bucket: str, s3: S3Client
) -> None:
    await fill(s3, bucket, releases(1, 2))
    client._engine.remembered.changed(bucket)
    wrote = asyncio.Event()

    def seen(objects: int) -> None:
        client._engine.remembered.changed(bucket)  # what the session's own put does
        wrote.set()

    await client.get_bucket_stats(bucket, "detailed", progress=seen)
    assert wrote.is_set()
    assert client._engine.remembered.latest(bucket) is None


async def test_list_buckets_carries_what_is_known(client: DeltaGliderClient, bucket: str) -> None:
    async def carried() -> Any:
        (found,) = [each for each in (await client.list_buckets())["Buckets"] if each["Name"] == bucket]
        return found.get("DeltaGliderStats")

    await client.put_object(Bucket=bucket, Key="a/1.zip", Body=BASE)
    assert await carried() is None
    stats = await client.get_bucket_stats(bucket, "sampled")
    known = await carried()
    assert known == {
        "Cached": True,
        "Detailed": False,
        "Mode": "sampled",
        "ObjectCount": 1,
        "TotalSize": stats.total_size,
        "CompressedSize": stats.compressed_size,
        "SpaceSaved": 0,
        "AverageCompressionRatio": 0.0,
        "DeltaObjects": 1,
        "DirectObjects": 0,
    }
    await client.get_bucket_stats(bucket, "detailed")
    assert (await carried())["Detailed"] is True
    await client.get_bucket_stats(bucket, "detailed", prefix="a/")
    assert (await carried())["ObjectCount"] == 1
    await client.clear_cache()
    assert await carried() is None
    await client.get_bucket_stats(bucket)
    await client.delete_object(Bucket=bucket, Key="a/1.zip")
    assert await carried() is None
    with counted(client) as calls:
        with pytest.raises(NotFoundError):
            await client.get_bucket_stats(f"{bucket}-2")
        await client.create_bucket(Bucket=f"{bucket}-2")
        assert (await client.get_bucket_stats(f"{bucket}-2")).object_count == 0
        await client.delete_bucket(Bucket=f"{bucket}-2")
        with pytest.raises(NotFoundError):
            await client.get_bucket_stats(f"{bucket}-2")
    assert calls["ListObjectsV2"] == 3


async def test_acls_of_buckets_are_boto3s(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    await client.put_bucket_acl(Bucket=bucket, ACL="public-read")
    ours, theirs = await client.get_bucket_acl(Bucket=bucket), await asyncio.to_thread(s3.get_bucket_acl, Bucket=bucket)
    assert len(ours["Grants"]) == 2
    assert (ours["Grants"], ours["Owner"]) == (theirs["Grants"], theirs["Owner"])


async def test_statistics_of_each_folder(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    objects = {
        **releases(2, 3),
        "s01/.deltaglider/trash/x/y/reference.bin": (7, {}),
        "s01/deep/reference.bin": (70, {}),
        "s00/notes.txt": (40, {}),
        "root.txt": (3, {}),
        "0.zip.delta": (2, delta("", 30)),
    }
    await fill(s3, bucket, objects)
    root, first, second, deep = await client.get_deltaspace_stats(bucket)
    assert (root.prefix, root.object_count, root.original_size, root.stored_size) == ("", 2, 33, 5)
    assert (first.prefix, first.object_count, first.delta_objects) == ("s00/", 4, 3)
    assert (first.original_size, first.stored_size, first.delta_size, first.reference_size) == (340, 160, 30, 90)
    assert first.ratio == pytest.approx(160 / 340)
    assert (second.prefix, second.space_saved) == ("s01/", 300 - 120)
    assert (deep.prefix, deep.orphaned, deep.stored_size, deep.ratio) == ("s01/deep/", True, 0, 1.0)
    whole = await client.get_bucket_stats(bucket, "detailed")
    spaces = await client.get_deltaspace_stats(bucket)
    assert whole.total_size == sum(space.original_size for space in spaces)
    assert whole.compressed_size == sum(space.stored_size for space in spaces)
    assert [space.prefix for space in await client.get_deltaspace_stats(bucket, prefix="s01/")] == ["s01/", "s01/deep/"]
    with pytest.raises(InvalidRequestError, match="no argument 'Bukcet'"):
        await client.get_deltaspace_stats(bucket, Bukcet="x")


# -- listings side by side


def shorten(client: DeltaGliderClient, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """So many keys to a page."""
    pages = client._engine.store.pages
    monkeypatch.setattr(
        client._engine.store,
        "pages",
        lambda bucket, arguments, **how: pages(bucket, {**arguments, "MaxKeys": most}, **how),
    )


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch, client: DeltaGliderClient) -> int:
    """Pages of seven keys: every listing is a long one."""
    pages = client._engine.store.pages
    monkeypatch.setattr(
        client._engine.store,
        "pages",
        lambda bucket, arguments, **how: pages(bucket, {**arguments, "MaxKeys": 7}, **how),
    )
    return 7


#: Names that lie around the bounds of ranges: folders, what sorts below `/`, and plain forms beside leftovers.
AWKWARD = [
    "app", "app-1/x", "app-1/x.delta", "app.delta", "app-1.delta", "app-1", "app/", "app/a", "app/b.delta", "app!/x",
    "x/y/z", "x/y-1/a.delta", "x/y.delta", "x/y", "x/y/reference.bin", "x/reference.bin", "z.delta", "z-/1", "z-/2/3",
]  # fmt: skip


async def everything(client: DeltaGliderClient, bucket: str, prefix: str) -> BucketStats:
    return await client.get_bucket_stats(bucket, "detailed", use_cache=False, prefix=prefix)


@pytest.mark.parametrize("layout", ["awkward", "pairs apart", "many folders", "one flat folder", "deep"])
async def test_ranges_count_what_one_chain_counts(
    client: DeltaGliderClient,
    bucket: str,
    s3: S3Client,
    layout: str,
    short_pages: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = {
        "awkward": AWKWARD,
        # Of `app` both forms are there, of `box` only the delta; forty folders lie between them.
        "pairs apart": ["app", "app.delta", "box.delta", *(f"{n}-{i:02}/x" for n in ("app", "box") for i in range(40))],
        "many folders": [f"f{number:03}/{name}" for number in range(40) for name in ("a.delta", "b")],
        "one flat folder": [f"f/{number:03}.delta" for number in range(60)],
        "deep": [f"a/b/c/{one}/{two}/x{n}.delta" for one in range(4) for two in range(4) for n in range(3)],
    }[layout]
    objects = {
        name: (number + 1, delta("x", 1000 + number)) if name.endswith(".delta") else (number + 1, {})
        for number, name in enumerate(names)
    }
    await fill(s3, bucket, objects)
    side_by_side = {prefix: await everything(client, bucket, prefix) for prefix in ("", "a", "app", "x/", "f0", "z")}
    monkeypatch.setattr(ranges, "_MOST_CUTS", 0)
    for prefix, stats in side_by_side.items():
        assert stats == await everything(client, bucket, prefix), prefix
    shown = await client.list_objects_v2(Bucket=bucket)
    assert side_by_side[""].object_count == shown["KeyCount"]


async def test_many_folders_are_listed_at_once_and_a_flat_one_costs_no_more_than_a_chain(
    client: DeltaGliderClient, bucket: str, s3: S3Client, short_pages: int
) -> None:
    await fill(s3, bucket, {f"f{number:02}/{name}": (1, {}) for number in range(60) for name in "abcd"})
    waiting = most = 0

    async def begins(**_: Any) -> None:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)

    def ended(**_: Any) -> None:
        nonlocal waiting
        waiting -= 1

    client.meta.events.register("before-call.s3.ListObjectsV2", begins)
    client.meta.events.register("after-call.s3.ListObjectsV2", ended)
    seen: list[int] = []
    with counted(client) as calls:
        stats = await client.get_bucket_stats(bucket, progress=seen.append)
    assert (stats.object_count, seen[-1]) == (240, 240)
    assert 4 <= most <= 16
    assert calls["ListObjectsV2"] < 2 * 240 / short_pages + 20

    await fill(s3, bucket, {f"g/{number:03}": (1, {}) for number in range(100)})
    with counted(client) as calls:
        assert (await client.get_bucket_stats(bucket, prefix="g/")).object_count == 100
    assert calls["ListObjectsV2"] <= 100 / short_pages + 3


async def test_little_is_listed_twice(
    client: DeltaGliderClient, bucket: str, s3: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page goes on behind the end of its range; so a range is about a page, not a few folders."""
    store, most = client._engine.store, 50
    pages = store.pages
    monkeypatch.setattr(
        store, "pages", lambda bucket, arguments, **how: pages(bucket, {**arguments, "MaxKeys": most}, **how)
    )
    await fill(s3, bucket, {f"a/f{number:03}/{name}": (1, {}) for number in range(150) for name in "abcde"})
    listed: list[int] = []
    client.meta.events.register(
        "after-call.s3.ListObjectsV2", lambda parsed, **_: listed.append(len(parsed.get("Contents", ())))
    )
    assert (await client.get_bucket_stats(bucket)).object_count == 750
    assert len(listed) > 10
    assert sum(listed) < 1.3 * 750


async def test_real_servers_list_side_by_side_and_are_asked_once(
    real_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranges begin and end where these servers agree on what `StartAfter` and `Delimiter` mean."""
    bucket = f"stats-{secrets.token_hex(6)}"
    async with create_client(endpoint_url=real_endpoint) as client:
        await client.create_bucket(Bucket=bucket)
        for number in range(30):
            for name, metadata in (("1.zip.delta", delta(f"f{number:02}", 100)), ("notes", {}), ("reference.bin", {})):
                key = f"f{number:02}/{name}"
                await client._s3.put_object(Bucket=bucket, Key=key, Body=b"12345", Metadata=metadata)
        pages = client._engine.store.pages
        monkeypatch.setattr(
            client._engine.store,
            "pages",
            lambda bucket, arguments, **how: pages(bucket, {**arguments, "MaxKeys": 7}, **how),
        )
        first = await client.get_bucket_stats(bucket, "detailed", remember=True)
        assert (first.object_count, first.delta_objects, first.direct_objects) == (60, 30, 30)
        assert (first.total_size, first.compressed_size) == (30 * 105, 90 * 5)
        assert first.warnings == ()
    async with create_client(endpoint_url=real_endpoint) as client:
        with counted(client) as calls:
            assert await client.get_bucket_stats(bucket, "detailed", remember=True) == first
        assert set(calls) == {"ListObjectsV2", "GetObject"}
        monkeypatch.setattr(ranges, "_MOST_CUTS", 0)
        assert await everything(client, bucket, "") == first


# -- what is remembered is bounded


def test_sizes_are_bounded_and_the_bucket_looked_at_longest_ago_gives_way() -> None:
    known = Known(most_sizes=10)
    for name in "abc":
        known.replace_sizes(name, dict.fromkeys(range(4), 1))
    assert [len(known.sizes(name)) for name in "abc"] == [0, 4, 4]
    known.learn("d", "key", "etag", 5)
    known.learn("d", "other", "etag", 6)
    known.learn("d", "third", "etag", 7)
    assert (known.size("d", "key", "etag"), known.size("d", "third", "etag")) == (5, None)
    known.clear()
    assert known.size("d", "key", "etag") is None


async def test_a_listing_without_etags_is_enough(client: Any, bucket: str) -> None:
    for number in range(2):
        await client.put_object(Bucket=bucket, Key=f"a/{number}.zip", Body=version(content(1, 60_000), number))

    def forget(parsed: dict[str, Any], **_: Any) -> None:
        for each in parsed.get("Contents", ()):
            del each["ETag"]

    client.meta.events.register("after-call.s3.ListObjectsV2", forget)
    for _ in range(2):
        assert (await client.get_bucket_stats(bucket, "detailed", use_cache=True)).total_size == 120_000
    found = await client.find_similar_files(bucket, "a/", "2.zip")
    assert sorted(each["Key"] for each in found) == ["a/0.zip", "a/1.zip"]


async def test_folders_come_with_the_sum_from_one_listing(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    await fill(s3, bucket, {"a/x.txt": (5, {}), "b/y.txt": (7, {})})
    with counted(client) as calls:
        found = await client.get_bucket_stats(bucket, "detailed", deltaspaces=True)
    assert calls == {"ListObjectsV2": 1}
    assert [(space.prefix, space.original_size) for space in found.deltaspaces] == [("a/", 5), ("b/", 7)]
    assert found.total_size == 12
    assert (await client.get_bucket_stats(bucket)).deltaspaces == ()


async def test_listings_use_the_sizes_that_statistics_kept(
    make_client: MakeClient, client: DeltaGliderClient, bucket: str, s3: S3Client
) -> None:
    await fill(s3, bucket, {f"a/{number:02}.delta": (number + 1, delta("a", 1000 + number)) for number in range(40)})
    await client.get_bucket_stats(bucket, "detailed", remember=True)
    # Another one takes the place of one of them, and there is a new one.
    await fill(s3, bucket, {"a/07.delta": (50, delta("a", 7000)), "a/99.delta": (1, delta("a", 1099))})

    async with make_client() as other:
        with counted(other) as calls:
            page = await other.list_objects_v2(Bucket=bucket, FetchMetadata="sizes")
        assert calls == {"ListObjectsV2": 1, "GetObject": 1, "HeadObject": 2}
        sizes = {entry["Key"]: entry["Size"] for entry in page["Contents"]}
        expected = {f"a/{number:02}": 1000 + number for number in range(40)} | {"a/07": 7000, "a/99": 1099}
        assert sizes == expected
        with counted(other) as calls:
            again = await other.list_objects_v2(Bucket=bucket, FetchMetadata="sizes")
        assert {entry["Key"]: entry["Size"] for entry in again["Contents"]} == expected
        assert calls == {"ListObjectsV2": 1}
        with counted(other) as calls:  # all that there is to know is another thing
            everything = await other.list_objects_v2(Bucket=bucket, FetchMetadata=True)
        assert calls == {"ListObjectsV2": 1, "HeadObject": 41}
        assert all("deltaglider-reference-key" in entry["Metadata"] for entry in everything["Contents"])


async def test_a_few_sizes_are_asked_for_at_once(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    await fill(s3, bucket, {f"a/{number:02}.delta": (1, delta("a", 1000)) for number in range(10)})
    with counted(client) as calls:
        await client.list_objects_v2(Bucket=bucket, FetchMetadata="sizes")
    assert calls == {"ListObjectsV2": 1, "HeadObject": 10}
