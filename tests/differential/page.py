"""What docs/compatibility.md says: the differences that are allowed, and the table of all operations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from deltaglider_async.client.operations import kind_of
from tests.differential.generate import CALLS
from tests.differential.passed import ALONE, MODEL, OPERATIONS, method_of

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
_BEGIN, _END = "<!-- made by make compatibility -->", "<!-- end -->"
_HEADING, _OPERATIONS = "## What differs from boto3", "## Every operation"
KINDS = ("added", "missing", "different", "raises")


@dataclass(frozen=True)
class Allowed:
    """A row of the page: where boto3's answer and ours may differ, how, when, and why."""

    operations: tuple[str, ...]
    fields: tuple[str, ...]
    kinds: tuple[str, ...]
    when: str
    why: str

    def __str__(self) -> str:
        return f"{', '.join(self.operations)} | {', '.join(self.fields)} | {', '.join(self.kinds)} | {self.when}"

    def covers(self, operation: str, field: str, kind: str) -> bool:
        """Whether this is about such a difference, leaving aside when it may be."""
        return (
            kind in self.kinds
            and any(fnmatchcase(operation, pattern) for pattern in self.operations)
            and any(fnmatchcase(field, pattern) for pattern in self.fields)
        )


def rows(text: str, heading: str) -> Iterator[list[str]]:
    """The cells of the first table below a heading, without its head."""
    section = text.partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    for line in lines[2:]:
        yield [cell.strip() for cell in line.strip().strip("|").split("|")]


def allowed() -> list[Allowed]:
    """The differences of the page, in its order."""
    return [
        # `[]` of a path is no set of characters here.
        Allowed(
            operations=tuple(_names(operations)),
            fields=tuple(name.replace("[]", "[[]]") for name in _names(fields)),
            kinds=tuple(kinds.split(" or ")),
            when=when,
            why=why,
        )
        for operations, fields, kinds, when, why in rows(PAGE.read_text(), _HEADING)
    ]


def _names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def table() -> list[tuple[str, str, str]]:
    """Every operation of S3, what becomes of it here, and what compares it with boto3."""
    return [
        (name, kind_of(MODEL, name), "generated programs" if method_of(name) in CALLS else "a call" * (name in ALONE))
        for name in OPERATIONS
    ]


def written_table() -> list[tuple[str, str, str]]:
    """The table as the page has it."""
    return [(name.strip("`"), here, compared) for name, here, compared in rows(PAGE.read_text(), _OPERATIONS)]


def with_table(text: str) -> str:
    """The page with the table as it should be."""
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    lines = [f"| `{name}` | {kind} | {tested} |" for name, kind, tested in table()]
    head = ["| operation | here | compared with boto3 by |", "| --- | --- | --- |"]
    return before + "\n".join([_BEGIN, "", *head, *lines, "", _END]) + after


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
