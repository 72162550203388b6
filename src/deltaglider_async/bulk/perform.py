"""What one action does, by the client's own methods."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never
from urllib.parse import urlencode

from anyio.to_thread import run_sync

from deltaglider_async.bulk.actions import (
    Action,
    Copy,
    Delete,
    DeleteFile,
    Download,
    Options,
    Refusal,
    Upload,
    Verify,
)
from deltaglider_async.bulk.events import Summary
from deltaglider_async.bulk.found import RECORDED_TIME, read_time, spell_time
from deltaglider_async.bulk.names import guess_content_type, prepare_place
from deltaglider_async.errors import (
    IntegrityMismatchError,
    InvalidRequestError,
    LocalIOError,
    PreconditionFailedError,
    SourceChangedError,
)
from deltaglider_async.format.metadata import fits
from deltaglider_async.streams.part_file import write_file
from deltaglider_async.streams.source import path_source

if TYPE_CHECKING:
    from deltaglider_async.client import DeltaGliderClient
    from deltaglider_async.types import Progress

#: What a copy that is put anew takes over besides bytes and the user's metadata.
_COPIED = ("ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "Expires")
#: Arguments of a copy that a put does not have.
_OF_COPY = ("MetadataDirective", "TaggingDirective")


@dataclass(frozen=True, slots=True)
class Performer:
    """Carries out single actions. Copies, and moves of objects, read from `source`; all else is `client`'s.

    `one_service`: it can copy from `source`'s buckets to `client`'s by itself.
    """

    client: DeltaGliderClient
    source: DeltaGliderClient
    one_service: bool = False

    async def __call__(self, action: Action, progress: Progress) -> Summary:
        """Do it. Raises what the client raises, `OSError`, `InvalidRequestError`, `SourceChangedError`."""
        match action:
            case Upload():
                return await self._upload(action, progress)
            case Download():
                return await self._download(action, progress)
            case Copy():
                return await self._copy(action, progress)
            case Delete():
                await self.client.delete_object(Bucket=action.bucket, Key=action.key, **action.options.access)
                return Summary(0)
            case DeleteFile():
                await run_sync(_remove, action.path)
                return Summary(0)
            case Verify():
                return await self._verify(action, progress)
            case Refusal():
                raise InvalidRequestError(action.reason)
            case _:
                assert_never(action)

    async def _upload(self, action: Upload, progress: Progress) -> Summary:
        body, before = await path_source(action.path)
        options = action.options
        arguments = dict(options.arguments) | dict(options.access)
        if options.guess_content_type and not arguments.get("ContentType"):
            arguments["ContentType"] = await guess_content_type(action.path.name)
        metadata = {RECORDED_TIME: spell_time(before.st_mtime_ns), **(options.metadata or {})}
        answer = await self.client.put_object(
            Bucket=action.bucket,
            Key=action.key,
            Body=body,
            Metadata=metadata if fits(metadata) else options.metadata,
            use_delta=options.use_delta,
            max_ratio=options.max_ratio,
            progress=progress,
            **_without(arguments, _OF_COPY),
        )
        if options.move:
            await run_sync(_remove_unchanged, action.path, before)
        return _stored(answer)

    async def _download(self, action: Download, progress: Progress) -> Summary:
        await run_sync(prepare_place, action.path, action.root)
        asked: dict[str, Any] = {**action.options.access, **action.options.reading}
        answer = await self.client.get_object(Bucket=action.bucket, Key=action.key, progress=progress, **asked)
        async with answer["Body"] as body:
            await write_file(action.path, body)
        recorded = read_time(answer.get("Metadata", {}).get(RECORDED_TIME)) if action.options.recorded_times else None
        if recorded is None and (modified := action.modified or answer["LastModified"]):
            recorded = int(modified.timestamp()) * 10**9  # whole seconds, as S3 tells them
        size = await run_sync(_settle, action.path, recorded)
        if action.options.move:
            await self._remove_read(self.client, action.bucket, action.key, answer["ETag"], action.options)
        return Summary(size)

    async def _copy(self, action: Copy, progress: Progress) -> Summary:
        etag = None
        if action.options.move:
            asked: dict[str, Any] = {**action.options.access, **action.options.reading}
            etag = (await self.source.head_object(Bucket=action.bucket, Key=action.key, **asked))["ETag"]
        if (self.one_service or self.source is self.client) and not action.options.decides_form:
            summary = await self._copy_by_client(action, progress)
        else:
            summary = await self._put_anew(action, progress)
        if etag is not None:
            await self._remove_read(self.source, action.bucket, action.key, etag, action.options)
        return summary

    async def _copy_by_client(self, action: Copy, progress: Progress) -> Summary:
        options = action.options
        arguments = dict(options.arguments) | dict(options.access)
        arguments |= {f"CopySource{name}": value for name, value in options.reading.items()}
        if options.metadata is not None:
            arguments |= {"Metadata": options.metadata}
            arguments.setdefault("MetadataDirective", "REPLACE")
        copied = await self.client.copy_object(
            Bucket=action.to_bucket,
            Key=action.to_key,
            CopySource={"Bucket": action.bucket, "Key": action.key},
            progress=progress,
            **arguments,
        )
        return _stored(copied)

    async def _put_anew(self, action: Copy, progress: Progress) -> Summary:
        """Options for how it is stored are for a put, and so are copies between services."""
        options = action.options
        access: Mapping[str, Any] = options.access
        asked: dict[str, Any] = {**access, **options.reading}
        source: Mapping[str, Any] = await self.source.get_object(Bucket=action.bucket, Key=action.key, **asked)
        default = "COPY" if options.metadata is None else "REPLACE"
        replaces = options.arguments.get("MetadataDirective", default) == "REPLACE"
        given = _without(options.arguments, _OF_COPY)
        if not replaces:  # as S3 does: what comes from the source is not overridden
            given = _without(given, _COPIED) | {name: source[name] for name in _COPIED if name in source}
        async with source["Body"] as body:
            if source.get("TagCount"):
                tags = await self.source.get_object_tagging(Bucket=action.bucket, Key=action.key, **access)
                given["Tagging"] = urlencode([(tag["Key"], tag["Value"]) for tag in tags["TagSet"]])
            answer = await self.client.put_object(
                Bucket=action.to_bucket,
                Key=action.to_key,
                Body=body,
                ContentLength=source["ContentLength"],
                Metadata=(options.metadata or {}) if replaces else source.get("Metadata", {}),
                use_delta=options.use_delta,
                max_ratio=options.max_ratio,
                progress=progress,
                **given,
                **options.access,
            )
        return _stored(answer)

    async def _verify(self, action: Verify, progress: Progress) -> Summary:
        url = f"s3://{action.bucket}/{action.key}"
        found = await self.client.verify(url, progress=progress, **action.options.access)
        if not found:
            raise IntegrityMismatchError(found.message)
        return Summary(found.size)

    async def _remove_read(self, client: DeltaGliderClient, bucket: str, key: str, etag: str, options: Options) -> None:
        """Remove what was carried over; if it is another one by now, that stays."""
        try:
            try:
                await client.delete_object(Bucket=bucket, Key=key, IfMatch=etag, **options.access)
            except InvalidRequestError:  # this endpoint deletes whether the condition holds or not
                head = await client.head_object(Bucket=bucket, Key=key, **options.access)
                if head["ETag"] != etag:
                    raise _changed(f"s3://{bucket}/{key}") from None
                await client.delete_object(Bucket=bucket, Key=key, **options.access)
        except PreconditionFailedError as error:
            raise _changed(f"s3://{bucket}/{key}") from error


def _changed(name: str) -> SourceChangedError:
    return SourceChangedError(
        f"{name} was written while it was moved: the copy was made, the new one stays. Move again."
    )


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise LocalIOError(error.errno, f"cannot read {path}: {error.strerror}") from error


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise LocalIOError(error.errno, f"cannot remove {path}: {error.strerror}") from error


def _remove_unchanged(path: Path, before: os.stat_result) -> None:
    now = _status(path)
    if (now.st_mtime_ns, now.st_size, now.st_ino) != (before.st_mtime_ns, before.st_size, before.st_ino):
        raise _changed(str(path))
    _remove(path)


def _settle(path: Path, modified_ns: int | None) -> int:
    status = path.stat()
    if modified_ns is not None and stat.S_ISREG(status.st_mode):
        os.utime(path, ns=(modified_ns, modified_ns))
    return status.st_size


def _without(arguments: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in names}


def _stored(answer: Any) -> Summary:
    info = answer["DeltaGliderInfo"]
    return Summary(info["OriginalSize"], info["StoredSize"])
