"""What the project wants to reach, and whether a run did: ratios of medians within that run."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.contenders import AWS, DG, ELSEWHERE, ORIGINAL, PLAIN, RAW, S5CMD, SDK, XDELTA3
from benchmarks.lines import GIGABIT, LATE, LOCAL, Line

Rows = dict[tuple[str, str, str], dict[str, Any]]
"""Rows of a result by workload, line and contender."""


@dataclass(frozen=True)
class Goal:
    """One thing wanted. `value` is None where it was not measured; it must be at most, or at least, `bound`."""

    what: str
    value: float | None
    bound: float
    at_least: bool
    unit: str = "x"

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    @property
    def wanted(self) -> str:
        return f"{'at least' if self.at_least else 'at most'} {self.bound:g} {self.unit}"

    @property
    def measured(self) -> str:
        return "not measured" if self.value is None else number(self.value, self.unit)

    @property
    def verdict(self) -> str:
        """In words; where it was missed, by how much of the bound."""
        if self.value is None:
            return ""
        if self.met:
            return "met"
        if not self.bound:
            return f"**missed** by {self.measured}"
        missing = abs(self.value - self.bound) / self.bound
        return f"**missed** by {missing:.1%}" if missing < 0.1 else f"**missed** by {missing:.0%}"


def number(value: float, unit: str) -> str:
    """A figure of a goal: `x` is a ratio, `%` a share, the others are units."""
    if unit == "x":
        return f"{value:.2f} x"
    if unit == "%":
        return f"{value:.1%}"
    if unit == "s":
        return f"{value:.2f} s"
    return f"{value:.0f} {unit}"


def rows_of(results: dict[str, Any]) -> Rows:
    return {(row["workload"], row["line"], row["contender"]): row for row in results["rows"]}


def seconds(rows: Rows, workload: str, line: Line, contender: str) -> float | None:
    row = rows.get((workload, line.name, contender))
    return median(row["seconds"]) if row and row["seconds"] else None


def goals(results: dict[str, Any]) -> list[Goal]:
    """Every goal, in the order of the document."""
    rows = rows_of(results)

    def times(workload: str, line: Line, one: str, other: str) -> float | None:
        """How many times as long as the other one takes."""
        return ratio(seconds(rows, workload, line, one), seconds(rows, workload, line, other))

    def faster(what: str, workload: str, line: Line, bound: float, who: str = DG.name) -> Goal:
        return Goal(f"{what}: faster than the original", times(workload, line, ORIGINAL.name, who), bound, True)

    def beside(what: str, workload: str, line: Line, other: str, bound: float) -> Goal:
        return Goal(f"{what}: time beside `{other}`", times(workload, line, DG.name, other), bound, False)

    return [
        faster("ten wheels up, loopback", "wheels-up", LOCAL, 5),
        beside("ten wheels up, loopback", "wheels-up", LOCAL, AWS.name, 2),
        beside("ten wheels up, 1 Gbit/s", "wheels-up", GIGABIT, AWS.name, 1),
        beside("ten wheels up, 1 Gbit/s", "wheels-up", GIGABIT, S5CMD.name, 1),
        faster("ten wheels down, loopback", "wheels-down", LOCAL, 4),
        beside("ten wheels down, loopback", "wheels-down", LOCAL, AWS.name, 1.5),
        faster("500 MB, 50 bytes changed, put", "large-put", LOCAL, 10),
        faster("500 MB, 50 bytes changed, get", "large-get", LOCAL, 10),
        beside("500 MB, 50 bytes changed, put", "large-put", LOCAL, AWS.name, 1),
        *(
            Goal(f"500 MB, {what}: memory of the Python process", python(rows, f"large-{what}"), 150, False, "MB")
            for what in ("put", "get")
        ),
        beside("unrelated 45 MB, put", "unrelated-put", LOCAL, PLAIN.name, 1.5),
        Goal("300 MB with 100 MB inserted: delta beside what was inserted", insertion(rows), 1.01, False),
        beside("2,000 files of 10 KB up", "small", LOCAL, AWS.name, 1.2),
        *(
            Goal(f"2,000 files of 10 KB up: CPU beside `{RAW}`, {name}", cpu_beside(rows, name), 1.1, False)
            for name in (SDK, DG.name)
        ),
        faster("detailed statistics of 10,000 deltas, 20 ms away", "statistics", LATE, 10),
        faster("the same where the service is not MinIO", "statistics", LATE, 10, ELSEWHERE.name),
        Goal("detailed statistics again: HEAD requests", heads(rows), 0, False, "HEADs"),
        Goal("64 gets at once: memory beside 1.5 times one get and the reference", many_memory(rows), 1, False),
        Goal("64 gets at once: throughput beside bare xdelta3 on all cores", many_speed(rows), 0.8, True),
        Goal("deltas: bytes beside the original's, all workloads", delta_ratio(rows), 1.03, False),
        Goal(
            "deltas: bytes beside the original's, without the 100 MB inserted",
            delta_ratio(rows, without="inserted-put"),
            1.03,
            False,
        ),
        Goal("`dg --version`", seconds(rows, "version", LOCAL, DG.name), 0.15, False, "s"),
        beside("`dg ls` of ten objects", "list", LOCAL, AWS.name, 1),
    ]


def ratio(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other


def python(rows: Rows, workload: str) -> float | None:
    row = rows.get((workload, LOCAL.name, DG.name))
    return row["python"] / 1e6 if row else None


def insertion(rows: Rows) -> float | None:
    """Bytes stored for a file with other bytes in front, beside those bytes. A file stored whole is far off."""
    row = rows.get(("inserted-put", LOCAL.name, DG.name))
    return (row["stored"]["deltas"] + row["stored"]["whole"]) / row["figures"]["inserted bytes"] if row else None


def cpu_beside(rows: Rows, name: str) -> float | None:
    """CPU time beside aioboto3's: of the puts alone where both tell it, else of the whole processes."""
    ours, plain = (rows.get(("small", LOCAL.name, who)) for who in (name, RAW))
    if not ours or not plain:
        return None
    if told := ours["figures"].get("cpu of puts"):
        return ratio(median(told), median(plain["figures"]["cpu of puts"]))
    return ratio(median(ours["cpu"]), median(plain["cpu"]))


def heads(rows: Rows) -> float | None:
    row = rows.get(("statistics-again", LATE.name, DG.name))
    return float(row["requests"].get("HeadObject", 0)) if row else None


def many_memory(rows: Rows) -> float | None:
    one, many = (rows.get((workload, LOCAL.name, SDK)) for workload in ("get-one", "get-many"))
    return ratio(many["tree"], 1.5 * one["tree"] + one["figures"]["reference"]) if one and many else None


def many_speed(rows: Rows) -> float | None:
    ours, bare = (rows.get(("get-many", LOCAL.name, who)) for who in (SDK, XDELTA3))
    if not ours or not bare:
        return None
    return ratio(*(median(row["figures"]["seconds of gets"]) for row in (bare, ours)))


def stored_by_both(rows: Rows) -> dict[str, tuple[int, int]]:
    """Bytes stored for what was put, by us and by the original, for each workload of both.

    References are the same for both and left out; a file that one of them stores whole counts as that one stores it.
    """
    found = {}
    for (workload, line, contender), row in rows.items():
        other = rows.get((workload, line, ORIGINAL.name))
        # Of the wheels, each of them takes another one as the reference, unless it is there before.
        if (contender, line) == (DG.name, LOCAL.name) and other and row["stored"] and workload != "wheels-up":
            ours, theirs = (stored["stored"]["deltas"] + stored["stored"]["whole"] for stored in (row, other))
            found[workload] = ours, theirs
    return found


def delta_ratio(rows: Rows, without: str = "") -> float | None:
    """Bytes stored for what was put beside the original's, over all workloads of both but one."""
    pairs = [pair for workload, pair in stored_by_both(rows).items() if workload != without]
    return ratio(*map(sum, zip(*pairs, strict=True))) if pairs else None
