"""ListObjectsV2 with the metadata of each object, where the service tells them: MinIO does, if asked (`metadata=true`).

A page then stands for a thousand HEADs. It is MinIO's own addition to S3, so a page is asked for in that way only after
a service has said that it is MinIO. Objects that the caller must not read come without, as do all from other services.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from xml.etree import ElementTree

from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from deltaglider_async.format import keys

Response = dict[str, Any]

#: So many deltas on a page are worth a second request for it, after the first has told what service it is.
_WORTH = 8
_USER = "x-amz-meta-"
_FOUND = "deltaglider_metadata"

_METADATA = re.compile(rb"<UserMetadata>.*?</UserMetadata>", re.DOTALL)

_ASKED: ContextVar[bool] = ContextVar("asked", default=False)


class Listed:
    """ListObjectsV2 of a client of botocore's kind."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3
        self._tells: bool | None = None

    async def page(self, arguments: Response, *, metadata: bool) -> Response:
        """What the client's `list_objects_v2` answers or raises. With `metadata`, items of `Contents` have `Metadata`,
        as HEAD tells it, where the listing does.
        """
        if not metadata or not self._tells:
            page: Response = await self._s3.list_objects_v2(**arguments)
            if not metadata or self._tells is False:
                return page
            deltas = sum(item["Key"].endswith(keys.DELTA_SUFFIX) for item in page.get("Contents", ()))
            self._tells = _server(page).startswith("MinIO")
            if not self._tells or deltas <= _WORTH:
                return page
        try:
            with _asking(self._s3.meta.events):
                page = await self._s3.list_objects_v2(**arguments)
        except (ClientError, ResponseParserError):
            self._tells = False
            page = await self._s3.list_objects_v2(**arguments)
        for item, found in zip(page.get("Contents", ()), page.pop(_FOUND, ()), strict=False):
            if found:
                item["Metadata"] = found
        return page


def _server(page: Response) -> str:
    server: str = page.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("server", "")
    return server


@contextmanager
def _asking(events: Any) -> Iterator[None]:
    for event, handler in (("before-call", _ask), ("before-parse", _read)):
        events.register(f"{event}.s3.ListObjectsV2", handler, unique_id=f"{__name__}.{event}")
    token = _ASKED.set(True)
    try:
        yield
    finally:
        _ASKED.reset(token)


def _ask(params: Response, **_: Any) -> None:
    if _ASKED.get():
        params["url"] += "&metadata=true"


def _read(response_dict: Response, customized_response_dict: Response, **_: Any) -> None:
    if _ASKED.get() and response_dict["status_code"] == 200:
        customized_response_dict[_FOUND] = list(_metadata(response_dict["body"]))
        # They are most of it, and botocore, which knows nothing of them, would read through them twice.
        response_dict["body"] = _METADATA.sub(b"", response_dict["body"])


def _metadata(body: bytes) -> Iterator[dict[str, str]]:
    """Of each object of a page, in order. It is empty where there is anything that HEAD may spell in another way."""
    try:
        root = ElementTree.fromstring(body)  # noqa: S314, as botocore does with the same text
    except ElementTree.ParseError:
        return  # names of metadata may be none of XML
    space = root.tag.removesuffix("ListBucketResult")
    for item in root.iterfind(f"{space}Contents"):
        told = item.find(f"{space}UserMetadata")
        found = {name.tag.removeprefix(space).lower(): name.text or "" for name in (told if told is not None else ())}
        user = {name.removeprefix(_USER): text for name, text in found.items() if name.startswith(_USER)}
        yield user if all(text.isascii() and text.isprintable() for text in user.values()) else {}
