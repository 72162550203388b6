"""Deletes of many objects: each as it would be deleted alone, in few requests, and compared with raw aioboto3."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from deltaglider_async.errors import InvalidRequestError, NotFoundError, PreconditionFailedError
from deltaglider_async.format.keys import is_trash
from deltaglider_async.session import create_client
from tests.engine.conftest import MakeClient, content, version

BASE = content(1, 60_000)


async def names(client: Any, bucket: str) -> list[str]:
    """What is stored, but for the trash."""
    pages = client._engine.store.pages(bucket)
    return [item["Key"] async for page in pages for item in page.get("Contents", ()) if not is_trash(item["Key"])]


async def put_versions(client: Any, bucket: str, folder: str, count: int) -> list[str]:
    keys = [f"{folder}{number}.zip" for number in range(count)]
    for number, key in enumerate(keys):
        put = await client.put_object(Bucket=bucket, Key=key, Body=version(BASE, number))
        assert put["DeltaGliderInfo"]["StoredAs"].endswith("delta")
    return keys


def objects(*keys: str, **more: Any) -> dict[str, Any]:
    return {"Objects": [{"Key": key, **more} for key in keys]}


def counted(client: Any) -> Counter[str]:
    """How many requests of each operation this client sends from now on."""
    sent: Counter[str] = Counter()
    client.meta.events.register("before-send.s3", lambda event_name, **_: sent.update([event_name.rpartition(".")[2]]))
    return sent


@pytest.fixture
async def place(conditional_endpoint: str) -> AsyncIterator[tuple[Any, str]]:
    async with create_client(endpoint_url=conditional_endpoint) as client:
        bucket = f"test-{secrets.token_hex(6)}"
        await client.create_bucket(Bucket=bucket)
        yield client, bucket


async def test_each_form_goes_and_each_key_is_answered_for(place: tuple[Any, str]) -> None:
    client, bucket = place
    deltas = await put_versions(client, bucket, "a/", 3)
    for key in ("a/n.txt", "a/keep.txt", "root.txt", "a/b/deep.txt"):
        await client.put_object(Bucket=bucket, Key=key, Body=b"plain")
    wanted = [*deltas, "a/n.txt", "a/none.zip", "root.txt", "a/b/deep.txt", "a/n.txt"]
    answer = await client.delete_objects(Bucket=bucket, Delete=objects(*wanted))
    assert "Errors" not in answer
    assert [each["Key"] for each in answer["Deleted"]] == wanted
    kinds = {each["Key"]: (each["Type"], each["StoredKey"]) for each in answer["Deleted"]}
    assert kinds["a/1.zip"] == ("delta", "a/1.zip.delta")
    assert kinds["a/n.txt"] == ("direct", "a/n.txt")
    assert kinds["a/none.zip"] == ("not_found", "a/none.zip")
    assert kinds["root.txt"] == ("direct", "root.txt")
    assert set(await names(client, bucket)) - {"a/reference.bin"} == {"a/keep.txt"}
    info = answer["DeltaGliderInfo"]
    assert info["DeltaFilesDeleted"] == 3
    # Where a delete cannot be conditional, references stay.
    assert info["ReferencesDeleted"] == int("a/reference.bin" not in await names(client, bucket))
    assert {each["Key"] for each in info["Details"]} == set(wanted) - {"a/none.zip"}


async def test_awkward_keys_go_too(client: Any, bucket: str) -> None:
    """Some real servers keep objects as files, and have no such names."""
    wanted = [
        "/1",
        "/2",
        "/3",
        "/4",
        "//5",
        "x" * 1020,
        "x" * 1023,
        "a b+%&=ü/1",
        "a b+%&=ü/2",
        "a b+%&=ü/3",
        "a b+%&=ü/4",
    ]
    for key in wanted:
        await client._s3.put_object(Bucket=bucket, Key=key, Body=b"plain")
    answer = await client.delete_objects(Bucket=bucket, Delete=objects(*wanted))
    assert [(each["Key"], each["Type"]) for each in answer["Deleted"]] == [(key, "direct") for key in wanted]
    assert await names(client, bucket) == []


async def test_the_answer_is_botocores(client: Any, bucket: str) -> None:
    raw = client._s3
    for keys, quiet in ((["a.txt", "b.txt", "none"], False), (["a.txt"], True)):
        answers = []
        for caller in (client, raw):
            for key in ("a.txt", "b.txt"):
                await raw.put_object(Bucket=bucket, Key=key, Body=b"plain")
            answers.append(await caller.delete_objects(Bucket=bucket, Delete={**objects(*keys), "Quiet": quiet}))
        ours, theirs = answers
        if quiet:  # moto answers as if it had not been asked for
            assert "Deleted" not in ours
            continue
        assert ours.keys() - {"DeltaGliderInfo"} == theirs.keys()
        boto3s = [{name: each[name] for name in each if name in ("Key", "VersionId")} for each in ours["Deleted"]]
        assert boto3s == theirs["Deleted"]


async def test_markers_and_versions_are_told_as_s3_does(client: Any, bucket: str) -> None:
    await client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    keys = await put_versions(client, bucket, "a/", 2)
    await client.put_object(Bucket=bucket, Key="a/n.txt", Body=b"plain")
    answer = await client.delete_objects(Bucket=bucket, Delete=objects(*keys, "a/n.txt"))
    assert all(each["DeleteMarker"] and each["DeleteMarkerVersionId"] for each in answer["Deleted"])
    for key, marker in ((each["Key"], each["DeleteMarkerVersionId"]) for each in answer["Deleted"]):
        with pytest.raises(NotFoundError):
            await client.head_object(Bucket=bucket, Key=key)
        undone = await client.delete_objects(Bucket=bucket, Delete=objects(key, VersionId=marker))
        assert undone["Deleted"][0]["VersionId"] == marker
        await client.head_object(Bucket=bucket, Key=key)
    read = await client.get_object(Bucket=bucket, Key=keys[1])
    assert await read["Body"].read() == version(BASE, 1)


async def test_a_version_of_either_form_can_be_deleted(client: Any, bucket: str) -> None:
    await client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    await put_versions(client, bucket, "a/", 1)
    for key in ("a/1.zip", "a/1.txt"):
        old = await client.put_object(Bucket=bucket, Key=key, Body=version(BASE, 1))
        new = await client.put_object(Bucket=bucket, Key=key, Body=version(BASE, 2))
        gone = await client.delete_object(Bucket=bucket, Key=key, VersionId=new["VersionId"])
        assert gone["DeltaGliderInfo"]["Type"] == ("delta" if key.endswith(".zip") else "direct")
        assert gone["VersionId"] == new["VersionId"]
        response = await client.get_object(Bucket=bucket, Key=key)
        assert await response["Body"].read() == version(BASE, 1)
        assert response["VersionId"] == old["VersionId"]


async def test_what_is_refused_is_refused_alone(client: Any, bucket: str) -> None:
    await put_versions(client, bucket, "a/", 2)
    answer = await client.delete_objects(Bucket=bucket, Delete=objects("a/reference.bin", "a/0.zip"))
    assert [each["Key"] for each in answer["Deleted"]] == ["a/0.zip"]
    (error,) = answer["Errors"]
    assert (error["Key"], error["Code"]) == ("a/reference.bin", "InvalidRequest")
    assert "1 deltas are made against it" in error["Message"]
    # With all that use it, it goes.
    answer = await client.delete_objects(Bucket=bucket, Delete=objects("a/reference.bin", "a/1.zip"))
    assert "Errors" not in answer
    assert answer["DeltaGliderInfo"]["ReferencesDeleted"] == 1
    assert await names(client, bucket) == []


async def test_a_condition_of_a_key_speaks_of_the_object(client: Any, bucket: str) -> None:
    await put_versions(client, bucket, "a/", 2)
    await client.put_object(Bucket=bucket, Key="a/n.txt", Body=b"plain")
    other = datetime(2001, 1, 1, tzinfo=UTC)
    for key, size in (("a/1.zip", len(BASE)), ("a/n.txt", 5)):
        head = await client.head_object(Bucket=bucket, Key=key)
        for wrong in ({"ETag": '"00"'}, {"Size": size + 1}, {"LastModifiedTime": other}):
            answer = await client.delete_objects(Bucket=bucket, Delete=objects(key, **wrong))
            assert "Deleted" not in answer
            assert answer["Errors"][0]["Code"] == "PreconditionFailed"
        for name, value in (("IfMatchSize", size + 1), ("IfMatchLastModifiedTime", other)):
            with pytest.raises(PreconditionFailedError):
                await client.delete_object(Bucket=bucket, Key=key, **{name: value})
        right = {"ETag": head["ETag"], "Size": size, "LastModifiedTime": head["LastModified"]}
        answer = await client.delete_objects(Bucket=bucket, Delete=objects(key, **right))
        assert [each["Key"] for each in answer["Deleted"]] == [key]
    assert await names(client, bucket) == ["a/0.zip.delta", "a/reference.bin"]


async def test_leftovers_and_somebody_elses_deltas(client: Any, bucket: str) -> None:
    await put_versions(client, bucket, "a/", 2)
    raw = client._s3
    await raw.put_object(Bucket=bucket, Key="a/1.zip", Body=b"plain beside its delta")
    for key in ("a/2.zip.delta", "a/3.zip.delta"):
        await raw.put_object(Bucket=bucket, Key=key, Body=b"somebody else's")
    wanted = ["a/1.zip", "a/2.zip", "a/3.zip.delta", "a/x", "a/y"]
    answer = await client.delete_objects(Bucket=bucket, Delete=objects(*wanted))
    assert [each["Type"] for each in answer["Deleted"]] == ["direct", "not_found", "direct", "not_found", "not_found"]
    assert await names(client, bucket) == ["a/0.zip.delta", "a/2.zip.delta", "a/reference.bin"]


async def test_a_thousand_keys_take_few_requests(client: Any, bucket: str) -> None:
    deltas = await put_versions(client, bucket, "a/", 5)
    await client._engine.conditions.keeps(bucket, "a", "DeleteObject", "IfMatch", {})
    keys = [*deltas, *(f"a/{number:04}.txt" for number in range(995))]
    for key in keys[5:25]:
        await client._s3.put_object(Bucket=bucket, Key=key, Body=b"plain")
    sent = counted(client)
    answer = await client.delete_objects(Bucket=bucket, Delete=objects(*keys))
    assert len(answer["Deleted"]) == 1000
    assert await names(client, bucket) == []
    # Two looks and what the drop of the reference takes; each delta is asked whether it is one.
    assert sent["DeleteObjects"] == 1
    assert sent["HeadObject"] <= 5 + 2
    assert sent.total() < 25, sent


@pytest.mark.parametrize("count", [0, 1001])
async def test_no_key_and_too_many_are_refused(client: Any, bucket: str, count: int) -> None:
    await client._s3.put_object(Bucket=bucket, Key="0", Body=b"plain")
    with pytest.raises(InvalidRequestError) as refused:
        await client.delete_objects(Bucket=bucket, Delete=objects(*map(str, range(count))))
    assert isinstance(refused.value, ClientError)
    assert refused.value.response["Error"]["Code"] == "MalformedXML"
    assert await names(client, bucket) == ["0"]


async def test_misshapen_requests_delete_nothing(client: Any, bucket: str) -> None:
    await client._s3.put_object(Bucket=bucket, Key="0", Body=b"plain")
    wrong: list[Any] = [{}, {"Objects": [{"Kye": "0"}]}, {"Objects": ["0"]}, {"Objects": [{"Key": "0", "Etag": "x"}]}]
    for each in wrong:
        with pytest.raises(InvalidRequestError):
            await client.delete_objects(Bucket=bucket, Delete=each)
    with pytest.raises(InvalidRequestError):
        await client.delete_objects(Bucket=bucket, Delete=objects("0"), Quite=True)
    assert await names(client, bucket) == ["0"]


async def test_a_missing_bucket_is_one_error(client: Any, bucket: str) -> None:
    for count in (1, 9):
        with pytest.raises(client.exceptions.NoSuchBucket):
            await client.delete_objects(Bucket=f"{bucket}-not", Delete=objects(*map(str, range(count))))
    with pytest.raises(client.exceptions.NoSuchBucket):
        await client.delete_objects_recursive(Bucket=f"{bucket}-not", Prefix="a")


# -- below a prefix


async def test_a_prefix_is_an_object_and_a_folder_and_no_string(client: Any, bucket: str) -> None:
    await put_versions(client, bucket, "app/", 3)
    await put_versions(client, bucket, "app/old/", 2)
    await put_versions(client, bucket, "app2/", 1)
    for key in ("app", "app.txt", "app/n.txt"):
        await client.put_object(Bucket=bucket, Key=key, Body=b"plain")
    await client._s3.put_object(Bucket=bucket, Key="app/theirs.delta", Body=b"somebody else's")
    done = await client.delete_objects_recursive(Bucket=bucket, Prefix="app")
    assert await names(client, bucket) == ["app.txt", "app2/0.zip.delta", "app2/reference.bin"]
    info = done["DeltaGliderInfo"]
    assert (info["DeltasDeleted"], info["DirectDeleted"], info["OtherDeleted"]) == (5, 2, 1)
    assert info["ReferencesDeleted"] == 2
    assert (done["FailedCount"], done["Errors"]) == (0, [])
    assert done["DeletedCount"] == 10
    assert info["SingleDeletes"] == [
        {"Key": "app", "StoredKey": "app", "Type": "direct", "DependentDeltas": 0, "Warnings": []}
    ]
    again = await client.delete_objects_recursive(Bucket=bucket, Prefix="app")
    assert again["DeltaGliderInfo"]["SingleDeletes"] == []
    assert again["DeltaGliderInfo"]["DirectDeleted"] == 0


async def test_a_folder_is_a_folder(client: Any, bucket: str) -> None:
    await client.put_object(Bucket=bucket, Key="app", Body=b"plain")
    await client._s3.put_object(Bucket=bucket, Key="app/", Body=b"")
    await client._s3.put_object(Bucket=bucket, Key="app/reference.bin", Body=b"somebody else's")
    done = await client.delete_objects_recursive(Bucket=bucket, Prefix="app/")
    assert done["DeletedCount"] == 2
    assert await names(client, bucket) == ["app"]
    done = await client.delete_objects_recursive(Bucket=bucket, Prefix="")
    assert done["DeletedCount"] == 1
    assert await names(client, bucket) == []


async def test_a_delta_named_as_the_prefix_goes_with_its_reference(client: Any, bucket: str) -> None:
    await put_versions(client, bucket, "a/", 2)
    done = await client.delete_objects_recursive(Bucket=bucket, Prefix="a/1.zip")
    assert done["DeltaGliderInfo"]["SingleDeletes"][0]["StoredKey"] == "a/1.zip.delta"
    assert done["DeltaGliderInfo"]["ReferencesDeleted"] == 0
    done = await client.delete_objects_recursive(Bucket=bucket, Prefix="a/0.zip")
    assert done["DeltaGliderInfo"]["ReferencesDeleted"] == 1
    assert done["DeletedCount"] == 2


@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("more", [{}, {"BypassGovernanceRetention": True}])
async def test_a_put_at_the_last_moment_keeps_the_reference_that_it_needs(
    client: Any, make_client: MakeClient, bucket: str, conditional: bool, more: dict[str, Any]
) -> None:
    """It is acknowledged after the look that there are no deltas, and before the delete of the reference."""
    await put_versions(client, bucket, "a/", 1)
    client._engine.conditions._known[bucket, "DeleteObject", "IfMatch"] = conditional
    stored_as: list[str] = []

    async def put_meanwhile(params: dict[str, Any], **_: Any) -> None:
        if params["Key"] == "a/reference.bin" and not stored_as:
            async with make_client() as other:
                put = await other.put_object(Bucket=bucket, Key="a/late.zip", Body=version(BASE, 7))
            stored_as.append(put["DeltaGliderInfo"]["StoredAs"])

    client.meta.events.register("before-parameter-build.s3.DeleteObject", put_meanwhile)
    done = await client.delete_objects_recursive(Bucket=bucket, Prefix="a/", **more)
    assert stored_as == ["delta"]
    assert done["DeltaGliderInfo"]["ReferencesDeleted"] == 0
    assert await names(client, bucket) == ["a/late.zip.delta", "a/reference.bin"]
    async with make_client() as fresh:
        assert await (await fresh.get_object(Bucket=bucket, Key="a/late.zip"))["Body"].read() == version(BASE, 7)
