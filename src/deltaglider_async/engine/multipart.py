"""Multipart uploads of logical keys, up to their completion (`engine/complete.py`).

S3 cannot read the parts of an unfinished upload, so no delta can be made of them. Those of a delta candidate go to an
upload of a temporary key, `<prefix>/.deltaglider/multipart/<random>/<name>`, which names the logical key. What the
final object needs (metadata, headers, tags, encryption) is in the metadata of that upload, and the caller's id has the
random part and S3's own id: so any process can go on with it. What cannot become a delta goes straight to its own key,
under S3's id; so does an id that is not of our form, such as that of an upload begun by another tool.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from deltaglider_async.engine.copy_source import CopyRequest, SourceChangedError, pinned, reading, unmet
from deltaglider_async.engine.core import Engine, ObjectReplacedError, Response, access_only, where
from deltaglider_async.engine.get import Found, decoded, find
from deltaglider_async.engine.put import ATTEMPTS, why_plain
from deltaglider_async.engine.request import PutRequest
from deltaglider_async.errors import NotFoundError, PreconditionFailedError, StorageIOError
from deltaglider_async.format import keys, uploads
from deltaglider_async.format import metadata as meta
from deltaglider_async.store import multipart as calls
from deltaglider_async.store.body import body_chunks
from deltaglider_async.store.errors import code_of, is_missing_key, service_error
from deltaglider_async.store.part import upload_part
from deltaglider_async.streams import Chunks
from deltaglider_async.streams.body import verified
from deltaglider_async.streams.chunks import window
from deltaglider_async.streams.source import Source

#: What would make the temporary object public, archived or undeletable. It is given to the final one only.
_OF_THE_OBJECT = ("ACL", "StorageClass", "WebsiteRedirectLocation")
_ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
_OF_THE_OBJECT_PREFIXES = ("Grant", "ObjectLock")


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload as the caller names it, and where it really is."""

    bucket: str
    key: str
    """The logical one."""
    upload_id: str
    """The caller's."""
    stored_key: str
    stored_id: str
    put_id: str
    """The random part of the temporary key; empty if the parts are at the key itself."""

    @classmethod
    def of(cls, bucket: str, key: str, upload_id: str) -> Upload:
        """From the caller's arguments."""
        ours = uploads.decode_id(upload_id)
        if ours is None:
            return cls(bucket, key, upload_id, key, upload_id, "")
        name, stored_id = ours
        return cls(bucket, key, upload_id, keys.multipart_key(key, name), stored_id, name)

    @property
    def name(self) -> str:
        """As messages name it."""
        return where(self.bucket, self.key)

    @property
    def target(self) -> Response:
        """As arguments of S3's operations."""
        return {"Bucket": self.bucket, "Key": self.stored_key, "UploadId": self.stored_id}

    def named(self, response: Response) -> Response:
        """An answer of S3 with the caller's names in place of ours."""
        ours = {"Key": self.key, "UploadId": self.upload_id}
        return {name: ours.get(name, value) for name, value in response.items()}

    def gone(self, engine: Engine, operation: str) -> Exception:
        """What S3 says of an upload that is neither there nor known to have become the object."""
        message = f"there is no such upload of {self.name}: it was aborted, or completed and its object replaced since."
        kind = engine.store.s3.exceptions.from_code("NoSuchUpload")
        return service_error("NoSuchUpload", 404, operation, message, kind)


def unread(size: int | None = None) -> Source:
    """A source of which only the size counts, for what can be told before the bytes are there."""

    async def nothing() -> Chunks:
        return
        yield b""  # type: ignore[unreachable]

    return Source(nothing, size, rereadable=True)


async def create(engine: Engine, request: PutRequest) -> Response:
    """CreateMultipartUpload. `arguments` of the request are those of this operation; its source is not looked at."""
    keys.check_writable(request.bucket, request.key)
    meta.check_user_metadata(request.metadata)
    target = {"Bucket": request.bucket, "Key": request.key}
    whole = {**request.arguments, **target, "Metadata": dict(request.metadata)}
    name = where(request.bucket, request.key)
    put_id = secrets.token_hex(16)
    temporary = keys.multipart_key(request.key, put_id)
    final = {**request.metadata, meta.PUT_ID: put_id}
    policy = engine.policy.is_candidate(request.bucket, request.key)  # of some size; it is not known yet
    candidate = policy if request.use_delta is None else request.use_delta
    if not candidate or why_plain(engine, replace(request, use_delta=True)) or not keys.fits(temporary):
        return await calls.create(engine.store, name, whole)
    access = access_only(request.arguments)
    travelling = {name: value for name, value in request.arguments.items() if name not in access}
    metadata = {**request.metadata, uploads.ARGUMENTS: uploads.pack(travelling, request.use_delta)}
    if not (_fits(metadata) and _fits(final)):
        return await calls.create(engine.store, name, whole)
    own = {
        name: value
        for name, value in request.arguments.items()
        if name not in _OF_THE_OBJECT and not name.startswith(_OF_THE_OBJECT_PREFIXES)
    }
    response = await calls.create(
        engine.store,
        name,
        {**own, "Bucket": request.bucket, "Key": temporary, "Metadata": metadata},
    )
    return {**response, "Key": request.key, "UploadId": uploads.encode_id(put_id, response["UploadId"])}


def _fits(metadata: Mapping[str, str]) -> bool:
    """Whether every service takes it: MinIO counts the names of the headers as they are sent."""
    return meta.fits({f"x-amz-meta-{name}": value for name, value in metadata.items()})


async def put_part(engine: Engine, upload: Upload, source: Source, arguments: Mapping[str, Any]) -> Response:
    """UploadPart. Part numbers may come in any order, more than once, and side by side."""
    return await upload_part(engine.store, upload.name, source.open(), {**arguments, **upload.target})


async def parts(engine: Engine, upload: Upload, arguments: Mapping[str, Any]) -> Response:
    """ListParts."""
    asked = {**arguments, **upload.target}
    return upload.named(await calls.call(engine.store, "ListParts", "list the parts of", upload.name, asked))


async def abort(engine: Engine, upload: Upload, arguments: Mapping[str, Any]) -> Response:
    """AbortMultipartUpload, also of one whose completion ended before it had put the object into its place."""
    asked = {**arguments, **upload.target}
    gone: NotFoundError | None = None
    response: Response = {"ResponseMetadata": {"HTTPStatusCode": 204}}
    try:
        response = await calls.call(engine.store, "AbortMultipartUpload", "abort the upload of", upload.name, asked)
    except NotFoundError as error:
        if code_of(error) != "NoSuchUpload" or not upload.put_id:
            raise
        gone = error
    if upload.put_id:
        temporary = await engine.store.head(upload.bucket, upload.stored_key, access_only(arguments))
        if temporary is not None:
            await remove_temporary(engine, upload, temporary, arguments)
        elif gone is not None:
            raise gone
    return response


async def remove_temporary(engine: Engine, upload: Upload, temporary: Response, arguments: Mapping[str, Any]) -> None:
    """Delete the object of a completed upload, which `temporary` (an answer to HEAD) describes."""
    access = access_only(arguments)
    version = temporary.get("VersionId", "null")
    if version != "null":
        try:  # nobody wants this as an older version
            await engine.store.delete(upload.bucket, upload.stored_key, {**access, "VersionId": version})
            return
        except StorageIOError as error:
            if code_of(error) not in ("AccessDenied", "403", "Forbidden"):
                raise  # else it is locked, or versions are not ours to delete
    await engine.store.delete(upload.bucket, upload.stored_key, access)


# -- parts that are copies


async def copy_part(engine: Engine, upload: Upload, request: CopyRequest) -> Response:
    """UploadPartCopy from a logical key: by the service, or of a delta through this machine.

    `request` is of the upload's bucket and key, with the arguments of this operation.
    """
    source, asked = request.source, request.reading | request.version
    for _ in range(ATTEMPTS):
        found = await find(engine.store.head, engine.store.head_or_why, source["Bucket"], source["Key"], asked)
        condition = unmet(request.arguments, found.response["ETag"], found.response["LastModified"])
        if condition is not None:
            message = f"cannot copy a part of {upload.name} from {request.source_name}: it does not meet {condition}."
            raise service_error("PreconditionFailed", 412, "UploadPartCopy", message)
        try:
            if found.delta is None and await _copied_by_service(engine, request):
                return await _copy_stored(engine, upload, request, found)
            return await _copy_through(engine, upload, request, found)
        except (SourceChangedError, ObjectReplacedError):
            continue
    raise StorageIOError(
        f"cannot copy a part of {upload.name} from {request.source_name}: it was another object each of the "
        f"{ATTEMPTS} times that it was looked at. Try again."
    )


async def _copied_by_service(engine: Engine, request: CopyRequest) -> bool:
    """Whether the service copies what was found, or nothing, where the caller set conditions."""
    conditional = any(
        name.startswith("CopySourceIf") and value is not None for name, value in request.arguments.items()
    )
    if request.version or not conditional:
        return True
    access, space = access_only(request.arguments), keys.deltaspace(request.key)
    return await engine.conditions.keeps(request.bucket, space, "UploadPartCopy", "CopySourceIfMatch", access)


async def _copy_stored(engine: Engine, upload: Upload, request: CopyRequest, found: Found) -> Response:
    asked = {name: value for name, value in request.arguments.items() if not name.startswith("CopySourceIf")}
    source = {**request.source, "Key": found.stored_key}
    asked |= {**upload.target, "CopySource": source, "CopySourceIfMatch": found.response["ETag"]}
    try:
        return await calls.call(engine.store, "UploadPartCopy", "copy a part of", upload.name, asked)
    except PreconditionFailedError as error:
        raise SourceChangedError from error
    except NotFoundError as error:
        if is_missing_key(error):
            raise SourceChangedError from error
        raise


async def _copy_through(engine: Engine, upload: Upload, request: CopyRequest, found: Found) -> Response:
    """The same by reading here. A whole object is verified; there is no digest of a range."""
    name, wanted = request.source_name, request.arguments.get("CopySourceRange")
    span = None if wanted is None else _span(wanted, found.size, name)
    arguments = {
        argument: value for argument, value in request.arguments.items() if not argument.startswith("CopySource")
    }
    listed = await parts(engine, upload, {**access_only(arguments), "MaxParts": 1})
    if listed.get("ChecksumAlgorithm") in _ALGORITHMS:  # a copy by the service would get that one, too
        arguments["ChecksumAlgorithm"] = listed["ChecksumAlgorithm"]
    response = await pinned(engine, request, found)
    if found.delta is not None:
        content = decoded(engine, replace(found, response=response), name, request.reading, request.progress)
    else:
        content = body_chunks(engine.store, response, reading(request, found))
    if span is None:
        content = verified(content, size=found.size, sha256=found.sha256, name=name)
    else:
        content = window(content, *span, name)
    async with aclosing(content):
        answer = await upload_part(engine.store, upload.name, content, {**arguments, **upload.target})
    told = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    part = {"ETag": answer.pop("ETag"), "LastModified": parsedate_to_datetime(told) if told else datetime.now(UTC)}
    for checksum in [field for field in answer if field.startswith("Checksum")]:
        part[checksum] = answer.pop(checksum)
    version = {"CopySourceVersionId": found.response["VersionId"]} if "VersionId" in found.response else {}
    return {**answer, **version, "CopyPartResult": part}


def _span(wanted: str, size: int, name: str) -> tuple[int, int]:
    """First and last-plus-one byte of a `CopySourceRange`, which must be within the source."""
    first, dash, last = wanted.removeprefix("bytes=").partition("-")
    digits = all(number.isascii() and number.isdigit() and len(number) < 20 for number in (first, last))
    if not (wanted.startswith("bytes=") and dash and digits and int(first) <= int(last)):
        what = f"CopySourceRange is {wanted!r}. Accepted: bytes=first-last, zero-based, both included."
    elif int(last) >= size:
        what = f"cannot copy {wanted} of {name}: it has {size:,} bytes."
    else:
        return int(first), int(last) + 1
    raise service_error("InvalidArgument", 400, "UploadPartCopy", what)
