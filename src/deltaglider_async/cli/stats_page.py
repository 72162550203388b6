"""`dg stats --html`: the same figures as one page that needs nothing else, for a browser or an e-mail."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from deltaglider_async._version import __version__
from deltaglider_async.cli.savings import Figures, Folder
from deltaglider_async.cli.stats_text import dollars
from deltaglider_async.cli.text import printable, size

#: Rows of the table: a browser is no fun with more.
_ROWS = 1000
_STYLE = """
:root { color-scheme: light dark; --ink: #1d2530; --soft: #5b6673; --paper: #fff; --card: #f3f6f9; --line: #dde3ea;
  --stored: #d9822b; --saved: #2f9e73; --empty: #e2e8ee; --warn: #fff4e0; --edge: #e0a13c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf1; --soft: #9aa6b4; --paper: #14181d; --card: #1e242b;
  --line: #323b45; --empty: #323b45; --warn: #33291a; --edge: #b07f2f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
p { margin: .25rem 0 .75rem; color: var(--soft); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .75rem; margin: 1.5rem 0; }
.card { background: var(--card); border-radius: .5rem; padding: .9rem 1rem; }
.card b { display: block; font-size: 1.5rem; line-height: 1.25; font-weight: 600; }
.card span { color: var(--soft); font-size: .9rem; }
svg { display: block; width: 100%; height: 1.75rem; border-radius: .3rem; }
.bar { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1rem; margin: 0 0 .8rem; }
.bar span { overflow-wrap: anywhere; } .bar svg { height: .9rem; flex-basis: 100%; border-radius: .2rem; }
.soft { color: var(--soft); } .stored { fill: var(--stored); } .saved { fill: var(--saved); }
.empty { fill: var(--empty); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; font-size: .9rem; }
th:first-child, td:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 12rem; }
.problem { background: var(--warn); border-left: 4px solid var(--edge); border-radius: .25rem; padding: .6rem .9rem;
  margin: .6rem 0; overflow-wrap: anywhere; }
pre { margin: .4rem 0 0; white-space: pre-wrap; font: .875rem ui-monospace, "DejaVu Sans Mono", monospace; }
.key { display: inline-block; width: .75rem; height: .75rem; border-radius: .15rem; margin: 0 .3rem 0 .9rem; }
footer { margin-top: 3rem; color: var(--soft); font-size: .875rem; }
"""


def page(figures: Figures, now: datetime | None = None) -> str:
    """The page, as HTML."""
    moment = f"{(now or datetime.now(UTC)):%Y-%m-%d %H:%M} UTC"
    body = "".join([_head(figures), _whole(figures), _charts(figures), _problems(figures), _table(figures)])
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>What {_text(figures.url)} holds and saves</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}"
        f"<footer>Written by deltaglider-async {escape(__version__)} on {moment}. Sizes are decimal: 1 MB is 1,000,000 "
        f"bytes. Costs are those of {figures.price:g} dollars for a GB of 2<sup>30</sup> bytes and a month; requests "
        "and traffic are not in them.</footer>\n</body>\n</html>\n"
    )


def _text(text: str) -> str:
    return escape(printable(text))


def _head(figures: Figures) -> str:
    found = figures.stats
    cards = [
        (f"{found.object_count:,}", f"objects, {found.delta_objects:,} of them as deltas"),
        (size(found.total_size), "size of the files"),
        (size(found.compressed_size), "stored for them"),
        (f"{found.average_compression_ratio:.1%}", f"saved: {size(found.space_saved)}"),
        (dollars(figures.cost_after), f"a month, where the files would cost {dollars(figures.cost_before)}"),
    ]
    shown = "".join(f'<div class="card"><b>{value}</b><span>{what}</span></div>' for value, what in cards)
    return (
        f"<h1>{_text(figures.url)}</h1>\n<p>Files that are nearly the same are stored as small differences "
        f'to one of them.</p>\n<div class="cards">{shown}</div>\n'
    )


def _whole(figures: Figures) -> str:
    found = figures.stats
    if not found.total_size:
        return ""
    share = min(1.0, found.compressed_size / found.total_size)
    stored = max(2.0, 1000 * share)
    return (
        '<svg viewBox="0 0 1000 28" preserveAspectRatio="none" role="img" aria-label="What is stored, and saved">'
        '<rect class="saved" width="1000" height="28"/>'
        f'<rect class="stored" width="{stored:.1f}" height="28"/>'
        '</svg>\n<p><span class="key" style="background:var(--stored);margin-left:0"></span>stored, '
        f'{share:.1%}<span class="key" style="background:var(--saved)"></span>saved, {1 - share:.1%}</p>\n'
    )


def _charts(figures: Figures) -> str:
    parts = []
    for title, why, folders in (
        (
            "Where most could be saved",
            "Much is stored beside the reference here, or nothing is a delta.",
            figures.worst,
        ),
        ("Where most is saved", "", figures.best),
    ):
        if folders:
            parts.append(f"<h2>{title}</h2>\n<p>{why} Bars: what is stored, of the size of the files.</p>\n")
            parts.append(_bars(folders))
    return "".join(parts)


def _bars(folders: list[Folder]) -> str:
    rows = []
    for folder in folders:
        stats = folder.stats
        share = min(1.0, stats.ratio)
        rows.append(
            f'<div class="bar"><span>{_text(stats.prefix or "/")}</span><span class="soft">{share:.0%}: '
            f"{size(stats.stored_size)} of {size(stats.original_size)}</span>"
            '<svg viewBox="0 0 1000 14" preserveAspectRatio="none" role="img" aria-hidden="true">'
            '<rect class="empty" width="1000" height="14"/>'
            f'<rect class="stored" width="{max(3.0, 1000 * share):.1f}" height="14"/></svg></div>\n'
        )
    return "".join(rows)


def _problems(figures: Figures) -> str:
    shown = []
    for problem in figures.problems:
        commands = "\n".join(map(_text, problem.commands))
        shown.append(f'<div class="problem">{_text(problem.what)}. This mends it:<pre>{commands}</pre></div>')
    shown += [f'<div class="problem">{_text(warning)}</div>' for warning in figures.stats.warnings]
    return f"<h2>What can be mended</h2>\n{''.join(shown)}\n" if shown else ""


def _table(figures: Figures) -> str:
    if not figures.folders:
        return ""
    rows = "".join(
        f"<tr><td>{_text(folder.stats.prefix or '/')}</td><td>{folder.stats.object_count:,}</td>"
        f"<td>{folder.stats.delta_objects:,}</td><td>{size(folder.stats.original_size)}</td>"
        f"<td>{size(folder.stats.stored_size)}</td><td>{1 - min(1.0, folder.stats.ratio):.0%}</td>"
        f"<td>{size(folder.could_save)}</td></tr>\n"
        for folder in figures.folders[:_ROWS]
    )
    more = len(figures.folders) - _ROWS
    rest = f"<p>And {more:,} more folders, with less to save.</p>\n" if more > 0 else ""
    return (
        "<h2>All folders</h2>\n<p>Those with most to save come first. No better reference and no more "
        "deltas could save more than “at most”; files that have nothing in common save nothing.</p>\n"
        '<div class="scroll"><table>\n<tr><th>folder</th><th>objects</th><th>deltas</th><th>size of files</th>'
        f"<th>stored</th><th>saved</th><th>at most</th></tr>\n{rows}</table></div>\n{rest}"
    )
