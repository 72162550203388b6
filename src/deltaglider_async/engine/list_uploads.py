"""Unfinished multipart uploads in logical keys, in S3's order: by key, and among those of one key by their beginning.

The temporary keys of one folder come in random order, so all uploads below the prefix are looked at for each page. What
is held is bounded all the same: one page, and the uploads of the key at which it begins. S3 counts an upload as
unfinished until it is completed; one whose completion ended early is not listed, as it has no id there any more.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from deltaglider_async.engine.core import Engine, Response, access_only
from deltaglider_async.engine.listing import url_encoded
from deltaglider_async.engine.read_ahead import LARGEST_PAGE
from deltaglider_async.format import keys, uploads
from deltaglider_async.store import multipart as calls


@dataclass(frozen=True, slots=True)
class Asked:
    """What to list; names are as the caller gave them."""

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    key_marker: str = ""
    id_marker: str = ""
    most: int = LARGEST_PAGE
    encoding: str | None = None


#: The key, when it was begun, the id: what they are sorted by. A common prefix has no id.
_Place = tuple[str, float, str]


async def page(engine: Engine, asked: Asked, arguments: Mapping[str, Any]) -> Response:
    """ListMultipartUploads. `arguments`: who asks and who pays."""
    most = min(asked.most, LARGEST_PAGE)
    #: Those of the page, and perhaps more; by what they are sorted by.
    found: dict[_Place, Response] = {}
    #: Those of the key that the marker names.
    same: dict[_Place, Response] = {}
    async with aclosing(_logical(engine, asked, arguments)) as unfinished:
        async for item in unfinished:
            key = item["Key"]
            cut = key.find(asked.delimiter, len(asked.prefix)) if asked.delimiter else -1
            if cut >= 0:
                rolled = key[: cut + len(asked.delimiter)]
                if rolled > asked.key_marker:
                    found[rolled, 0.0, ""] = {"Prefix": rolled}
            elif key > asked.key_marker:
                found[_place(item)] = item
            elif key == asked.key_marker and asked.id_marker:
                same[_place(item)] = item
            if len(found) > 4 * LARGEST_PAGE:
                found = {place: found[place] for place in sorted(found)[: most + 1]}
    marker = next((place for place in same if place[2] == asked.id_marker), None)
    # If the marked upload has ended meanwhile, the others of its key are shown again rather than left out.
    found |= {place: item for place, item in same.items() if marker is None or place > marker}
    shown = sorted(found)[:most]
    truncated = 0 < most < len(found)
    return _answer(asked, [found[place] for place in shown], shown[-1] if truncated else None)


def _place(item: Response) -> _Place:
    begun = item.get("Initiated")  # not every service tells
    return item["Key"], begun.timestamp() if begun is not None else 0.0, item["UploadId"]


async def _logical(engine: Engine, asked: Asked, arguments: Mapping[str, Any]) -> AsyncGenerator[Response, None]:
    """The uploads below a prefix with their logical keys and the ids that callers hold, in any order."""
    access = access_only(arguments)
    if asked.encoding:
        access["EncodingType"] = asked.encoding
    folder = keys.multipart_folder(asked.prefix)
    prefixes = [asked.prefix] if folder.startswith(asked.prefix) else [asked.prefix, folder]
    for prefix in prefixes:
        async with aclosing(calls.unfinished(engine.store, asked.bucket, prefix, access)) as stored:
            async for item in stored:
                temporary = keys.multipart_target(item["Key"])
                if temporary is not None:
                    key, name = temporary
                    item = {**item, "Key": key, "UploadId": uploads.encode_id(name, item["UploadId"])}
                elif keys.is_reserved(item["Key"]):
                    continue  # a put's, under way
                if item["Key"].startswith(asked.prefix):
                    yield item


def _answer(asked: Asked, shown: list[Response], last: _Place | None) -> Response:
    def encoded(name: str) -> str:
        return url_encoded(name) if asked.encoding == "url" else name

    response: Response = {
        "Bucket": asked.bucket,
        "KeyMarker": encoded(asked.key_marker),
        "UploadIdMarker": asked.id_marker,
        "MaxUploads": asked.most,
        "IsTruncated": last is not None,
        "ResponseMetadata": {"HTTPStatusCode": 200},
    }
    common = [{"Prefix": encoded(item["Prefix"])} for item in shown if "Prefix" in item]
    listed = [{**item, "Key": encoded(item["Key"])} for item in shown if "Prefix" not in item]
    optional: Response = {
        "Prefix": encoded(asked.prefix),
        "Delimiter": encoded(asked.delimiter),
        "EncodingType": asked.encoding,
        "Uploads": listed,
        "CommonPrefixes": common,
    }
    if last is not None:
        response |= {"NextKeyMarker": encoded(last[0]), "NextUploadIdMarker": last[2]}
    return response | {name: value for name, value in optional.items() if value}
