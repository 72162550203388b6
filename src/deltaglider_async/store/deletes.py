"""DeleteObjects: many objects in one request, none of them on a condition."""

from __future__ import annotations

from collections.abc import Sequence

from deltaglider_async.errors import StorageIOError
from deltaglider_async.store.errors import code_of, translated
from deltaglider_async.store.s3 import NO_SUCH_CALL, Arguments, Response, Store

#: S3's limit.
MOST_KEYS = 1000


async def delete_together(
    store: Store, bucket: str, stored_keys: Sequence[str], arguments: Arguments
) -> dict[str, Response] | None:
    """What S3 says of each key, an entry of `Deleted` or, with a `Code`, of `Errors`; None if it has no such call."""
    said: dict[str, Response] = {}
    for start in range(0, len(stored_keys), MOST_KEYS):
        objects = [{"Key": key} for key in stored_keys[start : start + MOST_KEYS]]
        try:
            with translated("delete objects in", f"s3://{bucket}"):
                answer: Response = await store.s3.delete_objects(
                    Bucket=bucket, Delete={"Objects": objects}, **store.accepted("DeleteObjects", arguments)
                )
        except StorageIOError as error:
            if code_of(error) in NO_SUCH_CALL:
                return None
            raise
        said |= {each["Key"]: each for each in (*answer.get("Deleted", ()), *answer.get("Errors", ())) if "Key" in each}
    return said
