"""HEADs without botocore: the same requests and answers as with it, and botocore wherever something is unusual."""

from __future__ import annotations

import asyncio
import base64
import functools
import logging
import os
import random
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.credentials import AioRefreshableCredentials
from aiobotocore.session import get_session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.parsers import create_parser
from botocore.session import Session
from tests.conftest import REGION
from tests.real_servers import ACCESS_KEY, SECRET_KEY, program
from tests.servers import answering, response
from tests.torture.proxy import shorten_pauses

from deltaglider_async.errors import NotFoundError, StorageIOError
from deltaglider_async.store.heads import Heads, _Template, members_of, read_answer
from deltaglider_async.store.s3 import Store

#: Names that have been spelled wrongly in addresses or signatures before.
AWKWARD = [
    "a b", "a+b", "100%", "a%20b", "a%2Fb", "ä/ö ü", "日本", "q?a=b&c", "hash#1", "'\"", "a//b", "a/", "(x)!*,;:@=$",
    "~tilde", "back\\slash", "new\nline", "😀", "x" * 1000, "[1]", "a/../b c", "<&>", "\u00a0", "\u2028", "|^`{}",
]  # fmt: skip


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_pauses(monkeypatch)


SERVICE = Session().get_service_model("s3")
SHAPE: Any = SERVICE.operation_model("HeadObject").output_shape


class World:
    """A store, and botocore's client that it uses. `full` counts the HEADs that are botocore's."""

    def __init__(self, s3: Any) -> None:
        self.s3, self.store, self.full = s3, Store(s3), 0
        self._head = s3.head_object
        s3.head_object = self._counted

    async def _counted(self, **arguments: Any) -> Any:
        self.full += 1
        return await self._head(**arguments)

    async def botocores(self, **arguments: Any) -> dict[str, Any]:
        """Its answer, or its error's."""
        try:
            return cast("dict[str, Any]", await self._head(**arguments))
        except ClientError as error:
            return cast("dict[str, Any]", error.response)

    async def ours(self, bucket: str, key: str, **arguments: Any) -> dict[str, Any]:
        try:
            return await self.store.head_existing(bucket, key, arguments)
        except ClientError as error:
            return cast("dict[str, Any]", error.response)


@asynccontextmanager
async def world(endpoint: str | None, **arguments: Any) -> AsyncIterator[World]:
    keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "region_name": REGION}
    session: Any = get_session()
    if endpoint is None:  # AWS, whatever the environment says
        arguments["config"] = options(ignore_configured_endpoint_urls=True).merge(arguments.get("config") or Config())
    if (credentials := arguments.pop("credentials", None)) is not None:
        session._credentials = credentials
        keys = {"region_name": REGION}
    async with session.create_client("s3", endpoint_url=endpoint, **keys, **arguments) as s3:
        yield World(s3)


@pytest.fixture(params=["moto", "minio"])
async def real(request: pytest.FixtureRequest, real_server: Callable[[str], str]) -> AsyncIterator[World]:
    if request.param == "minio" and not program("minio"):
        pytest.skip("there is no MinIO here; make servers builds it")
    async with world(real_server(request.param)) as made:
        yield made


@pytest.fixture
async def place(real: World) -> str:
    name = f"test-{secrets.token_hex(8)}"
    await real.s3.create_bucket(Bucket=name)
    return name


def told(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what belongs to one request."""
    about = dict(answer["ResponseMetadata"])
    theirs: dict[str, str] = about.pop("HTTPHeaders")
    headers = {
        name: value
        for name, value in theirs.items()
        if name not in ("date", "x-amz-request-id", "x-amzn-requestid", "x-ratelimit-limit", "x-ratelimit-remaining")
    }
    about.pop("RequestId", None)
    return answer | {"ResponseMetadata": about | {"HTTPHeaders": headers}}


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
        ours = read_answer(status, lowered, members_of(SERVICE))
        assert ours is not None
        assert ours == theirs
        assert repr(sorted(ours.items())) == repr(sorted(theirs.items()))


@pytest.mark.parametrize(
    ("status", "headers"),
    [(status, {}) for status in (206, 301, 307, 304, 400, 403, 412, 429, 500, 503)] + [(200, {"expires": "never"})],
)
def test_other_answers_are_not_read(status: int, headers: dict[str, str]) -> None:
    assert read_answer(status, headers, {}) is None


@pytest.mark.parametrize("name", ["content-length", "last-modified", "x-amz-mp-parts-count"])
async def test_an_answer_that_cannot_be_read_is_botocores_error(name: str) -> None:
    with pytest.raises((ValueError, RuntimeError, KeyError)):
        read_answer(200, {name: "Wed, 99 Abc 2026 20:01:51 GMT"}, members_of(SERVICE))


# -- the same requests


class Recorder:
    """What a client would send: nothing is sent."""

    def __init__(self, s3: Any) -> None:
        self.requests: list[Any] = []
        s3.meta.events.register("before-send.s3.HeadObject", self._answer)

    def _answer(self, request: Any, **_: Any) -> AioAWSResponse:
        self.requests.append(request)
        answer = AioAWSResponse(request.url, 200, cast("Any", {}), None)
        vars(answer)["_content"] = b""
        return answer


def options(**chosen: Any) -> Any:
    return Config(**chosen)


CLIENTS: dict[str, tuple[str | None, dict[str, Any]]] = {
    "AWS": (None, {}),
    "path": (None, {"config": options(s3={"addressing_style": "path"})}),
    "token": (None, {"aws_session_token": "to+ken/=="}),
    "dual stack": (None, {"config": options(s3={"use_dualstack_endpoint": True})}),
    "accelerated": (None, {"config": options(s3={"use_accelerate_endpoint": True})}),
    "unsigned payload": (None, {"config": options(s3={"payload_signing_enabled": False})}),
    "port": ("http://127.0.0.1:9000", {}),
    "folder": ("https://storage.example/a/folder", {}),
    "virtual": ("http://storage.example:81", {"config": options(s3={"addressing_style": "virtual"})}),
}


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
            template = _Template(recorder.requests[0], "first", cast("Any", None), credentials)
            for key, request in zip(keys, recorder.requests, strict=True):
                template.compare(request, key, await credentials.get_frozen_credentials())


async def test_a_request_of_one_invocation_is_no_template(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "function")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1")
    async with world("http://127.0.0.1:9000") as made:
        recorder, credentials = Recorder(made.s3), made.s3._request_signer._credentials
        await made.s3.head_object(Bucket="bucket", Key="a")
        with pytest.raises(ValueError, match="trace"):
            _Template(recorder.requests[0], "a", cast("Any", None), credentials)


@pytest.mark.parametrize("change", ["url", "secret", "header", "token"])
async def test_a_request_that_a_template_does_not_give_is_noticed(change: str) -> None:
    async with world("http://127.0.0.1:9000") as made:
        recorder, credentials = Recorder(made.s3), made.s3._request_signer._credentials
        await made.s3.head_object(Bucket="bucket", Key="a/b")
        [request] = recorder.requests
        template = _Template(request, "a/b", cast("Any", None), credentials)
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
            template.compare(request, "a/b", frozen)


# -- whatever is unusual


async def test_each_bucket_has_a_template(s3_endpoint: str) -> None:
    async with world(s3_endpoint) as made:
        for name in ("bucket-one", "bucket-two", "bucket-one", "bucket-two"):
            assert await made.store.head(f"{name}-{os.getpid()}", "a") is None
        assert made.full == 2


def foreign(made: World) -> None:
    made.s3.meta.events.register("before-sign.s3.HeadObject", lambda **_: None)


def foreign_of_all(made: World) -> None:
    made.s3.meta.events.register("needs-retry", lambda **_: None)


def debugging(made: World) -> None:
    logging.getLogger("botocore").setLevel(logging.DEBUG)


def traced(made: World) -> None:
    # As wrapt does: what looks like the function is another object.
    call = functools.partial(type(made.s3)._make_api_call, made.s3)
    setattr(type(made.s3), "_make_api_call", call)  # noqa: B010


@pytest.mark.parametrize("unusual", [foreign, foreign_of_all, debugging, traced])
@pytest.mark.parametrize("late", [False, True])
async def test_a_client_that_is_watched_asks_itself(
    s3_endpoint: str, bucket: str, unusual: Callable[[World], None], late: bool
) -> None:
    try:
        async with world(s3_endpoint) as made:
            if late and unusual is not traced:
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
        assert made.full == 3


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


class Doubtful:
    """A server that gives these answers, one after the other, and counts how often it was asked."""

    def __init__(self, *statuses: str) -> None:
        self._answers = list(statuses)
        self.asked: list[str] = []

    async def __call__(self, request: str, head: bytes) -> bytes:
        assert b"authorization: aws4-hmac-sha256 credential=" in head.lower()
        self.asked.append(re.findall(rb"(?i)amz-sdk-request: (.*)\r", head)[0].decode())
        status = self._answers.pop(0)
        return response(status, b"", "x-amz-request-id: 1") if status else b""


@pytest.mark.parametrize(
    "first", ["500 Internal Server Error", "503 Slow Down", "HTTP", "", "302 Found", "400 Bad Request"]
)
async def test_after_an_unusual_answer_botocore_asks(first: str) -> None:
    server = Doubtful("200 OK", first, "200 OK", "200 OK")
    async with answering(server) as url, world(url) as made:
        for _ in range(3):
            assert await made.store.head("bucket", "a") is not None
        assert len(server.asked) == 4
        # aiohttp itself asks once more where there was no answer at all.
        assert made.full == (2 if first else 1)


async def test_botocores_retries_follow() -> None:
    failure = "500 Internal Server Error"
    server = Doubtful("200 OK", failure, failure, failure, failure, failure)
    async with (
        answering(server) as url,
        world(url, config=Config(retries={"mode": "standard", "total_max_attempts": 3})) as made,
    ):
        assert await made.store.head("bucket", "a") is not None
        with pytest.raises(StorageIOError, match="500"):
            await made.store.head("bucket", "a")
        assert server.asked[2:] == ["attempt=1", "attempt=2; max=3", "attempt=3; max=3"]
        assert len(server.asked) == 5


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
