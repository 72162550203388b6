"""`dg mv`: as `dg cp`, and each source is removed when it has been carried over."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from deltaglider_async.cli.aws_options import Pace, Reading, Selecting, Showing, Writing
from deltaglider_async.cli.completion import urls
from deltaglider_async.cli.groups import grouped
from deltaglider_async.cli.guarding import Guarding
from deltaglider_async.cli.locations import parse_location
from deltaglider_async.cli.options import Connection, Recursive, ordered_filters
from deltaglider_async.cli.run import Code, run


@grouped
def mv(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="File, folder or s3:// URL.", autocompletion=urls)],
    destination: Annotated[
        str, typer.Argument(metavar="DESTINATION", help="File, folder or s3:// URL.", autocompletion=urls)
    ],
    *,
    recursive: Recursive = False,
    selecting: Selecting,
    writing: Writing,
    guarding: Guarding,
    reading: Reading,
    showing: Showing,
    pace: Pace,
    connection: Connection,
) -> None:
    """\b
    Examples:
      dg mv app-1.2.zip s3://bucket/releases/
      dg mv s3://bucket/nightly/app-1.2.zip s3://bucket/releases/
      dg mv -r s3://bucket/incoming/ ./incoming --exclude "*.tmp"

    Move a file to S3, from S3, or an object to another place in S3.

    Names are those of dg cp. A source is removed when its copy is complete, and only if it is still what was copied.
    """
    from deltaglider_async.cli.copying import Copying, check

    filters, limits = ordered_filters(context), pace.limits
    ends = parse_location(source), parse_location(destination)
    check(*ends, recursive=recursive, verb="mv")
    options = writing.options(selecting.access, move=True, recorded_times=reading.preserve_times)
    options = guarding.applied(options, *ends)

    from deltaglider_async.cli.carry_out import carry_out
    from deltaglider_async.cli.progress import Tally

    tally = Tally(go_on="the same command again moves the rest")
    exact = sys.stdout.isatty() and not showing.silent

    async def work() -> Code:
        async with guarding.clients(connection, ends, limits.objects, one_object=not recursive) as (client, source):
            copying = Copying(source, *ends, filters, options, selecting, reading, exact)
            plan = guarding.checked(copying.recursive()) if recursive else copying.single()
            return await carry_out(
                client, plan, tally, showing=showing, limits=limits, debug=context.obj.on, source=source
            )

    run(context, work, so_far=lambda: str(tally), refused=Code.FAILED, page_size=selecting.page_size)
