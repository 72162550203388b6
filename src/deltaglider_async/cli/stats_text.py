"""`dg stats` for people at a terminal, and for those who read what it printed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deltaglider_async.cli.savings import Figures, Folder
from deltaglider_async.cli.text import pad, printable, shorten, size

#: Lines of folders on a terminal; elsewhere there are all.
_ROWS = 20
_HEADER = f"{'objects':>9} {'original':>9} {'stored':>9} {'saved':>6} {'at most':>9}  folder"


def show(figures: Figures, *, by_prefix: bool) -> None:
    """Print all that is known."""
    console = Console(highlight=False)
    _sums(console, figures)
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    if by_prefix:
        for line in table(figures, width):
            console.print(Text(line), soft_wrap=True)
        if width is not None:
            for line in charts(figures, width - 1, unicode=console.encoding.lower().startswith("utf")):
                console.print(Text(line), soft_wrap=True)
    if by_prefix and (figures.problems or figures.stats.warnings):
        console.print()
    for problem in figures.problems:
        console.print(Text(f"warning: {printable(problem.what)}", "yellow"), soft_wrap=True)
        for command in problem.commands:
            console.print(Text(f"  {printable(command)}"), soft_wrap=True)
    for warning in figures.stats.warnings:
        console.print(Text(f"warning: {printable(warning)}", "yellow"), soft_wrap=True)


def _sums(console: Console, figures: Figures) -> None:
    found = figures.stats
    rows = Table(title=Text(printable(figures.url)), show_header=False, title_justify="left")
    rows.add_column(style="cyan")
    rows.add_column(justify="right")
    rows.add_row("objects", f"{found.object_count:,}{'+' if found.object_limit_reached else ''}")
    rows.add_row("  as deltas", f"{found.delta_objects:,}")
    rows.add_row("  whole", f"{found.direct_objects:,}")
    rows.add_row("original size", size(found.total_size))
    rows.add_row("stored size", size(found.compressed_size))
    rows.add_row("saved", f"{size(found.space_saved)} ({found.average_compression_ratio:.1%})")
    rows.add_row(
        f"a month, at ${figures.price:g}/GB", f"{dollars(figures.cost_after)}, was {dollars(figures.cost_before)}"
    )
    console.print(rows)


def dollars(amount: float) -> str:
    """`$0.02`, `$1,234`."""
    if 0 < amount < 0.01:
        return "under $0.01"
    return f"${amount:,.0f}" if amount >= 1000 else f"${amount:,.2f}"


def table(figures: Figures, width: int | None) -> Iterator[str]:
    """A line for each folder, those with most to save first. `width`: of a terminal; None where lines may be long."""
    if not figures.folders:
        return
    yield ""
    yield _HEADER
    rows = figures.folders if width is None else figures.folders[:_ROWS]
    for folder in rows:
        stats = folder.stats
        saved = f"{stats.space_saved / stats.original_size:.0%}" if stats.original_size else "-"
        before = (
            f"{stats.object_count:>9,} {size(stats.original_size):>9} {size(stats.stored_size):>9} {saved:>6} "
            f"{size(folder.could_save):>9}  "
        )
        name = folder.stats.prefix or "/"
        yield before + (name if width is None else shorten(printable(name), max(8, width - len(before) - 1)))
    if len(rows) < len(figures.folders):
        yield f"{len(figures.folders) - len(rows):>9,} more folders: pipe this into a pager, or use --json or --html"
    yield "at most: what better references, or more deltas, could still save"


def charts(figures: Figures, width: int, *, unicode: bool = True) -> Iterator[str]:
    """Bars of the folders with most to save, and of those that save most: what is stored, of the files' size."""
    for title, folders in (("most could be saved", figures.worst), ("most is saved", figures.best)):
        if folders:
            yield ""
            yield f"{title} (stored, of the files' size)"
            for folder in folders:
                yield _bar(folder, width, unicode=unicode)


def _bar(folder: Folder, width: int, *, unicode: bool) -> str:
    full, empty, ellipsis = ("█", "░", "…") if unicode else ("#", ".", "~")
    stats = folder.stats
    share = min(1.0, stats.ratio)
    after = f" {share:>4.0%} of {size(stats.original_size):>7}"
    room = min(40, max(10, (width - len(after)) // 2))
    bars = max(5, min(60, width - room - len(after) - 1))
    filled = min(bars, round(share * bars) or (1 if stats.stored_size else 0))
    name = pad(shorten(printable(stats.prefix or "/"), room, ellipsis), room)
    line = f"{name} {full * filled}{empty * (bars - filled)}{after}"
    assert cell_len(name) == room
    return line
