"""`dg cp`: between files and objects, in every direction."""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deltaglider_async.cli.aws_options import Pace, Reading, Selecting, Showing, Writing
from deltaglider_async.cli.completion import urls
from deltaglider_async.cli.groups import grouped
from deltaglider_async.cli.guarding import Guarding
from deltaglider_async.cli.locations import InS3, Location, parse_location
from deltaglider_async.cli.options import Connection, Recursive, ordered_filters
from deltaglider_async.cli.run import Code, run

if TYPE_CHECKING:
    from deltaglider_async.bulk.actions import Options
    from deltaglider_async.client import DeltaGliderClient

#: What a stream of unknown length may have; a longer one has to be announced.
_LONGEST_STREAM = 10_000 * 16 * 1024 * 1024

Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="File, folder, s3:// URL, or - (standard input).", autocompletion=urls)
]
Destination = Annotated[
    str,
    typer.Argument(metavar="DESTINATION", help="File, folder, s3:// URL, or - (standard output).", autocompletion=urls),
]
ExpectedSize = Annotated[
    int | None,
    typer.Option(
        "--expected-size", metavar="BYTES", help="Length of standard input; needed, and then exact, above 156 GiB."
    ),
]


@grouped
def cp(
    context: typer.Context,
    source: Source,
    destination: Destination,
    *,
    recursive: Recursive = False,
    selecting: Selecting,
    writing: Writing,
    guarding: Guarding,
    reading: Reading,
    showing: Showing,
    pace: Pace,
    connection: Connection,
    expected_size: ExpectedSize = None,
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
    from deltaglider_async.cli.copying import Copying, check

    filters, limits = ordered_filters(context), pace.limits
    ends = parse_location(source), parse_location(destination)
    check(*ends, recursive=recursive, verb="cp")
    options = writing.options(selecting.access, recorded_times=reading.preserve_times)
    options = guarding.applied(options, *ends)

    from deltaglider_async.cli.carry_out import carry_out
    from deltaglider_async.cli.progress import Tally

    tally = Tally(go_on="dg sync between the same places does the rest" if recursive else "")
    exact = sys.stdout.isatty() and not showing.silent  # sizes are for the bars; they cost a request per delta

    async def work() -> Code:
        async with guarding.clients(connection, ends, limits.objects, one_object=not recursive) as (client, source):
            if "-" in ends:
                return await _stream(client, ends, options, expected_size, showing)
            copying = Copying(source, *ends, filters, options, selecting, reading, exact)
            plan = guarding.checked(copying.recursive()) if recursive else copying.single()
            return await carry_out(
                client, plan, tally, showing=showing, limits=limits, debug=context.obj.on, source=source
            )

    run(context, work, so_far=lambda: str(tally), refused=Code.FAILED, page_size=selecting.page_size)


async def _stream(
    client: DeltaGliderClient,
    ends: tuple[Location, Location],
    options: Options,
    expected_size: int | None,
    showing: Showing,
) -> Code:
    match ends:
        case "-", InS3() as to:
            if showing.dryrun:
                print(f"(dryrun) upload: - to {to}")
            else:
                await _from_stdin(client, to, options, expected_size)
        case InS3() as source, "-":
            if showing.dryrun:
                print(f"(dryrun) download: {source} to -")
            else:
                await _to_stdout(client, source, options)
    return Code.DONE


async def _from_stdin(client: DeltaGliderClient, to: InS3, options: Options, expected_size: int | None) -> None:
    from deltaglider_async.cli.stdio import read_stdin

    arguments: dict[str, Any] = {name: each for name, each in options.arguments.items() if name != "MetadataDirective"}
    size = expected_size if expected_size and expected_size > _LONGEST_STREAM else None
    async with aclosing(read_stdin()) as body:
        await client.put_object(
            Bucket=to.bucket,
            Key=to.key,
            Body=body,
            ContentLength=size,
            Metadata=options.metadata,
            use_delta=options.use_delta,
            max_ratio=options.max_ratio,
            **arguments,
            **dict[str, Any](options.access),
        )


async def _to_stdout(client: DeltaGliderClient, source: InS3, options: Options) -> None:
    from deltaglider_async.cli.stdio import write_stdout

    asked: dict[str, Any] = {**options.access, **options.reading}
    answer = await client.get_object(Bucket=source.bucket, Key=source.key, **asked)
    async with answer["Body"] as body:
        async for chunk in body:
            await write_stdout(chunk)
