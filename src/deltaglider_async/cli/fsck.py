"""`dg fsck`: whether everything that is stored can be read, and will be."""

from __future__ import annotations

from typing import Annotated

import typer

from deltaglider_async.cli.aws_options import Asking, Printing
from deltaglider_async.cli.groups import grouped
from deltaglider_async.cli.locations import parse_bucket
from deltaglider_async.cli.options import AsJson, BucketOrFolder, Connection, Exclusive
from deltaglider_async.cli.run import run


@grouped
def fsck(
    context: typer.Context,
    url: BucketOrFolder,
    printing: Printing,
    asking: Asking,
    connection: Connection,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended, remove what is waste.")] = False,
    read_data: Annotated[bool, typer.Option("--read-data", help="Also read and decode everything.")] = False,
    exclusive: Exclusive = False,
    as_json: AsJson = False,
) -> None:
    """\b
    Examples:
      dg fsck s3://bucket
      dg fsck s3://bucket/releases/ --repair
      dg fsck bucket --read-data --json | jq 'select(.severity == "error")'

    Find deltas whose reference is missing, damaged metadata, what clients that died left behind, and lifecycle rules
    that would make objects unreadable. With --repair, no byte that anything needs is lost.

    The exit code is 1 if there are errors or waste that were not dealt with.
    """
    place = parse_bucket(url)
    printing.set_color()

    from deltaglider_async.cli.findings import Report

    report = Report(place, as_json=as_json, changes=repair, quiet=printing.silent)

    async def work() -> int:
        async with connection.client() as client:
            found = client.fsck(
                place.bucket,
                prefix=place.folder,
                repair=repair,
                read_data=read_data,
                exclusive=exclusive,
                progress=report.seen.count,
                **asking.access,
            )
            await report.follow(found)
        return 1 if report.errors or report.waste else 0

    run(context, work, so_far=lambda: str(report), page_size=asking.page_size)
