"""`dg cp`: between files and objects, in every direction."""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from deltaglider_async.cli.locations import InS3, Location, OnDisk, parse_location
from deltaglider_async.cli.options import (
    Concurrency,
    Connection,
    DryRun,
    EndpointUrl,
    Exclude,
    Include,
    MaxRatio,
    NoDelta,
    Profile,
    Quiet,
    Region,
    ordered_filters,
)
from deltaglider_async.cli.run import run

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from deltaglider_async.bulk.actions import Action, Options
    from deltaglider_async.bulk.filters import Filters
    from deltaglider_async.client import DeltaGliderClient


def cp(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="File, folder, s3:// URL, or - (standard input).")],
    destination: Annotated[
        str, typer.Argument(metavar="DESTINATION", help="File, folder, s3:// URL, or - (standard output).")
    ],
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="All that is in the source.")] = False,
    include: Include = None,
    exclude: Exclude = None,
    quiet: Quiet = False,
    dryrun: DryRun = False,
    no_delta: NoDelta = False,
    max_ratio: MaxRatio = None,
    concurrency: Concurrency = 10,
    endpoint_url: EndpointUrl = None,
    region: Region = None,
    profile: Profile = None,
) -> None:
    """\b
    Examples:
      dg cp app-1.2.zip s3://bucket/releases/
      dg cp -r ./build s3://bucket/nightly/ --exclude "*" --include "*.zip"
      dg cp s3://bucket/releases/app-1.2.zip - | bsdtar -tf -

    Copy a file to S3, from S3, or an object to another place in S3.

    The destination is the name that is written, unless it ends in / or is a folder that exists: then the source's
    name goes into it. With -r the content of SOURCE goes into DESTINATION.
    """
    filters = ordered_filters(context)
    connection = Connection(endpoint_url, region, profile)
    ends = parse_location(source), parse_location(destination)
    _check(*ends, recursive=recursive)

    from deltaglider_async.bulk.actions import Options
    from deltaglider_async.bulk.schedule import Limits
    from deltaglider_async.bulk.transfer import transfer
    from deltaglider_async.cli.progress import Tally, follow

    tally = Tally()

    exact = sys.stdout.isatty() and not quiet  # sizes are for the bars; they cost a request per delta

    async def work() -> int:
        async with connection.client(concurrency, one_object=not recursive) as client:
            use_delta = False if no_delta else None
            options = Options(use_delta=use_delta, max_ratio=max_ratio)
            match ends:
                case "-", InS3() as place:
                    return await _from_stdin(client, place, options, dryrun=dryrun)
                case InS3() as place, "-":
                    return await _to_stdout(client, place, dryrun=dryrun)
            if recursive:
                plan = _recursive(client, *ends, filters, options, exact=exact)
            else:
                plan = _single(client, *ends, filters, options)
            if dryrun:
                return await show_plan(plan)
            events = transfer(client, plan, limits=Limits.of(concurrency))
            return await follow(events, tally, quiet=quiet, debug=context.obj.on)

    run(context, work, so_far=lambda: str(tally))


def _check(source: Location, destination: Location, *, recursive: bool) -> None:
    """Raise a usage error for what cannot be meant."""
    if "-" in (source, destination) and recursive:
        raise typer.BadParameter("- is one stream; it cannot be recursive.")
    match source, destination:
        case ((OnDisk() | "-"), (OnDisk() | "-")):
            raise typer.BadParameter("One of SOURCE and DESTINATION must be an s3:// URL.")
        case InS3(_, ""), _ if not recursive:
            raise typer.BadParameter(f"{source} is a bucket. Copy all that is in it with -r.")
        case "-", InS3(_, key) if not key or key.endswith("/"):
            raise typer.BadParameter(f"{destination} is no name for an object, and standard input has none.")
        case InS3(), InS3() if recursive and source.bucket == destination.bucket:
            # It would find its own copies, and copy them again.
            if destination.folder.startswith(source.folder):
                raise typer.BadParameter(f"{destination} lies inside of {source}.")
        case InS3(), InS3() if _into(source, destination) == source:
            raise typer.BadParameter(f"{source} would be copied onto itself.")


def _into(source: InS3, destination: InS3) -> InS3:
    """The object that a single copy writes."""
    if destination.key and not destination.key.endswith("/"):
        return destination
    return InS3(destination.bucket, destination.key + source.key.rpartition("/")[2])


def _recursive(
    client: DeltaGliderClient,
    source: Location,
    destination: Location,
    filters: Filters,
    options: Options,
    *,
    exact: bool,
) -> AsyncGenerator[Action, None]:
    from deltaglider_async.bulk.plan import copies, downloads, planned, uploads
    from deltaglider_async.bulk.sources import listing, walk

    match source, destination:
        case OnDisk(path), InS3(bucket):
            return planned(walk(path), uploads(bucket, destination.folder, filters=filters, options=options))
        case InS3(bucket), OnDisk(path):
            objects = listing(client, bucket, source.folder, original_sizes=exact)
            return planned(objects, downloads(path, filters=filters))
        case InS3(bucket), InS3():
            objects = listing(client, bucket, source.folder, original_sizes=exact)
            return planned(objects, copies(destination.bucket, destination.folder, filters=filters, options=options))
    raise AssertionError("refused by _check")


async def _single(
    client: DeltaGliderClient, source: Location, destination: Location, filters: Filters, options: Options
) -> AsyncGenerator[Action, None]:
    from anyio.to_thread import run_sync

    from deltaglider_async.bulk.actions import Copy, Download, Upload
    from deltaglider_async.bulk.names import local_parts
    from deltaglider_async.bulk.sources import one_file, one_object

    match source, destination:
        case OnDisk(path), InS3(bucket, key):
            file = await one_file(path)
            if not key or key.endswith("/"):
                key += file.name
            if filters.allow(file.name):
                yield Upload(path, bucket, key, file.size, options)
        case InS3(bucket, key), OnDisk(path, into):
            found = await one_object(client, bucket, key)
            if into or await run_sync(path.is_dir):
                path = path.joinpath(*local_parts(found.name))
            if filters.allow(found.name):
                yield Download(bucket, key, path, None, found.size, found.modified, options)
        case InS3(bucket, key), InS3():
            found = await one_object(client, bucket, key)
            to = _into(source, destination)
            if filters.allow(found.name):
                yield Copy(bucket, key, to.bucket, to.key, found.size, options)


async def show_plan(plan: AsyncGenerator[Action, None]) -> int:
    """Print what a plan would do, as `aws s3 --dryrun` does. Returns the exit code."""
    from deltaglider_async.bulk.actions import Refusal
    from deltaglider_async.cli import text

    code = 0
    async with aclosing(plan):
        async for action in plan:
            if isinstance(action, Refusal):
                code = 2
                print(
                    f"(dryrun) {text.verb(action)} skipped: {text.describe(action)}: {action.reason}", file=sys.stderr
                )
            else:
                print(f"(dryrun) {text.verb(action)}: {text.describe(action)}")
    return code


async def _from_stdin(client: DeltaGliderClient, to: InS3, options: Options, *, dryrun: bool) -> int:
    from deltaglider_async.cli.stdio import read_stdin

    if dryrun:
        print(f"(dryrun) upload: - to {to}")
        return 0
    async with aclosing(read_stdin()) as body:
        await client.put_object(
            Bucket=to.bucket, Key=to.key, Body=body, use_delta=options.use_delta, max_ratio=options.max_ratio
        )
    return 0


async def _to_stdout(client: DeltaGliderClient, source: InS3, *, dryrun: bool) -> int:
    from deltaglider_async.cli.stdio import write_stdout

    if dryrun:
        print(f"(dryrun) download: {source} to -")
        return 0
    answer = await client.get_object(Bucket=source.bucket, Key=source.key)
    async with answer["Body"] as body:
        async for chunk in body:
            await write_stdout(chunk)
    return 0
