"""What a bucket's folders save, could save at most, and cost. Pure; sizes in bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from deltaglider_async.types import BucketStats, DeltaspaceStats

#: What AWS takes for a GB (of 2**30 bytes) of S3 Standard and a month, in us-east-1, in dollars.
USUAL_PRICE = 0.023
_GB = 1024**3
#: A reference is poor where this share of the files is stored beside it all the same, of this many files or more.
POOR_SHARE, POOR_COUNT = 0.3, 3
#: From this share of the files on, it is worth a look what could be saved.
PROMISING = 0.2
#: Folders that are charted, and problems that are named.
CHARTED, NAMED = 5, 10


@dataclass(frozen=True, slots=True)
class Folder:
    """A deltaspace, and what may be said of it."""

    stats: DeltaspaceStats

    @property
    def url(self) -> str:
        """`s3://bucket/prefix/`."""
        return f"s3://{self.stats.bucket}/{self.stats.prefix}"

    @property
    def whole_size(self) -> int:
        """What is stored whole."""
        stats = self.stats
        return stats.stored_size - (stats.delta_size + stats.reference_size if stats.delta_objects else 0)

    @property
    def could_save(self) -> int:
        """What is stored beyond a reference: no better reference and no more deltas could save more than that.

        Where no reference is, one file of average size must stay whole.
        """
        stats = self.stats
        if stats.delta_objects:
            return stats.delta_size + self.whole_size
        kept = self.whole_size // stats.object_count if stats.object_count else 0
        return self.whole_size - kept + stats.reference_size

    @property
    def promising(self) -> bool:
        """Whether what could be saved is much of what is there."""
        stats = self.stats
        return stats.object_count > 1 and self.could_save >= PROMISING * stats.original_size > 0

    @property
    def poor(self) -> bool:
        """Whether its reference seems to be a poor one."""
        stats = self.stats
        return (
            stats.delta_objects > 0
            and stats.object_count >= POOR_COUNT
            and stats.delta_size + self.whole_size >= POOR_SHARE * stats.original_size
        )

    def record(self) -> dict[str, Any]:
        """For JSON."""
        stats = self.stats
        return {
            "prefix": stats.prefix,
            "object_count": stats.object_count,
            "delta_objects": stats.delta_objects,
            "total_size": stats.original_size,
            "compressed_size": stats.stored_size,
            "space_saved": stats.space_saved,
            "could_save": self.could_save,
            "reference_size": stats.reference_size,
            "orphaned_reference": stats.orphaned,
            "poor_reference": self.poor,
        }


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that costs space, and the commands that mend it."""

    what: str
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """All that is shown of a bucket or a prefix."""

    url: str
    stats: BucketStats
    price: float
    folders: Sequence[Folder] = ()
    """Those with most to save first."""
    problems: Sequence[Problem] = field(default=())

    @property
    def cost_before(self) -> float:
        """Dollars a month for the files as they are."""
        return self.stats.total_size / _GB * self.price

    @property
    def cost_after(self) -> float:
        """Dollars a month for what is stored, references that nothing uses included."""
        return (self.stats.compressed_size + self.stats.orphaned_size) / _GB * self.price

    @property
    def worst(self) -> list[Folder]:
        """Where most could be saved, and that is much of what is there."""
        return [folder for folder in self.folders if folder.promising][:CHARTED]

    @property
    def best(self) -> list[Folder]:
        """Where most is saved, and little is left to save."""
        saving = [folder for folder in self.folders if folder.stats.space_saved and not folder.promising]
        return sorted(saving, key=lambda folder: -folder.stats.space_saved)[:CHARTED]


def ranked(spaces: Iterable[DeltaspaceStats]) -> list[Folder]:
    """Folders, those with most to save first."""
    return sorted(map(Folder, spaces), key=lambda folder: (-folder.could_save, folder.stats.prefix))


def orphaned(folder: Folder) -> Problem:
    """A reference that nothing uses."""
    from deltaglider_async.cli.text import size

    what = f"{folder.url} has a reference that no delta uses ({size(folder.stats.reference_size)})"
    return Problem(what, (f"dg gc {quoted(folder.url)}",))


def poor(folder: Folder, newest: str) -> Problem:
    """A reference that saves little. `newest`: a key that may make a better one; empty if none is known."""
    from deltaglider_async.cli.text import size

    stats = folder.stats
    beside = stats.delta_size + folder.whole_size
    what = (
        f"{folder.url} has a poor reference: beside its {size(stats.reference_size)}, {size(beside)} are stored for "
        f"files of {size(stats.original_size)}"
    )
    # With --max-ratio, files are stored anew: the first one in a new folder becomes its reference.
    place = stats.prefix.rstrip("/")
    target = f"s3://{stats.bucket}/{place}-again/" if place else f"s3://{stats.bucket}-again/"
    first = f"s3://{stats.bucket}/{newest}" if newest else f"{folder.url}NEWEST"
    return Problem(
        what,
        (
            f"dg cp {quoted(first)} {quoted(target)} --max-ratio 0.5",
            f"dg cp -r {quoted(folder.url)} {quoted(target)} --max-ratio 0.5",
        ),
    )


def quoted(word: str) -> str:
    """A word as a shell takes it."""
    import shlex

    return shlex.quote(word)
