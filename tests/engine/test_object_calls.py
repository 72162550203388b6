"""Calls on one object, compared field by field with what raw aioboto3 answers for the same bytes as a plain object."""

from __future__ import annotations

import base64
import hashlib
import secrets
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from deltaglider_async.errors import InvalidRequestError, NotFoundError, PreconditionFailedError, StorageIOError
from deltaglider_async.session import create_client
from tests.engine.conftest import content, version

BASE = content(1)
DATA = version(BASE, 2)
SIZE = len(DATA)
LATER = datetime.now(UTC) + timedelta(days=2)
EARLIER = datetime(2001, 2, 3, tzinfo=UTC)
#: What is said of each object alone, or is ours.
OWN = {"ETag", "LastModified", "DeltaGliderInfo", "ResponseMetadata", "Body", "ChecksumSHA256"}
HEADERS = {"ContentType": "application/zip", "CacheControl": "no-cache", "ContentLanguage": "de"}


class Pair:
    """The same bytes as a delta of ours and, by raw aioboto3, as an object `raw/2.zip`."""

    def __init__(self, client: Any, bucket: str) -> None:
        self.client, self.bucket = client, bucket

    async def fill(self) -> None:
        await self.client.create_bucket(Bucket=self.bucket)
        await self.client.put_object(Bucket=self.bucket, Key="a/1.zip", Body=BASE)
        put: dict[str, Any] = {"Body": DATA, "Metadata": {"build": "17"}, "StorageClass": "STANDARD", **HEADERS}
        stored = await self.client.put_object(Bucket=self.bucket, Key="a/2.zip", **put)
        assert stored["DeltaGliderInfo"]["StoredAs"] == "delta"
        await self.client._s3.put_object(Bucket=self.bucket, Key="raw/2.zip", ChecksumAlgorithm="SHA256", **put)

    async def both(self, operation: str, **arguments: Any) -> tuple[Any, Any]:
        """What each says. `own` as a value stands for the ETag of each object."""
        answers = []
        for key, caller in (("a/2.zip", self.client), ("raw/2.zip", self.client._s3)):
            etag = (await caller.head_object(Bucket=self.bucket, Key=key))["ETag"]
            asked = {name: etag if value == "own" else value for name, value in arguments.items()}
            answers.append(await _answer(getattr(caller, operation), Bucket=self.bucket, Key=key, **asked))
        return answers[0], answers[1]


async def _answer(call: Any, **arguments: Any) -> Any:
    try:
        response = await call(**arguments)
    except ClientError as error:
        return "refused", error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    told = {name: value for name, value in response.items() if name not in OWN}
    told["status"] = response["ResponseMetadata"]["HTTPStatusCode"]
    told["length"] = response["ResponseMetadata"]["HTTPHeaders"]["content-length"]
    if "Body" in response:
        async with response["Body"] as body:
            told["body"] = await body.read()
    return told


async def _pair(endpoint: str) -> AsyncIterator[Pair]:
    async with create_client(endpoint_url=endpoint) as client:
        pair = Pair(client, f"test-{secrets.token_hex(6)}")
        await pair.fill()
        yield pair


@pytest.fixture
async def pair(s3_endpoint: str) -> AsyncIterator[Pair]:
    async for each in _pair(s3_endpoint):
        yield each


@pytest.fixture
async def real_pair(conditional_endpoint: str) -> AsyncIterator[Pair]:
    async for each in _pair(conditional_endpoint):
        yield each


#: On real servers, which differ from each other in nothing of this.
ASKED: list[dict[str, Any]] = [
    {},
    {"ChecksumMode": "ENABLED"},
    *({"Range": asked} for asked in ("bytes=0-0", "bytes=5-99", f"bytes={SIZE - 1}-", "bytes=-7", "bytes=0-")),
    *(
        {"Range": asked}
        for asked in (f"bytes=0-{SIZE + 9}", f"bytes=-{SIZE + 9}", "bytes=9-5", "bytes=a-", "lines=1-2")
    ),
    *({"Range": asked} for asked in ("bytes=0-1,4-5", f"bytes={SIZE}-", f"bytes={SIZE + 5}-{SIZE + 9}")),
    *({"PartNumber": number} for number in (1, 2, 10_000, 10_001, 0)),
    {"PartNumber": 1, "Range": "bytes=0-4"},
    {"Range": "bytes=3-4", "ChecksumMode": "ENABLED"},
    {"IfMatch": "own"},
    {"IfMatch": "*"},
    {"IfMatch": '"00000000000000000000000000000000"'},
    {"IfNoneMatch": "own"},
    {"IfNoneMatch": '"00000000000000000000000000000000"'},
    {"IfModifiedSince": EARLIER},
    {"IfUnmodifiedSince": EARLIER},
    {"IfUnmodifiedSince": LATER},
    # RFC 9110, 13.2.2: an ETag decides, not the time beside it.
    {"IfMatch": "own", "IfUnmodifiedSince": EARLIER},
    {"IfMatch": '"00"', "IfUnmodifiedSince": LATER},
    {"IfNoneMatch": "own", "IfModifiedSince": EARLIER},
    {"IfMatch": "own", "IfNoneMatch": "own"},
    # A condition that does not hold comes before a range that is outside.
    {"IfMatch": '"00"', "Range": f"bytes={SIZE}-"},
    {"IfNoneMatch": "own", "Range": f"bytes={SIZE}-"},
    {"IfMatch": "own", "Range": "bytes=5-9"},
    {
        "ResponseContentType": "text/x",
        "ResponseContentLanguage": "fr",
        "ResponseCacheControl": "private",
        "ResponseContentDisposition": 'attachment; filename="x"',
        "ResponseContentEncoding": "identity",
        "ResponseExpires": datetime(2030, 1, 2, tzinfo=UTC),
    },
    {"ResponseContentType": "text/x", "Range": "bytes=5-9"},
]


@pytest.mark.parametrize("operation", ["get_object", "head_object"])
async def test_a_delta_is_read_as_a_plain_object_is(real_pair: Pair, operation: str) -> None:
    for asked in ASKED:
        ours, raw = await real_pair.both(operation, **asked)
        assert ours == raw, asked
        if "body" in raw and not asked:
            assert raw["body"] == DATA


async def test_a_delta_is_read_as_a_plain_object_is_by_motos_measure(pair: Pair) -> None:
    for asked in ({}, {"Range": "bytes=3-9"}, {"PartNumber": 1}, {"IfNoneMatch": "own"}, {"IfModifiedSince": LATER}):
        for operation in ("get_object", "head_object"):
            ours, raw = await pair.both(operation, **asked)
            assert ours == raw, (operation, asked)


async def test_a_condition_on_nothing_finds_nothing(real_pair: Pair) -> None:
    for asked in ({"IfMatch": '"00"'}, {"IfNoneMatch": "*"}, {"IfUnmodifiedSince": EARLIER}):
        for operation in ("get_object", "head_object"):
            with pytest.raises(NotFoundError):
                await getattr(real_pair.client, operation)(Bucket=real_pair.bucket, Key="a/3.zip", **asked)


async def test_a_condition_does_not_speak_of_somebody_elses_delta(real_pair: Pair) -> None:
    client, bucket = real_pair.client, real_pair.bucket
    put = await client._s3.put_object(Bucket=bucket, Key="a/3.zip.delta", Body=b"somebody else's")
    for asked in ({"IfMatch": '"00"'}, {"IfNoneMatch": put["ETag"]}, {"IfUnmodifiedSince": EARLIER}):
        for operation in ("get_object", "head_object"):
            with pytest.raises(NotFoundError):
                await getattr(client, operation)(Bucket=bucket, Key="a/3.zip", **asked)
            with pytest.raises(PreconditionFailedError):
                await getattr(client, operation)(Bucket=bucket, Key="a/3.zip.delta", **asked)


async def test_what_is_not_modified_is_raised_as_botocore_does(real_pair: Pair) -> None:
    etag = (await real_pair.client.head_object(Bucket=real_pair.bucket, Key="a/2.zip"))["ETag"]
    with pytest.raises(PreconditionFailedError) as unmodified:
        await real_pair.client.get_object(Bucket=real_pair.bucket, Key="a/2.zip", IfNoneMatch=etag)
    assert isinstance(unmodified.value, real_pair.client.exceptions.ClientError)
    assert unmodified.value.response["Error"]["Code"] == "304"


async def test_the_stored_name_of_a_delta_is_the_object_also_in_parts(real_pair: Pair) -> None:
    client, bucket = real_pair.client, real_pair.bucket
    for asked in ({}, {"Range": "bytes=5-9"}, {"PartNumber": 1}, {"Range": f"bytes={SIZE}-"}):
        for operation in ("get_object", "head_object"):
            answers = [
                await _answer(getattr(client, operation), Bucket=bucket, Key=key, **asked)
                for key in ("a/2.zip", "a/2.zip.delta")
            ]
            assert answers[0] == answers[1]
    await client._s3.put_object(Bucket=bucket, Key="a/4.delta", Body=b"somebody else's")
    response = await client.get_object(Bucket=bucket, Key="a/4.delta", Range="bytes=0-7")
    assert await response["Body"].read() == b"somebody"


async def test_headers_do_not_speak_of_what_is_stored(real_pair: Pair) -> None:
    for key in ("a/2.zip", "a/1.bin"):
        await real_pair.client.put_object(Bucket=real_pair.bucket, Key="a/1.bin", Body=DATA)
        response = await real_pair.client.head_object(Bucket=real_pair.bucket, Key=key, ChecksumMode="ENABLED")
        headers = response["ResponseMetadata"]["HTTPHeaders"]
        assert headers["content-length"] == str(SIZE)
        assert not [name for name in headers if name.startswith("x-amz-meta-dg")]
        assert response["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(DATA).digest()).decode()
        assert response["ChecksumType"] == "FULL_OBJECT"


async def test_a_part_of_a_plain_object_is_not_taken_for_all_of_it(real_pair: Pair) -> None:
    """Put in one call, stored in parts, with a recorded digest."""
    client, bucket, data = real_pair.client, real_pair.bucket, content(5, 17 << 20)
    put = await client.put_object(Bucket=bucket, Key="a/long.bin", Body=data)
    assert put.keys().isdisjoint({"Location", "Bucket", "Key"})
    response = await client.get_object(Bucket=bucket, Key="a/long.bin", PartNumber=2)
    rest = await response["Body"].read()
    assert data.startswith(rest, 8 << 20)
    assert response["DeltaGliderInfo"]["OriginalSize"] == len(data)


# -- attributes

ALL = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]


async def test_the_attributes_of_a_delta_are_the_originals(pair: Pair) -> None:
    for wanted in (ALL, ["ObjectSize"], ["ETag", "StorageClass"]):
        ours, raw = [
            await caller.get_object_attributes(Bucket=pair.bucket, Key=key, ObjectAttributes=wanted)
            for key, caller in (("a/2.zip", pair.client), ("raw/2.zip", pair.client._s3))
        ]
        assert ours.keys() - {"DeltaGliderInfo"} == raw.keys()
        for name in ("ObjectSize", "StorageClass"):
            assert ours.get(name) == raw.get(name)
        if "Checksum" in wanted:
            assert ours["Checksum"] == {**raw["Checksum"], "ChecksumType": "FULL_OBJECT"}
        if "ETag" in wanted:
            head = await pair.client.head_object(Bucket=pair.bucket, Key="a/2.zip")
            assert ours["ETag"] == head["ETag"].strip('"')


async def test_the_parts_of_an_upload_are_the_services(real_pair: Pair) -> None:
    client, bucket = real_pair.client, real_pair.bucket
    await client.put_object(Bucket=bucket, Key="a/long.bin", Body=content(5, 17 << 20))
    asked: dict[str, Any] = {"Bucket": bucket, "Key": "a/long.bin", "ObjectAttributes": ALL}
    ours, raw = await client.get_object_attributes(**asked), await client._s3.get_object_attributes(**asked)
    assert ours.get("ObjectParts") == raw.get("ObjectParts")
    assert ours["ObjectSize"] == raw["ObjectSize"] == 17 << 20


async def test_attributes_need_no_such_call_of_the_service(ignorant_endpoint: str) -> None:
    async for pair in _pair(ignorant_endpoint):
        told = await pair.client.get_object_attributes(Bucket=pair.bucket, Key="a/2.zip", ObjectAttributes=ALL)
        assert (told["ObjectSize"], told["StorageClass"]) == (SIZE, "STANDARD")


async def test_attributes_of_nothing(pair: Pair) -> None:
    client = pair.client
    with pytest.raises(client.exceptions.NoSuchKey):
        await client.get_object_attributes(Bucket=pair.bucket, Key="a/9.zip", ObjectAttributes=ALL)
    with pytest.raises(client.exceptions.NoSuchBucket):
        await client.get_object_attributes(Bucket=f"{pair.bucket}-not", Key="a/9.zip", ObjectAttributes=ALL)
    for wrong in ([], ["Size"]):
        with pytest.raises(ClientError) as refused:
            await client.get_object_attributes(Bucket=pair.bucket, Key="a/2.zip", ObjectAttributes=wrong)
        assert refused.value.response["Error"]["Code"] == "InvalidArgument"


# -- archives


async def test_what_is_archived_is_raised_as_botocore_does(pair: Pair) -> None:
    client, bucket = pair.client, pair.bucket
    put = await client.put_object(Bucket=bucket, Key="a/3.zip", Body=version(BASE, 3), StorageClass="GLACIER")
    assert put["DeltaGliderInfo"]["StoredAs"] == "delta"
    with pytest.raises(client.exceptions.InvalidObjectState, match="restore it first") as archived:
        await client.get_object(Bucket=bucket, Key="a/3.zip")
    assert isinstance(archived.value, StorageIOError)
    assert (await client.head_object(Bucket=bucket, Key="a/3.zip"))["StorageClass"] == "GLACIER"


async def test_a_delta_whose_reference_is_archived_says_so(pair: Pair, s3_endpoint: str) -> None:
    source = {"Bucket": pair.bucket, "Key": "a/reference.bin"}
    await pair.client._s3.copy_object(
        Bucket=pair.bucket, Key="a/reference.bin", CopySource=source, StorageClass="GLACIER"
    )
    async with create_client(endpoint_url=s3_endpoint) as fresh:
        response = await fresh.get_object(Bucket=pair.bucket, Key="a/2.zip")
        async with response["Body"] as body:
            with pytest.raises(fresh.exceptions.InvalidObjectState, match=r"a/reference\.bin"):
                await body.read()
    # Who has the reference at hand can still read.
    assert await (await pair.client.get_object(Bucket=pair.bucket, Key="a/2.zip"))["Body"].read() == DATA


# -- checksums of a put


def _b64(data: bytes) -> Any:
    return base64.b64encode(data).decode()


RIGHT: dict[str, Any] = {
    "ContentMD5": _b64(hashlib.md5(DATA, usedforsecurity=False).digest()),
    "ChecksumSHA1": _b64(hashlib.sha1(DATA, usedforsecurity=False).digest()),
    "ChecksumSHA256": _b64(hashlib.sha256(DATA).digest()),
    "ChecksumCRC32": _b64(zlib.crc32(DATA).to_bytes(4, "big")),
}


@pytest.mark.parametrize("key", ["a/3.zip", "a/3.bin"])
@pytest.mark.parametrize("name", RIGHT)
async def test_a_checksum_that_is_given_is_held_against_the_body(pair: Pair, key: str, name: str) -> None:
    client, bucket = pair.client, pair.bucket
    put = await client.put_object(Bucket=bucket, Key=key, Body=DATA, **{name: RIGHT[name]})
    assert put["DeltaGliderInfo"]["IsDelta"] is key.endswith(".zip")
    if name != "ContentMD5":
        assert put[name] == RIGHT[name]
    assert await (await client.get_object(Bucket=bucket, Key=key))["Body"].read() == DATA
    for body in (BASE, _stream(DATA, b"!")):
        with pytest.raises(InvalidRequestError, match="the body's is") as refused:
            await client.put_object(Bucket=bucket, Key=key, Body=body, **{name: RIGHT[name]})
        assert isinstance(refused.value, ClientError)
        assert refused.value.response["Error"]["Code"] == "BadDigest"
    assert await (await client.get_object(Bucket=bucket, Key=key))["Body"].read() == DATA


async def _stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize("name", ["ContentMD5", "ChecksumSHA1", "ChecksumCRC32", "ChecksumSHA256"])
async def test_a_checksum_of_a_body_in_parts_is_held_against_it(real_pair: Pair, name: str) -> None:
    client, bucket, data = real_pair.client, real_pair.bucket, content(6, 17 << 20)
    right = {
        "ContentMD5": hashlib.md5(data, usedforsecurity=False).digest(),
        "ChecksumSHA1": hashlib.sha1(data, usedforsecurity=False).digest(),
        "ChecksumCRC32": zlib.crc32(data).to_bytes(4, "big"),
        "ChecksumSHA256": hashlib.sha256(data).digest(),
    }
    for body in (data, _stream(data[: 9 << 20], data[9 << 20 :])):
        with pytest.raises(InvalidRequestError, match="the body's is"):
            await client.put_object(Bucket=bucket, Key="a/long.bin", Body=body, **{name: RIGHT[name]})
    with pytest.raises(NotFoundError):
        await client.head_object(Bucket=bucket, Key="a/long.bin")
    put = await client.put_object(Bucket=bucket, Key="a/long.bin", Body=data, **{name: _b64(right[name])})
    assert put["ChecksumSHA256"] == _b64(right["ChecksumSHA256"])
    if name != "ContentMD5":
        assert put[name] == _b64(right[name])


@pytest.mark.parametrize(
    ("checksum", "code"),
    [
        ({"ContentMD5": "xx"}, "InvalidDigest"),
        ({"ContentMD5": RIGHT["ChecksumCRC32"]}, "InvalidDigest"),
        ({"ChecksumCRC32": "€"}, "InvalidRequest"),
        ({"ChecksumSHA256": RIGHT["ChecksumSHA1"]}, "InvalidRequest"),
        ({"ChecksumSHA256": RIGHT["ChecksumSHA256"], "ChecksumSHA1": RIGHT["ChecksumSHA1"]}, "InvalidRequest"),
    ],
)
async def test_what_can_be_no_checksum_is_refused(pair: Pair, checksum: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        await pair.client.put_object(Bucket=pair.bucket, Key="a/3.zip", Body=DATA, **checksum)
    assert isinstance(refused.value, ClientError)
    assert refused.value.response["Error"]["Code"] == code


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
async def test_an_algorithm_that_is_asked_for_is_used(real_pair: Pair, algorithm: str) -> None:
    client, bucket, name = real_pair.client, real_pair.bucket, f"Checksum{algorithm}"
    raw = await client._s3.put_object(Bucket=bucket, Key="raw/3", Body=DATA, ChecksumAlgorithm=algorithm)
    for key in ("a/3.zip", "a/3.bin"):
        put = await client.put_object(Bucket=bucket, Key=key, Body=DATA, ChecksumAlgorithm=algorithm)
        assert put["DeltaGliderInfo"]["IsDelta"] is key.endswith(".zip")
        assert (put[name], put.get("ChecksumType")) == (raw[name], raw.get("ChecksumType"))
    head = await client.head_object(Bucket=bucket, Key="a/3.bin", ChecksumMode="ENABLED")
    assert head[name] == RIGHT[name]
    put = await client.put_object(Bucket=bucket, Key="a/l.bin", Body=content(6, 17 << 20), ChecksumAlgorithm=algorithm)
    head = await client.head_object(Bucket=bucket, Key="a/l.bin", ChecksumMode="ENABLED")
    assert name in head


# -- other arguments of a put

#: Every argument that botocore's PutObject has, by where a test or the page on objects says what becomes of it.
KNOWN = {
    "Bucket", "Key", "Body", "Metadata", "ContentLength", "ContentType", "CacheControl", "ContentDisposition",
    "ContentEncoding", "ContentLanguage", "Expires", "StorageClass", "Tagging", "WebsiteRedirectLocation",
    "ACL", "GrantFullControl", "GrantRead", "GrantReadACP", "GrantWriteACP",
    "ContentMD5", "ChecksumAlgorithm", "ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1",
    "ChecksumSHA256", "IfMatch", "IfNoneMatch", "WriteOffsetBytes",
    "ServerSideEncryption", "SSEKMSKeyId", "SSEKMSEncryptionContext", "BucketKeyEnabled",
    "SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5", "RequestPayer", "ExpectedBucketOwner",
    "ObjectLockMode", "ObjectLockRetainUntilDate", "ObjectLockLegalHoldStatus",
}  # fmt: skip


async def test_a_new_argument_of_botocores_is_looked_at(pair: Pair) -> None:
    assert set(pair.client.meta.service_model.operation_model("PutObject").input_shape.members) == KNOWN


async def test_a_reference_is_encrypted_as_the_put_that_made_it(pair: Pair) -> None:
    """And what asks for another key is stored plain."""
    client, bucket = pair.client, pair.bucket
    kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "one"}
    forms = []
    for number, key in enumerate(({"SSEKMSKeyId": "one"}, {"SSEKMSKeyId": "one"}, {"SSEKMSKeyId": "other"})):
        put = await client.put_object(Bucket=bucket, Key=f"k/{number}.zip", Body=version(BASE, number), **(kms | key))
        forms.append(put["DeltaGliderInfo"]["StoredAs"])
    assert forms == ["reference+delta", "delta", "plain"]
    for stored, name in (("k/reference.bin", "one"), ("k/1.zip.delta", "one"), ("k/2.zip", "other")):
        head = await client._s3.head_object(Bucket=bucket, Key=stored)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", name)


async def test_what_a_delta_cannot_be_is_stored_plain_or_refused(pair: Pair) -> None:
    client, bucket = pair.client, pair.bucket
    secret: dict[str, Any] = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    for number, arguments in enumerate((secret, {"WebsiteRedirectLocation": "/elsewhere"})):
        put = await client.put_object(Bucket=bucket, Key=f"p/{number}.zip", Body=DATA, **arguments)
        assert put["DeltaGliderInfo"]["StoredAs"] == "plain"
    head = await client.head_object(Bucket=bucket, Key="a/2.zip")
    for arguments in ({"WriteOffsetBytes": 0}, {"IfMatch": head["ETag"], **secret}):
        with pytest.raises(InvalidRequestError):
            await client.put_object(Bucket=bucket, Key="a/2.zip", Body=BASE, **arguments)
    assert await (await client.get_object(Bucket=bucket, Key="a/2.zip"))["Body"].read() == DATA


async def test_a_customers_key_may_be_bytes(client: Any, bucket: str) -> None:
    """As in boto3, whose examples use `os.urandom(32)`."""
    secret: dict[str, Any] = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"\xff" * 32}
    await client.put_object(Bucket=bucket, Key="k/1.zip", Body=b"secret", **secret)
    await client.head_object(Bucket=bucket, Key="k/1.zip", **secret)
    assert await (await client.get_object(Bucket=bucket, Key="k/1.zip", **secret))["Body"].read() == b"secret"
    source = {f"CopySource{name}": value for name, value in secret.items()}
    where = {"Bucket": bucket, "Key": "k/1.zip"}
    await client.copy_object(Bucket=bucket, Key="k/2.zip", CopySource=where, **source, **secret)
    assert await (await client.get_object(Bucket=bucket, Key="k/2.zip", **secret))["Body"].read() == b"secret"
    with pytest.raises(InvalidRequestError, match="SSECustomerKey"):
        await client.head_object(Bucket=bucket, Key="k/1.zip", SSECustomerKey=32)
