"""Stores beside botocore's clients that they use, and servers that answer as they are told."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.session import get_session
from botocore.config import Config
from botocore.exceptions import ClientError
from tests.conftest import REGION
from tests.real_servers import ACCESS_KEY, SECRET_KEY
from tests.servers import response

from deltaglider_async.store.s3 import Store

#: Names that have been spelled wrongly in addresses or signatures before.
AWKWARD = [
    "a b", "a+b", "100%", "a%20b", "a%2Fb", "ä/ö ü", "日本", "q?a=b&c", "hash#1", "'\"", "a//b", "a/", "(x)!*,;:@=$",
    "~tilde", "back\\slash", "new\nline", "😀", "x" * 1000, "[1]", "a/../b c", "<&>", "\u00a0", "\u2028", "|^`{}",
]  # fmt: skip


def options(**chosen: Any) -> Any:
    return Config(**chosen)


STANDARD = options(retries={"mode": "standard", "total_max_attempts": 3})


class World:
    """A store, and botocore's client that it uses. `full` counts botocore's HEADs, `full_puts` its puts."""

    def __init__(self, s3: Any) -> None:
        self.s3, self.store, self.full, self.full_puts = s3, Store(s3), 0, 0
        self._head, self.put = s3.head_object, s3.put_object
        s3.head_object, s3.put_object = self._counted, self._counted_put

    async def _counted(self, **arguments: Any) -> Any:
        self.full += 1
        return await self._head(**arguments)

    async def _counted_put(self, **arguments: Any) -> Any:
        self.full_puts += 1
        return await self.put(**arguments)

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


class Recorder:
    """What a client would send: nothing is sent."""

    def __init__(self, s3: Any) -> None:
        self.requests: list[Any] = []
        for operation in ("HeadObject", "PutObject"):
            s3.meta.events.register(f"before-send.s3.{operation}", self._answer)

    def _answer(self, request: Any, **_: Any) -> AioAWSResponse:
        self.requests.append(request)
        answer = AioAWSResponse(request.url, 200, cast("Any", {}), None)
        vars(answer)["_content"] = b""
        return answer


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


def foreign(made: World) -> None:
    made.s3.meta.events.register("before-sign.s3", lambda **_: None)


def foreign_of_all(made: World) -> None:
    made.s3.meta.events.register("needs-retry", lambda **_: None)


def debugging(made: World) -> None:
    logging.getLogger("botocore").setLevel(logging.DEBUG)


def traced(made: World) -> None:
    # As wrapt does: what looks like the function is another object.
    call = functools.partial(type(made.s3)._make_api_call, made.s3)
    setattr(type(made.s3), "_make_api_call", call)  # noqa: B010


def patched(made: World) -> None:
    # As tests do: a function in the place of the method.
    theirs = type(made.s3)._make_api_call

    async def call(self: Any, *arguments: Any) -> Any:
        return await theirs(self, *arguments)

    setattr(type(made.s3), "_make_api_call", call)  # noqa: B010


def patched_itself(made: World) -> None:
    made.s3._make_api_call = functools.partial(type(made.s3)._make_api_call, made.s3)


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
