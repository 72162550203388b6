"""Findings of `dg fsck` and `dg gc`: as a table for people, as JSON for scripts."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from deltaglider_async.cli.seen import Seen
from deltaglider_async.format.keys import DELTA_SUFFIX
from deltaglider_async.types import Finding, Severity

if TYPE_CHECKING:
    from rich.text import Text

    from deltaglider_async.cli.locations import InS3

#: Rows that a table has at most. What comes after them gets another one: nothing piles up.
_ROWS = 500
#: Objects that are named with a finding.
_NAMED = 3
_COLOURS: dict[Severity, str] = {"error": "red", "waste": "yellow", "note": "cyan"}


class Report:
    """Prints findings and counts them. `changes`: what can be dealt with is. `quiet`: only `bad` ones that are left."""

    def __init__(
        self,
        place: InS3,
        *,
        as_json: bool,
        changes: bool,
        quiet: bool = False,
        bad: tuple[Severity, ...] = ("error", "waste"),
    ) -> None:
        self._place = place
        self._json = as_json
        self._changes = changes
        self._rows: list[Finding] = []
        self._found = Counter[Severity]()
        self._repaired = Counter[Severity]()
        self._waste = self._freed = 0
        self._quiet = quiet
        self._bad = bad
        # Where findings go to the same terminal as they come, a counter would run into them.
        self.seen = Seen(shown=not quiet and not (as_json and sys.stdout.isatty()))

    async def follow(self, findings: AsyncGenerator[Finding, None]) -> None:
        """Print findings to their end, and what they are in sum."""
        try:
            async with aclosing(findings):
                async for finding in findings:
                    self._add(finding)
        finally:
            self.seen.clear()
            self._flush()
        if self._quiet:
            return
        if self._json:
            print(json.dumps(self._sum()), flush=True)
        else:
            print(self._sentence(), flush=True)

    @property
    def errors(self) -> int:
        """Errors that are left."""
        return self._found["error"] - self._repaired["error"]

    @property
    def waste(self) -> int:
        """Waste that is left."""
        return self._found["waste"] - self._repaired["waste"]

    def __str__(self) -> str:
        done = sum(self._repaired.values())
        return f"{self.seen.objects:,} objects seen, {done:,} findings dealt with; what is done is complete"

    def _add(self, finding: Finding) -> None:
        self._found[finding.severity] += 1
        self._repaired[finding.severity] += finding.repaired
        self._waste += finding.size
        self._freed += finding.size if finding.repaired else 0
        if self._quiet and (finding.repaired or finding.severity not in self._bad):
            return
        if self._json:
            print(json.dumps({"type": "finding", **asdict(finding)}), flush=True)
            return
        self._rows.append(finding)
        if len(self._rows) >= _ROWS:
            self._flush()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        if not rows:
            return
        self.seen.clear()
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        from deltaglider_async.cli.text import printable

        table = Table(title=Text(printable(str(self._place))), title_justify="left", show_header=False, show_lines=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold", ratio=1)
        for finding in rows:
            table.add_row(self._what(finding), _described(finding))
        Console(highlight=False).print(table)

    def _what(self, finding: Finding) -> Text:
        from rich.text import Text

        from deltaglider_async.cli.text import size

        text = Text(finding.kind, "green" if finding.repaired else _COLOURS[finding.severity])
        text.append(f"\n{self._state(finding)}", "default")
        if finding.size:
            text.append(f", {size(finding.size)}")
        return text

    def _state(self, finding: Finding) -> str:
        if finding.repaired:
            return "removed" if finding.severity == "waste" else "mended"
        return finding.severity

    def _sum(self) -> dict[str, Any]:
        return {
            "type": "summary",
            "bucket": self._place.bucket,
            "prefix": self._place.folder,
            "objects": self.seen.objects,
            "errors": self._found["error"],
            "errors_repaired": self._repaired["error"],
            "waste": self._found["waste"],
            "waste_removed": self._repaired["waste"],
            "waste_size": self._waste,
            "removed_size": self._freed,
            "notes": self._found["note"],
        }

    def _sentence(self) -> str:
        from deltaglider_async.cli.text import count, size

        parts = []
        if errors := self._found["error"]:
            parts.append(count(errors, "error") + (f", {self._repaired['error']:,} mended" if self._changes else ""))
        if waste := self._found["waste"]:
            removed = f", {self._repaired['waste']:,} removed ({size(self._freed)})" if self._changes else ""
            parts.append(f"{waste:,} of waste ({size(self._waste)}){removed}")
        if notes := self._found["note"]:
            parts.append(count(notes, "note"))
        return f"{count(self.seen.objects, 'object')}: {'; '.join(parts) or 'nothing found'}."


def _described(finding: Finding) -> Text:
    from rich.text import Text

    from deltaglider_async.cli.text import printable

    text = Text(printable(finding.key) or "(the bucket)", "bold")
    text.append(f"\n{printable(finding.detail)}", "not bold")
    if finding.affected and finding.affected != (finding.key.removesuffix(DELTA_SUFFIX),):
        for name in _names(finding):
            text.append(f"\n  {name}", "not bold")
    if finding.advice:
        text.append(f"\n{printable(finding.advice)}", "not bold italic")
    return text


def _names(finding: Finding) -> Iterator[str]:
    from deltaglider_async.cli.text import printable

    yield from map(printable, finding.affected[:_NAMED])
    if rest := finding.affected_count - len(finding.affected[:_NAMED]):
        yield f"and {rest:,} more"
