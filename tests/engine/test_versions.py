"""Histories of logical keys: against a model of what the bucket protocol writes, and on real servers."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deltaglider_async.engine.versions import history, is_marker
from tests.engine.conftest import version
from tests.test_listing_compared import BASE, Buckets, filled, names

MORNING = datetime(2026, 1, 1, tzinfo=UTC)
Operation = tuple[str, int]
"""What is done to the key, and how many seconds after the operation before."""
operations = st.lists(st.tuples(st.sampled_from(["delta", "plain", "delete"]), st.integers(0, 1)), max_size=12)


def written(done: list[Operation]) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """What the protocol writes to the plain key and to the delta's, and the logical key's history; oldest first."""
    plain: list[dict[str, Any]] = []
    delta: list[dict[str, Any]] = []
    expected: list[dict[str, Any]] = []
    now = MORNING
    for number, (what, later) in enumerate(done):
        now += timedelta(seconds=later)
        item = {"VersionId": str(number), "LastModified": now}
        lives = [bool(form) and not is_marker(form[-1]) for form in (plain, delta)]
        if what == "delete":
            (delta if lives[1] else plain).append(item)
        elif what == "delta" and not lives[0]:
            delta.append({**item, "ETag": "delta"})
        else:
            plain.append({**item, "ETag": "plain"})
            if lives[1]:
                delta.append({"VersionId": f"{number} leftover", "LastModified": now})
        expected.append((delta if item["VersionId"] == str(number) and delta and delta[-1]["VersionId"] == str(number)
                         else plain)[-1])  # fmt: skip
    return plain, delta, expected


def as_listed(form: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**item, "IsLatest": item is form[-1]} for item in reversed(form)]


@given(done=operations)
def test_versions_of_both_forms_are_one_history(done: list[Operation]) -> None:
    plain, delta, expected = written([(what, 1) for what, _ in done])
    found = history(as_listed(plain), as_listed(delta))
    assert [item["VersionId"] for item in found] == [item["VersionId"] for item in reversed(expected)]
    assert [item["IsLatest"] for item in found] == [number == 0 for number in range(len(found))]


@given(done=operations)
def test_within_a_second_the_latest_is_still_right(done: list[Operation]) -> None:
    plain, delta, expected = written(done)
    found = history(as_listed(plain), as_listed(delta))
    assert [item["IsLatest"] for item in found] == [number == 0 for number in range(len(found))]
    ids = [item["VersionId"] for item in found]
    assert {item["VersionId"] for item in expected if "ETag" in item} <= set(ids)
    if expected:
        assert is_marker(found[0]) == is_marker(expected[-1])
        if not is_marker(found[0]):
            assert ids[0] == expected[-1]["VersionId"]


def test_a_delta_that_lost_against_a_plain_form_is_no_latest_version() -> None:
    plain = [{"VersionId": "p", "ETag": "p", "IsLatest": True, "LastModified": MORNING}]
    delta = [{"VersionId": "d", "ETag": "d", "IsLatest": True, "LastModified": MORNING + timedelta(seconds=9)}]
    assert [(item["VersionId"], item["IsLatest"]) for item in history(plain, delta)] == [("p", True), ("d", False)]


async def changed(both: Buckets, keys: list[str], seed: int) -> dict[str, bytes]:
    """The same puts and deletes on both sides; what each version of ours holds."""
    choose = random.Random(seed)
    await both.ours.put_bucket_versioning(Bucket=both.bucket, VersioningConfiguration={"Status": "Enabled"})
    await both.raw.put_bucket_versioning(Bucket=both.raw_bucket, VersioningConfiguration={"Status": "Enabled"})
    put: dict[str, bytes] = {}
    for number in range(60):
        key, what = choose.choice(keys), choose.choice(["delta", "delta", "plain", "delete"])
        if what == "delete":
            await both.ours.delete_object(Bucket=both.bucket, Key=key)
            await both.raw.delete_object(Bucket=both.raw_bucket, Key=key)
        else:
            body = version(BASE, 1000 + number)
            answer = await both.ours.put_object(
                Bucket=both.bucket, Key=key, Body=body, use_delta=what == "delta", max_ratio=1
            )
            put[answer["VersionId"]] = body
            await both.raw.put_object(Bucket=both.raw_bucket, Key=key, Body=body)
    return put


def entries(page: dict[str, Any]) -> list[tuple[str, bool, bool]]:
    """Keys in order, whether each is the latest, and whether it is a delete marker."""
    items = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
    order = sorted(items, key=lambda item: (item["Key"], not item["IsLatest"], -item["LastModified"].timestamp()))
    return [(item["Key"], item["IsLatest"], "ETag" not in item) for item in order]


async def all_pages(client: Any, bucket: str, **arguments: Any) -> list[dict[str, Any]]:
    pages = []
    marker: dict[str, str] = {}
    while True:
        pages.append(await client.list_object_versions(Bucket=bucket, **arguments, **marker))
        if not pages[-1]["IsTruncated"]:
            return pages
        marker = {"KeyMarker": pages[-1]["NextKeyMarker"]}
        if pages[-1].get("NextVersionIdMarker"):
            marker["VersionIdMarker"] = pages[-1]["NextVersionIdMarker"]


async def test_versions_are_listed_as_those_of_plain_objects(real_server: Any) -> None:
    keys = names(5, 12)
    async with filled(real_server("minio"), keys) as both:
        put = await changed(both, keys, 5)
        for prefix in ("", "app", keys[0], keys[1][:2]):
            for delimiter in ("", "/"):
                asked = {"Prefix": prefix, "Delimiter": delimiter}
                whole, raw = await both.both("list_object_versions", **asked)
                assert entries(whole) == entries(raw)
                for name in ("Prefix", "Delimiter", "KeyMarker", "VersionIdMarker", "CommonPrefixes", "MaxKeys",
                             "EncodingType", "IsTruncated"):  # fmt: skip
                    assert whole.get(name) == raw.get(name), name
                for most in (1, 5):
                    pages = await all_pages(both.ours, both.bucket, MaxKeys=most, **asked)
                    for kind in ("Versions", "DeleteMarkers", "CommonPrefixes"):
                        assert [item for page in pages for item in page.get(kind, ())] == whole.get(kind, [])
                    sizes = [sum(len(page.get(kind, ())) for kind in ("Versions", "DeleteMarkers", "CommonPrefixes"))
                             for page in pages]  # fmt: skip
                    assert all(size == most for size in sizes[:-1])
                    if not delimiter:  # MinIO itself counts differently with one
                        raw_pages = await all_pages(both.raw, both.raw_bucket, MaxKeys=most, **asked)
                        assert list(map(entries, pages)) == list(map(entries, raw_pages))
        (whole,) = await all_pages(both.ours, both.bucket)
        listed = {item["VersionId"]: item for item in whole["Versions"]}
        assert put.keys() <= listed.keys()
        for name, body in put.items():
            found = await both.ours.get_object(Bucket=both.bucket, Key=listed[name]["Key"], VersionId=name)
            async with found["Body"] as stream:
                assert await stream.read() == body
            head = await both.ours.head_object(Bucket=both.bucket, Key=listed[name]["Key"], VersionId=name)
            assert head["DeltaGliderInfo"]["StoredSize"] == listed[name]["Size"]
        for key in keys:
            latest = [item for item in (*whole["Versions"], *whole["DeleteMarkers"])
                      if item["Key"] == key and item["IsLatest"]]  # fmt: skip
            (only,) = latest
            if "ETag" in only:
                assert (await both.ours.head_object(Bucket=both.bucket, Key=key))["VersionId"] == only["VersionId"]


async def test_names_are_encoded_where_asked_for(real_server: Any) -> None:
    keys = names(6, 8)
    async with filled(real_server("minio"), keys) as both:
        ours, raw = await both.both("list_object_versions", EncodingType="url", MaxKeys=1000)
        assert [item["Key"] for item in ours["Versions"]] == [item["Key"] for item in raw["Versions"]]


async def test_pages_whose_versions_are_deleted_meanwhile_leave_none_out(real_server: Any) -> None:
    """As whoever empties a bucket does: list a page, delete it, go on after it."""
    async with filled(real_server("minio"), ["a", "b"]) as both:
        await both.ours.put_bucket_versioning(Bucket=both.bucket, VersioningConfiguration={"Status": "Enabled"})
        for number in range(5):
            await both.ours.put_object(Bucket=both.bucket, Key="a", Body=version(BASE, number), use_delta=False)
        marker: dict[str, Any] = {}
        seen = 0
        while True:
            page = await both.ours.list_object_versions(Bucket=both.bucket, MaxKeys=2, **marker)
            for item in page.get("Versions", ()):
                seen += 1
                if item["Key"] == "a":
                    await both.ours.delete_object(Bucket=both.bucket, Key="a", VersionId=item["VersionId"])
            if not page["IsTruncated"]:
                break
            marker = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
        assert seen == 1 + 5 + 1
