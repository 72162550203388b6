"""When a bucket's lifecycle rules take an object. Pure: rules and facts in, moments out.

A reference is the oldest object of its deltaspace, so a rule by age takes it first, and every delta with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

#: Never.
NEVER = datetime.max.replace(tzinfo=UTC)
#: Storage classes whose objects cannot be read without being restored first.
ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
#: Rules run once a day; what is less apart may go in the same run.
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Fate:
    """Until when an object can be read, and until when it exists. An archived object exists."""

    readable: datetime = NEVER
    kept: datetime = NEVER
    rule: str = ""
    """The rule that ends it first; empty if none does."""

    def later(self, other: Fate) -> Fate:
        """The later end of either kind."""
        return Fate(max(self.readable, other.readable), max(self.kept, other.kept), self.rule)

    def ends_before(self, other: Fate) -> bool:
        """Whether this goes, or is archived, a day or more before the other."""
        return _before(self.readable, other.readable) or _before(self.kept, other.kept)


@dataclass(frozen=True, slots=True)
class When:
    """When a rule acts: so many days after an object was written, or from a date on."""

    days: int | None
    date: datetime | None

    def of(self, modified: datetime) -> datetime:
        """The moment for an object that was written then. S3 waits for the next midnight in UTC."""
        if self.days is None:
            return max(modified, self.date or NEVER)
        try:
            due = modified.astimezone(UTC) + timedelta(days=self.days)
            midnight = due.replace(hour=0, minute=0, second=0, microsecond=0)
            return midnight if due == midnight else midnight + _DAY
        except OverflowError:
            return NEVER


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that is in force, as far as it takes current objects. Sizes in bytes."""

    name: str
    prefix: str
    tags: frozenset[tuple[str, str]]
    larger_than: int | None
    smaller_than: int | None
    expires: When | None
    archives: tuple[When, ...]

    def takes(self, key: str, size: int, tags: frozenset[tuple[str, str]]) -> bool:
        """Whether an object is one of those that the rule is for."""
        return (
            key.startswith(self.prefix)
            and self.tags <= tags
            and (self.larger_than is None or size > self.larger_than)
            and (self.smaller_than is None or size < self.smaller_than)
        )


def parsed(rules: Iterable[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """The rules of `get_bucket_lifecycle_configuration` that take current objects."""
    return tuple(_parsed(rules))


def _parsed(rules: Iterable[Mapping[str, Any]]) -> Iterator[Rule]:
    for rule in rules:
        expires = _when(rule.get("Expiration", {}))
        moves = (_when(each) for each in rule.get("Transitions", ()) if each.get("StorageClass") in ARCHIVES)
        archives = tuple(each for each in moves if each is not None)
        if rule.get("Status") != "Enabled" or not (expires or archives):
            continue
        filters = rule.get("Filter") or {}
        filters = filters.get("And", filters)
        tags = [*filters.get("Tags", ()), *([filters["Tag"]] if "Tag" in filters else ())]
        yield Rule(
            rule.get("ID", ""),
            filters.get("Prefix") or rule.get("Prefix") or "",
            frozenset((tag["Key"], tag["Value"]) for tag in tags),
            filters.get("ObjectSizeGreaterThan"),
            filters.get("ObjectSizeLessThan"),
            expires,
            archives,
        )


def fate(
    rules: Iterable[Rule], key: str, size: int, modified: datetime, tags: frozenset[tuple[str, str]] = frozenset()
) -> Fate:
    """What rules do to an object that was last written at `modified`."""
    end = Fate()
    for rule in rules:
        if not rule.takes(key, size, tags):
            continue
        kept = rule.expires.of(modified) if rule.expires else NEVER
        readable = min([kept, *(when.of(modified) for when in rule.archives)])
        first = rule.name if readable < end.readable else end.rule
        end = Fate(min(end.readable, readable), min(end.kept, kept), first)
    return end


def readable_again(head: Mapping[str, Any]) -> bool:
    """Whether an archived object can be read for now, after a restore; by the answer to a HEAD."""
    return 'ongoing-request="false"' in head.get("Restore", "")


def _when(action: Mapping[str, Any]) -> When | None:
    if "Days" in action:
        return When(int(action["Days"]), None)
    date = action.get("Date")
    if date is None:
        return None  # ExpiredObjectDeleteMarker: takes no object
    date = datetime.fromisoformat(date) if isinstance(date, str) else date
    return When(None, date if date.tzinfo else date.replace(tzinfo=UTC))


def _before(first: datetime, second: datetime) -> bool:
    return second - first >= _DAY
