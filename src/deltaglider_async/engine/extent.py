"""Which bytes of an object a read asks for. S3 answers that itself for a plain form; of a delta, it is decided here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from deltaglider_async.store.errors import service_error

#: Python does not read numbers of more than 4,300 digits, and reads digits that are not ASCII.
_RANGE = re.compile(r"bytes=(?:([0-9]{1,4000})-([0-9]{0,4000})|-([0-9]{1,4000}))")
_MOST_PARTS = 10_000

#: Arguments that ask for a part of an object. A delta is needed whole for any of them.
PARTIAL = frozenset({"Range", "PartNumber"})


def whole(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The same call for all bytes."""
    return {name: value for name, value in arguments.items() if name not in PARTIAL}


def is_partial(arguments: Mapping[str, Any]) -> bool:
    """Whether a call asks for a part of an object."""
    return any(arguments.get(name) is not None for name in PARTIAL)


def extent(arguments: Mapping[str, Any], size: int, name: str, operation: str) -> tuple[int, int] | None:
    """First and last-plus-one byte that a call asks for of an object of `size` bytes; None for an ordinary answer.

    To S3 an object that was put in one piece has one part, of which a call may ask by its number. Raises what S3 raises
    for anything else.
    """
    asked, number = arguments.get("Range"), arguments.get("PartNumber")
    if number is None:
        return None if asked is None else parse_range(asked, size, name, operation)
    if asked is not None:
        message = f"cannot read {name}: Range and PartNumber cannot be given together."
        raise _refused("InvalidRequest", 400, operation, message)
    if not 1 <= number <= _MOST_PARTS:
        message = f"cannot read {name}: PartNumber is {number}. Accepted: 1 to {_MOST_PARTS}."
        raise _refused("InvalidArgument", 400, operation, message)
    if number > 1:
        raise _refused("InvalidPartNumber", 416, operation, f"cannot read part {number} of {name}: it has one part.")
    return 0, size


def parse_range(asked: str, size: int, name: str, operation: str = "GetObject") -> tuple[int, int] | None:
    """First and last-plus-one byte of a `Range` (RFC 9110, 14.1); None for what S3 ignores.

    Raises what S3 raises (`InvalidRange`) where nothing of it is inside the object.
    """
    match = _RANGE.fullmatch(asked.strip())
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        start, stop = max(0, size - int(suffix)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= stop:
        message = f"cannot read {name}: the range {asked!r} is outside of its {size:,} bytes."
        raise _refused("InvalidRange", 416, operation, message)
    return start, stop


def _refused(code: str, status: int, operation: str, message: str) -> Exception:
    # The answer to a HEAD has no body, so that botocore knows the status only.
    return service_error(str(status) if operation == "HeadObject" else code, status, operation, message)
