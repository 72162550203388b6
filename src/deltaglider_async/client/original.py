"""The methods of the original's own that move files."""

from __future__ import annotations

import base64
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

import anyio

from deltaglider_async import types
from deltaglider_async.client.base import ignore
from deltaglider_async.client.meter import metered, tell
from deltaglider_async.client.objects import Objects
from deltaglider_async.engine.parallel import for_each
from deltaglider_async.errors import (
    CodecUnavailableError,
    DiffDecodeError,
    IntegrityMismatchError,
    InvalidRequestError,
    LocalIOError,
)
from deltaglider_async.format import keys
from deltaglider_async.settings import MIB
from deltaglider_async.streams.digest import Digest
from deltaglider_async.streams.part_file import write_file
from deltaglider_async.streams.threads import in_thread

if TYPE_CHECKING:
    from os import PathLike

    from deltaglider_async.types import Progress, UploadSummary, VerifyResult

T = TypeVar("T")

#: Files of a batch under way at once.
_AT_ONCE = 8


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

            summary = await client.upload("app-1.2.zip", "s3://releases/app/", tags={"stage": "beta"})
            print(summary.key, summary.stored_size, f"{summary.savings_percent:.1f} %", summary.reason)
        """
        path = Path(file_path)
        bucket, key = keys.parse_url(s3_url)
        if not key or key.endswith("/"):
            key += path.name
        if tags:
            arguments["Tagging"] = urlencode(tags)
        metadata = arguments.pop("Metadata", None)
        result = await self._put(bucket, key, path, metadata, None, arguments, max_ratio, use_delta, progress)
        return types.UploadSummary(
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

            await client.download("s3://releases/app/app-1.2.zip", "restored.zip")
        """
        _, key = keys.parse_url(s3_url)
        if not key or key.endswith("/"):
            raise InvalidRequestError(f"cannot download {s3_url}: it names no object.")
        path = Path(output_path)
        if await in_thread(path.is_dir):
            path /= key.rpartition("/")[2]
        await self._fetch(s3_url, path, progress, arguments)

    async def _fetch(self, s3_url: str, path: Path, progress: Progress, arguments: Mapping[str, Any]) -> None:
        bucket, key = keys.parse_url(s3_url)
        response = await self.get_object(Bucket=bucket, Key=key, progress=progress, **arguments)
        async with response["Body"] as body:
            await write_file(path, body)

    async def verify(self, s3_url: str, *, progress: Progress = ignore, **arguments: Any) -> VerifyResult:
        """Read an object as a get would, and compare with the SHA-256 recorded at its put.

        What cannot be decoded, or has another SHA-256, is a result and no error. `arguments` are boto3's for
        `get_object` (`VersionId`, `RequestPayer`, ...). Raises as `get_object`.

            result = await client.verify("s3://releases/app/app-1.2.zip")
            if not result:
                print(result.message)
        """
        bucket, key = keys.parse_url(s3_url)
        response = await self._get(bucket, key, arguments, progress, checksums=True)
        expected = _hex(response.get("ChecksumSHA256", ""))
        digest = Digest()
        try:
            async with response["Body"] as body:
                while chunk := await body.readany():
                    await digest.update(chunk)
        except CodecUnavailableError:
            raise  # says nothing about the object
        except (IntegrityMismatchError, DiffDecodeError) as error:
            return types.VerifyResult(False, expected, await digest.hexdigest(), str(error), digest.size)
        actual = await digest.hexdigest()
        if not expected:
            message = "no SHA-256 was recorded at the put; all bytes could be read"
        else:
            message = "the content has the SHA-256 recorded at the put"
        return types.VerifyResult(True, expected, actual, message, digest.size)

    async def upload_batch(
        self,
        files: Iterable[str | PathLike[str]],
        s3_prefix: str,
        max_ratio: float | None = None,
        progress_callback: Callable[[str, int, int], Any] | None = None,
    ) -> list[UploadSummary]:
        """Upload files into a folder, several at once, each under its own name. Returns what became of each, in order.

        The first that may become a delta is waited for by the others, as it may become their reference.
        `progress_callback(name, index, total)`, plain or async, is called as each file begins, in order, from index 1.
        Raises as `upload`, for the first file that fails: what is under way is given up. Raises `InvalidRequestError`
        for two files of one name, before anything is sent.

            await client.upload_batch(sorted(Path("dist").glob("*.zip")), "s3://releases/app/")
        """
        paths = [Path(file) for file in files]
        _check_distinct(((path.name, str(path)) for path in paths), s3_prefix)

        bucket, folder = keys.parse_url(f"{s3_prefix.rstrip('/')}/")
        candidates = [self._engine.policy.is_candidate(bucket, f"{folder}{path.name}") for path in paths]
        lead = candidates.index(True) if True in candidates else -1
        led = anyio.Event()

        async def one(index: int) -> UploadSummary:
            path = paths[index]
            if index > lead and candidates[index]:
                await led.wait()
            summary = await self.upload(path, f"s3://{bucket}/{folder}{path.name}", max_ratio=max_ratio)
            if index == lead:
                led.set()
            return summary

        return await _batch([path.name for path in paths], one, progress_callback)

    async def download_batch(
        self,
        s3_urls: Iterable[str],
        output_dir: str | PathLike[str],
        progress_callback: Callable[[str, int, int], Any] | None = None,
    ) -> list[Path]:
        """Download objects into a folder, which is created, several at once. Returns the files, in order.

        Each gets the last part of its key as name. `progress_callback(name, index, total)`, plain or async, is called
        as each begins, in order, from index 1. Raises as `download`, for the first that fails; what is complete by then
        stays. Raises `InvalidRequestError` where one would overwrite another, before anything is written.

            await client.download_batch(["s3://releases/app/app-1.1.zip", "s3://releases/app/app-1.2.zip"], "restored")
        """
        urls, folder = list(s3_urls), Path(output_dir)
        names = [_file_name(url) for url in urls]
        _check_distinct(zip(names, urls, strict=True), str(folder))
        try:
            await in_thread(lambda: folder.mkdir(parents=True, exist_ok=True))
        except OSError as error:
            raise LocalIOError(error.errno, f"cannot create the folder {folder}: {error.strerror}") from error

        async def one(index: int) -> Path:
            path = folder / names[index]
            await self._fetch(urls[index], path, ignore, {})
            return path

        return await _batch(names, one, progress_callback)

    async def upload_chunked(
        self,
        file_path: str | PathLike[str],
        s3_url: str,
        chunk_size: int = 5 * MIB,
        progress_callback: Callable[[int, int, int, int], Any] | None = None,
        max_ratio: float | None = None,
    ) -> UploadSummary:
        """`upload`, which never holds the file in memory anyway, telling of each `chunk_size` bytes that are done.

        `progress_callback(chunk, chunks, bytes_sent, total_bytes)`, plain or async, is called once for each chunk from
        1, when its bytes are in the delta or on their way. Raises as `upload`.

            await client.upload_chunked("app-1.2.zip", "s3://releases/app/", progress_callback=print)
        """
        if chunk_size < 1:
            raise InvalidRequestError(f"chunk_size is {chunk_size!r}. Accepted: bytes, 1 or more.")
        if progress_callback is None:
            return await self.upload(file_path, s3_url, max_ratio=max_ratio)
        callback, path = progress_callback, Path(file_path)
        try:
            total = (await in_thread(path.stat)).st_size
        except OSError as error:
            raise LocalIOError(error.errno, f"cannot read {path}: {error.strerror}") from error
        chunks = max(1, math.ceil(total / chunk_size))
        chunk = sent = 0

        async def advance(amount: int) -> None:
            nonlocal chunk, sent
            sent += amount
            while chunk < chunks and sent >= (stop := min((chunk + 1) * chunk_size, total)):
                chunk += 1
                await tell(callback, chunk, chunks, stop, total)

        summary = await metered(
            advance,
            lambda progress: self.upload(path, s3_url, max_ratio=max_ratio, progress=progress),
            lambda summary: summary.original_size,
        )
        await advance(0)  # nothing is told of an empty file
        return summary


async def _batch(
    names: Sequence[str],
    one: Callable[[int], Awaitable[T]],
    progress_callback: Callable[[str, int, int], Any] | None,
) -> list[T]:
    """`one` of each index, several at once, in order; the results too. The first error ends the others."""
    results: dict[int, T] = {}

    async def work(index: int) -> None:
        if progress_callback is not None:
            await tell(progress_callback, names[index], index + 1, len(names))
        results[index] = await one(index)

    async def indices() -> AsyncIterator[int]:
        for index in range(len(names)):
            yield index

    await for_each(indices(), work, _AT_ONCE)
    return [results[index] for index in range(len(names))]


def _check_distinct(named: Iterable[tuple[str, str]], place: str) -> None:
    """Raise where two different things would get one name."""
    known: dict[str, str] = {}
    for name, what in named:
        if (other := known.setdefault(name, what)) != what:
            raise InvalidRequestError(
                f"{other} and {what} would both become {name!r} in {place}, and one of them be lost. Nothing was done; "
                "give them in separate calls."
            )


def _file_name(s3_url: str) -> str:
    """The name that a downloaded object gets."""
    _, key = keys.parse_url(s3_url)
    name = key.rpartition("/")[2].removesuffix(keys.DELTA_SUFFIX)
    if name in ("", ".", "..") or "\0" in name:
        raise InvalidRequestError(f"cannot download {s3_url}: its last part is no name for a file. Use `download`.")
    return name


def _hex(checksum: str) -> str:
    return base64.b64decode(checksum).hex()
