"""`dg ls`: buckets and objects, a line each, in the format of `aws s3 ls`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deltaglider_async.cli.aws_options import Asking, AsRecords
from deltaglider_async.cli.completion import s3_urls
from deltaglider_async.cli.groups import grouped
from deltaglider_async.cli.locations import InS3, parse_bucket
from deltaglider_async.cli.options import Connection
from deltaglider_async.cli.run import run

if TYPE_CHECKING:
    from deltaglider_async.client import DeltaGliderClient


@dataclass(frozen=True, slots=True)
class Format:
    """What is listed, and how."""

    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Objects at all levels, by whole keys.")] = False
    human_readable: Annotated[bool, typer.Option("--human-readable", "-h", help="Sizes in KiB, MiB, ...")] = False
    summarize: Annotated[bool, typer.Option("--summarize", help="Number and size of all, at the end.")] = False
    as_json: AsRecords = False


@dataclass(frozen=True, slots=True)
class Of:
    """Which buckets are listed."""

    bucket_name_prefix: Annotated[
        str | None, typer.Option("--bucket-name-prefix", metavar="TEXT", help="Buckets whose names begin so.")
    ] = None
    bucket_region: Annotated[
        str | None, typer.Option("--bucket-region", metavar="NAME", help="Buckets in that region.")
    ] = None


@grouped
def ls(
    context: typer.Context,
    form: Format,
    asking: Asking,
    of: Of,
    connection: Connection,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="s3://bucket/prefix; none: all buckets.", autocompletion=s3_urls)
    ] = "",
) -> None:
    """\b
    Examples:
      dg ls
      dg ls s3://bucket/releases/
      dg ls -r -h --summarize s3://bucket

    List buckets, or the objects and folders under a prefix. Sizes are those of the files that were put.

    The exit code is 1 if nothing has the prefix.
    """
    place = parse_bucket(url) if url.lower() not in ("", "s3://") else None

    async def work() -> int:
        async with connection.client() as client:
            if place is None:
                await _buckets(client, form, of, asking.page_size)
                return 0
            return await _objects(client, place, form, asking)

    run(context, work, page_size=asking.page_size)


async def _buckets(client: DeltaGliderClient, form: Format, of: Of, page_size: int | None) -> None:
    optional = {"Prefix": of.bucket_name_prefix, "BucketRegion": of.bucket_region, "MaxBuckets": page_size}
    asked: dict[str, Any] = {name: value for name, value in optional.items() if value is not None}
    buckets: list[Any] = []
    while True:
        answer = await client.list_buckets(**asked)
        buckets += answer.get("Buckets", [])
        if not (token := answer.get("ContinuationToken")):
            break
        asked["ContinuationToken"] = token
    for bucket in buckets:
        if form.as_json:
            _record(kind="bucket", name=bucket["Name"], created=_iso(bucket["CreationDate"]))
        else:
            _print(f"{_local_time(bucket['CreationDate'])} {bucket['Name']}")


async def _objects(client: DeltaGliderClient, place: InS3, form: Format, asking: Asking) -> int:
    from deltaglider_async.engine.read_ahead import EASY_PAGE

    found = objects = total = 0
    token: str | None = None
    arguments: dict[str, Any] = dict(asking.access)
    if asking.page_size is not None:  # as with aws, folders come first on each page
        arguments["MaxKeys"] = asking.page_size
    elif form.recursive:
        arguments["MaxKeys"] = EASY_PAGE
    while True:
        page = await client.list_objects_v2(
            Bucket=place.bucket,
            Prefix=place.key,
            Delimiter="" if form.recursive else "/",
            ContinuationToken=token,
            FetchMetadata="sizes",
            **arguments,
        )
        for folder in page.get("CommonPrefixes", []):
            found += 1
            if form.as_json:
                _record(kind="prefix", key=folder["Prefix"])
            else:
                _print(f"{'PRE':>30} {folder['Prefix'].split('/')[-2]}/")
        for entry in page.get("Contents", []):
            found += 1
            objects += 1
            total += entry["Size"]
            _show(entry, form)
        sys.stdout.flush()  # a page at a time; and here, not at exit, it is known that nobody reads any more
        if not page.get("IsTruncated"):
            break
        token = page["NextContinuationToken"]
    if form.summarize:
        _summarize(objects, total, form)
    return 1 if place.key and not found else 0


def _show(entry: Any, form: Format) -> None:
    from deltaglider_async.cli.text import aws_size

    if form.as_json:
        _record(
            kind="object",
            key=entry["Key"],
            size=entry["Size"],
            modified=_iso(entry["LastModified"]),
            storage_class=entry.get("StorageClass", "STANDARD"),
            is_delta=entry.get("Metadata", {}).get("deltaglider-is-delta") == "true",
        )
        return
    size = aws_size(entry["Size"]) if form.human_readable else str(entry["Size"])
    name = entry["Key"] if form.recursive else entry["Key"].rpartition("/")[2]
    _print(f"{_local_time(entry['LastModified'])} {size:>10} {name}")


def _summarize(objects: int, total: int, form: Format) -> None:
    from deltaglider_async.cli.text import aws_size

    if form.as_json:
        _record(kind="summary", objects=objects, size=total)
    else:
        print(f"\nTotal Objects: {objects}\n   Total Size: {aws_size(total) if form.human_readable else total}")


def _record(**values: object) -> None:
    print(json.dumps(values))


def _print(line: str) -> None:
    from deltaglider_async.cli.text import printable

    print(printable(line) if sys.stdout.isatty() else line)


def _local_time(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
