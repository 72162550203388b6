"""Where a reference is that deltas miss, and how it comes back. Nothing here removes or replaces other bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal

from deltaglider_async.engine.core import Engine, Response, access_only, encryption_of, where
from deltaglider_async.engine.gc import home_of, place_for
from deltaglider_async.engine.scan import Need
from deltaglider_async.engine.trash import dropped
from deltaglider_async.errors import IntegrityMismatchError, PreconditionFailedError
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.store import upkeep
from deltaglider_async.store.body import Request, body_chunks
from deltaglider_async.streams.body import verified
from deltaglider_async.streams.digest import Digest


@dataclass(frozen=True, slots=True)
class Place:
    """Where the reference of some deltas is found. `version` only where it is not the current one."""

    kind: Literal["home", "elsewhere", "trash", "version", "unlabelled", "other", "nowhere"]
    key: str = ""
    version: str = ""
    instead: str = ""
    """What is at the usual place: a digest, `no digest`, or nothing."""


async def locate(engine: Engine, bucket: str, space: str, need: Need, access: Response) -> Place:
    """Where the reference is, as readers look for it first: beside the deltas, by its name in them, in the trash."""
    sha256, usual = need.sha256, keys.reference_key(space)
    there, exists = await engine.reference(bucket, usual, access)
    instead = there.sha256 if there is not None else "no digest" if exists else ""
    if (home := await home_of(engine, bucket, space, sha256, access)) is not None:
        return Place("home", home.key, instead=instead)
    named, named_exists = await engine.reference(bucket, need.ref_key, access)
    if named is not None and named.sha256 == sha256:
        return Place("elsewhere", need.ref_key, instead=instead)
    for folder in dict.fromkeys((space, keys.reference_space(need.ref_key))):
        entry = await dropped(engine, bucket, folder, sha256, access)
        if entry is not None:
            return Place("trash", entry.key, instead=instead)
    unlabelled = {usual: exists and there is None, need.ref_key: named_exists and named is None}
    for key in (key for key, is_candidate in unlabelled.items() if is_candidate):
        if await digest_at(engine, bucket, key, access) == sha256:
            return Place("unlabelled", key, instead=instead)
    async for key, version in _versions(engine, bucket, space, need, access):
        head = await engine.store.head(bucket, key, {**access, "VersionId": version})
        if head is not None and meta.recorded_sha256(head.get("Metadata", {}), bare=True) == sha256:
            return Place("version", key, version, instead=instead)
    return Place("nowhere", instead=instead)


async def _versions(
    engine: Engine, bucket: str, space: str, need: Need, access: Response
) -> AsyncIterator[tuple[str, str]]:
    at = (keys.reference_key(space), need.ref_key, keys.addressed_reference_key(space, need.sha256))
    for key in dict.fromkeys(at):
        try:
            async with aclosing(upkeep.older_versions(engine.store, bucket, key, access)) as versions:
                async for version in versions:
                    yield key, version["VersionId"]
        except upkeep.Unknown:
            return  # there are none


async def digest_at(engine: Engine, bucket: str, key: str, access: Response) -> str | None:
    """The SHA-256 of an object's bytes, by reading them; None if there is none."""
    request = Request(bucket, key, access, where(bucket, key))
    response = await engine.store.get(bucket, key, access)
    if response is None:
        return None
    digest = Digest()
    async with aclosing(body_chunks(engine.store, response, request)) as chunks:
        async for chunk in chunks:
            await digest.update(chunk)
    return await digest.hexdigest()


async def put_back(engine: Engine, bucket: str, space: str, sha256: str, place: Place, access: Response) -> str:
    """Write a reference where the deltas of its deltaspace find it. Returns the key; empty if it is not as expected."""
    version = {"VersionId": place.version} if place.version else {}
    request = Request(bucket, place.key, {**access, **version}, where(bucket, place.key))
    response = await engine.store.get(bucket, place.key, request.arguments)
    if response is None:
        return ""
    try:
        size = int(response["ContentLength"])
        to = await place_for(engine, bucket, space, sha256, size, access)
        if not keys.fits(to):
            return ""
        metadata = response.get("Metadata", {})
        if meta.recorded_sha256(metadata, bare=True) != sha256:
            metadata = meta.reference_metadata(place.key.rpartition("/")[2], sha256, tool=engine.tool)
        kind, key = encryption_of(response)
        # A key that names its content needs no condition: whoever writes it writes the same bytes.
        condition = {} if keys.is_addressed(to) else {"IfNoneMatch": "*"}
        arguments: dict[str, Any] = {
            **access_only(access), "ServerSideEncryption": kind, "SSEKMSKeyId": key, **condition
        }  # fmt: skip
        name = request.name
        async with aclosing(
            verified(body_chunks(engine.store, response, request), size=size, sha256=sha256, name=name)
        ) as chunks:
            await engine.store.put(bucket, to, chunks, size, metadata=metadata, sha256=sha256, arguments=arguments)
    except IntegrityMismatchError:
        return ""
    except PreconditionFailedError:
        home = await home_of(engine, bucket, space, sha256, access)
        return home.key if home is not None else ""
    finally:
        response["Body"].close()
    return to
