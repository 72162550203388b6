"""`dg stats --by-prefix`, `--price-per-gb` and `--html`."""

from __future__ import annotations

import json
import os
import shlex
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from deltaglider_async.cli.main import app
from deltaglider_async.cli.savings import Figures, Folder, poor, ranked
from deltaglider_async.cli.stats_page import page
from deltaglider_async.cli.stats_text import charts, dollars, table
from deltaglider_async.types import BucketStats, DeltaspaceStats

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Put
    from types_boto3_s3 import S3Client

    Invoke = Callable[..., str]

CONTENT = os.urandom(30_000)


@pytest.fixture
def dg(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run `dg` in this process, which must end well; standard output."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)

    def invoke(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments)
        assert (result.exit_code, result.stderr) == (0, "")
        return result.stdout

    return invoke


def space(prefix: str, objects: int = 4, original: int = 400, stored: int = 110, deltas: int = 4,
          delta_size: int = 10, references: int = 1, reference_size: int = 100) -> DeltaspaceStats:  # fmt: skip
    """A good folder, unless something else is said."""
    return DeltaspaceStats("b", prefix, objects, original, stored, deltas, delta_size, references, reference_size)


PLAIN = space("plain/", stored=400, deltas=0, delta_size=0, references=0, reference_size=0)
POOR = space("poor/", stored=360, deltas=2, delta_size=60)
ORPHAN = space("orphan/", 0, 0, 0, 0, 0)
SPACES = [space("good/"), PLAIN, POOR, ORPHAN]
STATS = BucketStats("b", 12, 1200, 870, 330, 0.275, 6, 6, orphaned_references=1, orphaned_size=100)


def test_folders_with_most_to_save_come_first() -> None:
    assert [(folder.stats.prefix, folder.could_save) for folder in ranked(SPACES)] == [
        ("plain/", 300), ("poor/", 260), ("orphan/", 100), ("good/", 10),
    ]  # fmt: skip


def test_a_reference_is_poor_where_much_is_stored_beside_it() -> None:
    assert [folder.stats.prefix for folder in map(Folder, SPACES) if folder.poor] == ["poor/"]
    assert not Folder(space("", 2, 200, 200, 1, 0)).poor  # two files are no reason to begin anew


def test_the_best_and_the_worst_are_told_apart() -> None:
    figures = Figures("s3://b/", STATS, 0.023, ranked(SPACES))
    assert [folder.stats.prefix for folder in figures.worst] == ["plain/", "poor/"]
    assert [folder.stats.prefix for folder in figures.best] == ["good/"]


def test_costs_are_for_what_is_stored_with_unused_references() -> None:
    gb = 2**30
    stats = BucketStats("b", 1, 100 * gb, 20 * gb, 80 * gb, 0.8, 1, 0, orphaned_size=5 * gb)
    figures = Figures("s3://b/", stats, 0.02)
    assert (figures.cost_before, figures.cost_after) == pytest.approx((2.0, 0.5))
    assert [dollars(amount) for amount in (0, 0.001, 0.5, 1234.5)] == ["$0.00", "under $0.01", "$0.50", "$1,234"]


@pytest.mark.parametrize("width", [80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    spaces = [space(f"{'漢字' * 40}/{number}/") for number in range(30)] + SPACES
    figures = Figures("s3://b/", STATS, 0.023, ranked(spaces))
    lines = [*table(figures, width), *charts(figures, width - 1)]
    assert all(cell_len(line) < width for line in lines)
    assert any(line.endswith("漢字/0/") and "…" in line for line in lines) or width == 200
    assert sum("漢字/0/" in line for line in lines) == 2


def test_bars_without_unicode() -> None:
    lines = list(charts(Figures("s3://b/", STATS, 0.023, ranked(SPACES)), 79, unicode=False))
    assert all(line.isascii() for line in lines)
    assert any("#" in line and "." in line for line in lines)


class Tags(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "rect":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_from_elsewhere_and_no_name_becomes_markup() -> None:
    evil = space('<script>alert("1")</script>&amp;\x1b[1m/', stored=400, deltas=2, delta_size=100)
    figures = Figures("s3://b/", STATS, 0.023, ranked([*SPACES, evil]), [poor(Folder(evil), "")])
    shown = page(figures)
    tags = Tags(shown)
    assert tags.open == []
    assert not {"script", "link", "img", "iframe"} & set(tags.names)
    assert not {"src", "href"} & {name for name, _ in tags.attributes}
    assert "url(" not in shown
    assert "http" not in shown
    assert "\x1b" not in shown
    assert '<script>alert("1")</script>&amp;' in tags.text
    assert tags.names.count("svg") == 1 + 3 + 1


def test_the_page_of_an_empty_bucket() -> None:
    assert Tags(page(Figures("s3://b/", BucketStats("b", 0, 0, 0, 0, 0.0, 0, 0), 0.023))).open == []


@pytest.fixture
def filled(put: Put, bucket: str, s3: S3Client) -> str:
    """A good folder, one whose first file was an unlucky one, one without deltas, an unused reference."""
    put(bucket, {f"good/{number}.zip": CONTENT + b"%d" % number for number in range(3)})
    put(bucket, {"poor/0.zip": os.urandom(10_000)})
    put(bucket, {f"poor/{number}.zip": CONTENT + b"%d" % number for number in range(1, 5)})
    put(bucket, {"plain/1.txt": b"1" * 500, "plain/2.txt": b"2" * 500})
    s3.put_object(Bucket=bucket, Key="old one/reference.bin", Body=b"x" * 50)
    return bucket


def test_by_prefix_for_programs(dg: Invoke, filled: str) -> None:
    found: dict[str, Any] = json.loads(dg("stats", filled, "--by-prefix", "--price-per-gb", "1000000", "--json"))
    assert [each["prefix"] for each in found["deltaspaces"]] == ["poor/", "plain/", "good/", "old one/"]
    assert [each["prefix"] for each in found["deltaspaces"] if each["poor_reference"]] == ["poor/"]
    assert [each["prefix"] for each in found["deltaspaces"] if each["orphaned_reference"]] == ["old one/"]
    assert sum(each["compressed_size"] for each in found["deltaspaces"]) == found["compressed_size"]
    assert found["monthly_cost_before"] == pytest.approx(found["total_size"] / 2**30 * 1_000_000)
    assert found["monthly_cost_after"] == pytest.approx((found["compressed_size"] + 50) / 2**30 * 1_000_000)


def test_by_prefix_for_people(dg: Invoke, filled: str) -> None:
    lines = dg("stats", filled, "--by-prefix").splitlines()
    rows = [line.split()[-1] for line in lines if line.endswith("/") and line.startswith(" ") and "dg " not in line]
    assert rows[:3] == ["poor/", "plain/", "good/"]
    assert f"  dg gc 's3://{filled}/old one/'" in lines
    assert not any("█" in line for line in lines)  # nobody looks


def test_the_commands_that_are_named_mend_what_is_poor(dg: Invoke, filled: str) -> None:
    found = json.loads(dg("stats", filled, "--by-prefix", "--json"))
    (commands,) = [each["commands"] for each in found["problems"] if "poor" in each["what"]]
    for command in commands:
        dg(*shlex.split(command)[1:])
    after = json.loads(dg("stats", f"s3://{filled}/poor-again/", "--by-prefix", "--json"))
    before = next(each for each in found["deltaspaces"] if each["prefix"] == "poor/")
    assert (after["object_count"], after["total_size"]) == (5, before["total_size"])
    assert after["compressed_size"] < before["compressed_size"] / 2
    assert not after["deltaspaces"][0]["poor_reference"]


def test_a_page_is_written_in_one_step(dg: Invoke, filled: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    dg("stats", f"s3://{filled}/good/", "--html", str(path))
    assert "good/" in Tags(path.read_text()).text
    assert list(tmp_path.iterdir()) == [path]


def test_a_page_that_cannot_be_written_is_an_error(filled: str, s3_endpoint: str, tmp_path: Path) -> None:
    target = str(tmp_path / "nowhere" / "report.html")
    result = CliRunner().invoke(app, ["stats", filled, "--html", target, "--endpoint-url", s3_endpoint])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "No such file or directory" in result.stderr
