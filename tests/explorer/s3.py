"""An S3 in memory whose every call waits until it is let go.

A call takes effect at the moment at which it is let go, in one step. ETags are functions of the bytes, as S3's are, so
that the same bytes put again have the same ETag. Clients share the objects; each call carries the name of its client.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError, ConnectionClosedError
from botocore.session import Session

#: The clock of this S3 stands still: ages of objects are what a scenario says.
NOW = datetime(2026, 1, 10, tzinfo=UTC)
OLD = NOW - timedelta(days=3)

_STORED_ARGUMENTS = ("Metadata", "ContentType", "CacheControl", "ServerSideEncryption", "SSEKMSKeyId")


@cache
def service_model() -> Any:
    """botocore's own description of S3: which arguments an operation has."""
    return Session().get_service_model("s3")


@dataclass(frozen=True, slots=True)
class Stored:
    """One object."""

    data: bytes
    attributes: Mapping[str, Any]
    modified: datetime = NOW

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.data, usedforsecurity=False).hexdigest()}"'

    def answer(self) -> dict[str, Any]:
        return {
            "ETag": self.etag,
            "ContentLength": len(self.data),
            "LastModified": self.modified,
            "Metadata": {},
            "ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {}},
            **self.attributes,
        }


class Objects(dict[str, Stored]):
    """The content of the only bucket, by key."""

    def aged(self) -> Objects:
        """The same, older than anything that is waited for."""
        return Objects({key: replace(stored, modified=OLD) for key, stored in self.items()})


@dataclass(eq=False)
class Call:
    """A call that waits. `go` lets it take effect."""

    client: str
    text: str
    gone: asyncio.Future[None]

    def go(self) -> None:
        self.gone.set_result(None)


@dataclass
class Gate:
    """Where calls wait, in the order in which they came."""

    waiting: list[Call] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)
    open: bool = False

    async def wait(self, client: str, text: str) -> None:
        """Until this call is let go. A dead client's calls reach nobody."""
        if client in self.dead:
            raise ConnectionClosedError(endpoint_url="a client that died")
        if self.open:
            return
        call = Call(client, text, asyncio.get_running_loop().create_future())
        self.waiting.append(call)
        try:
            await call.gone
        finally:
            self.waiting.remove(call)


class Body:
    """What the engine reads of a GetObject's body."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self, amount: int = -1) -> bytes:
        data, self._data = (self._data, b"") if amount < 0 else (self._data[:amount], self._data[amount:])
        return data

    def close(self) -> None:
        self._data = b""


class FakeS3:
    """aioboto3's S3 client as far as the engine uses it. `ignores` names operations that keep no condition."""

    def __init__(self, objects: Objects, gate: Gate, client: str, ignores: frozenset[str] = frozenset()) -> None:
        self.objects = objects
        self.meta = SimpleNamespace(
            endpoint_url="https://s3.us-east-1.amazonaws.com" if not ignores else "http://other.test",
            service_model=service_model(),
        )
        self._gate = gate
        self.name = client
        self._ignores = ignores
        self._uploads: dict[str, tuple[dict[str, Any], dict[int, bytes]]] = {}
        self._numbers = itertools.count()

    async def _turn(self, operation: str, key: str, more: str = "") -> None:
        await self._gate.wait(self.name, f"{operation} {key}{more}")

    def _check(self, operation: str, key: str, arguments: Mapping[str, Any]) -> None:
        """The conditions of a write."""
        there = self.objects.get(key)
        if operation in self._ignores:
            return
        if arguments.get("IfNoneMatch") == "*" and there is not None:
            raise _error(operation, "PreconditionFailed", 412)
        wanted = arguments.get("IfMatch")
        if wanted is None:
            return
        if there is None:
            raise _error(operation, "NoSuchKey", 404)
        if wanted not in ("*", there.etag):
            raise _error(operation, "PreconditionFailed", 412)

    def _existing(self, operation: str, key: str, arguments: Mapping[str, Any]) -> Stored:
        there = self.objects.get(key)
        if there is None:
            raise _error(operation, "NoSuchKey" if operation != "HeadObject" else "404", 404)
        if arguments.get("IfMatch") not in (None, "*", there.etag):
            raise _error(operation, "PreconditionFailed", 412)
        if arguments.get("IfNoneMatch") in ("*", there.etag):
            raise _error(operation, "304", 304)
        return there

    async def head_object(self, *, Bucket: str, Key: str, **arguments: Any) -> dict[str, Any]:
        await self._turn("HEAD", Key)
        return self._existing("HeadObject", Key, arguments).answer()

    async def get_object(self, *, Bucket: str, Key: str, **arguments: Any) -> dict[str, Any]:
        await self._turn("GET", Key)
        there = self._existing("GetObject", Key, arguments)
        return {**there.answer(), "Body": Body(there.data)}

    async def put_object(self, *, Bucket: str, Key: str, Body: Any, **arguments: Any) -> dict[str, Any]:
        await self._turn("PUT", Key, _conditions(arguments))
        self._check("PutObject", Key, arguments)
        stored = Stored(
            Body if isinstance(Body, bytes) else Body.read(),
            {name: arguments[name] for name in _STORED_ARGUMENTS if name in arguments},
        )
        self.objects[Key] = stored
        return {"ETag": stored.etag, "ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {}}}

    async def copy_object(self, *, CopySource: Any, Bucket: str, Key: str, **arguments: Any) -> dict[str, Any]:
        source = CopySource["Key"]
        pinned = {name.removeprefix("CopySource"): value for name, value in arguments.items()}
        await self._turn("COPY", f"{source} to {Key}", _conditions(arguments))
        there = self.objects.get(source)
        if there is None:
            raise _error("CopyObject", "NoSuchKey", 404)
        if "CopyObject" not in self._ignores:
            if "CopySourceIfMatch" in arguments and pinned["IfMatch"] != there.etag:
                raise _error("CopyObject", "PreconditionFailed", 412)
            self._check("CopyObject", Key, {n: arguments[n] for n in ("IfMatch", "IfNoneMatch") if n in arguments})
        given = {name: arguments[name] for name in _STORED_ARGUMENTS if name in arguments}
        attributes = given if arguments.get("MetadataDirective") == "REPLACE" else there.attributes
        self.objects[Key] = Stored(there.data, attributes)
        return {"CopyObjectResult": {"ETag": there.etag, "LastModified": NOW}}

    async def delete_object(self, *, Bucket: str, Key: str, **arguments: Any) -> dict[str, Any]:
        await self._turn("DELETE", Key, _conditions(arguments))
        self._check("DeleteObject", Key, arguments)
        self.objects.pop(Key, None)
        return {"ResponseMetadata": {"HTTPStatusCode": 204, "HTTPHeaders": {}}}

    async def delete_objects(self, *, Bucket: str, Delete: Any, **arguments: Any) -> dict[str, Any]:
        """Each key at a moment of its own, as S3 promises nothing more."""
        for each in Delete["Objects"]:
            await self._turn("DELETE", each["Key"], " among others")
            self.objects.pop(each["Key"], None)
        return {"Deleted": [{"Key": each["Key"]} for each in Delete["Objects"]]}

    async def list_objects_v2(
        self,
        *,
        Bucket: str,
        Prefix: str = "",
        Delimiter: str = "",
        StartAfter: str = "",
        ContinuationToken: str = "",
        MaxKeys: int = 1000,
        **arguments: Any,
    ) -> dict[str, Any]:
        await self._turn("LIST", Prefix or "(all)")
        after = ContinuationToken or StartAfter
        contents, prefixes = [], []
        for key, stored in sorted(self.objects.items()):
            if not key.startswith(Prefix) or key <= after:
                continue
            cut = key.find(Delimiter, len(Prefix)) if Delimiter else -1
            if cut >= 0:
                prefixes.append(key[: cut + 1])
            else:
                attributes = {"ETag": stored.etag, "Size": len(stored.data), "LastModified": stored.modified}
                contents.append({"Key": key, "StorageClass": "STANDARD", **attributes})
        common = [{"Prefix": prefix} for prefix in dict.fromkeys(prefixes)]
        return {
            "Contents": contents,
            "CommonPrefixes": common,
            "IsTruncated": False,
            "ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {"date": "Sat, 10 Jan 2026 00:00:00 GMT"}},
        }

    async def list_multipart_uploads(self, **arguments: Any) -> dict[str, Any]:
        return {"IsTruncated": False}

    async def list_object_versions(self, **arguments: Any) -> dict[str, Any]:
        return {"IsTruncated": False}

    async def get_object_tagging(self, **arguments: Any) -> dict[str, Any]:
        return {"TagSet": []}

    async def get_bucket_lifecycle_configuration(self, **arguments: Any) -> dict[str, Any]:
        raise _error("GetBucketLifecycleConfiguration", "NoSuchLifecycleConfiguration", 404)

    async def head_bucket(self, **arguments: Any) -> dict[str, Any]:
        return {"ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {"date": "Sat, 10 Jan 2026 00:00:00 GMT"}}}


def _conditions(arguments: Mapping[str, Any]) -> str:
    names = ("IfNoneMatch", "IfMatch", "CopySourceIfMatch")
    return "".join(f" {name}={arguments[name]}" for name in names if arguments.get(name))


def _error(operation: str, code: str, status: int) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)
