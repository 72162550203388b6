"""The pictures of docs/benchmarks.md, from benchmarks/results.json. Runs in .venv-bench.

python -m benchmarks.pictures
"""

from __future__ import annotations

import json
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.contenders import ROOT
from benchmarks.goals import rows_of
from benchmarks.report import PICTURES, RESULTS, Picture

COLOURS = {"dg": "#1f77b4", "deltaglider 6.2.0": "#c44e52", "aws s3": "#dd9b3c", "s5cmd": "#8c8c8c"}


def draw(picture: Picture, results: dict[str, Any]) -> Figure:
    """Horizontal bars, with the figure at the end of each."""
    rows = {at: row for at, row in rows_of(results).items() if at[0] in picture.workloads and at[2] in COLOURS}
    groups = list(dict.fromkeys((workload, line) for workload, line, _ in rows))
    height = sum(1 + sum(at[:2] == group for at in rows) for group in groups)
    figure = Figure(figsize=(8, 0.6 + 0.24 * height), layout="constrained")
    axes = figure.add_subplot()
    place, middles, names = 0, [], []
    for group in groups:
        first = place
        for (workload, line, who), row in rows.items():
            if (workload, line) == group:
                value = median(row["seconds"]) if picture.what == "seconds" else row[picture.what] / 1e6
                bars = axes.barh(place, value, 0.85, color=COLOURS[who])
                label = f"{value:,.2f}  {who}" if value < 10 else f"{value:,.0f}  {who}"
                axes.bar_label(bars, [label], padding=3, fontsize=8)
                place += 1
        middles.append((first + place - 1) / 2)
        names.append("\n".join(group))
        place += 1
    axes.set_yticks(middles, names, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_title(picture.title, fontsize=10, loc="left")
    return figure


def main() -> None:
    results = json.loads(RESULTS.read_text())
    # Text stays text, and the same results give the same file.
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "benchmarks", "font.family": "sans-serif"}
    for name, picture in PICTURES.items():
        if any(row["workload"] in picture.workloads for row in results["rows"]):
            path = ROOT / "docs" / f"benchmarks-{name}.svg"
            draw(picture, results).savefig(path, metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    main()
