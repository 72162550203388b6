"""Units of work as JSON, and in groups of one deltaspace: for journals, queues, and other machines."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from deltaglider_async.bulk.actions import (
    CLIENT_DECIDES,
    Action,
    Copy,
    Delete,
    DeleteFile,
    Download,
    Options,
    Refusal,
    Upload,
    Verify,
)
from deltaglider_async.errors import InvalidRequestError

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (Upload, Download, Copy, Delete, DeleteFile, Verify, Refusal)
}
_PATHS = frozenset({"path", "root"})


def encode(action: Action) -> dict[str, Any]:
    """An action as a dict that `json.dumps` takes. What has its default is left out."""
    encoded: dict[str, Any] = {"kind": type(action).__name__}
    for name, value in _values(action).items():
        match value:
            case Options():
                changed = {key: each for key, each in _values(value).items() if each != getattr(CLIENT_DECIDES, key)}
                if changed:
                    encoded[name] = {key: dict(each) if isinstance(each, Mapping) else each
                                     for key, each in changed.items()}  # fmt: skip
            case datetime():
                encoded[name] = value.isoformat()
            case Path():
                encoded[name] = str(value)
            case None:
                pass
            case _:
                encoded[name] = value
    return encoded


def decode(encoded: dict[str, Any]) -> Action:
    """The action that `encode` was given. Raises `InvalidRequestError` for what is none."""
    values = dict(encoded)
    kind = _KINDS.get(values.pop("kind", ""))
    try:
        if kind is None:
            raise KeyError("kind")
        for name in _PATHS & values.keys():
            values[name] = Path(values[name])
        if "modified" in values:
            values["modified"] = datetime.fromisoformat(values["modified"])
        if "options" in values:
            values["options"] = Options(**values["options"])
        action: Action = kind(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRequestError(f"{encoded!r} is no unit of work: {error}") from error
    return action


@dataclass(frozen=True, slots=True)
class Batch:
    """Work on one deltaspace, in the plan's order: whoever does it needs one reference."""

    space: str
    """The deltaspace with its bucket; see `actions.space_of`."""
    actions: tuple[Action, ...]


async def batches(plan: AsyncGenerator[Action, None], largest: int = 1000) -> AsyncGenerator[Batch, None]:
    """The plan in groups, each of one deltaspace and at most `largest` actions; memory: one group.

    A deltaspace may come in several groups. Only the first of those should be carried out while it has no reference.
    """
    waiting: list[Action] = []
    async with aclosing(plan):
        async for action in plan:
            if waiting and (action.space != waiting[0].space or len(waiting) >= largest):
                yield Batch(waiting[0].space, tuple(waiting))
                waiting = []
            waiting.append(action)
    if waiting:
        yield Batch(waiting[0].space, tuple(waiting))


def _values(item: Any) -> dict[str, Any]:
    return {field.name: getattr(item, field.name) for field in fields(item)}
