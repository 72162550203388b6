"""Which conditions an endpoint keeps, found out by asking.

AWS keeps them all. Other services differ from operation to operation, and the worst answer 200 and ignore the
header: `rclone serve s3` every one of them, Ceph RGW 16 all but `If-None-Match` on PutObject. So before the first
write that relies on one, a tiny object is written and the operation tried in a way that must fail.
"""

from __future__ import annotations

import asyncio
import io
import logging
import secrets
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import anyio
from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError

from deltaglider_async.errors import NotFoundError, PreconditionFailedError, StorageIOError
from deltaglider_async.format import keys
from deltaglider_async.store.errors import code_of, is_missing_key, translated
from deltaglider_async.store.s3 import Store
from deltaglider_async.streams.threads import to_its_end

Operation = Literal["PutObject", "CompleteMultipartUpload", "DeleteObject", "CopyObject", "UploadPartCopy"]
Condition = Literal["IfNoneMatch", "IfMatch", "CopySourceIfMatch"]
#: Those that are asked for by the protocol, or by callers.
USED: tuple[tuple[Operation, Condition], ...] = (
    ("PutObject", "IfNoneMatch"),
    ("CompleteMultipartUpload", "IfNoneMatch"),
    ("DeleteObject", "IfMatch"),
    ("CopyObject", "CopySourceIfMatch"),
    ("UploadPartCopy", "CopySourceIfMatch"),
    ("PutObject", "IfMatch"),
    ("CompleteMultipartUpload", "IfMatch"),
)

_log = logging.getLogger(__name__)

_NOBODYS = '"00000000000000000000000000000000"'
_UNMET = {"IfNoneMatch": "*", "IfMatch": _NOBODYS, "CopySourceIfMatch": _NOBODYS}
#: Answers of a service that has no such condition, or of a bucket in which we may not try.
_CANNOT = frozenset({"NotImplemented", "501", "InvalidArgument", "InvalidRequest", "AccessDenied", "403", "Forbidden"})
_SECONDS_FOR_CLEANING = 15


def is_aws(endpoint: str) -> bool:
    """Whether an endpoint URL is one of AWS's own."""
    return (urlsplit(endpoint).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))


class Conditions:
    """What is known of an endpoint. All of it is in `_known`, which only `keeps` changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.trusted = is_aws(str(store.s3.meta.endpoint_url))
        self._known: dict[tuple[str, Operation, Condition], bool] = {}
        self._asking = asyncio.Lock()

    async def keeps(
        self, bucket: str, space: str, operation: Operation, condition: Condition, arguments: Mapping[str, Any]
    ) -> bool:
        """Whether the operation refuses what does not meet the condition; asked once per bucket and client.

        `space` is the deltaspace in which the caller may write. Raises `StorageIOError` and `NotFoundError` for
        what says nothing about conditions (an unreachable endpoint, no such bucket).
        """
        if self.trusted:
            return True
        question = (bucket, operation, condition)
        async with self._asking:
            if question not in self._known:
                self._known[question] = await self._ask(bucket, space, operation, condition, arguments)
                if not self._known[question]:
                    _log.info("bucket %s: the endpoint does not keep %s on %s", bucket, condition, operation)
        return self._known[question]

    async def _ask(
        self, bucket: str, space: str, operation: Operation, condition: Condition, arguments: Mapping[str, Any]
    ) -> bool:
        key = keys.probe_key(space, secrets.token_hex(8))
        if not keys.fits(key):
            return False
        target = {**arguments, "Bucket": bucket, "Key": key}
        unmet: dict[str, Any] = {condition: _UNMET[condition]}
        try:
            with translated("find out which conditions are kept, by", f"s3://{bucket}/{key}"):
                try:
                    await self._call("PutObject", target, Body=io.BytesIO(b"probe"))
                    if operation in ("CompleteMultipartUpload", "UploadPartCopy"):
                        await self._upload(operation, target, unmet)
                    else:
                        await self._call(operation, target, **unmet, **_more(operation, target))
                finally:
                    await to_its_end(self._clean_up("DeleteObject", target))
        except PreconditionFailedError:
            return True
        except NotFoundError as error:
            # It was done at the first attempt, whose answer was lost, and there was nothing left for the second.
            if code_of(error) == "NoSuchUpload" or is_missing_key(error):
                return False
            raise
        except StorageIOError as error:
            if code_of(error) in _CANNOT:
                return False
            raise
        return False

    async def _upload(self, operation: Operation, target: Mapping[str, Any], unmet: Mapping[str, Any]) -> None:
        creating = asyncio.ensure_future(self._call("CreateMultipartUpload", target))
        completed = False
        try:
            # Not given up when this is cancelled: an upload whose id never arrived could not be aborted.
            target = {**target, "UploadId": (await asyncio.shield(creating))["UploadId"]}
            if operation == "UploadPartCopy":
                await self._call(operation, target, PartNumber=1, **unmet, **_more(operation, target))
            else:
                part = await self._call("UploadPart", target, PartNumber=1, Body=io.BytesIO(b"probe"))
                parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
                await self._call("CompleteMultipartUpload", target, MultipartUpload=parts, **unmet)
                completed = True
        finally:
            if not completed:
                await to_its_end(self._abort(target, creating))

    async def _abort(self, target: Mapping[str, Any], creating: asyncio.Future[Any]) -> None:
        await asyncio.wait((creating,), timeout=_SECONDS_FOR_CLEANING)
        if creating.done() and not creating.cancelled() and creating.exception() is None:
            await self._clean_up("AbortMultipartUpload", {**target, "UploadId": creating.result()["UploadId"]})

    async def _clean_up(self, operation: str, target: Mapping[str, Any]) -> None:
        try:
            with anyio.move_on_after(_SECONDS_FOR_CLEANING):
                await self._call(operation, target)
        except (BotoCoreError, ClientError) as error:  # what the probe told counts; it is hidden and a few bytes long
            _log.warning("cannot remove s3://%s/%s, which is of no use: %s", target["Bucket"], target["Key"], error)

    async def _call(self, operation: str, target: Mapping[str, Any], **arguments: Any) -> Any:
        s3 = self._store.s3
        return await getattr(s3, xform_name(operation))(**self._store.accepted(operation, {**target, **arguments}))


def _more(operation: Operation, target: Mapping[str, Any]) -> dict[str, Any]:
    """What an operation needs besides its target. A copy is one of the probe onto itself."""
    if operation == "PutObject":
        return {"Body": io.BytesIO(b"probe")}
    if operation in ("CopyObject", "UploadPartCopy"):
        source = {"CopySource": {"Bucket": target["Bucket"], "Key": target["Key"]}}
        # Onto itself it must change something, or is refused for that.
        return source | ({"MetadataDirective": "REPLACE"} if operation == "CopyObject" else {})
    return {}
