"""Checking a bucket, and mending what can be mended without losing a byte.

One pass over a listing. Every delta and every reference is asked for its metadata, and each deltaspace is judged when
the listing has left it. What looks wrong is looked at again before it is reported or touched: a client of this
protocol may have been in the middle of something. Mending writes where there is nothing, or under a key that names the
content. Removing follows the rules of `engine/gc.py`, and waits for the end of the pass, when it is known which
references deltas of other folders use.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import anyio

from deltaglider_async.engine import findings
from deltaglider_async.engine.core import Engine, Response
from deltaglider_async.engine.gc import BATCH, CLEANED_AT_ONCE, DAY, Sweep, can_delete_safely
from deltaglider_async.engine.lifecycle import ARCHIVES, Fate, Rule, fate, parsed, readable_again
from deltaglider_async.engine.listing import HEADS_AT_ONCE
from deltaglider_async.engine.mend import Place, locate, put_back
from deltaglider_async.engine.parallel import for_each
from deltaglider_async.engine.reading import READS_AT_ONCE, Reading
from deltaglider_async.engine.scan import (
    Affected,
    Need,
    Space,
    Spaces,
    Stored,
    each_at_once,
    scan,
)
from deltaglider_async.errors import IntegrityMismatchError, NotFoundError, PreconditionFailedError
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.store import upkeep
from deltaglider_async.types import Finding, FindingKind

_SECONDS_FOR_PUTS = 2
_REMOVE = "Remove it: dg fsck --repair, or dg gc."
_BLIND = (
    "Not removed: this endpoint deletes whether IfMatch holds or not. If nobody else writes there until this is "
    "over, give --exclusive."
)


def _ignore(objects: int) -> None:
    pass


async def fsck(
    engine: Engine,
    bucket: str,
    prefix: str,
    *,
    repair: bool = False,
    read_data: bool = False,
    exclusive: bool = False,
    progress: Callable[[int], None] = _ignore,
    access: Response | None = None,
    now: datetime | None = None,
) -> AsyncGenerator[Finding, None]:
    """What is wrong below a prefix, in about the order of the keys. `now` stands in for the service's clock."""
    access = access or {}
    conditional = repair and await can_delete_safely(engine, bucket, prefix, access)
    may_remove = conditional or exclusive
    sweep = Sweep(
        engine,
        bucket,
        access,
        timedelta(0) if exclusive else DAY,
        conditional=conditional,
        act=repair and may_remove,
        advice=_REMOVE if not repair or may_remove else _BLIND,
        notes=True,
        exclusive=exclusive,
    )
    check = Check(engine, bucket, access, sweep, repair=repair)
    reading = Reading(engine, bucket, access)
    spaces = Spaces()
    try:
        check.rules = parsed(await upkeep.lifecycle_rules(engine.store, bucket, access))
    except upkeep.Unknown as error:
        yield check.note("unchecked", "", f"the bucket's lifecycle rules could not be read: {error}")
    async with aclosing(scan(engine, bucket, prefix, progress, access)) as pages:
        async for page in pages:
            sweep.now = now or page.now
            found = await each_at_once(page.items, sweep.alone, CLEANED_AT_ONCE, _by_key)
            gone = {finding.key for finding in found if finding.repaired}
            left = [stored for stored in page.items if stored.key not in gone]
            await check.ask(left)
            complete: list[Space] = []
            for stored in left:
                complete += spaces.left_before(stored.key)
                found += check.see(stored, spaces.add(stored))
            if read_data:
                found += await each_at_once(left, reading.check, READS_AT_ONCE, _by_key)
            found += await each_at_once(complete, check.judge, CLEANED_AT_ONCE, _by_key)
            for finding in sorted(await check.confirmed(found), key=_by_key):
                yield finding
    for finding in await each_at_once(spaces.rest(), check.judge, CLEANED_AT_ONCE, _by_key):
        yield finding
    async with aclosing(check.astray(prefix)) as astray:
        async for finding in astray:
            yield finding
    async with aclosing(check.unused()) as unused:
        async for finding in unused:
            yield finding
    async with aclosing(sweep.uploads(prefix)) as unfinished:
        async for finding in unfinished:
            yield finding


@dataclass
class Check:
    """What is known so far, and how it is judged."""

    engine: Engine
    bucket: str
    access: Response
    sweep: Sweep
    repair: bool
    rules: tuple[Rule, ...] = ()
    _heads: dict[str, Response | None] = field(default_factory=dict)
    _tags: dict[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    #: Deltaspaces, and what their deltas need that was not beside them.
    _astray: list[tuple[str, Need]] = field(default_factory=list)
    #: Deltaspaces with something in the trash, or with references only.
    _unused: list[Space] = field(default_factory=list)
    #: Digests of references that deltas need, and that are not beside them.
    _in_use: set[str] = field(default_factory=set)
    #: Digests of references that were written back. Their entries in the trash stay for the next time.
    _restored: set[str] = field(default_factory=set)

    # -- one object

    async def ask(self, page: list[Stored]) -> None:
        """Get the metadata of a page's deltas and references, and their tags where rules go by tags."""
        self._heads.clear()
        self._tags.clear()

        async def asked() -> AsyncIterator[Stored]:
            for stored in page:
                if stored.role == "reference" or (stored.role == "delta" and not stored.hidden):
                    yield stored

        async def one(stored: Stored) -> None:
            self._heads[stored.key] = await self._head(stored.key)
            if any(rule.tags for rule in self.rules):
                self._tags[stored.key] = await self._tags_of(stored.key)

        await for_each(asked(), one, HEADS_AT_ONCE)

    def see(self, stored: Stored, space: Space | None) -> list[Finding]:
        """What an object is; what is wrong with it by itself is returned, the rest remembered in its deltaspace."""
        head = self._heads.get(stored.key)
        if stored.role == "internal":
            return [self.note("foreign-object", stored.key, "an object in a folder that belongs to the storage format")]
        if space is None or head is None:
            return []
        if stored.role == "reference":
            space.digests[stored.key] = meta.recorded_sha256(head.get("Metadata", {}), bare=True)
            return []
        if not meta.is_delta(head.get("Metadata", {})):
            detail = "no delta, though its name ends in .delta: an object of another tool, or its metadata were lost"
            return [self.note("foreign-delta", stored.key, detail)]
        try:
            delta = meta.DeltaMetadata.parse(head["Metadata"], stored.key, self.bucket)
        except IntegrityMismatchError as error:
            return [self._damaged(stored.key, error)]
        need = space.need(delta)
        need.deltas.add(keys.logical_key(stored.key))
        if self.rules:
            end = self._fate(stored.key, head, self._tags.get(stored.key))
            need.latest = end if need.latest is None else need.latest.later(end)
        return []

    async def confirmed(self, found: list[Finding]) -> list[Finding]:
        """The findings without damaged metadata that somebody has replaced meanwhile."""
        kept = []
        for finding in found:
            if finding.kind == "damaged-metadata":
                head = await self._head(finding.key)
                try:
                    if head is None or not meta.is_delta(head.get("Metadata", {})):
                        continue
                    meta.DeltaMetadata.parse(head["Metadata"], finding.key, self.bucket)
                    continue
                except IntegrityMismatchError as error:
                    finding = self._damaged(finding.key, error)
            kept.append(finding)
        return kept

    # -- one deltaspace

    async def judge(self, space: Space) -> AsyncIterator[Finding]:
        """What is wrong with a deltaspace of which all was seen. A reference that is not there is left for the end."""
        complete = True
        for need in space.needs.values():
            homes = (keys.reference_key(space.name), keys.addressed_reference_key(space.name, need.sha256))
            home = next((key for key in homes if space.digests.get(key) == need.sha256), None)
            if home is None:
                complete = False
                self._astray.append((space.name, need))
            else:
                async for finding in self._expiry(home, need):
                    yield finding
        needed = {need.sha256: need for need in space.needs.values()}
        for stored in space.references:
            digest = space.digests.get(stored.key, "")
            if digest is None and complete:
                detail = "no reference, though it has the name of one. What is put into its folder is stored whole"
                yield self.note("foreign-reference", stored.key, detail, "Move it to another name.")
            elif digest in needed and stored.storage_class in ARCHIVES:
                async for finding in self._archived(stored.key, needed[digest]):
                    yield finding
        space.needs.clear()
        if space.trash or not space.deltas:
            self._unused.append(space)

    async def _still(self, need: Need) -> Affected:
        """Those of the deltas that still need that reference."""
        kept: list[str] = []

        async def named() -> AsyncIterator[str]:
            for key in need.deltas.named:
                yield key

        async def one(key: str) -> None:
            head = await self._head(keys.delta_key(key))
            if head is not None and (meta.field(head["Metadata"], "ref-sha256") or "").lower() == need.sha256:
                kept.append(key)

        await for_each(named(), one, HEADS_AT_ONCE)
        rest = need.deltas.count - len(need.deltas.named) if kept else 0
        return Affected(len(kept) + rest, sorted(kept))

    # -- what is known at the end only

    async def astray(self, prefix: str) -> AsyncGenerator[Finding, None]:
        """Deltas whose reference was not beside them: where it is, or that it is nowhere."""
        if self._astray:
            # A put that found the reference gone is about to write it back.
            await anyio.sleep(_SECONDS_FOR_PUTS)
        nowhere: list[tuple[str, Need, Place]] = []
        for space, seen in self._astray:
            need = replace(seen, deltas=await self._still(seen))
            if not need.deltas.count:
                continue
            place = await locate(self.engine, self.bucket, space, need, self.access)
            if place.kind == "nowhere":
                nowhere.append((space, need, place))
            elif place.kind != "home":
                yield await self._misplaced(space, need, place)
            else:
                async for finding in self._expiry(place.key, need):
                    yield finding
        others = await self._among_all_others(prefix, {need.sha256 for _, need, _ in nowhere})
        for space, need, place in nowhere:
            if need.sha256 in others:
                yield await self._misplaced(space, need, replace(place, kind="other", key=others[need.sha256]))
            else:
                yield findings.missing(self.bucket, space, need, place)

    async def _among_all_others(self, prefix: str, wanted: set[str]) -> dict[str, str]:
        """Keys of references, by digest, of any deltaspace below a prefix, or of its trash."""
        found: dict[str, str] = {}

        async def look(stored: Stored) -> AsyncIterator[tuple[str, str]]:
            if stored.role in ("reference", "trash"):
                reference, _ = await self.engine.reference(self.bucket, stored.key, self.access)
                if reference is not None and reference.sha256 in wanted:
                    yield reference.sha256, stored.key

        if wanted:
            async with aclosing(scan(self.engine, self.bucket, prefix, _ignore, self.access)) as pages:
                async for page in pages:
                    found |= dict(await each_at_once(page.items, look, HEADS_AT_ONCE, lambda pair: pair[1]))
                    if found.keys() >= wanted:
                        break
        return found

    async def _misplaced(self, space: str, need: Need, place: Place) -> Finding:
        to = ""
        if self.repair:
            to = await put_back(self.engine, self.bucket, space, need.sha256, place, self.access)
        (self._restored if to else self._in_use).add(need.sha256)
        return findings.misplaced(self.bucket, space, need, place, to, tried=self.repair)

    async def unused(self) -> AsyncGenerator[Finding, None]:
        """References and entries of the trash that nothing uses."""
        for start in range(0, len(self._unused), BATCH):
            some = self._unused[start : start + BATCH]
            for finding in await each_at_once(some, self._clean, CLEANED_AT_ONCE, _by_key):
                yield finding

    async def _clean(self, space: Space) -> AsyncIterator[Finding]:
        async for finding in self.sweep.references(space, self._in_use):
            yield finding
        async for finding in self.sweep.entries(space, (), settled=self._in_use | self._restored):
            yield finding

    # -- rules

    async def _expiry(self, home: str, need: Need) -> AsyncIterator[Finding]:
        """Whether a lifecycle rule takes a reference before the last of its deltas."""
        latest = need.latest
        head = await self._head(home) if latest is not None else None
        if head is None or latest is None:
            return
        tags = await self._tags_of(home) if any(rule.tags for rule in self.rules) else None
        end = self._fate(home, head, tags)
        if not end.ends_before(latest):
            return
        helps = not self._fate(home, {**head, "LastModified": self.sweep.now}, tags).ends_before(latest)
        done = False
        if helps and self.repair:
            try:
                await upkeep.rewrite(self.engine.store, self.bucket, home, head, self.access)
                done = True
            except (NotFoundError, PreconditionFailedError):
                pass  # dropped or replaced meanwhile
        yield findings.expires(self.bucket, home, need, end, latest, helps=helps, done=done)

    async def _archived(self, key: str, need: Need) -> AsyncIterator[Finding]:
        head = await self._head(key)
        if head is None or head.get("StorageClass") not in ARCHIVES or readable_again(head):
            return
        detail = f"it is archived ({head['StorageClass']}); its deltas cannot be read"
        advice = "Restore it (aws s3api restore-object), copy it onto itself in class STANDARD, and change the rule."
        yield findings.error(self.bucket, "archived-reference", key, detail, advice, need.deltas)

    def _fate(self, key: str, head: Response, tags: frozenset[tuple[str, str]] | None) -> Fate:
        return fate(self.rules, key, int(head["ContentLength"]), head["LastModified"], tags or frozenset())

    async def _tags_of(self, key: str) -> frozenset[tuple[str, str]]:
        try:
            return await upkeep.tags(self.engine.store, self.bucket, key, self.access)
        except upkeep.Unknown:
            return frozenset()

    # -- looks

    async def _head(self, key: str) -> Response | None:
        return await self.engine.store.head(self.bucket, key, self.access)

    def _damaged(self, key: str, error: Exception) -> Finding:
        affected = Affected(1, [keys.logical_key(key)])
        advice = "Give it its metadata back from a backup, or put the file again."
        return findings.error(self.bucket, "damaged-metadata", key, str(error), advice, affected)

    def note(self, kind: FindingKind, key: str, detail: str, advice: str = "") -> Finding:
        """A finding that is neither error nor waste."""
        return Finding(kind, "note", self.bucket, key, detail, advice)


def _by_key(finding: Finding) -> str:
    return finding.key
