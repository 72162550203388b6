"""Copies all objects below a prefix of a plain bucket into a bucket where they are stored as deltas.

    python bulk_migration.py s3://old-bucket/releases/ s3://new-bucket/releases/ [--source-endpoint URL] [--at-once 8]

It can be stopped (Ctrl-C) and started again: what is there with the same content is left alone, what is there with
other content is replaced. Each object is read back and compared after it was written. The source is only read.
"""

import argparse
import asyncio
import base64
import hashlib
import sys
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import aioboto3
from botocore.exceptions import BotoCoreError, ClientError

from deltaglider_async import DeltaGliderClient, DeltaGliderError, IntegrityMismatchError, NotFoundError, create_client

#: Kept with each object, so that the next run knows it without reading it.
MARK = "migrated-from-etag"
#: Everything about an object that moves with it.
HEADERS = ("ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage")


@dataclass
class Summary:
    """What became of the objects. Sizes in bytes."""

    copied: int = 0
    skipped: int = 0
    size: int = 0
    stored: int = 0
    failed: list[str] = field(default_factory=list)
    complete: bool = False

    def __str__(self) -> str:
        text = f"{self.copied} copied, {self.skipped} there already, {len(self.failed)} failed"
        text += f"; {self.size:,} bytes are stored in {self.stored:,}"
        return text if self.complete else f"{text}\nIncomplete: run it again to go on."


@dataclass
class Migration:
    """From a bucket that `source` reads to one that `client` writes."""

    source: Any
    client: DeltaGliderClient
    source_bucket: str
    source_prefix: str
    bucket: str
    prefix: str
    at_once: int = 8
    summary: Summary = field(default_factory=Summary)

    async def run(self) -> Summary:
        """Everything, `at_once` objects at a time; an object that fails does not stop the others."""
        free = asyncio.Semaphore(self.at_once)
        folder = None
        pages = self.source.get_paginator("list_objects_v2").paginate(
            Bucket=self.source_bucket, Prefix=self.source_prefix
        )
        async with asyncio.TaskGroup() as tasks:
            async for page in pages:
                for item in page.get("Contents", []):
                    if folder != (folder := item["Key"].rpartition("/")[0]):
                        await self.one(item)  # the first of a folder alone: the others are deltas against it
                        continue
                    await free.acquire()
                    tasks.create_task(self.one(item)).add_done_callback(lambda _: free.release())
        self.summary.complete = not self.summary.failed
        return self.summary

    async def one(self, item: Any) -> None:
        key = self.prefix + item["Key"].removeprefix(self.source_prefix)
        try:
            if await self.is_there(item, key):
                self.summary.skipped += 1
                return
            info = await self.copy(item, key)
        except (DeltaGliderError, ClientError, BotoCoreError, OSError) as error:
            self.summary.failed.append(item["Key"])
            print(f"failed: {item['Key']}: {error}", file=sys.stderr)
            return
        self.summary.copied += 1
        self.summary.size += info["OriginalSize"]
        self.summary.stored += info["StoredSize"]

    async def is_there(self, item: Any, key: str) -> bool:
        """Whether the destination has this content: by the mark of an earlier run, or else by its SHA-256."""
        try:
            head = await self.client.head_object(Bucket=self.bucket, Key=key)
        except NotFoundError:
            return False
        if head["ContentLength"] != item["Size"]:
            return False
        if (mark := head["Metadata"].get(MARK)) is not None:
            return bool(mark == item["ETag"].strip('"'))
        digest = hashlib.sha256()
        found = await self.source.get_object(Bucket=self.source_bucket, Key=item["Key"], IfMatch=item["ETag"])
        async with found["Body"]:
            while chunk := await found["Body"].read(1 << 20):
                await asyncio.to_thread(digest.update, chunk)
        return bool(head.get("ChecksumSHA256") == base64.b64encode(digest.digest()).decode())

    async def copy(self, item: Any, key: str) -> Any:
        """Copy one object as it was listed, and read it back."""
        found = await self.source.get_object(Bucket=self.source_bucket, Key=item["Key"], IfMatch=item["ETag"])
        fields = {name: found[name] for name in HEADERS if name in found}
        if found.get("TagCount"):
            tags = await self.source.get_object_tagging(Bucket=self.source_bucket, Key=item["Key"])
            fields["Tagging"] = urlencode([(tag["Key"], tag["Value"]) for tag in tags["TagSet"]])
        async with found["Body"]:
            answer = await self.client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=found["Body"],
                ContentLength=found["ContentLength"],
                Metadata={**found["Metadata"], MARK: item["ETag"].strip('"')},
                **fields,
            )
        check = await self.client.verify(f"s3://{self.bucket}/{key}")
        if not check:
            raise IntegrityMismatchError(f"s3://{self.bucket}/{key} was written and cannot be read: {check.message}")
        return answer["DeltaGliderInfo"]


async def migrate(source_url: str, url: str, source_endpoint: str | None, at_once: int) -> Summary:
    """Run, and print what became of it, however it ends: cancelled, nothing is left half written."""
    old, new = urlsplit(source_url), urlsplit(url)
    async with (
        aioboto3.Session().client("s3", endpoint_url=source_endpoint) as source,
        create_client() as client,
    ):
        migration = Migration(
            source, client, old.netloc, old.path.lstrip("/"), new.netloc, new.path.lstrip("/"), at_once
        )
        try:
            return await migration.run()
        finally:
            print(migration.summary)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="s3://bucket/prefix/ of the plain objects")
    parser.add_argument("destination", help="s3://bucket/prefix/ where they go")
    parser.add_argument("--source-endpoint", help="where the source is, if not at AWS_ENDPOINT_URL")
    parser.add_argument("--at-once", type=int, default=8, help="objects under way at once")
    given = parser.parse_args()
    try:
        summary = asyncio.run(migrate(given.source, given.destination, given.source_endpoint, given.at_once))
    except KeyboardInterrupt:  # asyncio.run has cancelled everything, and waited for it
        return 130
    return 0 if summary.complete else 1


if __name__ == "__main__":
    sys.exit(main())
