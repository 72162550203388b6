"""The source of a copy: what is asked for, whether it may be copied, and its bytes, pinned by the ETag found first."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from deltaglider_async.engine.core import Engine, Response, where
from deltaglider_async.engine.get import Found, decoded
from deltaglider_async.engine.request import IN_MEMORY, PutRequest
from deltaglider_async.errors import PreconditionFailedError
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.store.body import Request, body_chunks
from deltaglider_async.store.errors import refused
from deltaglider_async.store.s3 import instant
from deltaglider_async.streams import Chunks
from deltaglider_async.streams.body import verified
from deltaglider_async.streams.source import Source, settle

if TYPE_CHECKING:
    from deltaglider_async.types import Progress

#: What S3 takes over from the source besides the user's metadata, unless `MetadataDirective` is REPLACE.
HEADERS = ("ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "Expires")
#: Arguments of CopyObject that say nothing about the object that is written.
_OF_COPY = ("MetadataDirective", "TaggingDirective", "Tagging", "ExpectedSourceBucketOwner")


class SourceChangedError(Exception):
    """The source is not what was found first: look again. Never leaves `copy`."""


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """One copy. `arguments` are boto3's for CopyObject except `Bucket`, `Key`, `CopySource` and `Metadata`."""

    bucket: str
    key: str
    source: Mapping[str, str]
    """`Bucket`, `Key` and perhaps `VersionId`."""
    metadata: Mapping[str, str]
    arguments: Mapping[str, Any]
    max_ratio: float
    progress: Progress = field(default=lambda phase, position: None)

    @property
    def source_name(self) -> str:
        """The source as messages name it."""
        return where(self.source["Bucket"], self.source["Key"])

    @property
    def replaces(self) -> bool:
        """Whether the metadata is the caller's instead of the source's."""
        return self.arguments.get("MetadataDirective") == "REPLACE"

    @property
    def reading(self) -> Response:
        """Arguments of calls that read the source, without its version."""
        given = {
            "RequestPayer": self.arguments.get("RequestPayer"),
            "ExpectedBucketOwner": self.arguments.get("ExpectedSourceBucketOwner"),
        } | {
            name.removeprefix("CopySource"): value
            for name, value in self.arguments.items()
            if name.startswith("CopySourceSSE")
        }
        return {name: value for name, value in given.items() if value is not None}

    @property
    def version(self) -> Response:
        """The version of the source as an argument, if one was named."""
        return {name: self.source[name] for name in ("VersionId",) if name in self.source}

    def onto_itself(self, found: Found) -> bool:
        """Whether the stored object that would be written is the one that is read."""
        if self.version or self.source["Bucket"] != self.bucket:
            return False
        return found.stored_key == (keys.delta_key(self.key) if found.delta else self.key)


def parse_source(source: str | Mapping[str, str]) -> dict[str, str]:
    """`CopySource` in either of boto3's forms as its dict. Text is not percent-decoded: boto3 encodes what it gets.

    Raises `InvalidRequestError` (and boto3's `ParamValidationError`) for anything else.
    """
    parsed: dict[str, str | None]
    if isinstance(source, str):
        path, _, version = source.partition("?versionId=")
        path = path.removeprefix("/")
        bucket, _, key = path.partition("/object/" if path.startswith("arn:") else "/")
        parsed = {"Bucket": bucket, "Key": key, "VersionId": version}
    else:
        parsed = {name: source.get(name) for name in ("Bucket", "Key", "VersionId")}
    if not (parsed["Bucket"] and parsed["Key"]):
        raise refused(
            f"CopySource is {source!r}. Accepted: {{'Bucket': ..., 'Key': ..., 'VersionId': ...}}, or the text "
            "'bucket/key' or 'bucket/key?versionId=...'."
        )
    return {name: value for name, value in parsed.items() if value}


def unmet(arguments: Mapping[str, Any], etag: str, modified: datetime) -> str | None:
    """The condition on the source of a copy that does not hold for this object, in S3's order; None if all do.

    Where there are both, a condition on the ETag beats the one on the time (RFC 9110, section 13.2.2).
    """

    def names(condition: str) -> bool:
        return arguments[condition].strip('"') in ("*", etag.strip('"'))

    def given(condition: str) -> bool:
        return arguments.get(condition) is not None

    if given("CopySourceIfMatch"):
        if not names("CopySourceIfMatch"):
            return "CopySourceIfMatch"
    elif given("CopySourceIfUnmodifiedSince") and modified > instant(arguments["CopySourceIfUnmodifiedSince"]):
        return "CopySourceIfUnmodifiedSince"
    if given("CopySourceIfNoneMatch"):
        if names("CopySourceIfNoneMatch"):
            return "CopySourceIfNoneMatch"
    elif given("CopySourceIfModifiedSince") and modified <= instant(arguments["CopySourceIfModifiedSince"]):
        return "CopySourceIfModifiedSince"
    return None


async def as_put(engine: Engine, request: CopyRequest, found: Found) -> PutRequest:
    """The put of the source's content: a delta candidate whatever its name, as a delta paid where it is."""
    name = request.source_name

    async def chunks() -> Chunks:
        async with aclosing(read(await pinned(engine, request, found))) as content:
            async for chunk in content:
                yield chunk

    async def read(response: Response) -> Chunks:
        if found.delta is not None:
            content = decoded(engine, replace(found, response=response), name, request.reading, request.progress)
        else:
            content = body_chunks(engine.store, response, reading(request, found))
        async with aclosing(verified(content, size=found.size, sha256=found.sha256, name=name)) as checked:
            async for chunk in checked:
                yield chunk

    arguments = {
        argument: value
        for argument, value in request.arguments.items()
        if value is not None and not argument.startswith("CopySource") and argument not in _OF_COPY
    }
    metadata = request.metadata
    if not request.replaces:
        metadata = meta.user_part(found.response.get("Metadata", {}))
        arguments |= {header: found.response.get(header) for header in HEADERS}
    source = Source(chunks, found.size, rereadable=False, name=name, sha256=found.sha256)
    if found.delta is None and found.size <= IN_MEMORY:
        # A put would keep it all the same. The answer tells of tags, which spares a request.
        response = await pinned(engine, request, found)
        source = await settle(replace(source, open=lambda: read(response)), IN_MEMORY)
        count = response.get("TagCount", found.response.get("TagCount", 0))
        found = replace(found, response={**found.response, "TagCount": count})
    if tagging := await tags(engine, request, found):
        arguments["Tagging"] = tagging
    return PutRequest(
        bucket=request.bucket,
        key=request.key,
        source=source,
        metadata=metadata,
        arguments={argument: value for argument, value in arguments.items() if value is not None},
        max_ratio=request.max_ratio,
        use_delta=True,
        progress=request.progress,
    )


async def tags(engine: Engine, request: CopyRequest, found: Found) -> str | None:
    """The `Tagging` of what is written: the caller's, or the source's as far as the caller may read it."""
    if request.arguments.get("TaggingDirective") == "REPLACE":
        return request.arguments.get("Tagging")
    asked = request.reading | request.version
    count = found.response.get("TagCount")
    if count is None:
        # Not every HEAD tells, but a GET does. And not every service knows the call for tags: some answer it with the
        # object, however large.
        part = {"Range": "bytes=0-0"} if found.stored_size else {}
        response = await engine.store.get(found.bucket, found.stored_key, asked | part)
        if response is None:
            raise SourceChangedError
        response["Body"].close()
        count = response.get("TagCount")
    return await engine.store.tags(found.bucket, found.stored_key, asked) if count else None


def reading(request: CopyRequest, found: Found) -> Request:
    """The GetObject of what was found."""
    asked = {**request.reading, **request.version}
    return Request(found.bucket, found.stored_key, asked, where(found.bucket, found.stored_key))


async def pinned(engine: Engine, request: CopyRequest, found: Found) -> Response:
    """GetObject of what was found. Raises `SourceChangedError` if it is gone or another one."""
    asked = {**request.reading, **request.version, "IfMatch": found.response["ETag"]}
    try:
        response = await engine.store.get(found.bucket, found.stored_key, asked)
    except PreconditionFailedError:
        response = None
    if response is not None and response["ETag"] == found.response["ETag"]:
        return response
    if response is not None:  # not every service keeps the condition
        response["Body"].close()
    raise SourceChangedError
