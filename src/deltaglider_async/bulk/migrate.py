"""A migration: what of one place is not at another yet, as deltas; or a place itself, made into deltas.

`survey` finds out what there is to do, a journal keeps it, `Migration` does it. Nothing is listed twice.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from deltaglider_async.bulk.actions import Action, Copy, Options, Refusal
from deltaglider_async.bulk.events import Summary
from deltaglider_async.bulk.filters import EVERYTHING, Filters
from deltaglider_async.bulk.found import StoredObject
from deltaglider_async.bulk.journal import Journal, Row, Totals
from deltaglider_async.bulk.plan import copies
from deltaglider_async.bulk.sources import examined, listing
from deltaglider_async.bulk.sync import Comparison, Rules, paired, synced
from deltaglider_async.errors import InvalidRequestError, NotFoundError
from deltaglider_async.store.errors import is_missing_key

if TYPE_CHECKING:
    from deltaglider_async.client import DeltaGliderClient
    from deltaglider_async.types import Progress


@dataclass(frozen=True, slots=True)
class Prefix:
    """A place in a bucket; `key` is empty or ends in `/`."""

    bucket: str
    key: str


class _AtDestination(StoredObject):
    """An object that the client finds; others are the source's."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Migration:
    """From `start` to `to`; in place where they are the same, which needs one client and nobody else who writes.

    `client` writes, `source` reads; they may be the same. `read_back`: each copy is read and compared, too.
    """

    client: DeltaGliderClient
    source: DeltaGliderClient
    start: Prefix
    to: Prefix
    filters: Filters = EVERYTHING
    options: Options = field(default_factory=Options)
    read_back: bool = False
    _numbers: dict[Copy, int] = field(default_factory=dict, init=False)

    @property
    def in_place(self) -> bool:
        """Whether objects become deltas where they are."""
        return self.source is self.client and self.start == self.to

    async def survey(self, totals: Totals) -> AsyncGenerator[Row, None]:
        """What there is to do, from listings. What needs nothing is counted in `totals.already` alone.

        An object needs nothing if the destination has one of its name and size that is no older. In place: if it is a
        delta. Candidates are then all that the client's policy names.
        """
        plan = self._compactions(totals) if self.in_place else self._copies(totals)
        async with aclosing(plan):
            async for action in plan:
                match action:
                    case Copy():
                        yield Row(action.key, action.size, stored_size=action.stored_size)
                    case Refusal():
                        yield Row(action.source.removeprefix(f"s3://{self.start.bucket}/"), None, action.reason)
                    case _:
                        raise InvalidRequestError(f"{action} is no part of a migration")

    async def actions(self, journal: Journal) -> AsyncGenerator[Action, None]:
        """The plan for a transfer: what is in the journal and not done."""
        pending = journal.pending()
        async with aclosing(pending):
            async for number, row in pending:
                action = self.action(row)
                if isinstance(action, Copy):
                    self._numbers[action] = number
                yield action

    def action(self, row: Row) -> Action:
        """What is to be done about a line of the plan."""
        if row.refused is not None:
            return Refusal("copy", f"s3://{self.start.bucket}/{row.key}", row.refused)
        to_key = self.to.key + row.key[len(self.start.key) :]
        return Copy(self.start.bucket, row.key, self.to.bucket, to_key, row.size, self.options)

    async def perform(self, journal: Journal, action: Action, progress: Progress) -> Summary:
        """Do one of `actions`, and note it. Raises what the client raises.

        An object that is no longer there is an error, but only once: it counts as done.
        """
        assert isinstance(action, Copy)
        number = self._numbers.pop(action)
        access: Mapping[str, Any] = self.options.access
        info: Mapping[str, Any]
        try:
            if self.in_place:
                info = await self.client.compact_object(
                    Bucket=action.bucket, Key=action.key, exclusive=True, progress=progress, **access
                )
            else:
                answer = await self.client.migrate_object(
                    Bucket=action.to_bucket,
                    Key=action.to_key,
                    CopySource={"Bucket": action.bucket, "Key": action.key},
                    SourceClient=self.source,
                    verify=self.read_back,
                    progress=progress,
                    **access,
                )
                info = answer["DeltaGliderInfo"]
        except NotFoundError as error:
            if is_missing_key(error):
                await journal.done(number)
            raise
        await journal.done(number)
        return Summary(info["OriginalSize"], info["StoredSize"])

    async def _copies(self, totals: Totals) -> AsyncGenerator[Action, None]:
        planner = copies(self.to.bucket, self.to.key, filters=self.filters, options=self.options)
        considered = needed = 0

        def carry(found: StoredObject) -> Action | None:
            nonlocal considered
            action = planner(found)
            considered += action is not None
            return action

        async def examine(found: StoredObject) -> StoredObject:
            client = self.client if isinstance(found, _AtDestination) else self.source
            return await examined(client, found, self.options.access)

        rules: Rules[StoredObject, StoredObject] = Rules(Comparison("copy"), carry, examine=examine)
        plan = synced(paired(self._listed(self.source, self.start), self._there()), rules)
        async with aclosing(plan):
            async for action in plan:
                needed += 1
                totals.already = considered - needed  # what is still being looked at comes later
                yield action
        totals.already = considered - needed

    async def _compactions(self, totals: Totals) -> AsyncGenerator[Action, None]:
        planner = copies(self.to.bucket, self.to.key, filters=self.filters, options=self.options)
        policy = self.client.delta_policy
        async with aclosing(self._listed(self.source, self.start)) as found:
            async for each in found:
                if (action := planner(each)) is None:
                    continue
                if each.size is None:
                    totals.already += 1
                elif policy.is_candidate(each.bucket, each.key, each.size):
                    yield action

    async def _listed(self, client: DeltaGliderClient, place: Prefix) -> AsyncGenerator[StoredObject, None]:
        found = listing(client, place.bucket, place.key, access=self.options.access)
        async with aclosing(found):
            async for each in found:
                if not each.marker:
                    yield each

    async def _there(self) -> AsyncGenerator[StoredObject, None]:
        async with aclosing(self._listed(self.client, self.to)) as found:
            async for each in found:
                yield _AtDestination(*(getattr(each, name.name) for name in fields(each)))


def kept_part(source: str, destination: str) -> str:
    """The destination's prefix where the last component of the source's is kept: `a/b/c/` and `x/` give `x/c/`.

    Both are empty or end in `/`.
    """
    last = source.rstrip("/").rpartition("/")[2]
    return f"{destination}{last}/" if last else destination
