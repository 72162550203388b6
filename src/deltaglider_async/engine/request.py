"""What a put is asked to do, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deltaglider_async.engine.announced import Announced
from deltaglider_async.engine.core import (
    Engine,
    Response,
    access_only,
    where,
)
from deltaglider_async.errors import (
    InvalidRequestError,
)
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.store.conditions import Condition
from deltaglider_async.store.conditions import Operation as Call
from deltaglider_async.store.errors import service_error
from deltaglider_async.store.s3 import LARGEST_SINGLE_PUT
from deltaglider_async.streams.digest import base64_sha256
from deltaglider_async.streams.source import Source

if TYPE_CHECKING:
    from deltaglider_async.types import Operation, Progress

#: Sources up to here are read once and kept, instead of being read again where a second pass is needed.
IN_MEMORY = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PutRequest:
    """One put. `arguments` are boto3's for PutObject except `Bucket`, `Key`, `Body` and `Metadata`."""

    bucket: str
    key: str
    source: Source
    metadata: Mapping[str, str]
    arguments: Mapping[str, Any]
    max_ratio: float
    use_delta: bool | None = None
    """None: the name decides. False: plain. True: a delta candidate whatever its name."""
    progress: Progress = field(default=lambda phase, position: None)
    put_id: str = ""
    """Kept in the metadata of what is written, so that whoever gave it knows it again."""

    @property
    def kept_metadata(self) -> dict[str, str]:
        """The user's metadata, and the id of the put where it has one."""
        return {**self.metadata, **({meta.PUT_ID: self.put_id} if self.put_id else {})}

    announced: Announced = field(default_factory=lambda: Announced({}, ""))
    """What `arguments` say of checksums; `put` fills it in."""

    @property
    def name(self) -> str:
        """The last component of the key."""
        return self.key.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Refused:
    """Why there will be no delta. `ratio` is at least what it came to, or would have come to."""

    reason: str
    ratio: float = 0.0
    absent: bool = False
    """Whether there was no plain form when it was decided."""


@dataclass(frozen=True, slots=True)
class PutResult:
    """What became of a put. Sizes in bytes, digest in hex (empty for a stream of unknown length)."""

    response: Response
    operation: Operation
    original_size: int
    stored_size: int
    sha256: str
    ratio: float = 0.0
    """Delta size divided by original size, also when the delta was refused; 0.0 where none was tried."""
    reference_key: str = ""
    reason: str = ""


CONDITIONS: tuple[Condition, ...] = ("IfNoneMatch", "IfMatch")


async def require(engine: Engine, request: PutRequest, condition: Condition) -> None:
    """Raise where the caller's condition would be ignored by the endpoint."""
    # A body of unknown size may be sent either way.
    sizes = (0, LARGEST_SINGLE_PUT + 1) if request.source.size is None else (request.source.size,)
    for size in sizes:
        if not await keeps(engine, request, size, condition):
            raise InvalidRequestError(
                f"cannot put {where(request.bucket, request.key)} with {condition}: this endpoint answers 200 whether "
                "the condition holds or not. Nothing was stored."
            )


async def keeps(engine: Engine, request: PutRequest, size: int, condition: Condition) -> bool:
    """Whether the endpoint keeps a condition on the write of `size` bytes."""
    operation: Call = "CompleteMultipartUpload" if size > LARGEST_SINGLE_PUT else "PutObject"
    space = keys.deltaspace(request.key)
    return await engine.conditions.keeps(request.bucket, space, operation, condition, access_only(request.arguments))


def unmet(request: PutRequest) -> Exception:
    message = f"cannot put {where(request.bucket, request.key)}: the object there does not meet the condition."
    return service_error("PreconditionFailed", 412, "PutObject", message)


def of_the_whole(response: Response, request: PutRequest, sha256: str) -> Response:
    """S3's answer to a write, with the original's checksums in place of those of what was sent."""
    of_the_whole = {
        "ChecksumSHA256": base64_sha256(sha256),
        **request.announced.values,
        "ChecksumType": "FULL_OBJECT",
    }
    return {name: value for name, value in response.items() if not name.startswith("Checksum")} | of_the_whole
