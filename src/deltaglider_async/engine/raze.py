"""The end of a bucket: what the format itself keeps there goes, when no object is left."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from deltaglider_async.engine.core import Engine, access_only, where
from deltaglider_async.errors import StorageIOError
from deltaglider_async.format import keys
from deltaglider_async.store.deletes import delete_together


async def remove_own(engine: Engine, bucket: str, arguments: Mapping[str, Any]) -> int:
    """Remove references, the trash, temporary copies, statistics; how many objects that were. Nobody else may write.

    Where any object is left that is not the format's own, nothing is removed: it may need them. Raises
    `StorageIOError` for the first that S3 does not remove.
    """
    access = access_only(arguments)
    own: list[str] = []
    async with aclosing(engine.store.pages(bucket, access)) as pages:
        async for page in pages:
            for item in page.get("Contents", ()):
                if not keys.is_internal(item["Key"]):
                    return 0
                own.append(item["Key"])
    said = await delete_together(engine.store, bucket, own, arguments) if own else {}
    if said is None:  # there is no such call
        for key in own:
            await engine.store.delete(bucket, key, arguments)
        return len(own)
    for key in own:
        if code := said.get(key, {}).get("Code"):
            raise StorageIOError(f"cannot delete {where(bucket, key)}: {code}: {said[key].get('Message', '')}")
    return len(own)
