"""boto3's managed transfers: files and file objects up and down, and copies between clients."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from inspect import isawaitable, iscoroutinefunction
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from deltaglider_async.client.base import ClientBase
from deltaglider_async.client.meter import metered
from deltaglider_async.client.objects import Objects
from deltaglider_async.engine import copy, copy_source
from deltaglider_async.engine.core import Engine, Response
from deltaglider_async.errors import InvalidRequestError
from deltaglider_async.store.conditions import is_aws
from deltaglider_async.store.errors import answered_as_head, upload_failures
from deltaglider_async.store.limits import Pace, limited, limits
from deltaglider_async.store.s3 import Store
from deltaglider_async.streams import Chunks
from deltaglider_async.streams.body import ObjectBody
from deltaglider_async.streams.part_file import write_file
from deltaglider_async.streams.reported import reported
from deltaglider_async.streams.threads import in_thread

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from s3transfer.manager import TransferConfig

    from deltaglider_async.types import Progress

#: Told how many bytes were transferred since its last call; plain or async.
Callback = Callable[[int], Any]


class Transfers(Objects):
    """boto3's `upload_file` and its family, with its positional arguments.

    `ExtraArgs` are those that boto3 allows. `Callback`, a plain or an async function, is called on the event loop with
    the bytes of the original that were transferred since its last call; they sum up to its size. Of boto3's
    `TransferConfig`, `max_concurrency`, `use_threads` and `max_bandwidth` count; see docs/transfers.md.
    """

    async def upload_file(
        self,
        Filename: str | os.PathLike[str],
        Bucket: str,
        Key: str,
        ExtraArgs: Mapping[str, Any] | None = None,
        Callback: Callback | None = None,
        Config: TransferConfig | None = None,
        *,
        max_ratio: float | None = None,
        use_delta: bool | None = None,
    ) -> None:
        """Upload a local file, as `put_object` stores it.

        Raises as `put_object`; what S3 answers is a `boto3.exceptions.S3UploadFailedError` and a `ClientError` in one,
        a missing file `FileNotFoundError`, something in `ExtraArgs` that boto3 does not allow `ValueError`.

            await client.upload_file("app-1.2.zip", "releases", "app/app-1.2.zip", Callback=print)
        """
        path = _path(Filename)
        with upload_failures():
            await self._upload(path, Bucket, Key, ExtraArgs, Callback, Config, max_ratio, use_delta)

    async def upload_fileobj(
        self,
        Fileobj: Any,
        Bucket: str,
        Key: str,
        ExtraArgs: Mapping[str, Any] | None = None,
        Callback: Callback | None = None,
        Config: TransferConfig | None = None,
        *,
        max_ratio: float | None = None,
        use_delta: bool | None = None,
    ) -> None:
        """Upload what a binary file object, plain or async, has from where it stands. It is not closed.

        Raises as `put_object`, and `ValueError` for what has no `read`.

            async with aiofiles.open("app-1.2.zip", "rb") as file:
                await client.upload_fileobj(file, "releases", "app/app-1.2.zip")
        """
        if not hasattr(Fileobj, "read"):
            raise InvalidRequestError(f"Fileobj must implement read; {type(Fileobj).__name__} does not.")
        await self._upload(Fileobj, Bucket, Key, ExtraArgs, Callback, Config, max_ratio, use_delta)

    async def download_file(
        self,
        Bucket: str,
        Key: str,
        Filename: str | os.PathLike[str],
        ExtraArgs: Mapping[str, Any] | None = None,
        Callback: Callback | None = None,
        Config: TransferConfig | None = None,
    ) -> None:
        """Download an object. The file appears under its name, replacing an older one, only when it is verified.

        Raises as `get_object` and its body, a missing object with boto3's code for it (`404`), and `LocalIOError`; the
        file then is as it was before.

            await client.download_file("releases", "app/app-1.2.zip", "app-1.2.zip")
        """
        path = _path(Filename)
        await self._download(Bucket, Key, lambda body: write_file(path, body), ExtraArgs, Callback, Config)

    async def download_fileobj(
        self,
        Bucket: str,
        Key: str,
        Fileobj: Any,
        ExtraArgs: Mapping[str, Any] | None = None,
        Callback: Callback | None = None,
        Config: TransferConfig | None = None,
    ) -> None:
        """Download an object into a binary file object, plain or async, from its beginning if it can be sought.

        A pipe, a socket's `StreamWriter` or an aiohttp response takes it as it comes. The last chunk comes only if the
        SHA-256 matched; after an error, what was written is a part that must not be used. It is not closed. Raises as
        `get_object` and its body, a missing object with boto3's code for it (`404`), and what `write` raises.

            buffer = io.BytesIO()
            await client.download_fileobj("releases", "app/app-1.2.zip", buffer)
        """
        if not hasattr(Fileobj, "write"):
            raise InvalidRequestError(f"Fileobj must implement write; {type(Fileobj).__name__} does not.")
        await self._download(Bucket, Key, lambda body: _write_into(Fileobj, body), ExtraArgs, Callback, Config)

    async def copy(
        self,
        CopySource: str | Mapping[str, Any],
        Bucket: str,
        Key: str,
        ExtraArgs: Mapping[str, Any] | None = None,
        Callback: Callback | None = None,
        SourceClient: Any = None,
        Config: TransferConfig | None = None,
    ) -> None:
        """Copy an object of any size, also from another endpoint.

        `SourceClient`: a client of ours or of aioboto3 for the endpoint where the source is. If that is this client's
        too (AWS counts as one), it is copied as `copy_object` does, by this client alone. Otherwise it is read there,
        verified, and put here with its metadata, headers and tags, as a delta where that pays. Raises as `copy_object`,
        and `ValueError` for what boto3 does not allow in `ExtraArgs`.

            async with create_client(endpoint_url="http://localhost:9000") as old:
                source = {"Bucket": "nightly", "Key": "app/app-1.2.zip"}
                await client.copy(source, "releases", "app/app-1.2.zip", SourceClient=old)
        """
        arguments = _allowed(ExtraArgs, await _names("COPY"))
        request = copy_source.CopyRequest(
            bucket=Bucket,
            key=Key,
            source=copy_source.parse_source(CopySource),
            metadata=arguments.pop("Metadata", None) or {},
            arguments=arguments,
            max_ratio=self._engine.max_ratio,
        )
        source = None if SourceClient is None else self._engine_of(SourceClient)

        async def run(progress: Progress) -> int:
            with answered_as_head("NoSuchKey", "NoSuchVersion", "PreconditionFailed"):
                result = await copy.copy(self._engine, replace(request, progress=progress), source)
            return result.original_size

        with _limited(Config):
            await metered(Callback, run, int)

    def _engine_of(self, client: Any) -> Engine | None:
        """What reads from another endpoint than this client's; None for the same."""
        if _service(self._s3) == _service(client):
            return None
        if isinstance(client, ClientBase):
            return client._engine
        engine = Engine(Store(client), self._engine.cache, self._engine.settings)
        engine.gets = self._engine.gets  # one budget of memory, however many copies there are
        return engine

    async def _upload(
        self,
        body: Any,
        bucket: str,
        key: str,
        given: Mapping[str, Any] | None,
        callback: Callback | None,
        config: TransferConfig | None,
        max_ratio: float | None,
        use_delta: bool | None,
    ) -> None:
        arguments = _allowed(given, await _names("UPLOAD"))
        metadata, size = arguments.pop("Metadata", None), arguments.pop("MpuObjectSize", None)
        arguments.pop("ChecksumType", None)  # as boto3 does where it needs no multipart upload
        with _limited(config):
            await metered(
                callback,
                lambda progress: self._put(
                    bucket, key, body, metadata, size, arguments, max_ratio, use_delta, progress
                ),
                lambda result: result.original_size,
            )

    async def _download(
        self,
        bucket: str,
        key: str,
        write: Callable[[ObjectBody], Awaitable[None]],
        given: Mapping[str, Any] | None,
        callback: Callback | None,
        config: TransferConfig | None,
    ) -> None:
        arguments = _allowed(given, await _names("DOWNLOAD"))

        async def run(progress: Progress) -> int:
            with answered_as_head("NoSuchKey", "NoSuchBucket", "NoSuchVersion", "AccessDenied"):
                response = await self.get_object(Bucket=bucket, Key=key, **arguments)
            async with (
                response["Body"] as body,
                ObjectBody(reported(_as_it_comes(body), progress, "receiving")) as counted,
            ):
                await write(counted)
                return counted.tell()

        with _limited(config):
            await metered(callback, run, int)


async def _names(transfer: str) -> list[str]:
    """What boto3 allows in `ExtraArgs`. The first transfer imports s3transfer, in a thread."""
    manager = await in_thread(import_module, "s3transfer.manager")
    names: list[str] = getattr(manager.TransferManager, f"ALLOWED_{transfer}_ARGS")
    return names


def _allowed(given: Mapping[str, Any] | None, names: Iterable[str]) -> Response:
    """A copy of `ExtraArgs`. Raises, in boto3's words, for what boto3 does not allow."""
    arguments = {name: value for name, value in (given or {}).items() if value is not None}
    for name in given or {}:
        if name not in names:
            raise InvalidRequestError(f"Invalid extra_args key '{name}', must be one of: {', '.join(names)}")
    return arguments


def _path(filename: Any) -> Path:
    name = os.fspath(filename) if isinstance(filename, os.PathLike) else filename
    if not isinstance(name, str):
        raise InvalidRequestError(f"Filename must be a string or a path-like object, not {type(filename).__name__}.")
    return Path(name)


def _limited(config: Any) -> AbstractContextManager[None]:
    """What counts here of boto3's `TransferConfig`, or of that of s3transfer."""
    if config is None:
        return limited(replace(limits(), to_the_end=True))
    if not hasattr(config, "max_request_concurrency"):
        raise InvalidRequestError(f"Config is {type(config).__name__}. Accepted: boto3.s3.transfer.TransferConfig.")
    requests = config.max_request_concurrency if getattr(config, "use_threads", True) else 1
    pace = Pace(config.max_bandwidth) if config.max_bandwidth else None
    return limited(replace(limits(), requests=requests, pace=pace, to_the_end=True))


def _service(client: Any) -> str:
    """What a client talks to. A bucket of AWS can be copied from by AWS wherever it is, within its partition."""
    endpoint = str(client.meta.endpoint_url)
    if is_aws(endpoint):
        return "AWS in China" if (urlsplit(endpoint).hostname or "").endswith(".cn") else "AWS"
    return endpoint


async def _as_it_comes(body: ObjectBody) -> Chunks:
    while chunk := await body.readany():
        yield chunk


async def _write_into(file: Any, body: ObjectBody) -> None:
    """Write a body into somebody's file object, from its beginning if it has one, as boto3 does."""
    if isinstance(file, asyncio.StreamWriter):  # belongs to the loop, and says later whether it has taken it
        while chunk := await body.readany():
            file.write(chunk)
            await file.drain()
        return
    if await _seekable(file):
        await _call(file.seek, 0)
    while chunk := await body.readany():
        view = memoryview(chunk)
        while view:
            written = await _call(file.write, bytes(view) if len(view) < len(chunk) else chunk)
            # A raw file may take less. What gives no number takes all.
            view = view[written:] if isinstance(written, int) and 0 < written < len(view) else view[:0]


async def _seekable(file: Any) -> bool:
    if hasattr(file, "seekable"):
        return bool(await _call(file.seekable))
    return hasattr(file, "seek")


async def _call(method: Callable[..., Any], *arguments: Any) -> Any:
    """Call a method of a file object, off the loop unless it is async."""
    answer = method(*arguments) if iscoroutinefunction(method) else await in_thread(method, *arguments)
    return await answer if isawaitable(answer) else answer
