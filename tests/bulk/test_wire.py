from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deltaglider_async.bulk.actions import (
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
from deltaglider_async.bulk.wire import batches, decode, encode
from deltaglider_async.errors import InvalidRequestError

MANY = Options(
    use_delta=False,
    max_ratio=0.25,
    arguments={"ACL": "private"},
    metadata={"owner": "me"},
    access={"RequestPayer": "requester"},
    guess_content_type=False,
    move=True,
    recorded_times=True,
)
ACTIONS: list[Action] = [
    Upload(Path("a b/ü.zip"), "b", "k", 7, MANY),
    Upload(Path("a"), "b", "k"),
    Download("b", "k", Path("out/k"), Path("out"), None, datetime(2026, 1, 2, 3, 4, 5, 6, UTC), MANY),
    Download("b", "k", Path("out/k")),
    Copy("b", "k", "c", "l", 0, Options(metadata={})),
    Delete("b", "k", MANY),
    DeleteFile(Path("a")),
    Verify("b", "k", 3),
    Refusal("upload", "a", "it is a pipe"),
]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: type(action).__name__)
def test_a_unit_of_work_comes_back_from_json_as_it_was(action: Action) -> None:
    assert decode(json.loads(json.dumps(encode(action)))) == action


def test_what_has_its_default_takes_no_room() -> None:
    assert encode(Delete("b", "k")) == {"kind": "Delete", "bucket": "b", "key": "k"}


@pytest.mark.parametrize("encoded", [{}, {"kind": "Format"}, {"kind": "Delete"}, {"kind": "Delete", "x": 1}])
def test_what_is_no_unit_of_work_is_refused(encoded: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError, match="is no unit of work"):
        decode(encoded)


async def test_groups_are_of_one_deltaspace_in_the_order_of_the_plan() -> None:
    actions: list[Action] = [Delete("b", key) for key in ("1", "x/1", "x/2", "x/3", "x/y/1", "x/4")]

    async def plan() -> AsyncGenerator[Action, None]:
        for action in actions:
            yield action

    found = [batch async for batch in batches(plan(), largest=2)]
    assert [batch.space for batch in found] == ["b/", "b/x", "b/x", "b/x/y", "b/x"]
    assert [action for batch in found for action in batch.actions] == actions
    assert [len(batch.actions) for batch in found] == [1, 2, 1, 1, 1]
