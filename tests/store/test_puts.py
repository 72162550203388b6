"""Puts without botocore: the same requests, answers and errors as with it, and botocore where something is unusual."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from aiobotocore.credentials import AioCredentials
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.handlers import disable_signing
from tests.servers import response, s3_error
from tests.store.worlds import (
    AWKWARD,
    CLIENTS,
    STANDARD,
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
from tests.torture.proxy import Fault, faulty

from deltaglider_async.errors import NotFoundError, PreconditionFailedError, StorageIOError
from deltaglider_async.format.metadata import PUT_ID
from deltaglider_async.store.answers import reader_of
from deltaglider_async.store.puts import Puts, _part
from deltaglider_async.store.templates import Template
from deltaglider_async.store.writes import watch_writes
from deltaglider_async.streams import CHUNK


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def put(made: World, bucket: str, key: str, data: bytes, **arguments: Any) -> dict[str, Any]:
    """A put of ours."""
    metadata = arguments.pop("Metadata", {})
    return await made.store.put(
        bucket, key, data, len(data), metadata=metadata, sha256=sha256(data), arguments=arguments
    )


def as_sent(data: bytes, **arguments: Any) -> dict[str, Any]:
    """The arguments that the store makes of a put's."""
    checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
    return {"ChecksumSHA256": checksum, "ChecksumAlgorithm": "SHA256", **arguments}


#: Arguments of many objects, and metadata of single ones.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "type": {"ContentType": "text/plain; charset=utf-8"},
    "described": {
        "CacheControl": "no-cache, max-age=0", "ContentDisposition": 'attachment; filename="a  b"',
        "ContentLanguage": "de", "ContentEncoding": "gzip",
    },
    "tags": {"Tagging": "a=b&c=d%20e", "StorageClass": "STANDARD_IA", "ACL": "bucket-owner-full-control"},
    "encryption": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "arn:aws:kms:eu-west-1:123456789012:key/1"},
    "payer": {"RequestPayer": "requester", "ExpectedBucketOwner": "123456789012"},
    "condition": {"IfNoneMatch": "*"},
}  # fmt: skip
METADATA = [
    {}, {"a": "b"}, {"Mixed-Case": "A b", "dg-x": "1"}, {"empty": ""}, {"inner": "a  b   c"},
    {"odd": "!\"#$%&'()*+,/:;"}, {"a": "1", "b": "2", "c": "~" * 500},
]  # fmt: skip


# -- the same requests


@pytest.mark.parametrize("client", CLIENTS)
async def test_requests_are_those_of_botocore(client: str) -> None:
    endpoint, arguments = CLIENTS[client]
    chosen = random.Random(client)
    keys = [*AWKWARD, *("".join(chr(chosen.randrange(1, 0xD800)) for _ in range(9)) for _ in range(10))]
    async with world(endpoint, **arguments) as made:
        recorder = Recorder(made.s3)
        credentials = await made.s3._request_signer._credentials.get_frozen_credentials()
        headers = frozenset(
            member.serialization["name"].lower()
            for member in input_members(made.s3).values()
            if member.serialization.get("location") == "header"
        )
        for same in ARGUMENTS.values():
            for number, metadata in enumerate(METADATA):
                template: Template | None = None
                for key in ("first", *keys[number :: len(METADATA)]):
                    data = chosen.randbytes(chosen.randrange(1, 9))
                    # Other values than those of the template's.
                    values = {name: value and f"{value}{key[:1].encode().hex()}" for name, value in metadata.items()}
                    sent = as_sent(data, Bucket="a-bucket", Key=key, Metadata=values, **same)
                    part = _part(data, sent)
                    assert part is not None
                    recorder.requests.clear()
                    await made.s3.put_object(Body=data, **sent)
                    [request] = recorder.requests
                    template = template or Template(request, key, part, headers)
                    template.compare(request, key, part, credentials)


def input_members(s3: Any) -> dict[str, Any]:
    members: dict[str, Any] = s3.meta.service_model.operation_model("PutObject").input_shape.members
    return members


class Wire:
    """A server that keeps what it is sent, byte for byte, and answers as it is told."""

    def __init__(self, *answers: bytes) -> None:
        self.requests: list[tuple[bytes, bytes]] = []
        self._answers = list(answers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"100-continue" in head.lower():
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
                self.requests.append((head, await reader.readexactly(int(length[1]) if length else 0)))
                answer = self._answers.pop(0) if self._answers else OK
                writer.write(answer)
                if answer is not OK:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client hung up
        finally:
            writer.close()

    @property
    def attempts(self) -> list[str]:
        return [re.findall(rb"(?i)amz-sdk-request: (.*)\r", head)[0].decode() for head, _ in self.requests]


OK = b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "1"\r\n\r\n'


@asynccontextmanager
async def wired(*answers: bytes, **arguments: Any) -> AsyncIterator[tuple[Wire, World]]:
    """A world before a server that gives these answers, after one that makes a template, and then 200."""
    wire = Wire(OK, *answers)
    async with await asyncio.start_server(wire.serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with world(url, **arguments) as made:
            yield wire, made


def lines(head: bytes) -> list[bytes]:
    """The lines of a request but for what belongs to one moment, and botocore's question before a body."""
    moment = rb"(?i)(x-amz-date|authorization|amz-sdk-invocation-id|expect): .*"
    first, *headers = head.split(b"\r\n")
    return [first, *sorted(line for line in headers if not re.fullmatch(moment, line))]


@pytest.mark.parametrize("same", ARGUMENTS)
async def test_the_same_bytes_are_sent(same: str) -> None:
    async with wired() as (wire, made):
        for number, (key, metadata) in enumerate([(key, METADATA[-1]) for key in AWKWARD], 1):
            data = bytes([number]) * number
            given = {"Metadata": {**metadata, PUT_ID: "0" * 16}, **ARGUMENTS[same]}
            await put(made, "bucket", key, data, **given)
            await made.put(Bucket="bucket", Key=key, Body=data, **as_sent(data, **given))
            (ours, our_body), (theirs, their_body) = wire.requests[-2:]
            assert our_body == their_body == data
            assert lines(ours) == lines(theirs)
            assert (b"100-continue" in ours.lower()) == (number == 1)
        assert made.full_puts == 1


# -- the same answers


@pytest.mark.parametrize("same", ARGUMENTS)
async def test_real_servers_take_them(real: World, place: str, same: str) -> None:
    taken = refused = 0

    async def theirs(data: bytes, sent: dict[str, Any]) -> dict[str, Any]:
        return cast("dict[str, Any]", await real.put(Body=data, **sent))

    async def ours(data: bytes, sent: dict[str, Any]) -> dict[str, Any]:
        return await real.store._puts.put(data, sent)

    for number, key in enumerate(AWKWARD, 1):
        data, given = bytes([number]) * number, {"Metadata": METADATA[number % len(METADATA)], **ARGUMENTS[same]}
        answers: list[dict[str, Any] | str] = []
        for write in (theirs, ours):
            try:
                sent = as_sent(data, Bucket=place, Key=key, **given)
                answer = told(await write(data, sent))
                answer["ResponseMetadata"]["HTTPHeaders"].pop("last-modified", None)  # of moto
                answers.append(answer)
            except ClientError as error:
                answers.append(error.response["Error"]["Code"])
                refused += write is ours
            if not isinstance(answers[-1], str):
                taken += 1
                got = await real.s3.get_object(Bucket=place, Key=key)
                assert await got["Body"].read() == data
                assert got["Metadata"].items() >= {k.lower(): v for k, v in given["Metadata"].items()}.items()
                await real.s3.delete_object(Bucket=place, Key=key)
        assert answers[0] == answers[1], key
    assert taken > 30 or same in ("encryption", "tags", "payer"), taken
    if taken > 30:
        assert real.full_puts <= len(METADATA) + 2 * refused  # what is refused makes no template


def test_every_member_of_an_answer_is_read_as_botocore_reads_it() -> None:
    from botocore.awsrequest import HeadersDict
    from botocore.parsers import create_parser
    from botocore.session import Session

    service = Session().get_service_model("s3")
    shape: Any = service.operation_model("PutObject").output_shape
    samples = {"string": "a b", "long": "17", "integer": "3", "boolean": "true"}
    headers = {member.serialization["name"].lower(): samples[member.type_name] for member in shape.members.values()} | {
        "x-amz-request-id": "1",
        "x-amz-meta-a": "b",
        "expires": "never",
    }
    for told_headers in (headers, {}, {"x-amz-server-side-encryption-bucket-key-enabled": "false", "etag": ""}):
        answer = {"headers": HeadersDict(told_headers), "status_code": 200, "body": b""}
        theirs: Any = create_parser("rest-xml").parse(answer, shape)
        theirs["ResponseMetadata"]["RetryAttempts"] = 0
        assert reader_of(service, "PutObject").read(200, told_headers) == theirs


# -- whatever is unusual


KEY = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    ("data", "given"),
    [
        (b"", {}),
        (bytes(CHUNK + 1), {}),
        (b"1", {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": KEY}),
        (b"1", {"IfMatch": '"1"'}),
        (b"1", {"ContentMD5": base64.b64encode(hashlib.md5(b"1", usedforsecurity=False).digest()).decode()}),
        (b"1", {"Expires": datetime(2030, 1, 2, tzinfo=UTC)}),
        (b"1", {"BucketKeyEnabled": True}),
        (b"1", {"ChecksumAlgorithm": "CRC32"}),
        (b"1", {"WebsiteRedirectLocation": "/a"}),
        (b"1", {"ObjectLockLegalHoldStatus": "ON"}),
        (b"1", {"Metadata": {"a": " edge"}}),
        (b"1", {"Metadata": {"a": "edge\t"}}),
        (b"1", {"Metadata": {"a": "b", "A": "c"}}),
    ],
)
async def test_what_is_not_known_here_is_botocores(data: bytes, given: dict[str, Any]) -> None:
    async with wired(OK, OK, OK) as (wire, made):
        for _ in range(3):
            await put(made, "bucket", "a", data, **given)
        assert made.full_puts == 3
        assert [body for _, body in wire.requests] == [data] * 3


async def test_metadata_that_is_not_ascii_is_refused_as_before() -> None:
    async with wired() as (wire, made):
        await put(made, "bucket", "a", b"1", Metadata={"a": "b"})
        with pytest.raises(Exception, match="ascii"):
            await put(made, "bucket", "a", b"1", Metadata={"a": "ä"})
        assert len(wire.requests) == 1


async def test_small_bytes_whose_digest_is_not_known_beforehand_are_checked_by_the_service() -> None:
    async def chunks(data: bytes) -> AsyncIterator[bytes]:
        for start in range(len(data)):
            yield data[start : start + 1]

    async with wired() as (wire, made):
        for data in (b"one", b"two", b"three"):
            await made.store.put("bucket", "a.delta", cast("Any", chunks(data)), len(data), metadata={})
            head, body = wire.requests[-1]
            assert body == data
            [checksum] = re.findall(rb"(?i)x-amz-checksum-sha256: (.*)\r", head)
            assert base64.b64decode(checksum) == hashlib.sha256(data).digest()
        assert made.full_puts == 1


async def test_each_kind_has_a_template() -> None:
    async with wired() as (_, made):
        for _ in range(2):
            for given in ({}, {"ContentType": "a/b"}, {"ContentType": "c/d"}, {"Metadata": {"a": "b"}}):
                for value in ("1", "2"):
                    names = {name: {"a": value} for name in given if name == "Metadata"}
                    await put(made, "bucket", value, value.encode(), **{**given, **names})
        assert made.full_puts == 4


async def test_the_first_of_many_at_once_makes_the_template() -> None:
    async with wired() as (wire, made):
        bodies = [bytes([number]) for number in range(1, 9)]
        await asyncio.gather(*(put(made, "bucket", "a", body) for body in bodies))
        assert sorted(body for _, body in wire.requests) == bodies
        assert made.full_puts == 1


@pytest.mark.parametrize("unusual", [foreign, foreign_of_all, debugging, traced, patched, patched_itself])
async def test_a_client_that_is_watched_puts_itself(unusual: Callable[[World], None]) -> None:
    import logging

    try:
        async with wired() as (_, made):
            unusual(made)
            for _ in range(3):
                await put(made, "bucket", "a", b"1")
            assert made.full_puts == 3
    finally:
        logging.getLogger("botocore").setLevel(logging.NOTSET)


async def test_handlers_of_botocores_own_that_come_later_hold_from_the_next_put() -> None:
    async with wired() as (wire, made):
        await put(made, "bucket", "a", b"1")
        made.s3.meta.events.register("choose-signer.s3.*", disable_signing)
        await put(made, "bucket", "a", b"2")
        made.s3.meta.events.unregister("choose-signer.s3.*", disable_signing)
        await put(made, "bucket", "a", b"3")
        signed = [b"authorization:" in head.lower() for head, _ in wire.requests]
        assert signed == [True, False, True]


async def test_a_put_that_is_signed_while_handlers_change_is_no_template() -> None:
    class Late(AioCredentials):
        events: Any = None

        async def get_frozen_credentials(self) -> Any:  # type: ignore[override]
            if self.events is not None:
                events, self.events = self.events, None
                events.register("choose-signer.s3.*", disable_signing)
                await made.store.head("bucket", "a")  # looks at the handlers anew, as puts of others may
                await put(made, "bucket", "b", b"2")
            return await super().get_frozen_credentials()

    credentials = Late("key", "secret")
    async with wired(OK, credentials=credentials) as (wire, made):
        credentials.events = made.s3.meta.events
        for data in (b"1", b"3"):
            await put(made, "bucket", "a", data)
        signed = {body: b"authorization:" in head.lower() for head, body in wire.requests if body}
        assert signed == {b"1": True, b"2": False, b"3": False}


async def test_credentials_that_a_client_is_given_later_sign_the_next_put() -> None:
    async with wired() as (wire, made):
        for name in ("one", "one", "two", "two"):
            if made.s3._request_signer._credentials.access_key != name:
                made.s3._request_signer._credentials = AioCredentials(name, "secret")
            await put(made, "bucket", "a", b"1")
        used = [re.findall(rb"Credential=(.*?)/", head)[0] for head, _ in wire.requests]
        assert used == [b"one", b"one", b"two", b"two"]
        assert made.full_puts == 2


async def test_puts_of_an_invocation_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "function")
    async with wired() as (wire, made):
        await put(made, "bucket", "a", b"1")  # before the first invocation
        for invocation in ("Root=1", "Root=2"):
            monkeypatch.setenv("_X_AMZN_TRACE_ID", invocation)
            await put(made, "bucket", "a", b"2")
            head, _ = wire.requests[-1]
            assert re.findall(rb"(?i)x-amzn-trace-id: (.*)\r", head) == [invocation.encode()]


async def test_certificates_that_cannot_be_read_are_botocores_error() -> None:
    never = options(retries={"total_max_attempts": 1})
    async with world("https://127.0.0.1:1", verify="/there/is/none.pem", config=never) as made:
        for _ in range(2):
            with pytest.raises(StorageIOError, match="No such file"):
                await put(made, "bucket", "a", b"1")
            with pytest.raises(StorageIOError, match="No such file"):
                await made.store.head("bucket", "a")


async def test_whoever_counts_writes_is_told() -> None:
    async with wired() as (_, made):
        changed: list[str] = []
        watch_writes(made.s3, changed.append, "ignored")
        for key in ("a", "b", "ignored"):
            await put(made, "bucket", key, b"1")
        assert made.full_puts == 1
        assert changed == ["bucket"] * 4


async def test_a_put_that_succeeds_gives_back_what_retries_may_use() -> None:
    async with wired(config=Config(retries={"mode": "standard"})) as (_, made):
        await put(made, "bucket", "a", b"1")
        [handler] = [
            one.__self__
            for one in made.s3.meta.events._emitter._handlers.prefix_search("after-call.s3.PutObject")
            if type(one.__self__).__name__ == "RetryQuotaChecker"
        ]
        handler._quota.acquire(10)
        left = handler._quota.available_capacity
        await put(made, "bucket", "a", b"1")
        assert made.full_puts == 1
        assert handler._quota.available_capacity == left + 1


@pytest.mark.parametrize(
    "failure",
    [
        response("500 Internal Server Error"),
        s3_error("503 Slow Down", "SlowDown", "slow down"),
        s3_error("200 OK", "InternalError", "an error in a good answer"),
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123",
    ],
)
async def test_what_fails_is_botocores_first_attempt(failure: bytes) -> None:
    for failures in (1, 3):
        async with wired(*[failure] * failures, config=STANDARD) as (wire, made):
            await put(made, "bucket", "a", b"1")
            if failures == 1:
                answer = await put(made, "bucket", "a", b"22")
                assert answer["ResponseMetadata"]["RetryAttempts"] == 1
            else:
                with pytest.raises(StorageIOError):
                    await put(made, "bucket", "a", b"22")
            assert (
                wire.attempts[1:] == ["attempt=1", "attempt=2; max=3", "attempt=3; max=3"][: failures + (failures < 3)]
            )
            assert {body for _, body in wire.requests[1:]} == {b"22"}
            assert made.full_puts == 2


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ("412 Precondition Failed", "PreconditionFailed", PreconditionFailedError),
        ("404 Not Found", "NoSuchBucket", NotFoundError),
        ("409 Conflict", "OperationAborted", StorageIOError),
    ],
)
async def test_what_is_decided_is_not_asked_again(status: str, code: str, kind: type[Exception]) -> None:
    async with wired(s3_error(status, code, "why")) as (wire, made):
        await put(made, "bucket", "a", b"1")
        with pytest.raises(kind, match=r"why|there is|condition") as caught:
            await put(made, "bucket", "a", b"2")
        assert cast("ClientError", caught.value).response["Error"]["Code"] == code
        assert len(wire.requests) == 2


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "301 Moved Permanently"])
async def test_a_request_that_is_refused_is_made_by_botocore(status: str) -> None:
    async with wired(s3_error(status, "Refused", "why")) as (wire, made):
        for data in (b"1", b"2"):
            await put(made, "bucket", "a", data)
        assert [body for _, body in wire.requests] == [b"1", b"2", b"2"]
        assert made.full_puts == 2


async def test_a_redirect_is_followed_with_the_body() -> None:
    there = Wire()
    async with await asyncio.start_server(there.serve, "127.0.0.1", 0) as server:
        other = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/bucket/b"
        async with wired(response("307 Temporary Redirect", b"", f"Location: {other}")) as (_, made):
            await put(made, "bucket", "a", b"1")
            answer = await put(made, "bucket", "a", b"22")
            assert answer["ETag"] == '"1"'
            assert [body for _, body in there.requests] == [b"22"]


@pytest.mark.parametrize("fault", [Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.ERROR_500, Fault.STALL])
async def test_a_conditional_put_that_meets_itself_is_done(s3_endpoint: str, bucket: str, fault: Fault) -> None:
    faults: list[Fault] = []

    def choose(method: str, target: str) -> Fault | None:
        return faults.pop() if method == "PUT" and faults else None

    config = options(read_timeout=1, retries={"mode": "standard"})
    async with faulty(s3_endpoint, choose) as (url, proxy), world(url, config=config) as made:
        await put(made, bucket, "first", b"0", IfNoneMatch="*")
        faults += [fault]
        await put(made, bucket, "a", b"1", IfNoneMatch="*")
        assert not faults
        puts = [each for each in proxy.exchanges if each.method == "PUT"]
        assert [each.fault for each in puts] == [None, fault, None]
        got = await made.s3.get_object(Bucket=bucket, Key="a")
        assert await got["Body"].read() == b"1"
        with pytest.raises(PreconditionFailedError):
            await put(made, bucket, "a", b"2", IfNoneMatch="*")


async def test_a_put_can_be_cancelled() -> None:
    asked, ended, seen = asyncio.Event(), asyncio.Event(), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        head = await reader.readuntil(b"\r\n\r\n")
        if b"100-continue" in head.lower():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await reader.readexactly(1)
        seen += 1
        if seen == 2:
            asked.set()
            await ended.wait()
        writer.write(response("200 OK"))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with world(url, config=options(max_pool_connections=1)) as made:
            await put(made, "bucket", "a", b"1")
            before = asyncio.all_tasks()
            putting = asyncio.create_task(put(made, "bucket", "a", b"2"))
            await asked.wait()
            putting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await putting
            await put(made, "bucket", "a", b"3")  # the only connection is free again
            assert made.full_puts == 1
            assert {task for task in asyncio.all_tasks() - before if "serve" not in repr(task)} == set()
            ended.set()


async def test_a_client_that_is_no_aiobotocore_client_is_asked() -> None:
    class Fake:
        async def put_object(self, **arguments: Any) -> dict[str, Any]:
            return arguments

    sent = as_sent(b"1", Bucket="bucket", Key="a")
    assert await Puts(Fake()).put(b"1", sent) == {**sent, "Body": b"1"}
