"""What is known of an object, and what a file would come to."""

from __future__ import annotations

import heapq
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaglider_async import types
from deltaglider_async.client.objects import Objects
from deltaglider_async.engine import estimate
from deltaglider_async.engine.listing import Listing, read_page
from deltaglider_async.errors import InvalidRequestError
from deltaglider_async.format import keys
from deltaglider_async.format.similar import similarity
from deltaglider_async.streams import Chunks
from deltaglider_async.streams.sketch import PLACE, PLACES
from deltaglider_async.streams.source import make_source
from deltaglider_async.streams.threads import in_thread

if TYPE_CHECKING:
    from os import PathLike

    from deltaglider_async.types import CompressionEstimate, ObjectInfo, SimilarFile

#: Bytes of each place that is looked at, where not the whole file is.
_BLOCK = 64 * 1024
#: Names that are compared at a time, in a thread.
_PAGE = 1000


class Estimates(Objects):
    """Questions about objects and files, in the original's words."""

    async def get_object_info(self, s3_url: str, **arguments: Any) -> ObjectInfo:
        """What is known of an object, by one or two HEADs. `arguments` are boto3's for `head_object`.

        Raises as `head_object`.

            info = await client.get_object_info("s3://releases/app/app-1.2.zip")
            print(info.original_size, info.compressed_size, f"{info.compression_ratio:.0%} saved")
        """
        bucket, key = keys.parse_url(s3_url)
        if not key:
            raise InvalidRequestError(f"{s3_url} names no object. Expected: s3://bucket/key")
        head = await self.head_object(Bucket=bucket, Key=key, **arguments)
        info = head["DeltaGliderInfo"]
        original, stored = info["OriginalSize"], info["StoredSize"]
        return types.ObjectInfo(
            key=keys.logical_key(key) if info["IsDelta"] else key,
            size=original,
            last_modified=head["LastModified"],
            etag=head["ETag"].strip('"'),
            storage_class=head.get("StorageClass", "STANDARD"),
            original_size=original,
            compressed_size=stored,
            compression_ratio=max(0.0, 1 - stored / original) if original else 0.0,
            is_delta=info["IsDelta"],
            reference_key=info.get("ReferenceKey"),
            delta_chain_length=int(info["IsDelta"]),
        )

    async def estimate_compression(
        self,
        file_path: str | PathLike[str],
        bucket: str,
        prefix: str = "",
        sample_size: int | None = None,
        **arguments: Any,
    ) -> CompressionEstimate:
        """What a put of a local file into a folder would come to, without making a delta or storing anything.

        The file's content is compared with the folder's reference, which comes from the cache or is downloaded once.
        `bucket` may be an `s3://` URL: one that ends in `/` is the folder, any other the new object's name.
        `sample_size` (bytes): look at so much of the file, evenly spread, rather than at all of it. `RequestPayer` and
        `ExpectedBucketOwner` as in boto3.

        Where there is no reference, the file would become it, and nothing is saved yet. `confidence` below 0.5 says
        that too little could be compared to know anything. Raises `LocalIOError`, `NotFoundError` (no such bucket),
        `StorageIOError`.

            estimate = await client.estimate_compression("app-1.2.zip", "releases", "app/")
            print(f"{estimate.delta_ratio:.0%} of it would be stored; sure by {estimate.confidence:.0%}")
        """
        access = self._access(arguments)
        if sample_size is not None and sample_size < 1:
            raise InvalidRequestError(f"sample_size is {sample_size!r}. Accepted: bytes, from 1.")
        path = Path(file_path)
        key = f"{prefix.rstrip('/')}/{path.name}" if prefix.strip("/") else path.name
        if "://" in bucket:
            bucket, key = keys.parse_url(bucket)
            if not key or key.endswith("/"):
                key += path.name
        source = await make_source(path)
        if source.size is None:
            raise InvalidRequestError(f"{path} is no regular file; its size is not known before it is read.")
        whole = sample_size is None or sample_size >= source.size
        looked_at = source.open() if whole else _spread(path, source.size, sample_size or 1, _BLOCK)
        places = [place async for place in _spread(path, source.size, PLACES * PLACE, PLACE)]
        return await estimate.estimate(self._engine, bucket, key, source, looked_at, places, access)

    async def find_similar_files(
        self, bucket: str, prefix: str, filename: str, limit: int = 5, **arguments: Any
    ) -> list[SimilarFile]:
        """The objects below a prefix whose names are most like a file's: other versions of it, mostly.

        Each is `Key`, `Size` (the original's where it is known, else what is stored), `Similarity` (0.0 to 1.0) and
        `LastModified`; the most similar first, and of equals the newest. Sends LISTs. Raises `NotFoundError` (no such
        bucket), `StorageIOError`.

            for found in await client.find_similar_files("releases", "app/", "app-1.3.zip"):
                print(found["Key"], found["Similarity"])
        """
        access = self._access(arguments)
        if limit < 1:
            raise InvalidRequestError(f"limit is {limit!r}. Accepted: 1 and more.")
        name = filename.replace("\\", "/").rpartition("/")[2]
        best: list[tuple[float, float, str, SimilarFile]] = []
        after, truncated = "", True
        while truncated:
            page = await read_page(self._engine, Listing(bucket, prefix, after=after, arguments=access), _PAGE)
            found = await in_thread(_compared, name, [entry.key for entry in page.entries])
            for entry, alike in zip(page.entries, found, strict=True):
                assert entry.item is not None  # there is no delimiter
                size = None
                if entry.is_delta and "ETag" in entry.item:
                    size = self._engine.remembered.size(bucket, keys.delta_key(entry.key), entry.item["ETag"])
                shown: SimilarFile = {
                    "Key": entry.key,
                    "Size": int(entry.item["Size"]) if size is None or size < 0 else size,
                    "Similarity": alike,
                    "LastModified": entry.item["LastModified"],
                }
                rank = (alike, entry.item["LastModified"].timestamp(), entry.key, shown)
                (heapq.heappush if len(best) < limit else heapq.heappushpop)(best, rank)
            truncated = page.truncated and bool(page.entries)
            after = page.entries[-1].key if page.entries else ""
        return [shown for *_, shown in sorted(best, key=lambda rank: rank[:3], reverse=True)]


def _compared(name: str, others: list[str]) -> list[float]:
    return [similarity(name, key.rpartition("/")[2]) for key in others]


async def _spread(path: Path, size: int, sample_size: int, block: int) -> Chunks:
    """Blocks of a file, evenly spread, `sample_size` bytes in all."""

    def read(offset: int, length: int) -> bytes:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    sample_size = min(sample_size, size)
    blocks = max(1, sample_size // block)
    length = sample_size // blocks
    for number in range(blocks):
        yield await in_thread(read, number * (size - length) // max(1, blocks - 1), length)
