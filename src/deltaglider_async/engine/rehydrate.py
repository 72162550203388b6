"""Temporary copies of deltas as whole objects, for those who can only fetch a URL.

A copy lies in `.deltaglider/tmp/` of the bucket, under a name that nobody can guess, and says in its metadata until
when it is wanted. `purge`, and `gc`, remove it after that.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from deltaglider_async.engine.core import Engine, Response, access_only, encryption_arguments, where
from deltaglider_async.engine.get import decoded, find
from deltaglider_async.engine.listing import HEADS_AT_ONCE
from deltaglider_async.engine.parallel import for_each
from deltaglider_async.engine.scan import service_time
from deltaglider_async.errors import DeltaGliderError
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.streams.body import verified

#: Response headers that belong to the content, not to the way it is stored.
_OF_THE_CONTENT = ("ContentType", "CacheControl", "ContentEncoding", "ContentLanguage")


async def rehydrate(
    engine: Engine, bucket: str, key: str, lifetime: timedelta, arguments: Mapping[str, Any]
) -> str | None:
    """Write a delta as a whole, temporary object, and tell its key; None where the object is stored plain.

    Raises `NotFoundError` if there is no such object, and what a get raises; there is no copy then.
    """
    found = await find(engine.store.get, engine.store.get_existing, bucket, key, arguments)
    try:
        if found.delta is None:
            return None
        name, size, sha256 = where(bucket, key), found.size, found.sha256
        temporary = keys.temporary_key(str(uuid.uuid4()), keys.logical_key(found.stored_key).rpartition("/")[2])
        now = service_time(found.response)
        metadata = meta.temporary_metadata(keys.logical_key(found.stored_key), now, now + lifetime)
        kept = {header: found.response[header] for header in _OF_THE_CONTENT if header in found.response}
        chunks = decoded(engine, found, name, arguments, lambda phase, position: None)
        await engine.store.put(
            bucket,
            temporary,
            verified(chunks, size=size, sha256=sha256, name=name),
            size,
            metadata=metadata,
            sha256=sha256,
            arguments={**access_only(arguments), **encryption_arguments(found.response), **kept},
        )
    finally:
        found.response["Body"].close()
    return temporary


@dataclass
class Purged:
    """What a purge did. Sizes in bytes."""

    expired: int = 0
    deleted: int = 0
    freed: int = 0
    errors: list[str] = field(default_factory=list)


async def purge(engine: Engine, bucket: str, arguments: Mapping[str, Any], *, dry_run: bool = False) -> Purged:
    """Remove the temporary copies that have expired by the service's clock. `dry_run` only counts them."""
    access, done = access_only(arguments), Purged()

    async def items() -> AsyncIterator[Response]:
        async with aclosing(engine.store.pages(bucket, access | {"Prefix": keys.TEMPORARY})) as pages:
            async for page in pages:
                for item in page.get("Contents", ()):
                    yield item

    async def look(item: Response) -> None:
        try:
            head = await engine.store.head(bucket, item["Key"], access)
            expires = meta.moment(meta.field((head or {}).get("Metadata", {}), "expires-at"))
            if head is None or expires is None or expires > service_time(head):
                return
            done.expired += 1
            if not dry_run:
                await engine.store.delete(bucket, item["Key"], access)
                done.deleted += 1
                done.freed += int(item["Size"])
        except DeltaGliderError as error:
            done.errors.append(str(error))

    await for_each(items(), look, HEADS_AT_ONCE)
    return done
