"""What statistics keep in the bucket: the object of format/sizes.py. A convenience, never an error."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from deltaglider_async.engine.core import Engine, where
from deltaglider_async.errors import NotFoundError, StorageIOError
from deltaglider_async.format import keys
from deltaglider_async.format.sizes import LARGEST, pack, unpack
from deltaglider_async.store.body import Request, body_chunks
from deltaglider_async.streams.source import bytes_source
from deltaglider_async.streams.threads import in_thread

_log = logging.getLogger(__name__)


async def read(engine: Engine, bucket: str, access: Mapping[str, Any], warnings: list[str]) -> dict[int, int]:
    """What is kept in a bucket, by one GET. What cannot be used is ignored, with a warning."""
    name = where(bucket, keys.SIZES_KEY)
    try:
        response = await engine.store.get(bucket, keys.SIZES_KEY, access)
        if response is None:
            return {}
        if int(response["ContentLength"]) > LARGEST:
            response["Body"].close()
            raise ValueError("it is too large")
        request = Request(bucket, keys.SIZES_KEY, dict(access), name)
        content = b"".join([chunk async for chunk in body_chunks(engine.store, response, request)])
        return await in_thread(unpack, content)
    except NotFoundError:
        raise  # no such bucket
    except (ValueError, StorageIOError) as error:
        warnings.append(f"what was kept in {name} is not used: {error}")
        _log.warning("%s", warnings[-1])
        return {}


async def write(
    engine: Engine, bucket: str, sizes: Mapping[int, int], access: Mapping[str, Any], warnings: list[str]
) -> None:
    """Keep these sizes: one PutObject, so that readers find one state or the other. Of two writers the last one stays,
    which is as good: what is kept is true, and what is missing is asked.
    """
    content = await in_thread(pack, sizes)
    chunks = bytes_source(content).open()
    try:
        await engine.store.put(bucket, keys.SIZES_KEY, chunks, len(content), metadata={}, arguments=access)
    except StorageIOError as error:
        warnings.append(f"what was found could not be kept in {where(bucket, keys.SIZES_KEY)}: {error}")
        _log.warning("%s", warnings[-1])
