"""Theory of operation of a completion.

An upload of a delta candidate has its parts at a temporary key of its own, which nobody else ever writes (see
`engine/multipart.py`). It is completed in four steps:

1. CompleteMultipartUpload of the temporary key. From now on its object can be read, and never changes.
2. A put of that object's bytes to the logical key, by all rules of `engine/put.py`. The random part of the temporary
   key is the id of the put and is kept in the metadata of what is written (`dg-put-id`), in either form.
3. The temporary object is deleted.
4. The answer.

A completion that ended early, wherever, is repeated by calling it again, from any process; it finds out how far it
came. The temporary object is there: go on at step 2. It is not, and the object of the key has the id of this upload:
all was done, answer. Neither: complete the temporary key, as the first time. S3 says NoSuchUpload of an upload that has
gone; then another completion may have been faster, and both looks are taken once more before that is believed.

The second step may happen more than once: a repetition writes the same bytes and the same id again. So what another
client put in between is replaced again by the repetition, as by any later put; and a repetition after everything was
done, and the object replaced or deleted since, is told NoSuchUpload. Nothing is ever written that is not the whole
upload, and nothing is acknowledged before step 3.

Completions of one upload side by side do the same twice. The one that finds the temporary object gone under it (it was
deleted by the other, which had finished) looks for the id and succeeds with it, or is told NoSuchUpload; it is never
made of other parts than its caller named: where another completion was faster with others, the ETag tells.

`IfMatch` and `IfNoneMatch` speak of the logical key. They are looked at before the first step, so that an upload
whose condition does not hold stays as it is; what decides is the put. When that is refused because the object is there
already that this upload had become, it has succeeded.

An abort deletes the temporary object if there is one. `engine/gc.py` says when cleaning up does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import quote, urlsplit

from deltaglider_async.engine.core import Engine, Response, access_only
from deltaglider_async.engine.get import Found, find
from deltaglider_async.engine.multipart import Upload, remove_temporary, unread
from deltaglider_async.engine.put import put
from deltaglider_async.engine.put_plain import delta_beside, remove_delta_beside
from deltaglider_async.engine.request import CONDITIONS, PutRequest, PutResult, require
from deltaglider_async.errors import (
    IntegrityMismatchError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
)
from deltaglider_async.format import keys, uploads
from deltaglider_async.format import metadata as meta
from deltaglider_async.store import multipart as calls
from deltaglider_async.store.body import Request, body_chunks
from deltaglider_async.store.errors import code_of, is_missing_key, service_error
from deltaglider_async.store.s3 import LARGEST_SINGLE_PUT
from deltaglider_async.streams import Chunks
from deltaglider_async.streams.body import verified
from deltaglider_async.streams.digest import base64_sha256
from deltaglider_async.streams.source import Source

if TYPE_CHECKING:
    from deltaglider_async.types import Progress

_OPERATION = "CompleteMultipartUpload"


class _GoneError(Exception):
    """The temporary object is not there any more. Never leaves this module."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One call. `arguments` are boto3's for CompleteMultipartUpload except `Bucket`, `Key` and `UploadId`."""

    upload: Upload
    arguments: Mapping[str, Any]
    max_ratio: float
    progress: Progress = field(default=lambda phase, position: None)

    @property
    def conditions(self) -> Response:
        """Those that speak of the logical key."""
        return {name: self.arguments[name] for name in CONDITIONS if self.arguments.get(name) is not None}

    @property
    def access(self) -> Response:
        """Who asks and who pays."""
        return access_only(self.arguments)

    @property
    def parts(self) -> Sequence[Mapping[str, Any]]:
        """Those that the caller names."""
        return (self.arguments.get("MultipartUpload") or {}).get("Parts") or ()

    def put(self, source: Source, arguments: Mapping[str, Any], **more: Any) -> PutRequest:
        """A put to the logical key."""
        return PutRequest(
            bucket=self.upload.bucket,
            key=self.upload.key,
            source=source,
            arguments={**arguments, **self.access, **self.conditions},
            max_ratio=self.max_ratio,
            progress=self.progress,
            **{"metadata": {}, **more},
        )


async def complete(engine: Engine, completion: Completion) -> PutResult:
    """CompleteMultipartUpload; `response` of the result has its shape. Raises what is in `errors`.

    Of an upload that went straight to its key, the result has no size if the object is another one by now.
    """
    upload = completion.upload
    keys.check_writable(upload.bucket, upload.key)
    size = None if upload.put_id else LARGEST_SINGLE_PUT + 1
    for condition in CONDITIONS:
        if condition in completion.conditions:
            await require(engine, completion.put(unread(size), {}), condition)
    if not upload.put_id:
        return await _complete_in_place(engine, completion)
    result = await _complete_temporary(engine, completion)
    response = calls.completed(engine.store, result.response)
    response.pop("ChecksumType", None)
    place = {"Location": _location(engine, upload), "Bucket": upload.bucket, "Key": upload.key}
    return replace(result, response={**response, **place})


async def _complete_temporary(engine: Engine, completion: Completion) -> PutResult:
    upload, store = completion.upload, engine.store
    temporary = await _temporary(engine, completion)
    if temporary is None:
        found = await _look(engine, completion)
        if _became(found, upload):
            return _already(found)
        _check_conditions(engine, completion, found)
        arguments = {name: value for name, value in completion.arguments.items() if name not in CONDITIONS}
        refused: NotFoundError | None = None
        try:
            await calls.call(store, _OPERATION, "complete the upload of", upload.name, arguments | upload.target)
        except NotFoundError as error:
            if code_of(error) != "NoSuchUpload":
                raise
            refused = error
        temporary = await _temporary(engine, completion)
        known = refused is None
    else:
        known = False
    if temporary is not None and (known or _of_these_parts(temporary, completion)):
        try:
            result = await _into_place(engine, completion, temporary)
        except _GoneError:
            pass  # another completion has finished, or an abort was faster
        else:
            await remove_temporary(engine, upload, temporary, completion.arguments)
            return result
    elif temporary is not None:
        raise upload.gone(engine, _OPERATION)  # completed, but of other parts
    found = await _look(engine, completion)
    if _became(found, upload):
        return _already(found)
    raise upload.gone(engine, _OPERATION)


def _of_these_parts(temporary: Response, completion: Completion) -> bool:
    opaque = (temporary.get("ServerSideEncryption") or "").startswith("aws:kms")
    return uploads.made_of(temporary["ETag"], completion.parts, opaque=opaque)


async def _temporary(engine: Engine, completion: Completion) -> Response | None:
    return await engine.store.head(completion.upload.bucket, completion.upload.stored_key, completion.access)


async def _into_place(engine: Engine, completion: Completion, temporary: Response) -> PutResult:
    """The put. Raises `_GoneError` where the temporary object goes meanwhile."""
    upload = completion.upload
    metadata = temporary.get("Metadata", {})
    try:
        arguments, use_delta = uploads.unpack(
            {name.lower(): value for name, value in metadata.items()}.get(uploads.ARGUMENTS, "")
        )
    except ValueError as error:
        message = (
            f"cannot complete the upload of {upload.name}: s3://{upload.bucket}/{upload.stored_key} has lost the "
            "metadata that say how it is to be stored. The whole content is there: get it, put it, abort the upload."
        )
        raise IntegrityMismatchError(message) from error
    request = completion.put(
        _source(engine, completion, temporary),
        arguments,
        metadata=meta.user_part(metadata),
        use_delta=use_delta,
        put_id=upload.put_id,
    )
    try:
        return await put(engine, request)
    except PreconditionFailedError:
        found = await _look(engine, completion)
        if not _became(found, upload):
            raise
    # This upload has become the object, by an earlier or another completion.
    if found.delta is None:
        return _already(found)
    # Whether the reference of its delta was made sure of is not known.
    again = {**request.arguments, "IfMatch": found.response["ETag"]}
    again.pop("IfNoneMatch", None)
    try:
        return await put(engine, replace(request, arguments=again))
    except PreconditionFailedError:
        return _already(found)  # and has been replaced since


def _source(engine: Engine, completion: Completion, temporary: Response) -> Source:
    """The temporary object, read anew for each pass: it never changes."""
    upload, size = completion.upload, int(temporary["ContentLength"])

    async def chunks() -> Chunks:
        asked = {**completion.access, "IfMatch": temporary["ETag"]}
        try:
            response = await engine.store.get(upload.bucket, upload.stored_key, asked)
        except PreconditionFailedError:
            response = None
        if response is None:
            raise _GoneError
        request = Request(upload.bucket, upload.stored_key, completion.access, f"the upload of {upload.name}")
        content = body_chunks(engine.store, response, request)
        async with aclosing(verified(content, size=size, sha256=None, name=request.name)) as checked:
            async for chunk in checked:
                yield chunk

    return Source(chunks, size, rereadable=True, name=f"the upload of {upload.name}")


async def _look(engine: Engine, completion: Completion) -> Found | None:
    """The object of the logical key."""
    upload = completion.upload
    try:
        return await find(engine.store.seen, engine.store.head_existing, upload.bucket, upload.key, completion.access)
    except NotFoundError as error:
        if is_missing_key(error):
            return None
        raise


def _became(found: Found | None, upload: Upload) -> TypeGuard[Found]:
    """Whether an object is what this upload has become."""
    return found is not None and meta.field(found.response.get("Metadata", {}), "put-id") == upload.put_id


def _already(found: Found) -> PutResult:
    """The result of a put that was made before."""
    sha256 = found.sha256 or ""
    response = {name: value for name, value in found.response.items() if not name.startswith("Checksum")}
    if sha256:
        response["ChecksumSHA256"] = base64_sha256(sha256)
    return PutResult(
        response,
        "create_delta" if found.delta else "upload_direct",
        found.size,
        found.stored_size,
        sha256,
        found.stored_size / found.size if found.delta and found.size else 0.0,
        found.delta.ref_key if found.delta else "",
        "" if found.delta else "it was completed before",
    )


def _check_conditions(engine: Engine, completion: Completion, found: Found | None) -> None:
    """Raise where a condition does not hold now. Whether it holds in the end, the put decides."""
    conditions, name = completion.conditions, completion.upload.name
    wanted = conditions.get("IfMatch")
    if wanted is not None and found is None:
        message = f"cannot complete the upload of {name}: there is no object whose ETag could be {wanted}."
        kind = engine.store.s3.exceptions.from_code("NoSuchKey")
        raise service_error("NoSuchKey", 404, _OPERATION, message, kind)
    differs = found is not None and wanted not in (None, "*") and wanted.strip('"') != found.response["ETag"].strip('"')
    if differs or ("IfNoneMatch" in conditions and found is not None):
        raise _unmet(completion)


def _unmet(completion: Completion) -> Exception:
    message = f"cannot complete the upload of {completion.upload.name}: the object there does not meet the condition."
    return service_error("PreconditionFailed", 412, _OPERATION, message)


def _location(engine: Engine, upload: Upload) -> str:
    """The URL of the object, as the services spell it."""
    endpoint = urlsplit(str(engine.store.s3.meta.endpoint_url))
    if engine.conditions.trusted:
        return f"{endpoint.scheme}://{upload.bucket}.{endpoint.netloc}/{quote(upload.key, safe='')}"
    return f"{endpoint.scheme}://{endpoint.netloc}/{upload.bucket}/{quote(upload.key)}"


# -- uploads that went straight to their key


async def _complete_in_place(engine: Engine, completion: Completion) -> PutResult:
    """By the service, and by the rules of a plain put: a delta that was there before is removed."""
    upload, conditions = completion.upload, completion.conditions
    delta = await delta_beside(engine, upload.bucket, upload.key, completion.access)
    if delta is not None and "IfNoneMatch" in conditions:
        raise _unmet(completion)
    if delta is not None and "IfMatch" in conditions:
        plain = await engine.store.seen(upload.bucket, upload.key, completion.access)
        if plain is None and conditions["IfMatch"].strip('"') != delta["ETag"].strip('"'):
            raise _unmet(completion)
        if plain is None:
            raise InvalidRequestError(
                f"cannot complete the upload of {upload.name} with IfMatch: the object there is stored as a delta, and "
                "the parts of this upload as they are, so nothing compares and swaps them in one step. Nothing was "
                "done. Begin the upload with use_delta=True."
            )
    asked = {**completion.arguments, **upload.target}
    response = await calls.call(engine.store, _OPERATION, "complete the upload of", upload.name, asked)
    await remove_delta_beside(engine, upload.bucket, upload.key, delta, completion.access)
    head = await engine.store.seen(upload.bucket, upload.key, completion.access)
    size = int(head["ContentLength"]) if head is not None and head["ETag"] == response.get("ETag") else 0
    return PutResult(response, "upload_direct", size, size, "", reason="its parts went to its own key")
