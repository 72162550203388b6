"""What fsck says about references that deltas miss, or will miss. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from deltaglider_async.engine.lifecycle import Fate
from deltaglider_async.engine.mend import Place
from deltaglider_async.engine.scan import Affected, Need
from deltaglider_async.format import keys
from deltaglider_async.types import Finding, FindingKind


def error(bucket: str, kind: FindingKind, key: str, detail: str, advice: str, affected: Affected) -> Finding:
    """A finding of objects that cannot be read, or will not be."""
    return Finding(
        kind, "error", bucket, key, detail, advice, affected=tuple(affected.named), affected_count=affected.count
    )


def misplaced(bucket: str, space: str, need: Need, place: Place, to: str, *, tried: bool) -> Finding:
    """The reference is not where it should be, but the bytes are there. `to`: where a repair has put them."""
    usual, source = keys.reference_key(space), f"s3://{bucket}/{place.key}"
    if to:
        advice = ""
    elif tried:
        advice = f"It could not be written back from {source}. Try again; if it stays, do it by hand."
    else:
        advice = "Mend it: dg fsck --repair."
    done = f". Put back as s3://{bucket}/{to}" if to else ""
    objects, of = _objects(need.deltas), f"the reference with SHA-256 {need.sha256}"
    if place.kind == "elsewhere":
        detail = f"{objects} made against {of}, which lies in another folder and may go with it: {source}{done}"
        affected = need.deltas
        return Finding(
            "reference-elsewhere", "note", bucket, usual, detail, advice,
            affected=tuple(affected.named), affected_count=affected.count, repaired=bool(to),
        )  # fmt: skip
    where = {
        "trash": f"is in the trash, where it is found for now: {source}",
        "version": f"is an older version ({place.version}) of {source}",
        "unlabelled": f"has lost its metadata, and is not found without: {source}",
    }.get(place.kind, f"is not there, but at {source}")
    kind: FindingKind = "reference-in-trash" if place.kind == "trash" else "missing-reference"
    if place.kind == "unlabelled":
        kind = "damaged-reference"
    elif place.instead:
        kind, where = "different-reference", f"has another one in its place; it {where}"
    state = "made against" if place.kind == "trash" else "not readable without"
    finding = error(bucket, kind, usual, f"{objects} {state} {of}. It {where}{done}", advice, need.deltas)
    return replace(finding, repaired=bool(to))


def missing(bucket: str, space: str, need: Need, place: Place) -> Finding:
    """The reference is nowhere."""
    instead = {"": "", "no digest": ". The object in its place is no reference"}.get(
        place.instead, f". The one in its place has SHA-256 {place.instead}"
    )
    of = f"the reference with SHA-256 {need.sha256}"
    detail = f"{_objects(need.deltas)} not readable without {of}. It is nowhere to be found{instead}"
    key = keys.reference_key(space)
    target = keys.addressed_reference_key(space, need.sha256) if place.instead else key
    advice = (
        f"Put the file with that SHA-256 back as s3://{bucket}/{target}, with the metadata "
        f"dg-file-sha256={need.sha256}. It was the first file that was put into the folder."
    )
    return error(bucket, "missing-reference", key, detail, advice, need.deltas)


def expires(bucket: str, home: str, need: Need, end: Fate, latest: Fate, *, helps: bool, done: bool) -> Finding:
    """A lifecycle rule ends a reference before the last of its deltas. `helps`: a copy onto itself would do."""
    gone = end.readable < end.kept
    what = f"is archived on {_day(end.readable)}" if gone else f"expires on {_day(end.kept)}"
    rule = f" by the rule {end.rule!r}" if end.rule else " by a lifecycle rule"
    last = _day(min(latest.readable, latest.kept))
    detail = f"it {what}{rule}, and the last of {need.deltas.count:,} made against it not before {last}"
    if done:
        advice = ""
    elif helps:
        advice = "Renew it: dg fsck --repair, before that day."
    else:
        advice = "Change the rule: exclude this key, or let the rule take the deltas too."
    finding = error(bucket, "reference-expires-first", home, detail, advice, need.deltas)
    return replace(finding, repaired=done)


def _objects(affected: Affected) -> str:
    return "1 object is" if affected.count == 1 else f"{affected.count:,} objects are"


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d}" if moment.year < datetime.max.year else "further notice"
