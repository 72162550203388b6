"""Deletes and statistics on a real server: what goes, what stays, and sums worked out by hand."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.errors import InvalidRequestError, NotFoundError, PreconditionFailedError
from deltaglider_async.format.keys import is_trash
from tests.engine.conftest import MakeClient, content, version

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BASE = content(1, 60_000)


async def put_raw(s3: S3Client, bucket: str, key: str, data: bytes, metadata: Mapping[str, str] | None = None) -> None:
    await asyncio.to_thread(s3.put_object, Bucket=bucket, Key=key, Body=data, Metadata=dict(metadata or {}))


async def stored(s3: S3Client, bucket: str) -> dict[str, int]:
    """Everything in the bucket as stored: key to size."""
    page = await asyncio.to_thread(s3.list_objects_v2, Bucket=bucket)
    return {item["Key"]: item["Size"] for item in page.get("Contents", [])}


async def put_versions(client: DeltaGliderClient, bucket: str, folder: str, count: int) -> list[str]:
    keys = [f"{folder}{number}.zip" for number in range(count)]
    for number, key in enumerate(keys):
        await client.put_object(Bucket=bucket, Key=key, Body=version(BASE, number))
    return keys


# -- deletes


async def test_each_form_is_deleted_and_the_reference_with_the_last_delta(
    client: DeltaGliderClient, bucket: str, s3: S3Client
) -> None:
    await put_versions(client, bucket, "a/", 2)
    await client.put_object(Bucket=bucket, Key="a/notes.txt", Body=b"plain")
    for key, kind in (("a/0.zip", "delta"), ("a/notes.txt", "direct"), ("a/1.zip", "delta")):
        answer = await client.delete_object(Bucket=bucket, Key=key)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
        assert answer["DeltaGliderInfo"] == {"Type": kind, "Deleted": True, "Warnings": [], "DependentDeltas": 0}
        with pytest.raises(NotFoundError):
            await client.head_object(Bucket=bucket, Key=key)
        assert ("a/reference.bin" in await stored(s3, bucket)) is (key != "a/1.zip")
    assert [is_trash(key) for key in await stored(s3, bucket)] == [True]


async def test_a_dropped_reference_serves_deltas_that_still_need_it(
    client: DeltaGliderClient, bucket: str, s3: S3Client
) -> None:
    """As after a drop that died, and as after one that died before another client made a new reference."""
    for key in await put_versions(client, bucket, "a/", 2):
        await client.delete_object(Bucket=bucket, Key=key)
    (entry,) = await stored(s3, bucket)
    (key,) = await put_versions(client, bucket, "a/", 1)
    await asyncio.to_thread(s3.delete_object, Bucket=bucket, Key="a/reference.bin")
    await client.clear_cache()
    client._engine._known.clear()
    async with (await client.get_object(Bucket=bucket, Key=key))["Body"] as body:
        assert await body.read() == version(BASE, 0)
    await client.put_object(Bucket=bucket, Key="a/other.zip", Body=content(2, 60_000))
    assert set(await stored(s3, bucket)) == {entry, key + ".delta", "a/other.zip.delta", "a/reference.bin"}
    await client.clear_cache()
    client._engine._known.clear()
    assert await client.verify(f"s3://{bucket}/{key}")
    assert await client.verify(f"s3://{bucket}/a/other.zip")


async def test_a_plain_put_over_the_last_delta_drops_the_reference(
    client: DeltaGliderClient, bucket: str, s3: S3Client
) -> None:
    (key,) = await put_versions(client, bucket, "", 1)
    await client.put_object(Bucket=bucket, Key=key, Body=b"plain", use_delta=False)
    assert sorted(map(is_trash, await stored(s3, bucket))) == [False, True]
    assert key in await stored(s3, bucket)


async def test_deleting_what_is_not_there_is_no_error(client: DeltaGliderClient, bucket: str) -> None:
    for key in ("nothing", "nothing.zip", "nothing.delta", "k" * 1024, "a/reference.bin", ".deltaglider/tmp/x"):
        answer = await client.delete_object(Bucket=bucket, Key=key)
        assert answer["DeltaGliderInfo"]["Type"] == "not_found"
        assert answer["DeltaGliderInfo"]["Deleted"] is False
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    with pytest.raises(NotFoundError) as missing:
        await client.delete_object(Bucket="there-is-no-such-bucket", Key="a")
    assert isinstance(missing.value, client.exceptions.NoSuchBucket)


async def test_a_leftover_goes_with_its_object(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    """Else the older delta would come alive again."""
    await put_versions(client, bucket, "a/", 2)
    await put_raw(s3, bucket, "a/1.zip", b"plain now")
    answer = await client.delete_object(Bucket=bucket, Key="a/1.zip")
    assert answer["DeltaGliderInfo"]["Type"] == "direct"
    assert set(await stored(s3, bucket)) == {"a/reference.bin", "a/0.zip.delta"}


async def test_somebody_elses_delta_file_is_deleted_by_its_own_name_only(
    client: DeltaGliderClient, bucket: str, s3: S3Client
) -> None:
    for key in ("a/x.zip", "a/x.zip.delta", "a/y.zip.delta"):
        await put_raw(s3, bucket, key, b"foreign")
    for key in ("a/x.zip", "a/y.zip"):
        await client.delete_object(Bucket=bucket, Key=key)
    assert set(await stored(s3, bucket)) == {"a/x.zip.delta", "a/y.zip.delta"}
    answer = await client.delete_object(Bucket=bucket, Key="a/x.zip.delta")
    assert answer["DeltaGliderInfo"]["Type"] == "direct"
    assert set(await stored(s3, bucket)) == {"a/y.zip.delta"}


async def test_the_stored_name_of_a_delta_means_the_object(
    client: DeltaGliderClient, bucket: str, s3: S3Client
) -> None:
    await put_versions(client, bucket, "a/", 2)
    answer = await client.delete_object(Bucket=bucket, Key="a/1.zip.delta")
    assert answer["DeltaGliderInfo"]["Type"] == "delta"
    assert set(await stored(s3, bucket)) == {"a/reference.bin", "a/0.zip.delta"}


@pytest.mark.parametrize("folder", ["", "a/"])
async def test_a_reference_in_use_is_not_deleted(
    client: DeltaGliderClient, bucket: str, s3: S3Client, folder: str
) -> None:
    keys = await put_versions(client, bucket, folder, 2)
    await put_versions(client, bucket, f"{folder}deeper/", 1)
    before = await stored(s3, bucket)
    with pytest.raises(InvalidRequestError, match="2 deltas are made against it"):
        await client.delete_object(Bucket=bucket, Key=f"{folder}reference.bin")
    assert await stored(s3, bucket) == before
    for key in keys:
        await client.delete_object(Bucket=bucket, Key=key)
    others = {f"{folder}deeper/reference.bin", f"{folder}deeper/0.zip.delta"}
    (entry,) = set(await stored(s3, bucket)) - others
    reference = await asyncio.to_thread(s3.get_object, Bucket=bucket, Key=entry)
    await put_raw(s3, bucket, f"{folder}reference.bin", reference["Body"].read(), reference["Metadata"])
    answer = await client.delete_object(Bucket=bucket, Key=f"{folder}reference.bin")
    assert answer["DeltaGliderInfo"]["Type"] == "reference"
    assert {key for key in await stored(s3, bucket) if not is_trash(key)} == others


async def test_a_reference_in_use_by_keys_that_begin_with_a_slash_is_not_deleted(
    client: DeltaGliderClient, bucket: str, s3: S3Client
) -> None:
    await put_versions(client, bucket, "/", 2)
    (reference,) = [key for key in await stored(s3, bucket) if key.endswith("reference.bin")]
    with pytest.raises(InvalidRequestError, match="2 deltas are made against it"):
        await client.delete_object(Bucket=bucket, Key=reference)
    assert (await client.get_bucket_stats(bucket, prefix="/")).orphaned_references == 0
    assert (await client.get_bucket_stats(bucket)).orphaned_references == 0


@pytest.mark.parametrize("conditional", [True, False])
async def test_the_null_version_of_an_object_goes_with_the_delta_that_it_replaced(
    client: DeltaGliderClient, bucket: str, s3: S3Client, conditional: bool
) -> None:
    """Where no versions are kept, its name is `null`, too; alone, it would come alive."""
    keys = await put_versions(client, bucket, "a/", 2)
    await put_raw(s3, bucket, keys[1], b"newer, and plain")
    client._engine.conditions._known[bucket, "DeleteObject", "IfMatch"] = conditional
    answer = await client.delete_object(Bucket=bucket, Key=keys[1], VersionId="null")
    assert answer["DeltaGliderInfo"]["Type"] == "direct"
    assert set(await stored(s3, bucket)) == {"a/0.zip.delta", "a/reference.bin"}
    with pytest.raises(NotFoundError):
        await client.head_object(Bucket=bucket, Key=keys[1])


async def test_a_reference_that_is_deleted_by_name_must_meet_the_condition(
    client: DeltaGliderClient, bucket: str, s3: S3Client
) -> None:
    await put_versions(client, bucket, "a/", 1)
    await asyncio.to_thread(s3.delete_object, Bucket=bucket, Key="a/0.zip.delta")
    with pytest.raises(PreconditionFailedError):
        await client.delete_object(Bucket=bucket, Key="a/reference.bin", IfMatch='"another"')
    etag = (await client._s3.head_object(Bucket=bucket, Key="a/reference.bin"))["ETag"]
    answer = await client.delete_object(Bucket=bucket, Key="a/reference.bin", IfMatch=etag)
    assert (answer["DeltaGliderInfo"]["Type"], answer["DeltaGliderInfo"]["Deleted"]) == ("reference", True)
    assert all(map(is_trash, await stored(s3, bucket)))


async def test_a_condition_decides_on_either_form(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    await put_versions(client, bucket, "a/", 2)
    await client.put_object(Bucket=bucket, Key="a/notes.txt", Body=b"plain")
    for key in ("a/1.zip", "a/notes.txt"):
        etag = (await client.head_object(Bucket=bucket, Key=key))["ETag"]
        before = await stored(s3, bucket)
        with pytest.raises(PreconditionFailedError) as refused:
            await client.delete_object(Bucket=bucket, Key=key, IfMatch='"0123456789abcdef"')
        assert isinstance(refused.value, client.exceptions.ClientError)
        assert await stored(s3, bucket) == before
        answer = await client.delete_object(Bucket=bucket, Key=key, IfMatch=etag)
        assert answer["DeltaGliderInfo"]["Deleted"]
        with pytest.raises(NotFoundError):
            await client.head_object(Bucket=bucket, Key=key)


async def test_a_condition_speaks_of_the_plain_form_where_both_exist(
    client: DeltaGliderClient, bucket: str, s3: S3Client
) -> None:
    await put_versions(client, bucket, "a/", 2)
    leftover = (await client.head_object(Bucket=bucket, Key="a/1.zip"))["ETag"]
    await put_raw(s3, bucket, "a/1.zip", b"plain now")
    before = await stored(s3, bucket)
    with pytest.raises(PreconditionFailedError):
        await client.delete_object(Bucket=bucket, Key="a/1.zip", IfMatch=leftover)
    assert await stored(s3, bucket) == before
    plain = (await client.head_object(Bucket=bucket, Key="a/1.zip"))["ETag"]
    await client.delete_object(Bucket=bucket, Key="a/1.zip", IfMatch=plain)
    assert set(await stored(s3, bucket)) == {"a/reference.bin", "a/0.zip.delta"}


async def test_a_conditional_delete_never_takes_a_put_that_came_between(
    client: DeltaGliderClient, make_client: MakeClient, bucket: str, s3: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it saw the forms of the key, another client deletes it and puts a new delta."""
    await put_versions(client, bucket, "a/", 2)
    await put_raw(s3, bucket, "a/1.zip", b"plain now")
    plain = (await client.head_object(Bucket=bucket, Key="a/1.zip"))["ETag"]
    new = bytes(range(256)) * 200
    store = client._engine.store
    delete = store.delete

    async def after_the_other(*arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(store, "delete", delete)
        async with make_client() as other:
            await other.delete_object(Bucket=bucket, Key="a/1.zip")
            await other.put_object(Bucket=bucket, Key="a/1.zip", Body=new, max_ratio=1)
        return await delete(*arguments, **named)

    monkeypatch.setattr(store, "delete", after_the_other)
    with contextlib.suppress(PreconditionFailedError, NotFoundError):
        await client.delete_object(Bucket=bucket, Key="a/1.zip", IfMatch=plain)
    response = await client.get_object(Bucket=bucket, Key="a/1.zip")
    assert await response["Body"].read() == new


async def test_a_leftover_can_be_deleted_by_its_stored_name(
    client: DeltaGliderClient, bucket: str, s3: S3Client
) -> None:
    await put_versions(client, bucket, "a/", 2)
    await put_raw(s3, bucket, "a/1.zip", b"plain now")
    await client.delete_object(Bucket=bucket, Key="a/1.zip.delta")
    assert set(await stored(s3, bucket)) == {"a/reference.bin", "a/0.zip.delta", "a/1.zip"}


async def test_a_misspelled_argument_deletes_nothing(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    await client.put_object(Bucket=bucket, Key="a.txt", Body=b"")
    with pytest.raises(InvalidRequestError, match="IfMtach"):
        await client.delete_object(Bucket=bucket, Key="a.txt", IfMtach='"x"')  # type: ignore[call-arg]
    assert set(await stored(s3, bucket)) == {"a.txt"}


# -- statistics


def delta_metadata(size: int, space: str) -> dict[str, str]:
    return {
        "dg-tool": "deltaglider/6.2.0",
        "dg-file-sha256": "0" * 64,
        "dg-file-size": str(size),
        "dg-ref-key": f"{space}/reference.bin",
        "dg-ref-sha256": "1" * 64,
        "dg-delta-size": "1",
    }


@pytest.fixture
async def filled(s3: S3Client, bucket: str) -> str:
    """A bucket of which every sum can be worked out by hand. It is in no order in which it was made."""
    objects = {
        # Two deltas of 1,000 bytes; a leftover beside a plain object; what is not ours in between.
        "a/1.zip.delta": (10, delta_metadata(1000, "a")),
        "a/2.zip.delta": (30, delta_metadata(1000, "a")),
        "a/3.zip.delta": (50, delta_metadata(1000, "a")),
        "a/3.zip": (700, {}),
        "a/3.zip-notes.txt": (5, {}),
        "a/reference.bin": (900, {}),
        # A reference that no delta uses: the only delta is a leftover.
        "b/1.zip": (40, {}),
        "b/1.zip.delta": (7, delta_metadata(40, "b")),
        "b/reference.bin": (600, {}),
        "b/.deltaglider/trash/x/y/reference.bin": (11_000, {}),
        # Deltas beside which there is no reference: one known, one without metadata.
        "c/1.zip.delta": (20, delta_metadata(400, "c")),
        "c/2.zip.delta": (25, {}),
        ".deltaglider/tmp/1_x": (13_000, {}),
        "plain.txt": (100, {}),
        "empty": (0, {}),
    }
    for key, (size, metadata) in objects.items():
        await put_raw(s3, bucket, key, bytes(size), metadata)
    return bucket


PLAIN = 700 + 5 + 40 + 100
STORED = PLAIN + 10 + 30 + 900 + 20 + 25


async def test_detailed_sums_ask_every_delta(client: DeltaGliderClient, filled: str) -> None:
    stats = await client.get_bucket_stats(filled, "detailed")
    assert (stats.object_count, stats.delta_objects, stats.direct_objects) == (9, 4, 5)
    assert stats.compressed_size == STORED
    assert stats.total_size == PLAIN + 2 * 1000 + 400 + 25
    assert stats.space_saved == stats.total_size - STORED
    assert stats.average_compression_ratio == pytest.approx(stats.space_saved / stats.total_size)
    assert (stats.orphaned_references, stats.orphaned_size) == (1, 600)
    unreadable, orphaned = stats.warnings
    assert "c/2.zip.delta" in unreadable
    assert orphaned.startswith("1 reference that no delta uses (600 bytes)")
    assert f"dg gc s3://{filled}/" in orphaned


async def test_quick_sums_ask_nothing_and_are_never_negative(client: DeltaGliderClient, filled: str) -> None:
    stats = await client.get_bucket_stats(filled)
    assert (stats.object_count, stats.delta_objects, stats.direct_objects) == (9, 4, 5)
    assert stats.compressed_size == STORED
    assert stats.total_size >= STORED - 900  # the references come on top
    assert stats.space_saved == 0
    assert stats.average_compression_ratio == 0.0
    assert (stats.orphaned_references, stats.orphaned_size) == (1, 600)
    assert "detailed" in stats.warnings[0]


async def test_sampled_sums_let_one_delta_stand_for_those_like_it(
    client: DeltaGliderClient, s3: S3Client, bucket: str
) -> None:
    """All deltas are a tenth of their originals: here any way to extrapolate gives the truth."""
    for space, number in itertools.product("ab", range(3)):
        await put_raw(s3, bucket, f"{space}/{number}.zip.delta", bytes(10), delta_metadata(100, space))
    await put_raw(s3, bucket, "a/reference.bin", bytes(90))
    sampled, detailed = [await client.get_bucket_stats(bucket, mode) for mode in ("sampled", "detailed")]
    assert sampled == detailed
    assert (sampled.total_size, sampled.compressed_size, sampled.space_saved) == (600, 150, 450)
    assert sampled.average_compression_ratio == 0.75


async def test_sampled_sums_are_near_the_truth(client: DeltaGliderClient, bucket: str) -> None:
    """The first delta of a deltaspace is often that of the reference itself, which is next to nothing."""
    await put_versions(client, bucket, "a/", 1)
    for number in (1, 2, 3):
        body = BASE[:50_000] + content(number, 10_000)
        await client.put_object(Bucket=bucket, Key=f"a/{number}.zip", Body=body)
    detailed, sampled = [await client.get_bucket_stats(bucket, mode) for mode in ("detailed", "sampled")]
    assert detailed.total_size == 4 * 60_000
    assert sampled.total_size == pytest.approx(detailed.total_size, rel=0.5)


async def test_sums_below_a_prefix(client: DeltaGliderClient, filled: str) -> None:
    stats = await client.get_bucket_stats(filled, "detailed", prefix="a/")
    assert (stats.object_count, stats.total_size, stats.compressed_size) == (4, 2705, 1645)
    stats = await client.get_bucket_stats(filled, "detailed", prefix="plain")
    assert (stats.object_count, stats.total_size, stats.compressed_size) == (1, 100, 100)
    nothing = await client.get_bucket_stats(filled, "detailed", prefix="nothing/")
    assert (nothing.object_count, nothing.total_size, nothing.average_compression_ratio) == (0, 0, 0.0)


async def test_a_prefix_within_a_name_counts_the_objects_that_a_listing_shows(
    client: DeltaGliderClient, filled: str
) -> None:
    for prefix in ("a/1.zip.de", "a/3.zip.d", "a/3", "a/1", "a/r", "b/1.zip.delta"):
        shown = await client.list_objects_v2(Bucket=filled, Prefix=prefix)
        for mode in ("quick", "sampled", "detailed"):
            stats = await client.get_bucket_stats(filled, mode, prefix=prefix)
            assert stats.object_count == shown["KeyCount"], (prefix, mode)


async def test_a_prefix_within_a_name_makes_no_reference_an_orphan(client: DeltaGliderClient, filled: str) -> None:
    """`a/r` holds the reference but none of the deltas that use it: who removed it would lose them."""
    for prefix in ("a/r", "a/reference.bin"):
        assert (await client.get_bucket_stats(filled, "detailed", prefix=prefix)).orphaned_references == 0


async def test_a_prefix_within_a_name_counts_the_reference_that_its_deltas_use(
    client: DeltaGliderClient, filled: str
) -> None:
    stats = await client.get_bucket_stats(filled, "detailed", prefix="a/1")
    assert (stats.object_count, stats.total_size, stats.compressed_size) == (1, 1000, 910)


async def test_sums_go_on_after_a_thousand_objects(client: DeltaGliderClient, s3: S3Client, bucket: str) -> None:
    """The first page ends between a plain object and the leftover beside it."""
    names = ["a/", *(f"a/{number:04}.zip" for number in range(502))]

    def fill() -> None:
        def put(name: str) -> None:
            s3.put_object(Bucket=bucket, Key=name, Body=b"x")
            if name != names[0]:
                metadata = delta_metadata(50, "a")
                s3.put_object(Bucket=bucket, Key=f"{name}.delta", Body=b"xx", Metadata=metadata)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(put, names))

    await asyncio.to_thread(fill)
    await put_raw(s3, bucket, "a/zz.zip.delta", b"xxx", delta_metadata(50, "a"))
    await put_raw(s3, bucket, "a/reference.bin", b"xxxx")
    seen: list[int] = []
    stats = await client.get_bucket_stats(bucket, "detailed", progress=seen.append)
    assert (stats.object_count, stats.direct_objects, stats.delta_objects) == (504, 503, 1)
    assert (stats.total_size, stats.compressed_size) == (503 + 50, 503 + 3 + 4)
    assert seen == [1000, 1007]


async def test_the_worst_bucket_saves_nothing_rather_than_less(
    client: DeltaGliderClient, s3: S3Client, bucket: str
) -> None:
    await put_raw(s3, bucket, "a/1.zip.delta", bytes(500), delta_metadata(100, "a"))
    await put_raw(s3, bucket, "a/reference.bin", bytes(1000))
    for mode in ("quick", "sampled", "detailed"):
        stats = await client.get_bucket_stats(bucket, mode)
        assert (stats.space_saved, stats.average_compression_ratio) == (0, 0.0)
        assert stats.compressed_size == 1500


async def test_statistics_of_nothing(client: DeltaGliderClient, bucket: str) -> None:
    for mode in ("quick", "sampled", "detailed"):
        stats = await client.get_bucket_stats(bucket, mode)
        assert (stats.object_count, stats.total_size, stats.compressed_size, stats.warnings) == (0, 0, 0, ())
    with pytest.raises(NotFoundError):
        await client.get_bucket_stats("there-is-no-such-bucket")
    with pytest.raises(InvalidRequestError, match="quick, sampled, detailed"):
        await client.get_bucket_stats(bucket, "exact")  # type: ignore[arg-type]
