"""What fixed workloads take stays within their budgets, however busy the machine is: counts, and no times.

A budget is what was measured, in budgets.txt, and some room. `make budgets` measures anew.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.budgets.measure import (
    BUCKET,
    VALGRIND,
    Measured,
    excesses,
    instructions_of_the_start,
    instructions_of_xdelta3,
    measure,
    modules,
    options_of,
    recorded,
)
from tests.budgets.workloads import WORKLOADS

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

pytestmark = pytest.mark.timeout(300)  # the first waits for all workloads


@pytest.fixture(scope="module")
def measured(s3_endpoint: str, s3: S3Client) -> Measured:
    s3.create_bucket(Bucket=BUCKET)
    return asyncio.run(measure(s3_endpoint, BUCKET))


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_workload_stays_within_its_budget(measured: Measured, workload: str) -> None:
    counts = {of: count for of, count in measured.counts.items() if of[0] == workload}
    assert counts[workload, "bytes sent"] > 0
    assert excesses(counts) == []


def test_dg_imports_no_more_than_it_did(tmp_path: Path) -> None:
    assert excesses(modules(tmp_path)) == []


@pytest.mark.parametrize("how", ["instructions"] if VALGRIND else ["options, for there is no valgrind here"])
def test_xdelta3_takes_no_longer_than_it_did(measured: Measured, tmp_path: Path, how: str) -> None:
    """Where instructions cannot be counted, the options must be those for which they were."""
    if how == "instructions":
        assert excesses(instructions_of_xdelta3(measured, tmp_path)) == []
    else:
        found = {("xdelta3", name): " ".join(words) for name, words in options_of(measured).items()}
        assert found.items() <= recorded().items()


@pytest.mark.parametrize("how", ["instructions"] if VALGRIND else ["modules, for there is no valgrind here"])
def test_dg_starts_no_slower_than_it_did(tmp_path: Path, how: str) -> None:
    assert excesses(instructions_of_the_start(tmp_path) if how == "instructions" else modules(tmp_path)) == []


def test_what_takes_more_is_told() -> None:
    (told,) = excesses({("put plain", "requests HeadObject"): 2, ("put plain", "requests PutObject"): 1})
    assert told.startswith("put plain: 2 requests HeadObject; the budget is ")
