"""`dg rm`: objects to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deltaglider_async.cli.locations import InS3, parse_s3
from deltaglider_async.cli.options import (
    Concurrency,
    Connection,
    DryRun,
    EndpointUrl,
    Exclude,
    Include,
    Profile,
    Quiet,
    Region,
    ordered_filters,
)
from deltaglider_async.cli.run import run

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from deltaglider_async.bulk.actions import Action
    from deltaglider_async.bulk.filters import Filters
    from deltaglider_async.client import DeltaGliderClient


def rm(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="s3://bucket/key")],
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="All below URL, taken as a folder.")] = False,
    include: Include = None,
    exclude: Exclude = None,
    quiet: Quiet = False,
    dryrun: DryRun = False,
    concurrency: Concurrency = 10,
    endpoint_url: EndpointUrl = None,
    region: Region = None,
    profile: Profile = None,
) -> None:
    """\b
    Examples:
      dg rm s3://bucket/releases/app-1.1.zip
      dg rm -r s3://bucket/nightly/ --dryrun
      dg rm -r s3://bucket/nightly/ --exclude "*" --include "*-alpha*"

    Remove an object, or with -r all objects below a folder. An object that is not there is no error.
    """
    filters = ordered_filters(context)
    connection = Connection(endpoint_url, region, profile)
    place = parse_s3(url)
    if not place.key and not recursive:
        raise typer.BadParameter(f"{place} is a bucket. Remove all that is in it with -r.")

    from deltaglider_async.bulk.schedule import Limits
    from deltaglider_async.bulk.transfer import transfer
    from deltaglider_async.cli.cp import show_plan
    from deltaglider_async.cli.progress import Tally, follow

    tally = Tally()

    async def work() -> int:
        async with connection.client(concurrency) as client:
            plan = _plan(client, place, filters, recursive=recursive)
            if dryrun:
                return await show_plan(plan)
            events = transfer(client, plan, limits=Limits.of(concurrency))
            return await follow(events, tally, quiet=quiet, debug=context.obj.on)

    run(context, work, so_far=lambda: str(tally))


def _plan(client: DeltaGliderClient, place: InS3, filters: Filters, *, recursive: bool) -> AsyncGenerator[Action, None]:
    from deltaglider_async.bulk.found import StoredObject
    from deltaglider_async.bulk.plan import deletes, planned
    from deltaglider_async.bulk.sources import listing

    async def alone() -> AsyncGenerator[StoredObject, None]:
        yield StoredObject(place.bucket, place.key, place.key.rpartition("/")[2])

    objects = listing(client, place.bucket, place.folder) if recursive else alone()
    return planned(objects, deletes(filters=filters))
