"""The bench: a tiny workload really runs, and the document says what results say."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from benchmarks.bench import Bench, Row
from benchmarks.contenders import AWS, DG, ORIGINAL, ROOT
from benchmarks.files import Files
from benchmarks.goals import goals
from benchmarks.lines import GIGABIT, LOCAL
from benchmarks.measure import CommandError
from benchmarks.report import document, page_of_results, tables
from benchmarks.server import Server
from benchmarks.workloads import put_and_get


def results_of(*rows: Row) -> dict[str, Any]:
    return {"quick": False, "rows": [vars(row) for row in rows]}


def row(workload: str, who: str, *seconds: float, **more: Any) -> Row:
    return Row(workload, LOCAL.name, who, list(seconds), list(seconds), **more)


def test_goals_are_ratios_of_medians_within_one_run() -> None:
    found = goals(
        results_of(
            row("wheels-up", DG.name, 3.0, 1.0, 2.0),
            row("wheels-up", ORIGINAL.name, 30.0, 11.0, 10.0),
            row("wheels-up", AWS.name, 0.5),
        )
    )
    assert [(goal.measured, goal.met, goal.verdict) for goal in found[:3]] == [
        ("5.50 x", True, "met"),
        ("4.00 x", False, "**missed** by 100%"),
        ("not measured", None, ""),
    ]


def test_the_document_says_what_was_measured_and_where_others_are_better() -> None:
    stored = {"deltas": 1030, "whole": 0, "references": 9}
    results = results_of(
        row("wheels-up", DG.name, 2.0, 1.0, 4.0, requests={"PutObject": 3, "HeadObject": 2}),
        row("deltas", DG.name, stored=stored),
        row("deltas", ORIGINAL.name, stored=stored | {"deltas": 1000}),
        row("wheels-up", AWS.name, 1.0, tree=50_000_000),
        row("operations", "put, delta", requests={"PutObject": 1, "HeadObject": 2}, figures={"round trips": 3}),
    )
    page = document(results, "before\n<!-- goals -->\n<!-- better -->\n<!-- workloads -->\n<!-- operations -->\nafter")
    assert page.startswith("before\n| goal |") and page.endswith("\nafter")
    assert "* Ten consecutive botocore wheels up, loopback: `aws s3` 2.00 times as fast.\n" in page
    assert "ours take 3.0% more bytes" in page
    assert "| `dg` | 2.00 (1.00 to 4.00) | 1.00 |" in page
    assert "| put, delta | 3 | 3 | 2 HeadObject, 1 PutObject |" in page


def test_the_page_is_made_from_its_template_and_the_results() -> None:
    assert (ROOT / "docs" / "benchmarks.md").read_text() == page_of_results(), "run: python -m benchmarks --report"


@pytest.mark.timeout(180)  # four commands, one after the other, beside all other tests
def test_a_tiny_workload_runs_directly_and_through_a_relay(s3_endpoint: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = Server(s3_endpoint, "", stack)
        bench = Bench(server, Files(tmp_path, quick=True), tmp_path / "work", quick=True)
        base = bench.files.random("base.zip", 100_000, seed=1)
        put_and_get(bench, "tiny", DG, base, bench.files.changed(base, 5))
        with bench.bucket() as bucket:
            _, taken = bench.measure("list", GIGABIT, DG.name, DG.command("list", f"s3://{bucket}"))
        with pytest.raises(CommandError, match="--no-such-option"):
            bench.run([str(DG.program), "--no-such-option"])
        url = server.through(GIGABIT)
    assert taken.seconds > 0 and taken.cpu > 0 and taken.python > 1_000_000 and taken.tree > 1_000_000
    put, get, _ = bench.rows.values()
    assert 0 < put.stored["deltas"] < 10_000 and not put.stored["whole"]
    assert len(put.seconds) == len(get.seconds) == 1
    assert "| `dg` |" in tables(bench.results())
    assert url != s3_endpoint
