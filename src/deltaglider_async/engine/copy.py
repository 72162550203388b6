"""Copies of a logical key: as few bytes as the form of the source and the destination allow.

* A plain form is copied by the service, by the rules of a plain put.
* A delta whose reference serves the destination too is moved: its bytes are read and written with a new nonce. A copy
  by the service would have the same ETag, and "delete it if it still has that ETag" could then hit it.
* Where the destination's deltaspace has no reference, the source's is created there first, on the same condition as in
  a put.
* All else is decoded and put: onto a plain form, against another reference, where a put would not make a delta.

What is read is pinned by the ETag that was found first; if the source changes meanwhile, or a reference does, the copy
begins anew. Conditions on the destination are those of a put, and go through one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from deltaglider_async.engine.copy_source import HEADERS, CopyRequest, SourceChangedError, as_put, tags, unmet
from deltaglider_async.engine.core import (
    Engine,
    ObjectReplacedError,
    Response,
    access_only,
    encryption_of,
    serves_encryption,
    where,
)
from deltaglider_async.engine.get import Found, find
from deltaglider_async.engine.move import move
from deltaglider_async.engine.put import ATTEMPTS, look, put, why_plain
from deltaglider_async.engine.put_plain import delta_beside, remove_delta_beside
from deltaglider_async.engine.request import PutResult, Refused
from deltaglider_async.errors import (
    DeltaGliderError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    ReferenceCreationRaceError,
    StorageIOError,
)
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.store.conditions import Operation as Call
from deltaglider_async.store.errors import is_missing_key, service_error
from deltaglider_async.store.s3 import LARGEST_SINGLE_COPY
from deltaglider_async.streams.digest import base64_sha256

#: One of these must be given for a copy of an object onto itself.
_CHANGES = (
    "StorageClass", "WebsiteRedirectLocation", "ServerSideEncryption", "SSEKMSKeyId", "SSECustomerKey",
    "BucketKeyEnabled",
)  # fmt: skip
_CONDITIONS_ON_DESTINATION = ("IfMatch", "IfNoneMatch")


async def copy(
    engine: Engine, request: CopyRequest, source_engine: Engine | None = None, *, compact: bool = False
) -> PutResult:
    """CopyObject of a logical key; `response` of the result has its shape. Raises what is in `errors`.

    `source_engine` reads the source where that is on another endpoint: it is then decoded and put. `compact`: a delta
    candidate that is stored plain is put too, so that it may become a delta.
    """
    keys.check_writable(request.bucket, request.key)
    for name in ("MetadataDirective", "TaggingDirective"):
        if request.arguments.get(name) not in (None, "COPY", "REPLACE"):
            raise InvalidRequestError(f"{name} is {request.arguments[name]!r}. Accepted: COPY, REPLACE.")
    if request.replaces:
        meta.check_user_metadata(request.metadata)
    source, asked, store = request.source, request.reading | request.version, (source_engine or engine).store
    failure: type[DeltaGliderError] = StorageIOError
    for _ in range(ATTEMPTS):
        found = await find(store.head, store.head_or_why, source["Bucket"], source["Key"], asked)
        _check_conditions(request, found)
        if source_engine is None and found.delta is not None:  # of a plain form S3 says so, or knows better
            _refuse_onto_itself(engine, request, found)
        try:
            result: PutResult | None
            if source_engine is not None or (compact and _may_become_delta(engine, request, found)):
                # What is plain there may become a delta here, as in any put.
                taken = await as_put(source_engine or engine, request, found)
                result = await put(engine, replace(taken, use_delta=True if found.delta else None))
            elif found.delta is not None:
                result = await _copy_delta(engine, request, found)
            else:
                result = await _copy_plain(engine, request, found)
        except (SourceChangedError, ObjectReplacedError):
            failure = StorageIOError
            continue
        if result is not None:
            return replace(result, response=_answer(result, found))
        failure = ReferenceCreationRaceError
    changed = "the source" if failure is StorageIOError else "the reference of the destination's folder"
    raise failure(
        f"cannot copy {request.source_name} to {where(request.bucket, request.key)}: {changed} was another one each of "
        f"the {ATTEMPTS} times that it was looked at. Try again."
    )


def _may_become_delta(engine: Engine, request: CopyRequest, found: Found) -> bool:
    candidate = engine.policy.is_candidate(request.bucket, request.key, found.size)
    return found.delta is None and request.max_ratio > 0 and candidate


def _check_conditions(request: CopyRequest, found: Found) -> None:
    """Raise what S3 raises where the source does not meet the caller's conditions."""
    source = request.source_name
    if condition := unmet(request.arguments, found.response["ETag"], found.response["LastModified"]):
        message = f"cannot copy {source}: it does not meet {condition}."
        raise service_error("PreconditionFailed", 412, "CopyObject", message)


def _refuse_onto_itself(engine: Engine, request: CopyRequest, found: Found) -> None:
    """Raise what S3 raises where the source is its own destination and nothing about it would change."""
    if not request.onto_itself(found) or request.replaces or any(map(request.arguments.get, _CHANGES)):
        return
    message = (
        f"cannot copy {request.source_name} onto itself without changing its metadata, storage class, website "
        "redirect location or encryption."
    )
    kind = engine.store.s3.exceptions.from_code("InvalidRequest")  # not every botocore has a class for it
    raise service_error("InvalidRequest", 400, "CopyObject", message, kind)


async def _copy_plain(engine: Engine, request: CopyRequest, found: Found) -> PutResult:
    """Plain form to plain form by the service."""
    bucket, key, given = request.bucket, request.key, request.arguments
    if any(given.get(name) is not None for name in _CONDITIONS_ON_DESTINATION):
        return await _put_anew(engine, request, found)
    access, large = access_only(given), found.size > LARGEST_SINGLE_COPY
    conditional = any(name.startswith("CopySourceIf") and value is not None for name, value in given.items())
    pinned = bool(request.version)
    if not pinned and (large or conditional or request.replaces):
        call: Call = "UploadPartCopy" if large else "CopyObject"
        pinned = await engine.conditions.keeps(bucket, keys.deltaspace(key), call, "CopySourceIfMatch", access)
        if not pinned and (large or conditional):
            return await _put_anew(engine, request, found)  # what is read here is compared here
    arguments = {name: value for name, value in given.items() if not name.startswith("CopySourceIf")}
    stored = {**request.source, "Key": found.stored_key}
    arguments["CopySourceIfMatch"] = found.response["ETag"]
    if request.replaces:
        arguments["Metadata"] = dict(request.metadata)
        if pinned and found.sha256 is not None:  # else the digest might be written to other bytes
            arguments["Metadata"] |= meta.plain_metadata(
                key.rpartition("/")[2], found.sha256, found.size, tool=engine.tool
            )
            if not meta.fits(arguments["Metadata"]):
                arguments["Metadata"] = dict(request.metadata)
    beside = await delta_beside(engine, bucket, key, access)
    request.progress("sending", 0)
    try:
        if large:
            if not request.replaces:
                arguments |= {name: found.response.get(name) for name in (*HEADERS, "Metadata")}
            arguments["Tagging"] = await tags(engine, request, found)
            response = await engine.store.copy_parts(
                bucket, key, stored, found.size, arguments,
                lambda position: request.progress("sending", position),
            )  # fmt: skip
        else:
            response = await engine.store.copy(bucket, key, stored, arguments)
    except PreconditionFailedError as error:
        raise SourceChangedError from error
    except NotFoundError as error:
        if is_missing_key(error):
            raise SourceChangedError from error
        raise
    request.progress("sending", found.size)
    await remove_delta_beside(engine, bucket, key, beside, access)
    # Where the endpoint may have copied what was put meanwhile, the ETag tells, if that is of the bytes alone.
    etag = response.get("CopyObjectResult", {}).get("ETag")
    certain = pinned or engine.conditions.trusted or etag == found.response["ETag"]
    sha256 = found.sha256 if certain and found.sha256 else ""
    return PutResult(response, "copy_plain", found.size, found.size, sha256, reason="the source is stored plain")


async def _copy_delta(engine: Engine, request: CopyRequest, found: Found) -> PutResult | None:
    """A delta to whatever form a put would give it; None if the reference at the destination changed meanwhile."""
    delta = found.delta
    assert delta is not None
    put_request = await as_put(engine, request, found)
    arguments, access = put_request.arguments, access_only(put_request.arguments)
    if any(name in arguments for name in _CONDITIONS_ON_DESTINATION) or delta.codec:
        return await put(engine, put_request)
    as_plain = replace(put_request, use_delta=False)
    if why_plain(engine, put_request):
        return await put(engine, as_plain)
    space = keys.deltaspace(request.key)
    plain, beside, (reference, exists) = await look(engine, put_request, space, access)
    foreign = beside is not None and not meta.is_delta(beside.get("Metadata", {}))
    if plain is not None or foreign or (exists and reference is None):
        return await put(engine, as_plain)
    if reference is not None and reference.sha256 != delta.ref_sha256:
        # Where references are kept under their digest, there may be several.
        addressed = keys.addressed_reference_key(space, delta.ref_sha256)
        if keys.fits(addressed):
            reference = (await engine.reference(request.bucket, addressed, access))[0] or reference
        if reference.sha256 != delta.ref_sha256:
            return await put(engine, put_request)
    too_large = found.stored_size > request.max_ratio * found.size
    if reference is not None and (too_large or not serves_encryption(encryption_of(arguments), reference.encryption)):
        return await put(engine, as_plain)
    if too_large:
        return await put(engine, put_request)  # it may become the first reference there
    moved = await move(engine, request, put_request, found, reference)
    return await put(engine, put_request) if isinstance(moved, Refused) else moved


async def _put_anew(engine: Engine, request: CopyRequest, found: Found) -> PutResult:
    """A plain form through this machine."""
    _refuse_onto_itself(engine, request, found)
    return await put(engine, replace(await as_put(engine, request, found), use_delta=False))


def _answer(result: PutResult, found: Found) -> Response:
    """What S3 would answer to the copy."""
    response = dict(result.response)
    if "CopyObjectResult" not in response:
        of_put = ("ETag", "Size", "Bucket", "Key", "Location")
        answered = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        written = {
            "ETag": response["ETag"],
            # As near as the answer to a put tells.
            "LastModified": parsedate_to_datetime(answered) if answered else datetime.now(UTC),
        }
        response = {
            name: value for name, value in response.items() if name not in of_put and not name.startswith("Checksum")
        }
        response["CopyObjectResult"] = written
        if "VersionId" in found.response:
            response["CopySourceVersionId"] = found.response["VersionId"]
    if result.sha256:
        response["CopyObjectResult"] = {**response["CopyObjectResult"], "ChecksumSHA256": base64_sha256(result.sha256)}
    return response
