"""What clients did and saw, and whether one order of it explains everything.

Per key, every operation takes effect at one moment between its beginning and its end (linearizability, Herlihy and
Wing, 1990). An operation whose client died has no end: it takes effect at any later moment, or never.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

#: An object as a reader tells it apart: its bytes and its ETag (None: the ETag of a write that was not acknowledged).
Value = tuple[bytes, str | None] | None
#: The bytes that a copy wrote whose client died.
UNKNOWN = b""
What = Literal["write", "read", "create", "swap", "remove", "refused-create", "refused-swap"]


#: After every end, and before never.
_LATEST = 1e9


@dataclass(eq=False, slots=True)
class Event:
    """One operation on one key.

    `write` leaves `value`. `read` saw `value`. `create` wrote `value` where nothing was, `swap` where `expected` was
    (an ETag), and `remove` removed what had that ETag; `refused` of these found something else.
    """

    what: What
    key: str
    value: Value
    begun: float
    ended: float = math.inf
    expected: str = ""
    form: str = ""
    who: str = ""


def same(one: Value, other: Value) -> bool:
    """Whether these may be the same object."""
    if one is None or other is None:
        return one is other
    return (one[0] == other[0] or UNKNOWN in (one[0], other[0])) and (one[1] == other[1] or None in (one[1], other[1]))


def explained(start: Value, events: Sequence[Event]) -> bool:
    """Whether some order of the events on one key explains what was read."""
    events = _as_promised(events)
    seen: set[tuple[frozenset[int], Value]] = set()
    stack: list[tuple[frozenset[int], Value]] = [(frozenset(range(len(events))), start)]
    while stack:
        left, value = stack.pop()
        if all(events[i].ended == math.inf for i in left):
            return True  # whoever died may not have come to it
        if (left, value) in seen:
            continue
        seen.add((left, value))
        first_end = min(events[i].ended for i in left)
        for i in left:
            event = events[i]
            if event.begun > first_end:
                continue  # another had ended before this began
            fits, after = _applied(event, value)
            if fits:
                stack.append((left - {i}, after))
    return False


def _applied(event: Event, value: Value) -> tuple[bool, Value]:
    match event.what:
        case "write":
            return True, event.value
        case "read":
            return same(event.value, value), value
        case "create":
            return value is None, event.value
        case "swap" | "remove":
            return value is not None and value[1] in (None, event.expected), event.value
        case "refused-create":
            return value is not None, value
        case "refused-swap":
            return value is None or value[1] != event.expected, value


def _as_promised(events: Sequence[Event]) -> list[Event]:
    """The events with what docs/architecture.md leaves open (What is promised of one key) put in."""
    result = []
    for event in events:
        beside = [other for other in events if other is not event and _overlap(event, other)]
        removed = [other.ended for other in beside if other.value is None and other.what in ("write", "remove")]
        if event.what == "create" and any(other.form == "delta" for other in beside):
            event = replace(event, what="write")
        elif event.form == "delta" and removed and any(other.form == "plain" for other in beside):
            event = replace(event, ended=max(event.ended, min(_LATEST, max(removed))))
        result.append(event)
    return result


def _overlap(one: Event, other: Event) -> bool:
    return one.begun <= other.ended and other.begun <= one.ended
