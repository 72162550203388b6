"""HEADs without botocore: the same requests and answers as with it, and botocore wherever something is unusual."""

from __future__ import annotations

import asyncio
import base64
import functools
import logging
import os
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiobotocore.credentials import AioRefreshableCredentials
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.parsers import create_parser
from botocore.session import Session
from tests.servers import answering, response
from tests.store.worlds import (
    AWKWARD,
    CLIENTS,
    STANDARD,
    Doubtful,
    Recorder,
    World,
    debugging,
    foreign,
    foreign_of_all,
    options,
    patched,
    patched_itself,
    told,
    traced,
    world,
)

from deltaglider_async.errors import NotFoundError, StorageIOError
from deltaglider_async.store.answers import reader_of
from deltaglider_async.store.heads import Heads
from deltaglider_async.store.templates import NOTHING, Template

SERVICE = Session().get_service_model("s3")
READER = reader_of(SERVICE, "HeadObject")
SHAPE: Any = SERVICE.operation_model("HeadObject").output_shape


# -- the same answers


async def test_awkward_names_have_the_same_answers(real: World, place: str) -> None:
    stored: dict[str, int] = {}
    for number, key in enumerate(AWKWARD):
        metadata = {"number": str(number), "Mixed-Case": "A b"}
        try:
            await real.s3.put_object(Bucket=place, Key=key, Body=bytes(number), Metadata=metadata, ContentType="a/b")
        except ClientError:
            continue  # this service does not take it
        stored[key] = number
    assert len(stored) > 15
    await real.store.head(place, "first")
    assert real.full == 1
    for key, number in stored.items():
        ours = await real.ours(place, key)
        assert ours["ContentLength"] == number
        assert ours["Metadata"]["number"] == str(number)
        assert told(ours) == told(await real.botocores(Bucket=place, Key=key)), key
        assert told(await real.ours(place, f"{key}-")) == told(await real.botocores(Bucket=place, Key=f"{key}-")), key
    assert real.full == 1


async def test_objects_of_all_kinds_have_the_same_answers(real: World, place: str) -> None:
    await real.s3.put_bucket_versioning(Bucket=place, VersioningConfiguration={"Status": "Enabled"})
    stored: dict[str, dict[str, Any]] = {
        "plain": {},
        "described": {
            "CacheControl": "no-cache", "ContentDisposition": 'attachment; filename="a b"', "ContentLanguage": "de",
            "ContentEncoding": "gzip", "ContentType": "text/plain; charset=utf-8", "Tagging": "a=b&c=d",
        },
        "expires": {"Expires": datetime(2030, 1, 2, tzinfo=UTC)},
        "checksum": {"ChecksumAlgorithm": "SHA256"},
        "class": {"StorageClass": "REDUCED_REDUNDANCY"},
    }  # fmt: skip
    for key, arguments in stored.items():
        await real.s3.put_object(Bucket=place, Key=key, Body=b"12345", **arguments)
    await real.s3.delete_object(Bucket=place, Key="deleted")
    for same in ({}, {"ChecksumMode": "ENABLED"}, {"RequestPayer": "requester"}):
        await real.ours(place, "first", **same)
        for key in (*stored, "deleted", "never"):
            before = real.full
            assert told(await real.ours(place, key, **same)) == told(
                await real.botocores(Bucket=place, Key=key, **same)
            )
            assert real.full == before


async def test_a_version_and_a_customers_key_are_asked_for_by_botocore(real: World, place: str) -> None:
    await real.s3.put_bucket_versioning(Bucket=place, VersioningConfiguration={"Status": "Enabled"})
    first = await real.s3.put_object(Bucket=place, Key="a", Body=b"1")
    await real.s3.put_object(Bucket=place, Key="a", Body=b"22")
    assert (await real.ours(place, "a"))["ContentLength"] == 2
    version = await real.ours(place, "a", VersionId=first["VersionId"])
    assert (version["ContentLength"], real.full) == (1, 2)
    key = base64.b64encode(bytes(32)).decode()
    await real.ours(place, "a", SSECustomerAlgorithm="AES256", SSECustomerKey=key)
    assert real.full == 3


async def test_a_missing_object_is_none_or_an_error_as_botocores(real: World, place: str) -> None:
    for _ in range(2):
        assert await real.store.head(place, "none") is None
        with pytest.raises(NotFoundError, match=rf"cannot read s3://{place}/none: there is no such object") as caught:
            await real.store.head_existing(place, "none")
        assert isinstance(caught.value, ClientError)
        assert type(caught.value).__name__ == "ClientError"
        assert caught.value.operation_name == "HeadObject"
    assert real.full == 1


def test_every_member_of_an_answer_is_read_as_botocore_reads_it() -> None:
    samples = {
        "string": ["", "text", 'x="y", z'],
        "integer": ["0", "17"],
        "long": ["0", "9223372036854775807"],
        "boolean": ["true", "false", "TRUE", ""],
        "timestamp": [
            "Wed, 25 Nov 2026 20:01:51 GMT", "Thu, 29 Feb 2024 00:00:00 GMT", "2030-01-02T03:04:05Z", "1700000000",
            "2030-01-02T03:04:05.678+02:00", "Wed, 25 Nov 2026 20:01:51 +0000",
        ],
    }  # fmt: skip
    seen = Counter[str]()
    for name, member in SHAPE.members.items():
        if name in ("Metadata", "Expires"):
            continue
        for text in samples[member.type_name]:
            headers = {member.serialization.get("name", name): text, "x-amz-meta-a-B": "c", "x-amz-request-id": "1"}
            assert_read_as_botocore_does(headers)
            seen[name] += 1
    assert len(seen) == len(SHAPE.members) - 2
    assert_read_as_botocore_does({})
    assert_read_as_botocore_does({"x-amz-request-id": "1", "x-amz-id-2": "2", "x-unknown": "3"})


def assert_read_as_botocore_does(headers: dict[str, str]) -> None:
    from botocore.awsrequest import HeadersDict

    lowered = {name.lower(): value for name, value in headers.items()}
    for status in (200, 404):
        answer = {"headers": HeadersDict(lowered), "status_code": status, "body": b""}
        theirs: Any = create_parser("rest-xml").parse(answer, SHAPE)
        theirs["ResponseMetadata"]["RetryAttempts"] = 0
        ours = READER.read(status, lowered)
        assert ours is not None
        assert ours == theirs
        assert repr(sorted(ours.items())) == repr(sorted(theirs.items()))


@pytest.mark.parametrize(
    ("status", "headers"),
    [(status, {}) for status in (206, 301, 307, 304, 400, 403, 412, 429, 500, 503)] + [(200, {"expires": "never"})],
)
def test_other_answers_are_not_read(status: int, headers: dict[str, str]) -> None:
    assert READER.read(status, headers) is None


@pytest.mark.parametrize("name", ["content-length", "last-modified", "x-amz-mp-parts-count"])
async def test_an_answer_that_cannot_be_read_is_botocores_error(name: str) -> None:
    with pytest.raises((ValueError, RuntimeError, KeyError)):
        READER.read(200, {name: "Wed, 99 Abc 2026 20:01:51 GMT"})


# -- the same requests


#: Those of the arguments that a HEAD may have.
HEADERS = frozenset({"x-amz-request-payer", "x-amz-checksum-mode", "x-amz-expected-bucket-owner"})


@pytest.mark.parametrize("client", CLIENTS)
async def test_requests_are_those_of_botocore(client: str) -> None:
    endpoint, arguments = CLIENTS[client]
    chosen = random.Random(client)
    keys = ["first", *AWKWARD, *("".join(chr(chosen.randrange(1, 0xD800)) for _ in range(9)) for _ in range(50))]
    async with world(endpoint, **arguments) as made:
        recorder, credentials = Recorder(made.s3), made.s3._request_signer._credentials
        for asked in ({}, {"RequestPayer": "requester"}, {"ChecksumMode": "ENABLED", "ExpectedBucketOwner": "1" * 12}):
            recorder.requests.clear()
            for key in keys:
                await made.s3.head_object(Bucket="a-bucket", Key=key, **asked)
            template = Template(recorder.requests[0], "first", NOTHING, HEADERS)
            for key, request in zip(keys, recorder.requests, strict=True):
                template.compare(request, key, NOTHING, await credentials.get_frozen_credentials())


async def test_a_request_of_one_invocation_is_no_template(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "function")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1")
    async with world("http://127.0.0.1:9000") as made:
        recorder = Recorder(made.s3)
        await made.s3.head_object(Bucket="bucket", Key="a")
        with pytest.raises(ValueError, match="trace"):
            Template(recorder.requests[0], "a", NOTHING, HEADERS)


@pytest.mark.parametrize("change", ["url", "secret", "header", "token"])
async def test_a_request_that_a_template_does_not_give_is_noticed(change: str) -> None:
    async with world("http://127.0.0.1:9000") as made:
        recorder, credentials = Recorder(made.s3), made.s3._request_signer._credentials
        await made.s3.head_object(Bucket="bucket", Key="a/b")
        [request] = recorder.requests
        template = Template(request, "a/b", NOTHING, HEADERS)
        frozen = await credentials.get_frozen_credentials()
        if change == "url":
            request.url += "?versionId=1"
        elif change == "secret":
            frozen = frozen._replace(secret_key="another")
        elif change == "token":
            frozen = frozen._replace(token="new")
        else:
            request.headers["Authorization"] = request.headers["Authorization"].replace(b"Signature=", b"Signature=0")
        with pytest.raises((ValueError, KeyError)):
            template.compare(request, "a/b", NOTHING, frozen)


@pytest.mark.parametrize("name", ["content-length", "amz-sdk-invocation-id"])
async def test_what_is_signed_is_not_replaced_after_that(name: str) -> None:
    async with world("http://127.0.0.1:9000") as made:
        recorder = Recorder(made.s3)
        await made.s3.head_object(Bucket="bucket", Key="a")
        [request] = recorder.requests
        request.headers["Authorization"] = request.headers["Authorization"].replace(
            b"SignedHeaders=", f"SignedHeaders={name};".encode()
        )
        with pytest.raises(ValueError, match="signed"):
            Template(request, "a", NOTHING, HEADERS)


# -- whatever is unusual


async def test_each_bucket_has_a_template(s3_endpoint: str) -> None:
    async with world(s3_endpoint) as made:
        for name in ("bucket-one", "bucket-two", "bucket-one", "bucket-two"):
            assert await made.store.head(f"{name}-{os.getpid()}", "a") is None
        assert made.full == 2


@pytest.mark.parametrize("unusual", [foreign, foreign_of_all, debugging, traced, patched, patched_itself])
@pytest.mark.parametrize("late", [False, True])
async def test_a_client_that_is_watched_asks_itself(
    s3_endpoint: str, bucket: str, unusual: Callable[[World], None], late: bool
) -> None:
    try:
        async with world(s3_endpoint) as made:
            if late:
                await made.store.head(bucket, "a")
                await made.store.head(bucket, "a")
                assert made.full == 1
            made.full = 0
            unusual(made)
            for _ in range(3):
                assert await made.store.head(bucket, "a") is None
            assert made.full == 3
    finally:
        logging.getLogger("botocore").setLevel(logging.NOTSET)


async def test_watching_ends(s3_endpoint: str, bucket: str) -> None:
    async with world(s3_endpoint) as made:
        seen = Counter[str]()

        def note(event_name: str, **_: Any) -> None:
            seen[event_name] += 1

        for _ in range(2):
            made.s3.meta.events.register("before-send.s3", note)
            await made.store.head(bucket, "a")
            made.s3.meta.events.unregister("before-send.s3", note)
            await made.store.head(bucket, "a")
            await made.store.head(bucket, "a")
        assert seen == {"before-send.s3.HeadObject": 2}
        assert made.full == 4  # templates are of the handlers that there were


@pytest.mark.parametrize(
    ("config", "full"),
    [
        (Config(retries={"mode": "standard", "total_max_attempts": 1}), 1),
        (Config(retries={"mode": "legacy", "total_max_attempts": 1}), 1),
        (Config(retries={"mode": "adaptive", "total_max_attempts": 1}), 3),  # it counts requests
        (Config(signature_version=UNSIGNED), 3),
        (Config(signature_version="s3"), 3),
    ],
)
async def test_which_clients_have_templates(bucket: str, s3_endpoint: str, config: Config, full: int) -> None:
    async with world(s3_endpoint, config=config) as made:
        for _ in range(3):
            with suppress(StorageIOError):
                await made.store.head(bucket, "a")
        assert made.full == full


async def test_a_proxy_is_botocores() -> None:
    async def answer(request: str, head: bytes) -> bytes:
        assert request.startswith("HEAD http://storage.example/bucket/")
        return response("200 OK")

    async with (
        answering(answer) as url,
        world("http://storage.example", config=options(proxies={"http": url})) as made,
    ):
        for key in ("a", "b"):
            assert await made.store.head("bucket", key) is not None
        assert made.full == 2


@pytest.mark.parametrize(
    ("first", "full"),
    [
        # A call of several attempts makes no template, so the next one is botocore's, too.
        ("500 Internal Server Error", 3),
        ("503 Slow Down", 3),
        ("HTTP", 3),
        # aiohttp itself asks once more where there was no answer at all.
        ("", 1),
        ("302 Found", 2),
        ("400 Bad Request", 2),
    ],
)
async def test_after_an_unusual_answer_botocore_goes_on(first: str, full: int) -> None:
    server = Doubtful("200 OK", first, "200 OK", "200 OK")
    async with answering(server) as url, world(url, config=STANDARD) as made:
        for _ in range(3):
            assert await made.store.head("bucket", "a") is not None
        assert len(server.asked) == 4
        assert made.full == full


async def test_botocores_retries_follow() -> None:
    failure = "500 Internal Server Error"
    server = Doubtful("200 OK", failure, failure, failure)
    async with (
        answering(server) as url,
        world(url, config=STANDARD) as made,
    ):
        assert await made.store.head("bucket", "a") is not None
        with pytest.raises(StorageIOError, match="500"):
            await made.store.head("bucket", "a")
        # The first attempt was the template's.
        assert server.asked[1:] == ["attempt=1", "attempt=2; max=3", "attempt=3; max=3"]


async def test_a_head_can_be_cancelled() -> None:
    asked, ended = asyncio.Event(), asyncio.Event()
    answers = iter([True, False, True])

    async def answer(request: str, head: bytes) -> bytes:
        if not next(answers):
            asked.set()
            await ended.wait()
        return response("200 OK")

    async with answering(answer) as url, world(url, config=options(max_pool_connections=1)) as made:
        await made.store.head("bucket", "a")
        before = asyncio.all_tasks()
        head = asyncio.create_task(made.store.head("bucket", "a"))
        await asked.wait()
        head.cancel()
        with pytest.raises(asyncio.CancelledError):
            await head
        assert await made.store.head("bucket", "a") is not None  # the only connection is free again
        assert made.full == 1
        assert {task for task in asyncio.all_tasks() - before if "serve" not in repr(task)} == set()
        ended.set()


async def test_a_refusal_is_botocores(s3_endpoint: str) -> None:
    server = Doubtful("200 OK", "403 Forbidden", "403 Forbidden", "403 Forbidden")
    async with answering(server) as url, world(url) as made:
        await made.store.head("bucket", "a")
        for asked in (3, 4):  # what is refused makes no template
            with pytest.raises(StorageIOError, match="credentials and the policies"):
                await made.store.head("bucket", "a")
            assert len(server.asked) == asked


async def test_credentials_are_renewed() -> None:
    number = iter(range(100))

    async def renew() -> dict[str, Any]:
        made = next(number)
        soon = datetime.now(UTC) + timedelta(seconds=1)  # is renewed before each use
        keys = {name: f"{name}-{made}" for name in ("access_key", "secret_key", "token")}
        return {**keys, "expiry_time": soon.isoformat()}

    used: list[tuple[bytes, bytes]] = []

    async def answer(request: str, head: bytes) -> bytes:
        [key] = re.findall(rb"Credential=(.*?)/", head)
        [token] = re.findall(rb"(?i)x-amz-security-token: (.*)\r", head)
        used.append((key, token))
        return response("200 OK", b"")

    credentials = AioRefreshableCredentials.create_from_metadata(await renew(), renew, "test")
    async with answering(answer) as url, world(url, credentials=credentials) as made:
        for _ in range(6):
            await made.store.head("bucket", "a")
    numbers = [int(key.removeprefix(b"access_key-")) for key, _ in used]
    assert all(token == f"token-{number}".encode() for number, (_, token) in zip(numbers, used, strict=True))
    assert len(set(numbers)) == len(numbers)


async def test_a_client_that_is_no_aiobotocore_client_is_asked() -> None:
    class Fake:
        async def head_object(self, **arguments: Any) -> dict[str, Any]:
            return arguments

    assert await Heads(Fake()).head("bucket", "a", {}) == {"Bucket": "bucket", "Key": "a"}


async def test_a_closed_client_raises_what_botocore_raises(s3_endpoint: str, bucket: str) -> None:
    async with world(s3_endpoint) as made:
        await made.store.head(bucket, "a")
    ours: Callable[[], Awaitable[Any]] = functools.partial(made.store.head, bucket, "a")
    before = made.full
    with suppress(StorageIOError):
        await ours()
    assert made.full == before + 1
    await made.s3.close()
