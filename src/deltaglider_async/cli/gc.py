"""`dg gc`: what is of no use, to nothing."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from deltaglider_async.cli.aws_options import Asking, Printing
from deltaglider_async.cli.groups import grouped
from deltaglider_async.cli.locations import parse_bucket
from deltaglider_async.cli.options import AsJson, BucketOrFolder, Connection, DryRun, Exclusive
from deltaglider_async.cli.run import run

if TYPE_CHECKING:
    from deltaglider_async.types import Severity

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@grouped
def gc(
    context: typer.Context,
    url: BucketOrFolder,
    printing: Printing,
    asking: Asking,
    connection: Connection,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="Leave what is younger: 12h, 1d, 2w. At least 1d.")
    ] = "1d",
    exclusive: Exclusive = False,
    dryrun: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """\b
    Examples:
      dg gc s3://bucket --dryrun
      dg gc s3://bucket/releases/ --older-than 2w
      dg gc bucket --exclusive --older-than 0s

    Remove what is provably of no use: leftover deltas, references without deltas (they stay in the trash for a day),
    temporary copies, unfinished uploads of ours. Other clients may be writing meanwhile.

    The exit code is 1 if something should have gone and could not.
    """
    place = parse_bucket(url)
    printing.set_color()
    age = parse_age(older_than)

    from deltaglider_async.cli.findings import Report

    bad: tuple[Severity, ...] = ("error",) if dryrun else ("error", "waste")
    report = Report(place, as_json=as_json, changes=not dryrun, quiet=printing.silent, bad=bad)

    async def work() -> int:
        async with connection.client() as client:
            found = client.gc(
                place.bucket,
                prefix=place.folder,
                older_than=age,
                exclusive=exclusive,
                dry_run=dryrun,
                progress=report.seen.count,
                **asking.access,
            )
            await report.follow(found)
        return 1 if report.errors or (report.waste and not dryrun) else 0

    run(context, work, so_far=lambda: str(report), page_size=asking.page_size)


def parse_age(text: str) -> timedelta:
    """`90s`, `30m`, `12h`, `1d`, `2w`. Raises a usage error for anything else."""
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no age. Expected: a number and s, m, h, d or w, such as 12h.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
