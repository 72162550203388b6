"""Presigned URLs, fetched over HTTP by a client that knows nothing of deltas."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiobotocore.config import AioConfig
from botocore.exceptions import ClientError, ParamValidationError, UnknownClientMethodError
from yarl import URL

from deltaglider_async import create_client
from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.errors import DeltaGliderError, InvalidRequestError, NotFoundError
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from tests.engine.conftest import content, version

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BASE = content(31, 300_000)
AWKWARD = 'a b/naïve & +1%41 "q".zip'


@pytest.fixture(params=["moto", "minio"])
def endpoint(request: pytest.FixtureRequest, real_server: Any) -> str:
    url: str = real_server(request.param)
    return url


@pytest.fixture
async def client(endpoint: str) -> AsyncIterator[DeltaGliderClient]:
    # boto3's default is an older signature, with which MinIO does not answer to everything.
    async with create_client(endpoint_url=endpoint, config=AioConfig(signature_version="s3v4")) as client:
        yield client


@pytest.fixture
async def bucket(client: DeltaGliderClient) -> str:
    name = f"presigned-{datetime.now(UTC).timestamp() * 1000:.0f}"
    await client.create_bucket(Bucket=name)
    return name


async def fetch(url: str, method: str = "GET", **arguments: Any) -> tuple[int, bytes, Any]:

    async with (
        aiohttp.ClientSession(skip_auto_headers=["Content-Type"] if method == "PUT" else []) as session,
        session.request(method, URL(url, encoded=True), **arguments) as answer,
    ):
        return answer.status, await answer.read(), answer.headers


async def stored_names(client: DeltaGliderClient, bucket: str) -> set[str]:
    page = await client._engine.store.s3.list_objects_v2(Bucket=bucket)
    return {item["Key"] for item in page.get("Contents", ())}


async def test_plain_objects_are_signed_as_by_boto3(client: DeltaGliderClient, bucket: str) -> None:
    await client.put_object(Bucket=bucket, Key="a.txt", Body=b"content", ContentType="text/x-own")
    params = {"Bucket": bucket, "Key": "a.txt"}
    assert (await fetch(await client.generate_presigned_url("get_object", params)))[:2] == (200, b"content")
    url = await client.generate_presigned_url(ClientMethod="head_object", Params=params, ExpiresIn=60)
    status, _, headers = await fetch(url, "HEAD")
    assert (status, headers["Content-Length"]) == (200, "7")
    url = await client.generate_presigned_url(
        "get_object", {**params, "ResponseContentType": "text/other"}, 60, HttpMethod="GET"
    )
    assert (await fetch(url))[2]["Content-Type"].startswith("text/other")
    url = await client.generate_presigned_url_with_rehydration(bucket, "a.txt", 60)
    assert (await fetch(url))[:2] == (200, b"content")
    assert await client.rehydrate_for_download(bucket, "a.txt") is None


@pytest.mark.parametrize("method", ["get_object", "head_object"])
async def test_a_delta_is_not_signed_for_reading(client: DeltaGliderClient, bucket: str, method: str) -> None:
    await client.put_object(Bucket=bucket, Key="a.zip", Body=BASE)
    for key in ("a.zip", "a.zip.delta"):
        with pytest.raises(InvalidRequestError, match="generate_presigned_url_with_rehydration"):
            await client.generate_presigned_url(method, {"Bucket": bucket, "Key": key})


async def test_a_delta_is_fetched_as_the_whole_object(client: DeltaGliderClient, bucket: str) -> None:
    await client.put_object(Bucket=bucket, Key="a b/base.zip", Body=BASE)
    await client.put_object(Bucket=bucket, Key=AWKWARD, Body=version(BASE, 1), ContentType="application/x-own")
    url = await client.generate_presigned_url_with_rehydration(bucket, AWKWARD, ExpiresIn=60)
    status, body, headers = await fetch(url)
    assert (status, body) == (200, version(BASE, 1))
    assert headers["Content-Type"] == "application/x-own"
    assert headers["Content-Disposition"] == (
        "attachment; filename=\"na_ve & +1%41 _q_.zip\"; filename*=UTF-8''na%C3%AFve%20%26%20%2B1%2541%20%22q%22.zip"
    )
    params = {"Bucket": bucket, "Key": "a b/base.zip", "ResponseContentDisposition": "inline"}
    url = await client.generate_presigned_url_with_rehydration(ClientMethod="get_object", Params=params)
    status, body, headers = await fetch(url)
    assert (status, body, headers["Content-Disposition"]) == (200, BASE, "inline")
    url = await client.generate_presigned_url_with_rehydration(bucket, "a b/base.zip", ClientMethod="head_object")
    assert (await fetch(url, "HEAD"))[2]["Content-Length"] == str(len(BASE))
    assert [item["Key"] for item in (await client.list_objects_v2(Bucket=bucket))["Contents"]] == [
        "a b/base.zip", AWKWARD
    ]  # fmt: skip


async def test_urls_with_boto3s_own_choice_of_signature(endpoint: str, client: DeltaGliderClient, bucket: str) -> None:
    async with create_client(endpoint_url=endpoint) as default:
        await default.put_object(Bucket=bucket, Key="a/b c.zip", Body=BASE)
        url = await default.generate_presigned_url_with_rehydration(bucket, "a/b c.zip")
        status, body, headers = await fetch(url)
        assert (status, body == BASE) == (200, True)
        assert headers["Content-Disposition"] == 'attachment; filename="b c.zip"'


async def test_a_temporary_copy_says_what_it_is(client: DeltaGliderClient, bucket: str) -> None:
    await client.put_object(Bucket=bucket, Key="x/a.zip", Body=BASE, Metadata={"own": "value"})
    before = datetime.now(UTC) - timedelta(seconds=2)
    copy = await client.rehydrate_for_download(bucket, "x/a.zip", ExpiresIn=100)
    assert copy is not None
    assert re.fullmatch(r"\.deltaglider/tmp/[0-9a-f-]{36}_a\.zip", copy)
    head = await client._engine.store.s3.head_object(Bucket=bucket, Key=copy)
    written = head["Metadata"]
    assert {written["dg-original-key"], written["dg-original-filename"], written["dg-rehydrated"]} == {
        "x/a.zip", "a.zip", "true"
    }  # fmt: skip
    expires, created = meta.moment(written["dg-expires-at"]), meta.moment(written["dg-created-at"])
    assert expires is not None
    assert created is not None
    assert expires - created == timedelta(seconds=100)
    assert before <= created <= datetime.now(UTC) + timedelta(seconds=2)
    assert head["ContentLength"] == len(BASE)


async def test_versions_of_deltas_are_fetched(client: DeltaGliderClient, bucket: str) -> None:
    await client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    put = [await client.put_object(Bucket=bucket, Key="a.zip", Body=version(BASE, number)) for number in range(2)]
    for number, each in enumerate(put):
        params = {"Bucket": bucket, "Key": "a.zip", "VersionId": each["VersionId"]}
        url = await client.generate_presigned_url_with_rehydration(Params=params)
        assert (await fetch(url))[:2] == (200, version(BASE, number))


async def test_nothing_is_left_of_a_copy_that_fails(client: DeltaGliderClient, bucket: str, monkeypatch: Any) -> None:
    for seconds in (0, -1, 8 * 24 * 3600):
        with pytest.raises(InvalidRequestError, match="ExpiresIn"):
            await client.rehydrate_for_download(bucket, "a.zip", ExpiresIn=seconds)
    with pytest.raises(NotFoundError):
        await client.rehydrate_for_download(bucket, "a.zip")
    await client.put_object(Bucket=bucket, Key="a.zip", Body=BASE)
    s3 = client._engine.store.s3
    delta = await s3.get_object(Bucket=bucket, Key="a.zip.delta")
    damaged = bytearray(await delta["Body"].read())
    damaged[-1] ^= 255
    await s3.put_object(Bucket=bucket, Key="a.zip.delta", Body=bytes(damaged), Metadata=delta["Metadata"])

    with pytest.raises(DeltaGliderError, match="cannot read"):
        await client.rehydrate_for_download(bucket, "a.zip")
    assert await stored_names(client, bucket) == {"a.zip.delta", "reference.bin"}


async def test_expired_copies_are_purged(client: DeltaGliderClient, bucket: str) -> None:
    await client.put_object(Bucket=bucket, Key="a.zip", Body=BASE)
    await client.put_object(Bucket=bucket, Key="b.txt", Body=b"own")
    live = await client.rehydrate_for_download(bucket, "a.zip", ExpiresIn=1000)
    s3 = client._engine.store.s3
    spellings = ["2020-01-02T03:04:05.6+00:00Z", "2020-01-02T03:04:05+00:00", "2020-01-02T03:04:05Z"]
    for number, when in enumerate(spellings):
        await s3.put_object(
            Bucket=bucket, Key=f".deltaglider/tmp/{number}_old.zip", Body=b"12345", Metadata={"dg-expires-at": when}
        )
    await s3.put_object(Bucket=bucket, Key=".deltaglider/tmp/unknown", Body=b"12345")
    counted = await client.purge_temp_files(bucket, dry_run=True)
    assert (counted["expired_count"], counted["deleted_count"], counted["total_size_freed"]) == (3, 0, 0)
    done = await client.purge_temp_files(Bucket=bucket)
    assert done["duration_seconds"] >= 0
    assert {name: value for name, value in done.items() if name != "duration_seconds"} == {
        "deleted_count": 3, "expired_count": 3, "error_count": 0, "total_size_freed": 15, "errors": [],
    }  # fmt: skip
    left = {"a.zip.delta", "reference.bin", "b.txt", str(live), ".deltaglider/tmp/unknown"}
    assert await stored_names(client, bucket) == left
    with pytest.raises(NotFoundError):
        await client.purge_temp_files(f"{bucket}-none")


async def test_a_signed_put_is_the_object_from_then_on(client: DeltaGliderClient, bucket: str) -> None:
    await client.put_object(Bucket=bucket, Key="a.zip", Body=BASE)
    url = await client.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "a.zip"})
    assert (await fetch(url, "PUT", data=b"newer"))[0] == 200
    async with (await client.get_object(Bucket=bucket, Key="a.zip"))["Body"] as body:
        assert await body.read() == b"newer"
    with pytest.raises(InvalidRequestError, match="would be the object then"):
        await client.generate_presigned_url("delete_object", {"Bucket": bucket, "Key": "a.zip"})
    await client.delete_object(Bucket=bucket, Key="a.zip")
    with pytest.raises(ClientError):
        await client.head_object(Bucket=bucket, Key="a.zip")
    for key in ("reference.bin", "a.zip.delta", ".deltaglider/a"):
        with pytest.raises(InvalidRequestError, match="belong to the storage format"):
            await client.generate_presigned_url("put_object", {"Bucket": bucket, "Key": key})


async def test_the_delete_of_a_reference_is_not_signed(client: DeltaGliderClient, bucket: str) -> None:
    for key in ("reference.bin", f"a/.deltaglider/refs/{'0' * 64}/reference.bin"):
        with pytest.raises(InvalidRequestError, match="would be lost"):
            await client.generate_presigned_url("delete_object", {"Bucket": bucket, "Key": key})


@pytest.mark.parametrize("use_delta", [True, False])
async def test_a_signed_delete_removes_the_object(client: DeltaGliderClient, bucket: str, use_delta: bool) -> None:
    await client.put_object(Bucket=bucket, Key="a.zip", Body=BASE, use_delta=use_delta)
    url = await client.generate_presigned_url("delete_object", {"Bucket": bucket, "Key": "a.zip"})
    assert (await fetch(url, "DELETE"))[0] == 204
    with pytest.raises(ClientError):
        await client.head_object(Bucket=bucket, Key="a.zip")


async def test_properties_are_signed_for_the_stored_object(client: DeltaGliderClient, bucket: str) -> None:
    await client.put_object(Bucket=bucket, Key="a.zip", Body=BASE)
    await client.put_object_tagging(Bucket=bucket, Key="a.zip", Tagging={"TagSet": [{"Key": "stage", "Value": "x1"}]})
    url = await client.generate_presigned_url("get_object_tagging", {"Bucket": bucket, "Key": "a.zip"})
    status, body, _ = await fetch(url)
    assert status == 200
    assert b"<Value>x1</Value>" in body


async def test_forms_post_objects(client: DeltaGliderClient, bucket: str) -> None:
    form = await client.generate_presigned_post(
        bucket, "a.zip", Fields={"Content-Type": "application/x-own"},
        Conditions=[{"Content-Type": "application/x-own"}, ["content-length-range", 1, 1000]], ExpiresIn=60,
    )  # fmt: skip
    data = aiohttp.FormData()
    for name, value in form["fields"].items():
        data.add_field(name, value)
    data.add_field("file", b"posted", filename="a.zip")
    assert (await fetch(form["url"], "POST", data=data))[0] in (200, 204)
    answer = await client.get_object(Bucket=bucket, Key="a.zip")
    assert answer["ContentType"] == "application/x-own"
    async with answer["Body"] as body:
        assert await body.read() == b"posted"
    with pytest.raises(InvalidRequestError, match="belong to the storage format"):
        await client.generate_presigned_post(bucket, "a/reference.bin")


async def test_parts_are_sent_by_url(client: DeltaGliderClient, bucket: str) -> None:
    """As browsers do: the upload is begun and completed here, its parts go to S3 without this library."""
    await client.put_object(Bucket=bucket, Key="base.zip", Body=BASE)
    for use_delta in (True, False):
        upload = await client.create_multipart_upload(Bucket=bucket, Key="a.zip", use_delta=use_delta)
        target: Any = {"Bucket": bucket, "Key": "a.zip", "UploadId": upload["UploadId"]}
        url = await client.generate_presigned_url("upload_part", {**target, "PartNumber": 1})
        status, _, headers = await fetch(url, "PUT", data=version(BASE, 5))
        assert status == 200
        parts: Any = {"Parts": [{"PartNumber": 1, "ETag": headers["ETag"]}]}
        if use_delta:
            with pytest.raises(InvalidRequestError, match="Call it here"):
                await client.generate_presigned_url("complete_multipart_upload", {**target, "MultipartUpload": parts})
        await client.complete_multipart_upload(**target, MultipartUpload=parts)
        async with (await client.get_object(Bucket=bucket, Key="a.zip"))["Body"] as body:
            assert await body.read() == version(BASE, 5)
        head = await client.head_object(Bucket=bucket, Key="a.zip")
        assert head["DeltaGliderInfo"]["IsDelta"] == use_delta
    upload = await client.create_multipart_upload(Bucket=bucket, Key="b.zip")
    target = {"Bucket": bucket, "Key": "b.zip", "UploadId": upload["UploadId"]}
    url = await client.generate_presigned_url("abort_multipart_upload", target)
    assert (await fetch(url, "DELETE"))[0] == 204
    assert "Uploads" not in await client.list_multipart_uploads(Bucket=bucket)


async def test_what_cannot_be_signed(client: DeltaGliderClient, bucket: str) -> None:
    await client.put_object(Bucket=bucket, Key="a.zip", Body=BASE)
    with pytest.raises(UnknownClientMethodError):
        await client.generate_presigned_url("put_objects", {"Bucket": bucket})
    with pytest.raises(ParamValidationError):
        await client.generate_presigned_url("get_object", {"Bucket": bucket, "Keys": "a"})
    with pytest.raises(ParamValidationError):
        await client.generate_presigned_url("get_object", {"Bucket": bucket})
    with pytest.raises(InvalidRequestError, match="about stored objects"):
        await client.generate_presigned_url("list_objects_v2", {"Bucket": bucket})
    with pytest.raises(InvalidRequestError, match="its source is stored as a delta"):
        copy: Any = {"Bucket": bucket, "Key": "b.zip", "CopySource": f"{bucket}/a.zip"}
        await client.generate_presigned_url("copy_object", copy)
    with pytest.raises(InvalidRequestError, match="ClientMethod"):
        await client.generate_presigned_url_with_rehydration(bucket, "a.zip", ClientMethod="put_object")
    with pytest.raises(InvalidRequestError, match="Bucket and a Key"):
        await client.generate_presigned_url_with_rehydration(bucket)
    url = await client.generate_presigned_url("get_bucket_location", {"Bucket": bucket})  # passed through
    assert (await fetch(url))[0] == 200


def test_a_temporary_key_has_room(s3: S3Client) -> None:

    key = keys.temporary_key("0" * 36, "é" * 600)
    assert keys.fits(key)
    assert key.startswith(".deltaglider/tmp/" + "0" * 36 + "_éé")
    now = datetime.now(UTC)
    assert meta.fits(meta.temporary_metadata("é" * 500, now, now))
