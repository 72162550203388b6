"""The methods of the original's own that move files."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from deltaglider_async.client.base import ignore
from deltaglider_async.client.objects import Objects
from deltaglider_async.errors import (
    CodecUnavailableError,
    DiffDecodeError,
    IntegrityMismatchError,
    InvalidRequestError,
)
from deltaglider_async.format import keys
from deltaglider_async.streams.digest import Digest
from deltaglider_async.streams.part_file import write_file
from deltaglider_async.streams.threads import in_thread
from deltaglider_async.types import Progress, UploadSummary, VerifyResult

if TYPE_CHECKING:
    from os import PathLike


class Original(Objects):
    """Files up and down by URL, in the original's words."""

    async def upload(
        self,
        file_path: str | PathLike[str],
        s3_url: str,
        tags: Mapping[str, str] | None = None,
        max_ratio: float | None = None,
        *,
        use_delta: bool | None = None,
        progress: Progress = ignore,
        **arguments: Any,
    ) -> UploadSummary:
        """Upload a local file. A URL that ends in `/` (or has no key) is "into", any other is the name.

        `arguments` are boto3's for `put_object` (`Metadata`, `ContentType`, ...). Raises as `put_object`.
        """
        path = Path(file_path)
        bucket, key = keys.parse_url(s3_url)
        if not key or key.endswith("/"):
            key += path.name
        if tags:
            arguments["Tagging"] = urlencode(tags)
        metadata = arguments.pop("Metadata", None)
        result = await self._put(bucket, key, path, metadata, None, arguments, max_ratio, use_delta, progress)
        return UploadSummary(
            operation=result.operation,
            bucket=bucket,
            key=key,
            original_size=result.original_size,
            stored_size=result.stored_size,
            is_delta=result.operation == "create_delta",
            delta_ratio=result.ratio,
            reason=result.reason,
        )

    async def download(
        self, s3_url: str, output_path: str | PathLike[str], *, progress: Progress = ignore, **arguments: Any
    ) -> None:
        """Download an object. The file appears under its name, replacing an older one, only when it is verified.

        `output_path` is a file's name, or a folder that exists. `arguments` are boto3's for `get_object`. Raises as
        `get_object` and its body, and `LocalIOError`; the file then is as it was before.
        """
        bucket, key = keys.parse_url(s3_url)
        if not key or key.endswith("/"):
            raise InvalidRequestError(f"cannot download {s3_url}: it names no object.")
        path = Path(output_path)
        if await in_thread(path.is_dir):
            path /= key.rpartition("/")[2]
        response = await self.get_object(Bucket=bucket, Key=key, progress=progress, **arguments)
        async with response["Body"] as body:
            await write_file(path, body)

    async def verify(self, s3_url: str) -> VerifyResult:
        """Read an object as a get would, and compare with the SHA-256 recorded at its put. Raises as `get_object`."""
        bucket, key = keys.parse_url(s3_url)
        response = await self.get_object(Bucket=bucket, Key=key)
        expected = _hex(response.get("ChecksumSHA256", ""))
        digest = Digest()
        try:
            async with response["Body"] as body:
                while chunk := await body.readany():
                    await digest.update(chunk)
        except CodecUnavailableError:
            raise  # says nothing about the object
        except (IntegrityMismatchError, DiffDecodeError) as error:
            return VerifyResult(False, expected, await digest.hexdigest(), str(error))
        actual = await digest.hexdigest()
        if not expected:
            return VerifyResult(True, "", actual, "no SHA-256 was recorded at the put; all bytes could be read")
        return VerifyResult(True, expected, actual, "the content has the SHA-256 recorded at the put")


def _hex(checksum: str) -> str:
    return base64.b64decode(checksum).hex()
