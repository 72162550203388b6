"""`dg verify`: whether objects are still what was put."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deltaglider_async.cli.aws_options import Pace, Selecting, Showing
from deltaglider_async.cli.completion import s3_urls
from deltaglider_async.cli.groups import grouped
from deltaglider_async.cli.locations import parse_s3
from deltaglider_async.cli.options import Connection, Recursive, ordered_filters
from deltaglider_async.cli.run import Code, run

if TYPE_CHECKING:
    from deltaglider_async.client import DeltaGliderClient


@grouped
def verify(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="s3://bucket/key; -r: a prefix", autocompletion=s3_urls)],
    *,
    recursive: Recursive = False,
    selecting: Selecting,
    showing: Showing,
    pace: Pace,
    connection: Connection,
) -> None:
    """\b
    Examples:
      dg verify s3://bucket/releases/app-1.2.zip
      dg verify -r s3://bucket/releases/ --exclude "*.log"
      dg verify -r s3://bucket --json | jq 'select(.status == "failed")'

    Read an object as a download would, without keeping it, and compare its SHA-256 with the one recorded at its put.

    Prints JSON; with -r a line for each object below a prefix, in JSON only with --json. The exit code is 1 if one
    differs.
    """
    filters, limits, place = ordered_filters(context), pace.limits, parse_s3(url)
    if not place.key and not recursive:
        raise typer.BadParameter(f"{place} is a bucket. Verify all that is in it with -r.")
    if showing.dryrun and not recursive:
        raise typer.BadParameter("--dryrun shows what -r would verify.")

    from deltaglider_async.cli.progress import Tally

    tally = Tally(go_on="the same command again begins anew")

    async def all_below(client: DeltaGliderClient) -> Code:
        from deltaglider_async.bulk.actions import Options
        from deltaglider_async.bulk.plan import checks, planned
        from deltaglider_async.bulk.sources import listing
        from deltaglider_async.cli.carry_out import carry_out

        access = selecting.access
        objects = listing(client, place.bucket, place.folder, access=access)
        plan = planned(objects, checks(filters=filters, options=Options(access=access)))
        return await carry_out(client, plan, tally, showing=showing, limits=limits, debug=context.obj.on)

    async def one(client: DeltaGliderClient) -> Code:
        access: dict[str, Any] = dict(selecting.access)
        result = await client.verify(str(place), **access)
        if not (showing.silent and result.valid):
            print(json.dumps(asdict(result), indent=2))
        return Code.DONE if result.valid else Code.FAILED

    async def work() -> Code:
        async with connection.client(limits.objects, one_object=not recursive) as client:
            return await (all_below if recursive else one)(client)

    run(context, work, so_far=lambda: str(tally) if recursive else "", page_size=selecting.page_size)
