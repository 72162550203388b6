"""Calls of every operation of S3, made from botocore's description alone: what must be given, and no more."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore import xform_name
from botocore.session import Session

from tests.differential.generate import CALLS

if TYPE_CHECKING:
    from botocore.model import Shape

MODEL = Session().get_service_model("s3")
OPERATIONS: tuple[str, ...] = tuple(sorted(MODEL.operation_names))
#: What no generated program calls, and is compared by one call each.
ALONE = tuple(name for name in OPERATIONS if xform_name(name) not in CALLS)
#: The bucket of a call is filled in by whoever makes it.
_KNOWN: dict[str, Any] = {"Key": "a", "CopySource": "source/a"}


def method_of(operation: str) -> str:
    """The method's name: `put_object` for `PutObject`."""
    return xform_name(operation)


def least_arguments(operation: str) -> dict[str, Any]:
    """Values for what botocore requires of an operation, without `Bucket`."""
    shape: Any = MODEL.operation_model(operation).input_shape
    if shape is None:
        return {}
    return {name: _value(name, shape.members[name]) for name in shape.required_members if name != "Bucket"}


def _value(name: str, shape: Shape) -> Any:
    described: Any = shape
    match shape.type_name:
        case "structure":
            return {inner: _value(inner, described.members[inner]) for inner in described.required_members}
        case "list":
            return [_value(name, described.member)]
        case "map":
            return {}
        case "integer" | "long":
            return 1
        case "boolean":
            return True
        case "timestamp":
            return datetime(2001, 1, 1, tzinfo=UTC)
        case "blob":
            return b"x"
    return _KNOWN.get(name) or next(iter(described.enum), "x")
