"""What a transfer tells while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltaglider_async.bulk.actions import Action, Refusal

if TYPE_CHECKING:
    from deltaglider_async.types import Phase


@dataclass(frozen=True, slots=True)
class Planned:
    """How much there is to do, as far as it is known. Each event replaces the one before."""

    objects: int
    size: int
    """Bytes of the originals, as far as known before they are moved."""
    complete: bool
    """Whether the plan has been read to its end."""


@dataclass(frozen=True, slots=True)
class Started:
    """Work on an object begins."""

    action: Action


@dataclass(frozen=True, slots=True)
class Advanced:
    """Where an object is. Some are left out when the consumer is slow: `position` is absolute."""

    action: Action
    phase: Phase
    position: int
    """Bytes of the original done in this phase; goes back when a refused delta is followed by a plain upload."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of an object. Sizes in bytes."""

    original_size: int
    stored_size: int | None = None
    """What the bucket grew by, a new reference included; None where nothing was written to one."""

    @property
    def saved(self) -> int:
        """Bytes that the bucket did not have to take; never negative."""
        return 0 if self.stored_size is None else max(0, self.original_size - self.stored_size)


@dataclass(frozen=True, slots=True)
class Finished:
    """An object is done: written, and of a move its source removed."""

    action: Action
    summary: Summary


@dataclass(frozen=True, slots=True)
class Failed:
    """An object is given up; the others go on."""

    action: Action
    error: Exception


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something was left out by the plan; the others go on."""

    action: Refusal


Event = Planned | Started | Advanced | Finished | Failed | Skipped
