"""Theory of operation of a delete: the delta first, the plain form second, and the object goes in one step.

In the other order an older delta would come alive for a moment. A delete looks at both forms, the delta first:

* no plain form: it removes the delta, and nothing else. A plain form that has come meanwhile is a later put's.
* both: the delta is leftover, and is removed if it is still that one; no put writes a delta's nonce again. Then it
  looks anew; if the plain form has gone meanwhile, so has the object.
* no delta: it removes the plain form.

So there is one moment at which the object goes, and not two with another put between them. If that was the last delta
of its deltaspace, the reference is dropped (`trash`). A reference that is named itself is dropped, too, whatever else
is said in the call: a put may have made a delta against it since it was seen that there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from deltaglider_async.engine.core import Engine, Response, access_only, where
from deltaglider_async.engine.trash import Dropped, delta_keys, drop_named, drop_unused
from deltaglider_async.errors import IntegrityMismatchError, InvalidRequestError, StorageIOError
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.store.errors import code_of, service_error
from deltaglider_async.store.s3 import instant

#: What S3 answers for a version that is a delete marker.
_MARKER = frozenset({"405", "MethodNotAllowed"})
_CONDITIONS = frozenset({"IfMatch", "IfMatchSize", "IfMatchLastModifiedTime"})


@dataclass(frozen=True, slots=True)
class Deleted:
    """What became of a key: `kind` as `Type` of `DeltaGliderInfo`, `response` is S3's."""

    stored_key: str
    kind: str
    response: Response
    space: str | None = None
    """A deltaspace whose last delta this may have been: its references are to be dropped if nothing uses them."""


async def delete(engine: Engine, bucket: str, key: str, arguments: Mapping[str, Any]) -> Response:
    """DeleteObject of a logical key, with `DeltaGliderInfo`. A missing key is no error, as in S3.

    Raises `InvalidRequestError` for a reference that deltas use, and `PreconditionFailedError` where `IfMatch`
    is not the ETag of the object.
    """
    deleted = await delete_key(engine, bucket, key, arguments)
    dropped = Dropped()
    if deleted.space is not None:
        dropped = await drop_unused(engine, bucket, deleted.space, access_only(arguments))
    return {**deleted.response, "DeltaGliderInfo": told(deleted, dropped)}


def told(deleted: Deleted, dropped: Dropped) -> Response:
    """The `DeltaGliderInfo` of a delete."""
    # A reference that could not be moved to the trash, or that is used after all, is still there.
    stays = deleted.kind == "reference" and deleted.space is not None and deleted.stored_key not in dropped.keys
    gone = deleted.kind != "not_found" and not stays
    warnings = [dropped.warning] if dropped.warning else []
    return {"Type": deleted.kind, "Deleted": gone, "Warnings": warnings, "DependentDeltas": 0}


async def delete_key(engine: Engine, bucket: str, key: str, arguments: Mapping[str, Any]) -> Deleted:
    """All of `delete` but the drop of references that are not used any more."""
    access = access_only(arguments)
    if keys.is_reference(key):
        await _refuse_used_reference(engine, bucket, key, access)
        if arguments.get("VersionId") is None and (deleted := await _delete_reference(engine, bucket, key, arguments)):
            return deleted
    if arguments.get("VersionId") is not None:
        return await _delete_version(engine, bucket, key, arguments)
    given = key
    if key.endswith(keys.DELTA_SUFFIX) and is_delta(await engine.store.head(bucket, key, access)):
        key = keys.logical_key(key)  # the stored form of that logical key
    deleted = await _delete_forms(engine, bucket, key, arguments, leftover_only=given != key)
    if keys.is_internal(key) and deleted.kind == "direct":
        return replace(deleted, kind="reference" if key.endswith(keys.REFERENCE_NAME) else "internal")
    return deleted


async def _delete_reference(engine: Engine, bucket: str, key: str, arguments: Mapping[str, Any]) -> Deleted | None:
    """What the caller is to drop, or what was dropped; None for somebody else's object under such a name."""
    access, space = access_only(arguments), keys.reference_space(key)
    head = await engine.store.seen(bucket, key, access)
    if head is not None and meta.recorded_sha256(head.get("Metadata", {}), bare=True) is None:
        return None
    kept = await engine.conditions.keeps(bucket, space, "DeleteObject", "IfMatch", access)
    if _is_conditional(arguments):
        if not kept:
            raise _unconditional(bucket, key)
        _check_conditions(bucket, key, head, None, arguments)
    answer = {"ResponseMetadata": {"HTTPStatusCode": 204}}
    if head is None:
        return Deleted(key, "not_found", answer, space if kept else None)
    if kept:
        return Deleted(key, "reference", answer, space)
    if not await drop_named(engine, bucket, key, access):
        await _refuse_used_reference(engine, bucket, key, access)
        if await engine.store.head(bucket, key, access) is not None:
            raise StorageIOError(f"cannot delete {where(bucket, key)}: it could not be moved to the trash. Try again.")
    return Deleted(key, "reference", answer)


async def _delete_forms(
    engine: Engine, bucket: str, key: str, arguments: Mapping[str, Any], *, leftover_only: bool
) -> Deleted:
    access = access_only(arguments)
    delta_key, space = keys.delta_key(key), keys.deltaspace(key)
    conditional = _is_conditional(arguments)
    unchanged = await engine.conditions.keeps(bucket, space, "DeleteObject", "IfMatch", access)
    if conditional and not unchanged:
        raise _unconditional(bucket, key)
    store = engine.store
    had_leftover = False
    while True:
        # In this order: a delta that is seen before a plain form is leftover.
        delta = await store.head(bucket, delta_key, access) if keys.fits(delta_key) else None
        if not is_delta(delta):
            delta = None  # nothing, or somebody else's object, which has its own name
        plain = await store.seen(bucket, key, access)
        if had_leftover and plain is None:
            if conditional:
                raise _unmet(bucket, key, "it has been deleted meanwhile")
            return Deleted(key, "direct", {"ResponseMetadata": {"HTTPStatusCode": 204}}, space)
        _check_conditions(bucket, key, plain, delta, arguments)
        if delta is None:
            response = await store.delete(bucket, key, arguments)
            return Deleted(key, "not_found" if plain is None else "direct", response, space if had_leftover else None)
        if plain is None:
            response = await store.delete(bucket, delta_key, _of_the_delta(arguments, delta))
            return Deleted(delta_key, "delta", response, space)
        if unchanged:
            await store.delete_if_unchanged(bucket, delta_key, delta["ETag"], access)
        else:
            await store.delete(bucket, delta_key, access)
        had_leftover = True
        if leftover_only:  # it was named, not the object
            return Deleted(delta_key, "delta", {"ResponseMetadata": {"HTTPStatusCode": 204}}, space)


def _of_the_delta(arguments: Mapping[str, Any], delta: Response) -> Response:
    """The arguments of a delete for the delta form. Its ETag means one write, so it stands for every condition."""
    rest = {name: value for name, value in arguments.items() if name not in _CONDITIONS}
    return rest | ({"IfMatch": delta["ETag"]} if _is_conditional(arguments) else {})


def _is_conditional(arguments: Mapping[str, Any]) -> bool:
    return any(arguments.get(name) is not None for name in _CONDITIONS)


def _unconditional(bucket: str, key: str) -> Exception:
    return InvalidRequestError(
        f"cannot delete {where(bucket, key)} with IfMatch: this endpoint deletes whether it holds or not. "
        "Nothing was deleted."
    )


def _check_conditions(
    bucket: str, key: str, plain: Response | None, delta: Response | None, arguments: Mapping[str, Any]
) -> None:
    """Conditions speak of the object, which is the plain form where both exist; the leftover goes first."""
    found = plain or delta
    if found is None:
        return
    etag, size, time = (arguments.get(name) for name in ("IfMatch", "IfMatchSize", "IfMatchLastModifiedTime"))
    if etag not in (None, "*") and etag.strip('"') != found["ETag"].strip('"'):
        raise _unmet(bucket, key, f"its ETag is {found['ETag']}, not {etag}")
    if size is not None and (actual := _size(bucket, key, plain, found)) != size:
        raise _unmet(bucket, key, f"it has {actual:,} bytes, not {size:,}")
    if time is not None and instant(time).replace(microsecond=0) != found["LastModified"].replace(microsecond=0):
        raise _unmet(bucket, key, f"it is of {found['LastModified']}, not of {time}")


def _size(bucket: str, key: str, plain: Response | None, found: Response) -> int:
    """The original's size, where the metadata of a delta tells it."""
    if plain is None:
        try:
            return meta.DeltaMetadata.parse(found.get("Metadata", {}), keys.delta_key(key), bucket).file_size
        except IntegrityMismatchError:
            pass  # what cannot be read can still be deleted
    return int(found["ContentLength"])


async def _delete_version(engine: Engine, bucket: str, key: str, arguments: Mapping[str, Any]) -> Deleted:
    """A version is of one stored object, and is deleted there. That changes no other form of the key."""
    access = access_only(arguments)
    version = {**access, "VersionId": arguments["VersionId"]}
    space = await _remove_leftover(engine, bucket, key, access) if arguments["VersionId"] == "null" else None
    for stored in (key, keys.delta_key(key)):
        if not keys.fits(stored):
            continue
        found = None
        try:
            found = await engine.store.seen(bucket, stored, version)
            if found is None or (stored != key and not is_delta(found)):
                continue
        except StorageIOError as error:
            if code_of(error) not in _MARKER:
                break  # S3 says what is wrong with the request itself
        response = await engine.store.delete(bucket, stored, arguments)
        is_a_delta = stored != key or (key.endswith(keys.DELTA_SUFFIX) and is_delta(found))
        return Deleted(
            stored, "delta" if is_a_delta else "direct", response, keys.deltaspace(key) if is_a_delta else space
        )
    return Deleted(key, "not_found", await engine.store.delete(bucket, key, arguments), space)


async def _remove_leftover(engine: Engine, bucket: str, key: str, access: Mapping[str, Any]) -> str | None:
    """Remove the delta that a plain form replaced, where both are the version `null`, as in a bucket without versions.

    It would be the object when the plain form goes. Returns the deltaspace that may have lost its last delta.
    """
    store, delta_key, space = engine.store, keys.delta_key(key), keys.deltaspace(key)
    # In this order: a delta that is seen before a plain form is leftover.
    delta = await store.head(bucket, delta_key, access) if keys.fits(delta_key) else None
    if delta is None or not is_delta(delta) or delta.get("VersionId", "null") != "null":
        return None
    plain = await store.seen(bucket, key, access)
    if plain is None or plain.get("VersionId", "null") != "null":
        return None
    if await engine.conditions.keeps(bucket, space, "DeleteObject", "IfMatch", access):
        await store.delete_if_unchanged(bucket, delta_key, delta["ETag"], access)
    else:
        await store.delete(bucket, delta_key, access)
    return space


def _unmet(bucket: str, key: str, what: str) -> Exception:
    return service_error("PreconditionFailed", 412, "DeleteObject", f"cannot delete {where(bucket, key)}: {what}.")


def is_delta(head: Response | None) -> bool:
    """Whether what HEAD answered is about a delta form."""
    return head is not None and meta.is_delta(head.get("Metadata", {}))


async def _refuse_used_reference(engine: Engine, bucket: str, key: str, access: Mapping[str, Any]) -> None:
    async with aclosing(delta_keys(engine, bucket, keys.reference_space(key), access)) as found:
        deltas = sum([1 async for _ in found])
    if deltas:
        raise InvalidRequestError(
            f"cannot delete {where(bucket, key)}: {deltas:,} deltas are made against it and could not be read without "
            "it. Delete those first."
        )
