"""What is stored for a logical key, for operations that speak of an object's properties rather than of its bytes.

Plain, then delta; if neither is there, the operation itself asks for the plain form again, and says what is missing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deltaglider_async.engine.core import Engine, Response, access_only, is_archived, where
from deltaglider_async.engine.references import reference_of
from deltaglider_async.errors import IntegrityMismatchError, NotFoundError, StorageIOError
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.store.errors import code_of, is_missing_key

#: How often what is stored is looked for, if it is another form each time something is to be done with it.
_LOOKS = 4
#: Answers to a HEAD of something that is there: an object under a customer's key, a delete marker.
_THERE = frozenset({"400", "BadRequest", "InvalidRequest", "405", "MethodNotAllowed"})


@dataclass(frozen=True, slots=True)
class Stored:
    """The stored object of a logical key. `head` is what HEAD told, where it could."""

    key: str
    head: Response | None = None

    @property
    def is_delta(self) -> bool:
        """Whether the stored bytes are a delta."""
        metadata = (self.head or {}).get("Metadata", {})
        return self.key.endswith(keys.DELTA_SUFFIX) and meta.is_delta(metadata)


async def stored_object(engine: Engine, bucket: str, key: str, arguments: Mapping[str, Any]) -> Stored:
    """The stored object of a logical key, or of its `VersionId` in `arguments`; the key itself if there is none."""
    asked = access_only(arguments) | {name: arguments[name] for name in ("VersionId",) if name in arguments}
    for name in (key, keys.delta_key(key)):
        if not keys.fits(name):
            continue
        try:
            head = await engine.store.head(bucket, name, asked)
        except StorageIOError as error:
            if code_of(error) not in _THERE:
                raise
            return Stored(name)
        if head is not None and (name == key or meta.is_delta(head.get("Metadata", {}))):
            return Stored(name, head)
    return Stored(key)


async def on_stored_object(
    engine: Engine, bucket: str, key: str, arguments: Mapping[str, Any], act: Callable[[Stored], Awaitable[Response]]
) -> Response:
    """Do something to the stored object of a logical key; look again if that has gone in between."""
    for look in range(1, _LOOKS + 1):
        stored = await stored_object(engine, bucket, key, arguments)
        try:
            return await act(stored)
        except NotFoundError as error:
            if look == _LOOKS or stored.head is None or not is_missing_key(error):
                raise
    raise AssertionError  # the last look returns or raises


async def archived_parts(
    engine: Engine, bucket: str, stored: Stored, arguments: Mapping[str, Any]
) -> list[tuple[str, str | None]]:
    """The archived objects, by key and version, without which a delta cannot be read: itself, and its reference."""
    assert stored.head is not None
    found: list[tuple[str, str | None]] = []
    if is_archived(stored.head):
        found.append((stored.key, arguments.get("VersionId")))
    delta = meta.DeltaMetadata.parse(stored.head["Metadata"], stored.key, bucket)
    reference = await reference_of(engine, bucket, stored.key, delta, arguments)
    named = {"VersionId": reference.version} if reference.version else {}
    head = await engine.store.head(bucket, reference.key, access_only(arguments) | named)
    if head is not None and is_archived(head):
        found.append((reference.key, reference.version or None))
    return found


async def reference_below(
    engine: Engine, bucket: str, stored: Stored, arguments: Mapping[str, Any]
) -> tuple[str, str | None]:
    """The reference without which a delta cannot be read: its key, and its version where the bucket keeps versions.

    Raises `IntegrityMismatchError` if it is nowhere.
    """
    assert stored.head is not None
    delta = meta.DeltaMetadata.parse(stored.head["Metadata"], stored.key, bucket)
    for _ in range(_LOOKS):
        reference = await reference_of(engine, bucket, stored.key, delta, arguments)
        named = {"VersionId": reference.version} if reference.version else {}
        head = await engine.store.head(bucket, reference.key, access_only(arguments) | named)
        if head is not None and meta.recorded_sha256(head.get("Metadata", {}), bare=True) == reference.sha256:
            return reference.key, head.get("VersionId")
        engine.forget(reference)  # that was some time ago
    raise IntegrityMismatchError(
        f"the reference of {where(bucket, keys.logical_key(stored.key))} was elsewhere each time it was looked for. "
        "Try again."
    )
