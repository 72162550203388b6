"""How long the proofs run, and what they counted: one table at the end of `make torture`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

#: The columns that must stay at 0.
HARM = ("objects lost", "wrong bytes", "leaks")


@dataclass
class Tally:
    """`full` at the length of `make torture`, else the short form that is part of `make test`."""

    full: bool
    rows: dict[str, Counter[str]] = field(default_factory=dict)

    def length(self, short: int, full: int) -> int:
        """How many rounds of something."""
        return full if self.full else short

    def add(self, proof: str, **counts: int) -> None:
        """Count what a proof did (`schedules=1`) and the harm that it saw (`objects_lost=0`)."""
        row = self.rows.setdefault(proof, Counter())
        for name, number in counts.items():
            row[name.replace("_", " ")] += number

    def as_json(self) -> dict[str, dict[str, int]]:
        """The counts, to be added to another process's."""
        return {proof: dict(row) for proof, row in self.rows.items()}

    def table(self) -> list[str]:
        """Lines: what each proof did, and objects lost, wrong bytes and leaks."""
        lines = [f"{'proof':<34} {'rounds':<58} {' '.join(f'{name:>13}' for name in HARM)}"]
        for proof, row in sorted(self.rows.items()):
            done = ", ".join(f"{number:,} {name}" for name, number in row.items() if name not in HARM)
            lines.append(f"{proof:<34} {done:<58} {' '.join(f'{row[name]:>13,}' for name in HARM)}")
        total = Counter[str]()
        for row in self.rows.values():
            total.update({name: row[name] for name in HARM})
        lines.append(f"{'all':<34} {'':<58} {' '.join(f'{total[name]:>13,}' for name in HARM)}")
        return lines
