"""`dg ls`: buckets and objects, a line each, in the format of `aws s3 ls`."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from deltaglider_async.cli.locations import InS3, parse_s3
from deltaglider_async.cli.options import Connection, EndpointUrl, Profile, Region
from deltaglider_async.cli.run import run

if TYPE_CHECKING:
    from deltaglider_async.client import DeltaGliderClient


def ls(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="s3://bucket/prefix; none: all buckets.")] = "",
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Objects at all levels, by whole keys.")] = False,
    human_readable: Annotated[bool, typer.Option("--human-readable", "-h", help="Sizes in KiB, MiB, ...")] = False,
    summarize: Annotated[bool, typer.Option("--summarize", help="Number and size of all, at the end.")] = False,
    endpoint_url: EndpointUrl = None,
    region: Region = None,
    profile: Profile = None,
) -> None:
    """\b
    Examples:
      dg ls
      dg ls s3://bucket/releases/
      dg ls -r -h --summarize s3://bucket

    List buckets, or the objects and folders under a prefix. Sizes are those of the files that were put.

    The exit code is 1 if nothing has the prefix.
    """
    connection = Connection(endpoint_url, region, profile)
    place = parse_s3(url if url[:5].lower() == "s3://" else f"s3://{url}") if url.lower() not in ("", "s3://") else None

    async def work() -> int:
        async with connection.client() as client:
            if place is None:
                await _buckets(client)
                return 0
            return await _objects(client, place, recursive=recursive, human=human_readable, summarize=summarize)

    run(context, work)


async def _buckets(client: DeltaGliderClient) -> None:
    answer = await client.list_buckets()
    for bucket in answer.get("Buckets", []):
        _print(f"{_local_time(bucket['CreationDate'])} {bucket['Name']}")


async def _objects(client: DeltaGliderClient, place: InS3, *, recursive: bool, human: bool, summarize: bool) -> int:
    from deltaglider_async.cli.text import aws_size

    found = objects = total = 0
    token: str | None = None
    while True:
        page = await client.list_objects_v2(
            Bucket=place.bucket,
            Prefix=place.key,
            Delimiter="" if recursive else "/",
            ContinuationToken=token,
            FetchMetadata=True,
        )
        for folder in page.get("CommonPrefixes", []):
            found += 1
            _print(f"{'PRE':>30} {folder['Prefix'].split('/')[-2]}/")
        for entry in page.get("Contents", []):
            found += 1
            objects += 1
            total += entry["Size"]
            size = aws_size(entry["Size"]) if human else str(entry["Size"])
            name = entry["Key"] if recursive else entry["Key"].rpartition("/")[2]
            _print(f"{_local_time(entry['LastModified'])} {size:>10} {name}")
        sys.stdout.flush()  # a page at a time; and here, not at exit, it is known that nobody reads any more
        if not page.get("IsTruncated"):
            break
        token = page["NextContinuationToken"]
    if summarize:
        print(f"\nTotal Objects: {objects}\n   Total Size: {aws_size(total) if human else total}")
    return 1 if place.key and not found else 0


def _print(line: str) -> None:
    from deltaglider_async.cli.text import printable

    print(printable(line) if sys.stdout.isatty() else line)


def _local_time(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
