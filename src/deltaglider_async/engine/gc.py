"""Removing what is provably of no use to anybody, and older than a day.

Clients of this protocol may be at work meanwhile. What keeps them safe:

* Age. A client that leaves something in passing (a reference before its first delta, a delta about to be removed, an
  entry of the trash) is done with it, or gives up, within an hour. Ages are taken by the service's clock.
* A leftover delta is looked at before its plain form, and deleted by its ETag, which is never written again.
* A reference goes to the trash first, by the rules of `engine/trash.py`.
* An entry of the trash is listed first; then the deltas of its deltaspace are asked which reference they need. If one
  of them misses that one, the entry is restored, and stays for the next time. Else that one entry is removed: it
  belongs to one drop, which is over.
* A caller's multipart upload is the caller's, for as long as it takes. Its temporary object goes when it has been the
  object of its key for a day. Else it goes, as the unfinished upload does, only where nothing was heard of it for a
  week and nobody writes now (`exclusive`): the object of an upload may count as old as the upload, so its age does not
  tell whether a completion is under way.

Where the service deletes whether `IfMatch` holds or not, only somebody who knows that nobody else writes may do this.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from deltaglider_async.engine.core import Engine, Response, where
from deltaglider_async.engine.listing import HEADS_AT_ONCE
from deltaglider_async.engine.scan import (
    Space,
    Spaces,
    Stored,
    digests_needed,
    each_at_once,
    names_of_deltas,
    scan,
    trashed,
)
from deltaglider_async.engine.trash import drop_unused, restore
from deltaglider_async.errors import IntegrityMismatchError, InvalidRequestError
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.store import upkeep
from deltaglider_async.store.conditions import Operation
from deltaglider_async.store.s3 import LARGEST_SINGLE_PUT
from deltaglider_async.types import Finding

DAY = timedelta(days=1)
#: How long nothing is heard of a caller's multipart upload that is given up.
WEEK = timedelta(days=7)
#: Deltaspaces, or objects, that are cleaned at once.
CLEANED_AT_ONCE = 8
#: Deltaspaces whose findings are put into order together.
BATCH = 500

_BLIND = (
    "this endpoint deletes whether IfMatch holds or not, so what another client writes at this moment could be "
    "lost. If nobody else writes there until this is over, say so (--exclusive, exclusive=True)."
)


def _ignore(objects: int) -> None:
    pass


async def gc(
    engine: Engine,
    bucket: str,
    prefix: str,
    *,
    older_than: timedelta = DAY,
    exclusive: bool = False,
    dry_run: bool = False,
    progress: Callable[[int], None] = _ignore,
    access: Response | None = None,
    now: datetime | None = None,
) -> AsyncGenerator[Finding, None]:
    """What is removed below a prefix, or would be. `now` stands in for the service's clock."""
    access = access or {}
    if older_than < DAY and not exclusive:
        raise InvalidRequestError(
            f"cannot clean {where(bucket, prefix)} of what is younger than a day: a client may be at work with it. If "
            "nobody writes there until this is over, say so (--exclusive, exclusive=True)."
        )
    conditional = dry_run or await can_delete_safely(engine, bucket, prefix, access)
    if not conditional and not exclusive:
        raise InvalidRequestError(f"cannot clean {where(bucket, prefix)}: {_BLIND} Nothing was removed.")
    sweep = Sweep(engine, bucket, access, older_than, conditional=conditional, act=not dry_run, exclusive=exclusive)
    spaces = Spaces()
    pending: list[Space] = []
    #: Digests of references that deltas of folders without one need. Other tools may have moved those deltas.
    elsewhere: set[str] = set()

    async def look(space: Space) -> None:
        if space.deltas and not space.references:
            elsewhere.update(await digests_needed(engine, bucket, space.name, access, HEADS_AT_ONCE))
        if space.trash or not space.deltas:
            pending.append(space)

    async with aclosing(scan(engine, bucket, prefix, progress, access)) as pages:
        async for page in pages:
            sweep.now = now or page.now
            found = await each_at_once(page.items, sweep.alone, CLEANED_AT_ONCE, _by_key)
            for finding in found:
                yield finding
            gone = {finding.key for finding in found if finding.repaired}
            for stored in page.items:
                for space in spaces.left_before(stored.key):
                    await look(space)
                if stored.key not in gone:
                    spaces.add(stored)
    for space in spaces.rest():
        await look(space)
    # Only now, when all deltas have been seen that may need one of these.
    for start in range(0, len(pending), BATCH):
        some = pending[start : start + BATCH]
        for finding in await each_at_once(
            some, lambda space: sweep.together(space, elsewhere), CLEANED_AT_ONCE, _by_key
        ):
            yield finding
    async with aclosing(sweep.uploads(prefix)) as unfinished:
        async for finding in unfinished:
            yield finding


async def can_delete_safely(engine: Engine, bucket: str, prefix: str, access: Response) -> bool:
    """Whether the endpoint deletes on condition only."""
    async with aclosing(engine.store.pages(bucket, access | {"MaxKeys": 1})) as pages:
        await anext(pages)  # a bucket that is not there is no place to try something in
    return await engine.conditions.keeps(bucket, keys.deltaspace(prefix), "DeleteObject", "IfMatch", access)


async def place_for(engine: Engine, bucket: str, space: str, sha256: str, size: int, access: Response) -> str:
    """Where a reference goes that deltas of a deltaspace need: its usual place, or under its digest if that is taken.

    Under its digest too where the usual place could not be written on condition.
    """
    key = keys.reference_key(space)
    operation: Operation = "PutObject" if size <= LARGEST_SINGLE_PUT else "CompleteMultipartUpload"
    if await engine.store.head(bucket, key, access) is None and await engine.conditions.keeps(
        bucket, space, operation, "IfNoneMatch", access
    ):
        return key
    return keys.addressed_reference_key(space, sha256)


@dataclass(frozen=True, slots=True)
class Home:
    """A reference beside its deltas."""

    key: str
    modified: datetime


async def home_of(engine: Engine, bucket: str, space: str, sha256: str, access: Response) -> Home | None:
    """The reference of a deltaspace with this digest, at its usual place or under its digest."""
    for key in (keys.reference_key(space), keys.addressed_reference_key(space, sha256)):
        head = await engine.store.head(bucket, key, access) if keys.fits(key) else None
        if head is not None and meta.recorded_sha256(head.get("Metadata", {}), bare=True) == sha256:
            return Home(key, head["LastModified"])
    return None


@dataclass
class Sweep:
    """Finds what is of no use, and removes it if it may (`act`).

    `conditional`: the endpoint deletes on condition; else it is promised that nobody else writes.
    """

    engine: Engine
    bucket: str
    access: Response
    older_than: timedelta
    conditional: bool
    act: bool
    exclusive: bool = False
    """It is promised that nobody else writes now."""
    now: datetime = field(default=datetime.min.replace(tzinfo=UTC))
    advice: str = ""
    """For what was not removed."""
    notes: bool = False
    """Also tell of what stays for now, and what could not be asked."""

    async def alone(self, stored: Stored) -> AsyncIterator[Finding]:
        """What can be told of an object by itself: leftover deltas, temporary objects, probes."""
        if stored.role == "upload":
            if (finding := await self._completed(stored)) is not None:
                yield finding
            return
        if not self._old(stored.modified):
            return
        if stored.role == "delta" and stored.hidden:
            finding = await self._leftover(stored)
        elif stored.role == "temporary":
            finding = await self._temporary(stored)
        elif stored.role == "probe":
            finding = await self._remove(stored, "a trial write, to find out what the endpoint can do, that was left")
        else:
            return
        if finding is not None:
            yield finding

    async def together(self, space: Space, kept: Collection[str]) -> AsyncIterator[Finding]:
        """What can be told of a deltaspace as a whole: the trash, references that nothing uses."""
        async for finding in self.entries(space, kept):
            yield finding
        async for finding in self.references(space, kept):
            yield finding

    async def references(self, space: Space, kept: Collection[str]) -> AsyncIterator[Finding]:
        """References of a deltaspace that has no deltas. They go to the trash, but for those with a `kept` digest."""
        if space.deltas or not all(self._old(each.modified) for each in space.references):
            return
        # By a new listing: a prefix may have shown the reference and not its deltas.
        async with aclosing(names_of_deltas(self.engine, self.bucket, space.name, self.access)) as names:
            if await anext(names, None) is not None:
                return
        digests: dict[str, str] = {}
        for stored in space.references:
            reference, _ = await self.engine.reference(self.bucket, stored.key, self.access)
            if reference is not None:
                digests[stored.key] = reference.sha256
        if not digests or not set(kept).isdisjoint(digests.values()):
            return
        if self.act and self.conditional:
            await drop_unused(self.engine, self.bucket, space.name, self.access)
        elif self.act:
            for key, sha256 in digests.items():
                await self._drop(space.name, key, sha256)
        for stored in space.references:
            if stored.key not in digests:
                continue
            gone = self.act and await self.engine.store.head(self.bucket, stored.key, self.access) is None
            if self.act and not gone:
                continue  # a put needs it after all
            trash = "It is in the trash now, for a day" if gone else "It will be in the trash for a day"
            yield self._waste(stored, f"no delta of its folder uses it. {trash}", gone)

    async def entries(
        self, space: Space, kept: Collection[str], settled: Collection[str] = ()
    ) -> AsyncIterator[Finding]:
        """Entries of the trash: removed, or restored where a delta misses its reference.

        Those with a `kept` digest are not removed; those with a `settled` one were dealt with.
        """
        old = [each for each in space.trash if self._old(each.modified) and trashed(each.key)[1] not in settled]
        needed = Counter[str]()
        if old:
            needed = await digests_needed(self.engine, self.bucket, space.name, self.access, HEADS_AT_ONCE)
        restored: set[str] = set()
        for entry in old:
            sha256 = trashed(entry.key)[1]
            home = needed[sha256] and await home_of(self.engine, self.bucket, space.name, sha256, self.access)
            if needed[""]:
                why = "deltas of its folder with damaged metadata may need it"
                yield self._waste(entry, f"a dropped reference; {why}", False, " Mend or remove them first.")
            elif sha256 in restored or (home and not self._old(home.modified)):
                if self.notes:
                    yield self._recent(entry)  # stays for a day after it was restored
            elif needed[sha256] and not home:
                restored.add(sha256)
                yield await self._restore(space.name, entry, sha256, needed[sha256])
            elif sha256 not in kept and (
                finding := await self._remove(entry, "a dropped reference that no delta needs", unconditionally=True)
            ):
                yield finding
        if self.notes:
            for entry in space.trash:
                if not self._old(entry.modified):
                    yield self._recent(entry)

    async def uploads(self, prefix: str) -> AsyncGenerator[Finding, None]:
        """Unfinished multipart uploads of reserved names."""
        try:
            async with aclosing(upkeep.uploads(self.engine.store, self.bucket, prefix, self.access)) as unfinished:
                async for upload in unfinished:
                    if not keys.is_reserved(upload.key):
                        continue
                    if keys.multipart_target(upload.key) is not None:
                        if (finding := await self._open(upload)) is not None:
                            yield finding
                    elif self._old(upload.initiated):
                        if self.act:
                            await upkeep.abort(self.engine.store, self.bucket, upload, self.access)
                        yield Finding(
                            "unfinished-upload",
                            "waste",
                            self.bucket,
                            upload.key,
                            f"a multipart upload that was begun on {upload.initiated:%Y-%m-%d %H:%M} UTC",
                            "" if self.act else self.advice,
                            repaired=self.act,
                        )
                    elif self.notes:
                        yield Finding(
                            "recent-upload", "note", self.bucket, upload.key, "a put is under way, or ended early"
                        )
        except upkeep.Unknown as error:
            if self.notes:
                detail = f"unfinished multipart uploads could not be listed: {error}"
                yield Finding("unchecked", "note", self.bucket, "", detail)

    async def _completed(self, stored: Stored) -> Finding | None:
        """The object of a caller's upload whose completion is under way, or has ended early."""
        target = keys.multipart_target(stored.key)
        assert target is not None
        key, put_id = target
        for each in (key, keys.delta_key(key)):
            head = await self.engine.store.head(self.bucket, each, self.access) if keys.fits(each) else None
            if head is not None and meta.field(head.get("Metadata", {}), "put-id") == put_id:
                if not self._old(head["LastModified"]):
                    break
                what = f"the parts of an upload that has become {where(self.bucket, each)}"
                return await self._remove(stored, what, unconditionally=True)
        detail = f"the parts of an upload of {where(self.bucket, key)} whose completion is under way, or ended early"
        if self._given_up(stored.modified):
            return await self._remove(stored, detail, unconditionally=True)
        return self._caller(stored.key, detail) if self.notes else None

    async def _open(self, upload: upkeep.Upload) -> Finding | None:
        """A caller's upload that is neither completed nor aborted."""
        target = keys.multipart_target(upload.key)
        assert target is not None
        detail = f"an upload of {where(self.bucket, target[0])}, begun on {upload.initiated:%Y-%m-%d %H:%M} UTC"
        if not self._given_up(upload.initiated):
            return self._caller(upload.key, detail) if self.notes else None
        heard = await upkeep.last_part(self.engine.store, self.bucket, upload, self.access)
        if not self._given_up(heard):
            return self._caller(upload.key, detail) if self.notes else None
        if self.act:
            await upkeep.abort(self.engine.store, self.bucket, upload, self.access)
        detail += f", of which nothing was heard since {heard:%Y-%m-%d %H:%M} UTC"
        return Finding(
            "unfinished-upload", "waste", self.bucket, upload.key, detail, "" if self.act else self.advice,
            repaired=self.act,
        )  # fmt: skip

    def _given_up(self, heard: datetime) -> bool:
        return self.exclusive and self.now - heard >= max(self.older_than, WEEK)

    def _caller(self, key: str, detail: str) -> Finding:
        return Finding("open-upload", "note", self.bucket, key, detail, "It is its caller's, to complete or to abort.")

    def _old(self, modified: datetime) -> bool:
        return self.now - modified >= self.older_than

    async def _leftover(self, stored: Stored) -> Finding | None:
        # In this order: a delta that is seen before a plain form is leftover for good.
        delta = await self.engine.store.head(self.bucket, stored.key, self.access)
        plain = await self.engine.store.head(self.bucket, keys.logical_key(stored.key), self.access)
        if delta is None or plain is None or not meta.is_delta(delta.get("Metadata", {})):
            return None
        if not self._old(delta["LastModified"]):
            return None
        return await self._remove(stored, "a delta that the plain object of its name has replaced", delta["ETag"])

    async def _temporary(self, stored: Stored) -> Finding | None:
        head = await self.engine.store.head(self.bucket, stored.key, self.access)
        expires = meta.moment(meta.field((head or {}).get("Metadata", {}), "expires-at"))
        if head is None or expires is None or expires > self.now:
            return None
        return await self._remove(
            stored, f"a temporary copy that expired on {expires:%Y-%m-%d %H:%M} UTC", head["ETag"]
        )

    async def _remove(
        self, stored: Stored, detail: str, etag: str | None = None, unconditionally: bool = False
    ) -> Finding | None:
        gone = False
        if self.act and (unconditionally or not self.conditional):
            await self.engine.store.delete(self.bucket, stored.key, self.access)
            gone = True
        elif self.act:
            gone = await self.engine.store.delete_if_unchanged(
                self.bucket, stored.key, etag or stored.etag, self.access
            )
            if not gone:
                return None  # somebody has replaced it meanwhile
        return self._waste(stored, detail, gone)

    async def _drop(self, space: str, key: str, sha256: str) -> None:
        """As `drop_unused`, where nobody else writes."""
        entry = keys.trash_key(space, sha256, secrets.token_hex(8))
        if keys.fits(entry) and await restore(self.engine, self.bucket, key, entry, self.access):
            await self.engine.store.delete(self.bucket, key, self.access)

    async def _restore(self, space: str, entry: Stored, sha256: str, needed: int) -> Finding:
        done, problem = False, ""
        if self.act:
            to = await place_for(self.engine, self.bucket, space, sha256, entry.size, self.access)
            try:
                done = await restore(self.engine, self.bucket, entry.key, to, self.access)
            except IntegrityMismatchError as error:
                problem = f" {error}"
        detail = f"{needed:,} deltas of its folder need it and have no other reference with this SHA-256.{problem}"
        advice = "" if done else "Restore it: dg fsck --repair."
        return Finding("reference-in-trash", "error", self.bucket, entry.key, detail, advice, repaired=done)

    def _recent(self, entry: Stored) -> Finding:
        return Finding("recent-trash", "note", self.bucket, entry.key, "a dropped reference, kept for a day")

    def _waste(self, stored: Stored, detail: str, gone: bool, advice: str = "") -> Finding:
        kinds = {
            "delta": "leftover-delta",
            "reference": "unused-reference",
            "trash": "old-trash",
            "temporary": "expired-temporary",
            "probe": "old-probe",
            "upload": "unfinished-upload",
        }
        return Finding(
            kinds[stored.role],  # type: ignore[arg-type]
            "waste",
            self.bucket,
            stored.key,
            detail,
            "" if gone else f"{self.advice}{advice}".strip(),
            stored.size,
            repaired=gone,
        )


def _by_key(finding: Finding) -> str:
    return finding.key
