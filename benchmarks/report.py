"""The document, from results: every figure in it is computed here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.contenders import DG, ELSEWHERE, PLAIN, ROOT, SDK, XDELTA3
from benchmarks.goals import delta_ratio, goals, rows_of, stored_by_both
from benchmarks.lines import LOCAL

RESULTS = ROOT / "benchmarks" / "results.json"

#: Workloads in the order of the document, and what they are called.
TITLES = {
    "wheels-up": "Ten consecutive botocore wheels up",
    "wheels-down": "Ten consecutive botocore wheels down",
    "deltas": "Ten wheels into a folder in which the first of them is the reference",
    "similar-put": "Two nearly identical wheels of 44 MB: put of the second",
    "similar-get": "Two nearly identical wheels of 44 MB: get of the second",
    "large-put": "500 MB of which 50 bytes changed: put",
    "large-get": "500 MB of which 50 bytes changed: get",
    "unrelated-put": "Two unrelated wheels of 38 and 45 MB: put of the second",
    "inserted-put": "300 MB with 100 MB inserted in front: put",
    "small": "2,000 files of 10 KB up, plain",
    "listing": "Listing of 10,000 deltas in 200 folders",
    "statistics": "Detailed statistics of 10,000 deltas in 200 folders",
    "statistics-again": "The same once more",
    "get-one": "One get of a delta of 44 MB, through the SDK",
    "get-many": "64 of them at once, through one client",
    "first-cold": "First bytes of a get of 500 MB, new client",
    "first-warm": "First bytes of a get of 500 MB, second get of the client",
    "first-range": "1 MB in the middle of 500 MB, the reference at hand",
    "version": "`--version`",
    "list": "Listing of ten objects",
}


@dataclass(frozen=True)
class Picture:
    """Bars of some workloads, grouped by workload and line. `what` is a key of a row."""

    title: str
    workloads: tuple[str, ...]
    what: str = "seconds"


#: By the end of the files' names.
PICTURES = {
    "wheels": Picture("Ten wheels up and down: seconds, less is better", ("wheels-up", "wheels-down")),
    "large": Picture("500 MB of which 50 bytes changed: seconds, less is better", ("large-put", "large-get")),
    "memory": Picture("500 MB: MB of memory of all processes, less is better", ("large-put", "large-get"), "tree"),
    "statistics": Picture(
        "10,000 deltas 20 ms away: seconds, less is better", ("listing", "statistics", "statistics-again")
    ),
}


def tables(results: dict[str, Any]) -> str:
    """What was measured, as Markdown, for the terminal."""
    smaller = "A quick run: files are fewer and smaller than the names say. Goals are those of the full one.\n\n"
    marks = ("goals", "better", "operations", "deltas", "workloads")
    page = "\n\n".join(f"<!-- {mark} -->" for mark in marks)
    return document(results, smaller * results["quick"] + page)


def page_of_results() -> str:
    """docs/benchmarks.md, from the results of the last full run, if there has been one."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"quick": False, "rows": []}
    return document(results, (ROOT / "benchmarks" / "page.md").read_text())


def document(results: dict[str, Any], page: str) -> str:
    """The page, with what is computed in the places of its marks such as `<!-- goals -->`."""
    parts = {
        "goals": goal_table,
        "better": better,
        "workloads": workload_tables,
        "operations": operation_table,
        "deltas": delta_table,
        "machine": machine_table,
        "pictures": pictures,
    }

    def part(mark: re.Match[str]) -> str:
        return "\n".join(parts[mark[1]](results))

    return re.sub(r"<!-- (\w+) -->", part, page)


def goal_table(results: dict[str, Any]) -> Iterator[str]:
    yield from ("| goal | wanted | measured | |", "| --- | --- | --- | --- |")
    for goal in goals(results):
        yield f"| {goal.what} | {goal.wanted} | {goal.measured} | {goal.verdict} |"


def better(results: dict[str, Any]) -> Iterator[str]:
    """Where somebody else is faster, or stores less."""
    rows = rows_of(results)
    found = []
    for workload in TITLES:
        for line in dict.fromkeys(line for name, line, _ in rows if name == workload):
            peers = {who: row for (name, where, who), row in rows.items() if (name, where) == (workload, line)}
            here = peers.get(DG.name) or peers.get(SDK)
            if not here or not here["seconds"]:
                continue
            mine = median(here["seconds"])
            quicker = [
                (mine / median(row["seconds"]), who)
                for who, row in peers.items()
                if who not in (DG.name, ELSEWHERE.name, PLAIN.name, SDK, XDELTA3)
                and row["seconds"]
                and median(row["seconds"]) < mine
                # A listing that ends early is not a faster one.
                and row["figures"].get("lines shown", 0) >= here["figures"].get("lines shown", 0)
            ]
            if quicker:
                told = ", ".join(f"`{who}` {times:.2f} times" for times, who in sorted(quicker, reverse=True))
                found.append(f"* {title(results, workload)}, {line}: {told} as fast.")
    share = delta_ratio(rows, without="inserted-put")
    if share and share > 1:
        found.append(f"* The original's deltas are smaller: ours take {share - 1:.1%} more bytes ([below](#deltas)).")
    yield from found or ["Nowhere, in what was measured."]


def title(results: dict[str, Any], workload: str) -> str:
    """What a workload is called; a quick run is smaller than the names say."""
    return TITLES[workload] + (" (smaller)" if results["quick"] else "")


def workload_tables(results: dict[str, Any]) -> Iterator[str]:
    rows = rows_of(results)
    for workload in TITLES:
        lines = list(dict.fromkeys(line for name, line, _ in rows if name == workload))
        if not lines or workload == "deltas":
            continue
        yield from (f"### {title(results, workload)}", "")
        for line in lines:
            peers = {who: row for (name, where, who), row in rows.items() if (name, where) == (workload, line)}
            yield from workload_table(line, peers)
            yield ""


def workload_table(line: str, peers: dict[str, dict[str, Any]]) -> Iterator[str]:
    """One table, with the columns for which there is something."""
    ours = peers.get(DG.name) or peers.get(SDK)
    columns: dict[str, list[str]] = {line: [f"`{who}`" for who in peers]}

    def column(name: str, cells: list[str]) -> None:
        if any(cells):
            columns[name] = cells

    found = list(peers.values())
    column("seconds", [spread(row["seconds"]) for row in found])
    if ours and ours["seconds"] and len(found) > 1:
        mine = median(ours["seconds"])
        column("times ours", [f"{median(row['seconds']) / mine:.2f}" if row["seconds"] else "" for row in found])
    column("in the calls", [spread(row["figures"].get("seconds of gets", [])) for row in found])
    column("CPU s", [f"{median(row['cpu']):.2f}" if row["cpu"] else "" for row in found])
    column("CPU s of puts", [spread(row["figures"].get("cpu of puts", [])) for row in found])
    column("CPU ms a file", [per_file(row) for row in found])
    column("first process", [megabytes(row["python"]) for row in found])
    column("all processes", [megabytes(row["tree"]) for row in found])
    column("sent", [megabytes(row["sent"]) for row in found])
    column("received", [megabytes(row["received"]) for row in found])
    column("requests", [str(sum(row["requests"].values()) or "") for row in found])
    column("HEADs", [str(row["requests"].get("HeadObject", "")) for row in found])
    column("lines shown", [f"{row['figures'].get('lines shown', '')}" for row in found])
    column("stored", [megabytes(sum(row["stored"].values())) for row in found])
    yield "| " + " | ".join(columns) + " |"
    yield "| " + " | ".join("---" if name == line else "---:" for name in columns) + " |"
    for cells in zip(*columns.values(), strict=True):
        yield "| " + " | ".join(cells) + " |"


def per_file(row: dict[str, Any]) -> str:
    """CPU milliseconds for each of many files; without the start of the program where that is known."""
    if not (files := row["figures"].get("files")):
        return ""
    return f"{1000 * median(row['figures'].get('cpu of puts', row['cpu'])) / files:.2f}"


def spread(seconds: list[float]) -> str:
    """Median, and the smallest and largest."""
    if not seconds:
        return ""
    digits = 3 if max(seconds) < 1 else 2 if max(seconds) < 10 else 1
    middle = f"{median(seconds):.{digits}f}"
    return middle if len(seconds) == 1 else f"{middle} ({min(seconds):.{digits}f} to {max(seconds):.{digits}f})"


def megabytes(size: int) -> str:
    if not size:
        return ""
    return f"{size / 1e6:,.0f} MB" if size >= 10e6 else f"{size / 1e6:.2f} MB" if size >= 10e3 else f"{size:,} B"


def operation_table(results: dict[str, Any]) -> Iterator[str]:
    """What single operations ask of the server."""
    yield from ("| operation | requests | waits | which |", "| --- | ---: | ---: | --- |")
    for (workload, _, name), row in rows_of(results).items():
        if workload == "operations":
            which = ", ".join(f"{count} {kind}" for kind, count in sorted(row["requests"].items()))
            yield f"| {name} | {sum(row['requests'].values())} | {row['figures']['round trips']} | {which} |"


def delta_table(results: dict[str, Any]) -> Iterator[str]:
    """What is stored for the files, references left out."""
    rows = rows_of(results)
    yield from ("| workload | `dg` | original | beside |", "| --- | ---: | ---: | ---: |")
    found = stored_by_both(rows)
    for workload, (ours, theirs) in found.items():
        how = "" if rows[workload, LOCAL.name, DG.name]["stored"]["deltas"] else ", stored whole"
        yield f"| {title(results, workload)} | {ours:,} B{how} | {theirs:,} B | {ours / theirs:.3f} |"
    if found:
        ours, theirs = (sum(column) for column in zip(*found.values(), strict=True))
        yield f"| all | {ours:,} B | {theirs:,} B | {ours / theirs:.3f} |"


def pictures(results: dict[str, Any]) -> Iterator[str]:
    """Links to what benchmarks/pictures.py draws."""
    rows = rows_of(results)
    for name, picture in PICTURES.items():
        if any(workload in picture.workloads for workload, _, _ in rows):
            yield f"![{picture.title}](benchmarks-{name}.svg)\n"


def machine_table(results: dict[str, Any]) -> Iterator[str]:
    """What it ran on, and what took part."""
    if not results["rows"]:
        yield "Nothing has been measured yet."
        return
    machine = results["machine"]
    yield from ("| | |", "| --- | --- |", f"| when | {results['made']} |")
    yield f"| command | `{results['command']}`, {results['minutes']} minutes |"
    if again := results.get("again"):
        which = ", ".join(TITLES[name] for name in again["workloads"])
        yield f"| measured again after a change, {again['made']} | {which}: `{again['command']}` |"
    yield f"| machine | {machine['processor']}, {machine['cores']} cores, {machine['memory'] / 2**30:.0f} GiB |"
    yield f"| system | {machine['system']} |"
    yield from (f"| {name} | {version.partition(',')[0]} |" for name, version in results["versions"].items())
    for name in results["failed"]:
        yield f"| given up | {name} |"
    yield from ("", "| line | a HEAD takes | up | down | CPU time of the relay, all rounds |")
    yield "| --- | ---: | ---: | ---: | ---: |"
    for line, found in results["lines"].items():
        up, down = (f"{found[way]:,.0f} Mbit/s" if way in found else "" for way in ("up", "down"))
        wait, cpu = f"{found['round trip'] * 1000:.1f} ms", f"{found['CPU of the relay']:.0f} s"
        yield f"| {line} | {wait} | {up} | {down} | {cpu} |"
