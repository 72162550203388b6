"""Tags, access, locks and restores of logical keys, whatever their form, as of plain objects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from deltaglider_async import create_client
from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.errors import InvalidRequestError, NotFoundError
from tests.engine.conftest import content, version

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BASE = content(21, 3_000)
TAGS: Any = {"TagSet": [{"Key": "stage", "Value": "release"}]}


@pytest.fixture
async def client(s3_endpoint: str) -> AsyncIterator[DeltaGliderClient]:
    async with create_client(endpoint_url=s3_endpoint) as client:
        yield client


@pytest.fixture
async def both_forms(client: DeltaGliderClient, bucket: str) -> str:
    """A bucket with `a/delta.zip` and `a/plain.zip`, stored as their names say."""
    await client.put_object(Bucket=bucket, Key="a/delta.zip", Body=BASE, max_ratio=1)
    await client.put_object(Bucket=bucket, Key="a/plain.zip", Body=version(BASE, 1), use_delta=False)
    return bucket


@pytest.mark.parametrize("key", ["a/delta.zip", "a/plain.zip"])
async def test_tags_are_those_of_the_stored_object(
    client: DeltaGliderClient, both_forms: str, s3: S3Client, key: str
) -> None:
    bucket = both_forms
    assert (await client.get_object_tagging(Bucket=bucket, Key=key))["TagSet"] == []
    await client.put_object_tagging(Bucket=bucket, Key=key, Tagging=TAGS)
    assert (await client.get_object_tagging(Bucket=bucket, Key=key))["TagSet"] == TAGS["TagSet"]
    stored = key + ".delta" if "delta" in key else key
    await client.delete_object_tagging(Bucket=bucket, Key=key)
    await client.put_object_tagging(Bucket=bucket, Key=stored, Tagging=TAGS)  # its stored name means the same
    assert (await client.get_object_tagging(Bucket=bucket, Key=key))["TagSet"] == TAGS["TagSet"]
    async with (await client.get_object(Bucket=bucket, Key=key))["Body"] as body:
        assert await body.read() == (BASE if "delta" in key else version(BASE, 1))


@pytest.mark.parametrize("key", ["a/delta.zip", "a/plain.zip"])
async def test_access_is_that_of_the_stored_object(client: DeltaGliderClient, both_forms: str, key: str) -> None:
    await client.put_object_acl(Bucket=both_forms, Key=key, ACL="public-read")
    grants = (await client.get_object_acl(Bucket=both_forms, Key=key))["Grants"]
    assert "READ" in [grant["Permission"] for grant in grants]


async def test_what_is_missing_is_missing_as_in_boto3(client: DeltaGliderClient, both_forms: str) -> None:
    calls: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (client.get_object_tagging, {}),
        (client.put_object_tagging, {"Tagging": TAGS}),
        (client.get_object_acl, {}),
        (client.restore_object, {"RestoreRequest": {"Days": 1}}),
    ]
    for call, arguments in calls:
        with pytest.raises(client.exceptions.NoSuchKey) as raised:
            await call(Bucket=both_forms, Key="a/none.zip", **arguments)
        assert isinstance(raised.value, NotFoundError)
        with pytest.raises(client.exceptions.NoSuchBucket):
            await call(Bucket=f"{both_forms}-none", Key="a/none.zip", **arguments)
    with pytest.raises(InvalidRequestError, match="Tags"):
        misspelled: Any = {"Tags": TAGS}
        await client.put_object_tagging(Bucket=both_forms, Key="a/delta.zip", **misspelled)


async def test_a_foreign_object_under_a_deltas_name_is_not_taken_for_one(
    client: DeltaGliderClient, bucket: str, s3: S3Client
) -> None:
    s3.put_object(Bucket=bucket, Key="a/own.zip.delta", Body=b"not ours")
    with pytest.raises(client.exceptions.NoSuchKey):
        await client.put_object_tagging(Bucket=bucket, Key="a/own.zip", Tagging=TAGS)
    await client.put_object_tagging(Bucket=bucket, Key="a/own.zip.delta", Tagging=TAGS)
    assert s3.get_object_tagging(Bucket=bucket, Key="a/own.zip.delta")["TagSet"] == TAGS["TagSet"]


async def test_a_plain_form_wins(client: DeltaGliderClient, both_forms: str, s3: S3Client) -> None:
    s3.put_object(Bucket=both_forms, Key="a/delta.zip", Body=b"newer")
    await client.put_object_tagging(Bucket=both_forms, Key="a/delta.zip", Tagging=TAGS)
    assert s3.get_object_tagging(Bucket=both_forms, Key="a/delta.zip")["TagSet"] == TAGS["TagSet"]
    assert s3.get_object_tagging(Bucket=both_forms, Key="a/delta.zip.delta")["TagSet"] == []


async def test_a_form_that_changes_meanwhile_is_found_again(client: DeltaGliderClient, both_forms: str) -> None:
    """A put in the plain form comes between the look and the call, and removes the delta."""
    s3 = client._engine.store.s3
    calls: list[str] = []

    async def before_call(params: dict[str, Any], **_: Any) -> None:
        calls.append(params["url_path"])
        if len(calls) == 1:
            await s3.put_object(Bucket=both_forms, Key="a/delta.zip", Body=b"newer", Tagging="stage=new")
            await s3.delete_object(Bucket=both_forms, Key="a/delta.zip.delta")

    client.meta.events.register("before-call.s3.GetObjectTagging", before_call)
    answer = await client.get_object_tagging(Bucket=both_forms, Key="a/delta.zip")
    assert answer["TagSet"] == [{"Key": "stage", "Value": "new"}]
    assert len(calls) == 2


async def test_properties_of_older_versions(real_server: Any) -> None:
    async with create_client(endpoint_url=real_server("minio")) as client:
        bucket = f"versions-{datetime.now(UTC).timestamp():.0f}-properties"
        await client.create_bucket(Bucket=bucket)
        await client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        put = [
            await client.put_object(Bucket=bucket, Key="a.zip", Body=version(BASE, 1), max_ratio=1),
            await client.put_object(Bucket=bucket, Key="a.zip", Body=version(BASE, 2), use_delta=False),
        ]
        await client.delete_object(Bucket=bucket, Key="a.zip")
        for number, each in enumerate(put):
            tags: Any = {"TagSet": [{"Key": "number", "Value": str(number)}]}
            await client.put_object_tagging(Bucket=bucket, Key="a.zip", VersionId=each["VersionId"], Tagging=tags)
        for number, each in enumerate(put):
            answer = await client.get_object_tagging(Bucket=bucket, Key="a.zip", VersionId=each["VersionId"])
            assert answer["TagSet"] == [{"Key": "number", "Value": str(number)}]
        with pytest.raises(client.exceptions.ClientError):
            await client.get_object_tagging(Bucket=bucket, Key="a.zip")


async def test_locks_of_deltas(real_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")  # locks need one
    async with create_client(endpoint_url=real_server("minio")) as client:
        bucket = f"locks-{datetime.now(UTC).timestamp():.0f}"
        await client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
        put = await client.put_object(Bucket=bucket, Key="a.zip", Body=BASE, max_ratio=1)
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
        await client.put_object_retention(
            Bucket=bucket, Key="a.zip", Retention={"Mode": "GOVERNANCE", "RetainUntilDate": until}
        )
        found = await client.get_object_retention(Bucket=bucket, Key="a.zip", VersionId=put["VersionId"])
        assert found["Retention"] == {"Mode": "GOVERNANCE", "RetainUntilDate": until}
        await client.put_object_legal_hold(Bucket=bucket, Key="a.zip", LegalHold={"Status": "ON"})
        assert (await client.get_object_legal_hold(Bucket=bucket, Key="a.zip"))["LegalHold"] == {"Status": "ON"}
        await client.put_object_legal_hold(Bucket=bucket, Key="a.zip", LegalHold={"Status": "OFF"})


async def test_what_locks_a_delta_locks_its_reference(real_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least as long and as strictly; what other deltas may need is never loosened."""
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
    async with create_client(endpoint_url=real_server("minio")) as client:
        bucket, now = f"locked-references-{datetime.now(UTC).timestamp():.0f}", datetime.now(UTC).replace(microsecond=0)
        await client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
        for number in range(2):
            await client.put_object(Bucket=bucket, Key=f"{number}.zip", Body=version(BASE, number), max_ratio=1)
        await client.put_object(Bucket=bucket, Key="plain.txt", Body=b"text")

        async def retained(key: str, mode: Any, days: int) -> dict[str, Any]:
            until = now + timedelta(days=days)
            await client.put_object_retention(
                Bucket=bucket,
                Key=key,
                Retention={"Mode": mode, "RetainUntilDate": until},
                BypassGovernanceRetention=mode == "COMPLIANCE",
            )
            found = (await client.get_object_retention(Bucket=bucket, Key=key))["Retention"]
            assert found == {"Mode": mode, "RetainUntilDate": until}
            return {**(await client.get_object_retention(Bucket=bucket, Key="reference.bin"))["Retention"]}

        assert await retained("0.zip", "GOVERNANCE", 2) == {
            "Mode": "GOVERNANCE", "RetainUntilDate": now + timedelta(days=2)
        }  # fmt: skip
        assert (await retained("1.zip", "GOVERNANCE", 1))["RetainUntilDate"] == now + timedelta(days=2)
        assert (await retained("1.zip", "GOVERNANCE", 3))["RetainUntilDate"] == now + timedelta(days=3)
        assert await retained("0.zip", "COMPLIANCE", 2) == {
            "Mode": "COMPLIANCE", "RetainUntilDate": now + timedelta(days=3)
        }  # fmt: skip
        await retained("plain.txt", "GOVERNANCE", 9)

        held: Any = {"Bucket": bucket, "Key": "reference.bin"}
        for status in ("ON", "OFF"):
            await client.put_object_legal_hold(Bucket=bucket, Key="0.zip", LegalHold={"Status": status})
            assert (await client.get_object_legal_hold(Bucket=bucket, Key="0.zip"))["LegalHold"] == {"Status": status}
            assert (await client.get_object_legal_hold(**held))["LegalHold"] == {"Status": "ON"}
        await client.put_object_legal_hold(**held, LegalHold={"Status": "OFF"})
        assert (await client.get_object_legal_hold(**held))["LegalHold"] == {"Status": "OFF"}


async def test_what_is_archived_of_a_delta_is_restored(client: DeltaGliderClient, bucket: str, s3: S3Client) -> None:
    """Both, the reference alone, the delta alone; a second request says that it is under way, or done."""

    def archive(key: str) -> None:
        s3.copy_object(
            Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": key}, StorageClass="GLACIER",
            MetadataDirective="COPY",
        )  # fmt: skip

    def restored(key: str) -> bool:
        return "Restore" in s3.head_object(Bucket=bucket, Key=key)

    await client.put_object(Bucket=bucket, Key="a/1.zip", Body=BASE, max_ratio=1)
    await client.put_object(Bucket=bucket, Key="a/2.zip", Body=version(BASE, 2), max_ratio=1)
    request: Any = {"Days": 1}
    archive("a/1.zip.delta")
    await client.restore_object(Bucket=bucket, Key="a/1.zip", RestoreRequest=request)
    assert restored("a/1.zip.delta")
    assert not restored("a/reference.bin")
    archive("a/reference.bin")
    await client.restore_object(Bucket=bucket, Key="a/2.zip", RestoreRequest=request)
    assert restored("a/reference.bin")
    assert not restored("a/2.zip.delta")
    archive("a/reference.bin")
    archive("a/2.zip.delta")
    await client.restore_object(Bucket=bucket, Key="a/2.zip", RestoreRequest=request)
    assert restored("a/2.zip.delta")
    assert restored("a/reference.bin")
    with pytest.raises(InvalidRequestError, match="SELECT"):
        select: Any = {"Type": "SELECT"}
        await client.restore_object(Bucket=bucket, Key="a/2.zip", RestoreRequest=select)


async def test_a_restore_of_what_is_not_archived_is_refused_by_the_service(
    client: DeltaGliderClient, both_forms: str
) -> None:
    for key in ("a/delta.zip", "a/plain.zip"):
        with pytest.raises(client.exceptions.ClientError, match=f"{key}"):
            await client.restore_object(Bucket=both_forms, Key=key, RestoreRequest={"Days": 1})


async def test_what_the_service_would_do_with_the_stored_bytes_is_refused_for_deltas(
    client: DeltaGliderClient, both_forms: str
) -> None:
    select: Any = {
        "Expression": "SELECT * FROM S3Object",
        "ExpressionType": "SQL",
        "InputSerialization": {"CSV": {}},
        "OutputSerialization": {"JSON": {}},
    }
    with pytest.raises(InvalidRequestError, match="stored as a delta"):
        await client.select_object_content(Bucket=both_forms, Key="a/delta.zip", **select)
    with pytest.raises(InvalidRequestError, match="stored as a delta"):
        await client.get_object_torrent(Bucket=both_forms, Key="a/delta.zip")
    for source, key in (("a/delta.zip", "a/new.zip"), ("a/plain.zip", "a/delta.zip")):
        with pytest.raises(InvalidRequestError, match="stored as a delta"):
            await client.rename_object(Bucket=both_forms, Key=key, RenameSource=f"{both_forms}/{source}")
    with pytest.raises(InvalidRequestError, match="belong to the storage format"):
        await client.rename_object(Bucket=both_forms, Key="a/reference.bin", RenameSource=f"{both_forms}/a/plain.zip")


async def test_content_of_a_plain_object_is_selected(client: DeltaGliderClient, bucket: str) -> None:
    await client.put_object(Bucket=bucket, Key="a.csv", Body=b"a,b\n1,2")
    answer = await client.select_object_content(
        Bucket=bucket, Key="a.csv", Expression="SELECT * FROM s3object s", ExpressionType="SQL",
        InputSerialization={"CSV": {"FileHeaderInfo": "USE"}}, OutputSerialization={"JSON": {"RecordDelimiter": "\n"}},
    )  # fmt: skip
    records = [event["Records"]["Payload"] async for event in answer["Payload"] if "Records" in event]
    assert b"".join(records) == b'{"a":"1","b":"2"}\n'
