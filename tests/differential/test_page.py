"""docs/compatibility.md says what is so: every operation, which of them are delta-aware, and what compares them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.client.operations import DELTA_AWARE, STORED_OBJECT
from tests.differential import page
from tests.differential.compare import Comparison
from tests.differential.passed import ALONE, OPERATIONS, least_arguments, method_of
from tests.differential.program import Call, Content, call
from tests.differential.run import Side
from tests.differential.servers import MOTO
from tests.differential.test_differential import Laboratory, laboratory


def test_the_table_of_operations_is_up_to_date() -> None:
    """As far as the botocore that is installed goes: a newer one knows more operations."""
    written = [row for row in page.written_table() if row[0] in OPERATIONS]
    assert written == page.table(), "`make compatibility` brings docs/compatibility.md up to date"
    assert [name for name, *_ in written] == list(OPERATIONS)


def test_every_operation_is_compared_and_none_is_unknown() -> None:
    assert [name for name, kind, compared in page.table() if not compared or kind == "unknown"] == []


def test_every_delta_aware_operation_has_a_method_of_its_own() -> None:
    own = {name for kind in DeltaGliderClient.__mro__[:-1] for name in vars(kind)}
    assert {method_of(name) for name in (DELTA_AWARE | STORED_OBJECT) & set(OPERATIONS)} <= own


@pytest.fixture(scope="module")
def lab(s3_endpoint: str) -> Iterator[Laboratory]:
    with laboratory(MOTO, s3_endpoint, candidates=True) as opened:
        yield opened


@pytest.mark.parametrize("operation", ALONE)
def test_an_operation_that_no_program_calls_is_answered_as_by_boto3(operation: str, lab: Laboratory) -> None:
    program = [
        call("put_object", Key="a", Body=Content("similar")),
        Call(method_of(operation), least_arguments(operation)),
    ]
    assert lab.unexplained(program, in_new_buckets=True) == []


def test_a_call_that_is_not_boto3s_is_seen() -> None:
    """What compares the two does see a difference."""

    class Other:
        async def get_bucket_acl(self, **arguments: Any) -> dict[str, Any]:
            return {"Grants": [], "Owner": {"ID": secrets.token_hex(4)}}

    async def compared() -> list[str]:
        program = [call("get_bucket_acl")]
        theirs, ours = Side(Other(), "a"), Side(Other(), "b")
        outcomes = await theirs.run(program), await ours.run(program)
        return [difference.field for difference in Comparison(program, theirs, ours).differences(*outcomes)]

    assert asyncio.run(compared()) == ["Owner.ID"]
