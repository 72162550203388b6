"""What the live display shows: state from events, lines from state. Draws nothing itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from deltaglider_async.bulk.actions import Action, Copy, Delete, Verify
from deltaglider_async.bulk.events import Advanced, Event, Failed, Finished, Planned, Skipped, Started
from deltaglider_async.cli import text

#: Narrower than this, lines of finished files say more than bars.
NARROWEST = 60

_BYTES, _RATE, _DOING = 12, 9, 11  # widths of the columns on the right
_WIDEST_NAME = 80
_MOST_ROWS = 10
_LARGE = 1_000_000  # bytes
_RATE_WINDOW = 5.0
_SETTLED = 0.5  # seconds before a rate means anything

_DOING_BY_VERB = {"copy": "copying", "verify": "verifying"}
_DOING_BY_PHASE = {"reading reference": "reference"}


@dataclass(slots=True)
class Row:
    """An object that is under way."""

    action: Action
    name: str
    size: int | None
    since: float
    doing: str
    position: int = 0
    phase_since: float = 0.0

    @property
    def is_large(self) -> bool:
        """Whether it will be seen for a while."""
        return self.size is None or self.size >= _LARGE

    def advance(self, doing: str, position: int, now: float) -> None:
        """Where it is now."""
        if doing != self.doing:
            self.doing, self.phase_since = doing, now
        self.position = position


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What bars are made of."""

    done: str
    left: str
    ellipsis: str


UNICODE = Glyphs("━", "─", "…")
ASCII = Glyphs("#", "-", "..")


class Board:
    """`show` takes events; `lines` gives the picture at a moment. Times are seconds of any one clock."""

    def __init__(self, glyphs: Glyphs) -> None:
        self._glyphs = glyphs
        self._rows: dict[int, Row] = {}  # by the action's `id`: hashing paths at each event would cost more
        self._began: float | None = None
        self._planned = Planned(0, 0, complete=False)
        self._corrections = 0  # what sizes turned out to be, minus what the plan took them for
        self._done = self._failed = self._skipped = 0
        self._done_bytes = self._written = self._stored = 0
        self._samples: deque[tuple[float, int]] = deque()
        self._noun = "file"

    def show(self, event: Event, now: float) -> None:
        """Take in what happened."""
        if self._began is None:
            self._began = now
        match event:
            case Planned():
                self._planned = event
            case Started(action):
                self._noun = "object" if isinstance(action, Copy | Delete | Verify) else "file"
                verb = text.verb(action)
                doing = _DOING_BY_VERB.get(verb, f"{verb.removesuffix('e')}ing")
                self._rows[id(action)] = Row(action, text.name(action), action.size, now, doing, 0, now)
            case Advanced(action, phase, position):
                if row := self._rows.get(id(action)):
                    row.advance(_DOING_BY_PHASE.get(phase, phase), position, now)
            case Finished(action, summary):
                self._rows.pop(id(action), None)
                self._done += 1
                self._done_bytes += summary.original_size
                self._corrections += summary.original_size - (action.size or 0)
                if summary.stored_size is not None:
                    self._written += summary.original_size
                    self._stored += summary.stored_size
            case Failed(action):
                self._rows.pop(id(action), None)
                self._failed += 1
                self._corrections -= action.size or 0
            case Skipped():
                self._skipped += 1

    @property
    def _over(self) -> int:
        return self._done + self._failed + self._skipped

    @property
    def objects(self) -> int:
        """How many objects were begun or planned."""
        return max(self._planned.objects, self._over + len(self._rows))

    def lines(self, width: int, height: int, now: float) -> list[Text]:
        """One line per object that takes its time, ten at most, and the total; each at most `width` cells wide."""
        bar = max(8, (width - _BYTES - _RATE - _DOING - 4) // 3)
        name = width - bar - _BYTES - _RATE - _DOING - 4
        if name > _WIDEST_NAME:
            name, bar = _WIDEST_NAME, bar + name - _WIDEST_NAME
        # Small files that come and go would only flicker.
        noted = [row for row in self._rows.values() if row.is_large or now - row.since >= _SETTLED]
        rows = noted[: max(1, min(_MOST_ROWS, height - 2))]
        lines = [self._row(row, name, bar, now) for row in rows]
        if self.objects > 1 or not self._planned.complete:
            lines.append(self._total(name, bar, now))
        return lines

    def summary(self, now: float) -> str:
        """One sentence when all is over; empty where a line per object has said it all."""
        if self.objects < 2:
            return ""
        seconds = max(now - (now if self._began is None else self._began), 0.001)
        parts = [text.count(self._done, self._noun)]
        if self._done_bytes:
            rate = text.size(self._done_bytes / seconds)
            parts[0] += f", {text.size(self._done_bytes)} in {seconds:.1f} s ({rate}/s)"
        if saved := self._saved(full=True):
            parts.append(saved)
        if self._failed:
            parts.append(f"{self._failed:,} failed")
        if self._skipped:
            parts.append(f"{self._skipped:,} skipped")
        return ", ".join(parts)

    def _row(self, row: Row, name: int, bar: int, now: float) -> Text:
        share = min(1.0, row.position / row.size) if row.size else 0.0
        elapsed = now - row.phase_since
        rate = f"{text.size(row.position / elapsed)}/s" if row.position and elapsed >= _SETTLED else ""
        label = text.shorten(row.name, name, self._glyphs.ellipsis)
        return self._line(label, name, share, bar, _pair(row.position, row.size), rate, row.doing)

    def _total(self, name: int, bar: int, now: float) -> Text:
        position = self._done_bytes + sum(row.position for row in self._rows.values())
        size = self._planned.size + self._corrections
        over, objects = self._over, self.objects
        share = min(1.0, position / size) if size > 0 else over / objects if objects else 0.0
        rate = self._rate(position, now)
        left = ""
        if self._planned.complete and share < 1:
            if size > 0 and rate:
                left = f"{text.duration((size - position) / rate)} left"
            elif over and self._began is not None and now - self._began >= _SETTLED:
                left = f"{text.duration((objects - over) * (now - self._began) / over)} left"
        label = _first_that_fits(self._totals(over, objects), name)
        moved = _pair(position, size) if size > 0 else ""
        return self._line(label, name, share, bar, moved, f"{text.size(rate)}/s" if rate else "", left)

    def _totals(self, over: int, objects: int) -> Sequence[str]:
        so_far = f"{over:,}/{objects:,}{'' if self._planned.complete else '+'}"
        failed = [f"{self._failed:,} failed"] if self._failed else []
        full, short = ([each] if each else [] for each in (self._saved(full=True), self._saved(full=False)))
        return [
            ", ".join([f"{so_far} {self._noun}s", *failed, *full]),
            ", ".join([f"{so_far} {self._noun}s", *failed, *short]),
            ", ".join([so_far, *failed, *short]),
            ", ".join([so_far, *failed]),
        ]

    def _saved(self, *, full: bool) -> str:
        saved = self._written - self._stored
        if saved <= 0:
            return ""
        share = f"{100 * saved // self._written}%"
        return f"{text.size(saved)} saved ({share})" if full else f"{share} saved"

    def _rate(self, position: int, now: float) -> float:
        """Bytes per second over the last seconds."""
        self._samples.append((now, position))
        while now - self._samples[0][0] > _RATE_WINDOW:
            self._samples.popleft()
        since, first = self._samples[0]
        return max(0.0, (position - first) / (now - since)) if now - since >= _SETTLED else 0.0

    def _line(self, label: str, name: int, share: float, bar: int, moved: str, rate: str, doing: str) -> Text:
        done = int(share * bar)
        line = Text(no_wrap=True)
        line.append(text.pad(label, name) + " ")
        line.append(self._glyphs.done * done, "green")
        line.append(self._glyphs.left * (bar - done), "bright_black")
        line.append(f" {moved:>{_BYTES}} {rate:>{_RATE}} ")
        line.append(doing, "cyan")
        return line


def _pair(position: int, size: int | None) -> str:
    """`6.1/13.3 MB`, in the unit of the whole."""
    if not size:
        return text.size(position) if position else ""
    whole = text.size(size)
    figures, _, unit = whole.partition(" ")
    scale = 1000 ** text.DECIMAL.index(unit)
    return f"{min(position, size) / scale:.{len(figures.partition('.')[2])}f}/{whole}"


def _first_that_fits(candidates: Sequence[str], width: int) -> str:
    return next((each for each in candidates if len(each) <= width), candidates[-1][:width])
