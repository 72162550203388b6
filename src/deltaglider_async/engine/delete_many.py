"""DeleteObjects of logical keys: per key the protocol of `delete`, with few requests.

Most requests of a delete look for what is there. Here one listing looks at many keys, and what it does not tell is
asked key by key: first all delta forms and then all plain forms, the order in which `delete` looks at each key. Where
one form was found, or none, there is one object to remove without a condition, and S3 removes all of those in one
request. A key of which both forms are there, or that comes with a version or a condition, is deleted as it is alone.

The references that nothing uses any more are dropped at the end, once per deltaspace.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from deltaglider_async.engine.core import Engine, Response, access_only
from deltaglider_async.engine.delete import Deleted, delete_key, is_delta
from deltaglider_async.engine.parallel import for_each
from deltaglider_async.engine.trash import Dropped, drop_unused
from deltaglider_async.errors import DeltaGliderError, InvalidRequestError, NotFoundError, StorageIOError
from deltaglider_async.format import keys
from deltaglider_async.store.deletes import delete_together
from deltaglider_async.store.errors import code_of, is_missing_key

#: Requests at once.
_AT_ONCE = 16
#: Keys of one folder from which on a listing of it is worth its while, and how many keys each of its pages must
#: save a look at, on the average.
_WORTH_A_LISTING, _WORTH_A_PAGE = 4, 100
_DENIED = frozenset({"AccessDenied", "403", "Forbidden"})

#: What a key may come with, and what DeleteObject calls it.
_OF_A_KEY = {
    "VersionId": "VersionId",
    "ETag": "IfMatch",
    "Size": "IfMatchSize",
    "LastModifiedTime": "IfMatchLastModifiedTime",
}


@dataclass(frozen=True, slots=True)
class Failed:
    """A key that is not deleted, in S3's words."""

    code: str
    message: str


Outcome = Deleted | Failed


@dataclass
class Drops:
    """Deltaspaces that may have lost their last delta, and what became of their references."""

    spaces: dict[str, None] = field(default_factory=dict)
    dropped: dict[str, Dropped] = field(default_factory=dict)

    def note(self, outcomes: Iterable[Outcome]) -> None:
        """Remember what deletes say."""
        found = (outcome.space for outcome in outcomes if isinstance(outcome, Deleted))
        self.spaces |= dict.fromkeys(space for space in found if space is not None)

    async def carry_out(self, engine: Engine, bucket: str, access: Mapping[str, Any]) -> None:
        """Drop the references of the deltaspaces that have no delta any more."""

        async def drop(space: str) -> None:
            self.dropped[space] = await drop_unused(engine, bucket, space, access)

        spaces, self.spaces = self.spaces, {}
        await for_each(each_of(spaces), drop, _AT_ONCE)

    @property
    def references(self) -> list[str]:
        """The references that are gone."""
        return [key for each in self.dropped.values() for key in each.keys]

    @property
    def warnings(self) -> list[str]:
        """Why others stay."""
        return [each.warning for each in self.dropped.values() if each.warning]


async def delete_objects(
    engine: Engine, bucket: str, objects: Sequence[Mapping[str, Any]], arguments: Mapping[str, Any]
) -> tuple[list[Outcome], Drops]:
    """What became of each of the objects (`Key`, `VersionId`, `ETag`, ...), in their order, errors among them."""
    simple = dict.fromkeys(each["Key"] for each in objects if _is_simple(each))
    outcomes: dict[int, Outcome] = {}
    together = await delete_keys(engine, bucket, list(simple), arguments)
    outcomes |= {at: together[each["Key"]] for at, each in enumerate(objects) if _is_simple(each)}

    async def alone(at: int) -> None:
        own = {name: objects[at].get(given) for given, name in _OF_A_KEY.items()}
        asked = {**arguments, **{name: value for name, value in own.items() if value is not None}}
        outcomes[at] = await _outcome(lambda: delete_key(engine, bucket, objects[at]["Key"], asked))

    others = [at for at in range(len(objects)) if at not in outcomes]
    # References last: what uses them may be among the others.
    for group in (
        [at for at in others if not keys.is_reference(objects[at]["Key"])],
        [at for at in others if keys.is_reference(objects[at]["Key"])],
    ):
        await for_each(each_of(group), alone, _AT_ONCE)
    drops = Drops()
    drops.note(outcomes.values())
    await drops.carry_out(engine, bucket, access_only(arguments))
    return [outcomes[at] for at in range(len(objects))], drops


def _is_simple(wanted: Mapping[str, Any]) -> bool:
    """Whether a key is an ordinary one, to be deleted whatever it is now."""
    return not keys.is_reserved(wanted["Key"]) and all(wanted.get(name) is None for name in _OF_A_KEY)


async def delete_keys(
    engine: Engine, bucket: str, logical_keys: Sequence[str], arguments: Mapping[str, Any]
) -> dict[str, Outcome]:
    """Delete ordinary logical keys, each once; the drop of references is left to the caller."""
    access = access_only(arguments)
    fitting = [keys.delta_key(key) for key in logical_keys if keys.fits(keys.delta_key(key))]
    deltas = await _look(engine, bucket, fitting, access, engine.store.head)
    plains = await _look(engine, bucket, logical_keys, access, engine.store.seen, listing_is_enough=True)
    outcomes: dict[str, Outcome] = {}
    stored: dict[str, str] = {}
    alone: list[str] = []
    for key in logical_keys:
        delta, plain = deltas.get(keys.delta_key(key)), plains.get(key)
        if isinstance(delta, Failed):
            outcomes[key] = delta
        elif isinstance(plain, Failed):
            outcomes[key] = plain
        elif not is_delta(delta):
            stored[key] = key
        elif plain is None:
            stored[key] = keys.delta_key(key)
        else:
            alone.append(key)
    said = await delete_together(engine.store, bucket, list(stored.values()), arguments)
    if said is None:
        alone, stored, said = list(dict.fromkeys((*alone, *stored))), {}, {}
    for key, target in stored.items():
        outcomes[key] = _as_told(key, target, said.get(target), there=plains.get(key) is not None)

    async def one(key: str) -> None:
        outcomes[key] = await _outcome(lambda: delete_key(engine, bucket, key, arguments))

    await for_each(each_of(alone), one, _AT_ONCE)
    return outcomes


def _as_told(key: str, target: str, said: Response | None, *, there: bool) -> Outcome:
    """What S3 says of a stored object that it was to delete."""
    if said is None:
        return Failed("InternalError", "the service did not say what became of it")
    if "Code" in said:
        return Failed(said["Code"], said.get("Message", ""))
    answer: Response = {"VersionId": said.get("DeleteMarkerVersionId"), "DeleteMarker": said.get("DeleteMarker")}
    if target != key:
        return Deleted(target, "delta", answer, keys.deltaspace(key))
    return Deleted(target, "direct" if there else "not_found", answer)


async def _look(
    engine: Engine,
    bucket: str,
    stored_keys: Sequence[str],
    access: Response,
    ask: Callable[[str, str, Response], Awaitable[Response | None]],
    *,
    listing_is_enough: bool = False,
) -> dict[str, Response | Failed | None]:
    """What is at each of these keys. A listing tells no metadata, so what it shows is asked for unless it is enough."""
    found: dict[str, Response | Failed | None] = {}
    folders: dict[str, list[str]] = {}
    for key in stored_keys:
        folders.setdefault(key[: key.rfind("/") + 1], []).append(key)

    async def look_through(folder: str) -> None:
        found.update(await _listed(engine, bucket, folder, folders[folder], access))

    async def look_at(key: str) -> None:
        try:
            found[key] = await ask(bucket, key, access)
        except StorageIOError as error:
            found[key] = as_failed(error)

    many = [folder for folder in folders if len(folders[folder]) >= _WORTH_A_LISTING]
    await for_each(each_of(many), look_through, _AT_ONCE)
    unknown = [key for key in stored_keys if key not in found or (found[key] is not None and not listing_is_enough)]
    await for_each(each_of(unknown), look_at, _AT_ONCE)
    return found


async def _listed(
    engine: Engine, bucket: str, folder: str, stored_keys: Sequence[str], access: Response
) -> dict[str, Response | Failed | None]:
    """What a listing tells of keys of one folder. It is given up where too little of it is about them."""
    wanted, first, last = sorted(stored_keys), min(stored_keys), max(stored_keys)
    alike = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    asked = {**access, "Prefix": first[: max(alike, len(folder))], "Delimiter": "/"}
    there: dict[str, Response] = {}
    passed, pages = "", 0
    try:
        async with aclosing(engine.store.pages(bucket, asked)) as found:
            async for page in found:
                there |= {item["Key"]: item for item in page.get("Contents", ())}
                prefixes = [each["Prefix"] for each in page.get("CommonPrefixes", ())]
                passed, pages = max([passed, *there, *prefixes]), pages + 1
                if not page.get("IsTruncated"):
                    passed = last
                told = sum(key <= passed for key in wanted)
                if passed >= last or pages * _WORTH_A_PAGE > told + _WORTH_A_PAGE:
                    break
    except StorageIOError as error:
        if code_of(error) not in _DENIED:
            raise
    return {key: there.get(key) for key in wanted if key <= passed}


async def _outcome(work: Callable[[], Awaitable[Deleted]]) -> Outcome:
    try:
        return await work()
    except (InvalidRequestError, StorageIOError) as error:
        return as_failed(error)
    except NotFoundError as error:
        if not is_missing_key(error):
            raise  # no such bucket
        return as_failed(error)


def as_failed(error: DeltaGliderError) -> Failed:
    """An error as an entry of `Errors`."""
    unasked = "InvalidRequest" if isinstance(error, InvalidRequestError) else "InternalError"
    return Failed(code_of(error) or unasked, str(error))


async def each_of(items: Iterable[Any]) -> AsyncIterator[Any]:
    """The items, as `for_each` takes them."""
    for item in items:
        yield item


def response(
    objects: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome], drops: Drops, *, quiet: bool
) -> Response:
    """boto3's answer, with what is ours."""
    deleted, errors, details = [], [], []
    references = set(drops.references)
    for wanted, outcome in zip(objects, outcomes, strict=True):
        named = {name: wanted[name] for name in ("Key", "VersionId") if wanted.get(name) is not None}
        if isinstance(outcome, Failed):
            errors.append({**named, "Code": outcome.code, "Message": outcome.message})
            continue
        dropped = drops.dropped.get(outcome.space, Dropped()) if outcome.space is not None else Dropped()
        ours = {
            "StoredKey": outcome.stored_key,
            "Type": outcome.kind,
            "Warnings": [dropped.warning] if dropped.warning else [],
        }
        marker: Response = {}
        if outcome.response.get("DeleteMarker"):
            marker = {"DeleteMarker": True, "DeleteMarkerVersionId": outcome.response.get("VersionId")}
        deleted.append({**named, **marker, **ours})
        if outcome.kind == "reference" and outcome.space is None:
            references.add(outcome.stored_key)
        if outcome.kind != "not_found":
            details.append({"Key": wanted["Key"], **ours, "DependentDeltas": 0})
    answer: Response = {"ResponseMetadata": {"HTTPStatusCode": 200}}
    if deleted and not quiet:
        answer["Deleted"] = deleted
    if errors:
        answer["Errors"] = errors
    answer["DeltaGliderInfo"] = {
        "DeltaFilesDeleted": len({each["StoredKey"] for each in details if each["Type"] == "delta"}),
        "ReferencesDeleted": len(references),
        "Details": details,
    }
    return answer
