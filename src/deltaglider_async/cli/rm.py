"""`dg rm`: objects to nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Annotated

import typer

from deltaglider_async.cli.aws_options import Pace, Selecting, Showing
from deltaglider_async.cli.completion import s3_urls
from deltaglider_async.cli.groups import grouped
from deltaglider_async.cli.locations import InS3, parse_s3
from deltaglider_async.cli.options import Connection, Recursive, ordered_filters
from deltaglider_async.cli.run import Code, run

if TYPE_CHECKING:
    from deltaglider_async.bulk.actions import Action
    from deltaglider_async.bulk.filters import Filters
    from deltaglider_async.client import DeltaGliderClient


@grouped
def rm(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="s3://bucket/key", autocompletion=s3_urls)],
    *,
    recursive: Recursive = False,
    selecting: Selecting,
    showing: Showing,
    pace: Pace,
    connection: Connection,
) -> None:
    """\b
    Examples:
      dg rm s3://bucket/releases/app-1.1.zip
      dg rm -r s3://bucket/nightly/ --dryrun
      dg rm -r s3://bucket/nightly/ --exclude "*" --include "*-alpha*"

    Remove an object, or with -r all objects below a folder. An object that is not there is no error.
    """
    filters, limits = ordered_filters(context), pace.limits
    place = parse_s3(url)
    if not place.key and not recursive:
        raise typer.BadParameter(f"{place} is a bucket. Remove all that is in it with -r.")

    from deltaglider_async.cli.carry_out import carry_out
    from deltaglider_async.cli.progress import Tally

    tally = Tally(go_on="the same command again removes the rest")

    async def work() -> Code:
        async with connection.client(limits.objects) as client:
            plan = _plan(client, place, filters, selecting, recursive=recursive)
            # By the thousand, unless it is said how many objects are to be removed at once.
            deletes = recursive and pace.concurrency is None
            return await carry_out(
                client, plan, tally, showing=showing, limits=limits, debug=context.obj.on, deletes=deletes
            )

    run(context, work, so_far=lambda: str(tally), refused=Code.FAILED, page_size=selecting.page_size)


def _plan(
    client: DeltaGliderClient, place: InS3, filters: Filters, selecting: Selecting, *, recursive: bool
) -> AsyncGenerator[Action, None]:
    from deltaglider_async.bulk.actions import Options
    from deltaglider_async.bulk.found import StoredObject
    from deltaglider_async.bulk.plan import deletes, planned
    from deltaglider_async.bulk.sources import listing

    async def alone() -> AsyncGenerator[StoredObject, None]:
        yield StoredObject(place.bucket, place.key, place.key.rpartition("/")[2])

    access = selecting.access
    objects = listing(client, place.bucket, place.folder, access=access) if recursive else alone()
    return planned(objects, deletes(filters=filters, options=Options(access=access)))
