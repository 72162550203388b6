"""The calls of a multipart upload that a caller drives, as stored: keys and ids are S3's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import unquote_plus

from botocore import xform_name

from deltaglider_async.errors import NotFoundError
from deltaglider_async.store.errors import code_of, translated
from deltaglider_async.store.s3 import NONE, Arguments, Response, Store
from deltaglider_async.streams.threads import to_its_end


async def call(store: Store, operation: str, attempt: str, name: str, arguments: Arguments) -> Response:
    """One call. `attempt` and `name` are for messages: "complete the upload of" and "s3://bucket/key"."""
    with translated(attempt, name):
        response: Response = await getattr(store.s3, xform_name(operation))(**store.accepted(operation, arguments))
    return response


async def create(store: Store, name: str, arguments: Arguments) -> Response:
    """CreateMultipartUpload. When this is cancelled, there is no upload."""
    creating = asyncio.ensure_future(
        call(store, "CreateMultipartUpload", "create the multipart upload of", name, arguments)
    )
    try:
        # Not given up when this is cancelled: an upload whose id never arrived could not be aborted.
        return await asyncio.shield(creating)
    except BaseException:
        await to_its_end(store.abort(dict(arguments), creating))
        raise


async def unfinished(
    store: Store, bucket: str, prefix: str, arguments: Arguments = NONE
) -> AsyncGenerator[Response, None]:
    """The unfinished uploads below a prefix, as ListMultipartUploads shows them."""
    marker: Response = {}
    while True:
        asked = {**arguments, "Bucket": bucket, "Prefix": prefix, **marker}
        try:
            page = await call(store, "ListMultipartUploads", "list the uploads of", f"s3://{bucket}/{prefix}", asked)
        except NotFoundError as error:
            if code_of(error) != "NoSuchUpload":  # rclone's word for "none"
                raise
            return
        # botocore decodes other listings, and not this one; and not every service encodes.
        plain = unquote_plus if page.get("EncodingType") == "url" else str
        for item in page.get("Uploads", ()):
            key = plain(item["Key"])
            if key.startswith(prefix):  # not every service filters
                yield {**item, "Key": key}
        if not page.get("IsTruncated") or not page.get("NextKeyMarker"):
            return
        marker = {"KeyMarker": plain(page["NextKeyMarker"]), "UploadIdMarker": page.get("NextUploadIdMarker")}


def completed(store: Store, response: Response) -> Response:
    """Those fields of an answer to another operation that CompleteMultipartUpload has too."""
    shape: Any = store.s3.meta.service_model.operation_model("CompleteMultipartUpload").output_shape
    return {name: value for name, value in response.items() if name in shape.members or name == "ResponseMetadata"}
