"""`dg rb`: no bucket any more."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from deltaglider_async.cli.aws_options import AsRecords, Pace, Printing, Showing
from deltaglider_async.cli.completion import s3_urls
from deltaglider_async.cli.groups import grouped
from deltaglider_async.cli.locations import InS3
from deltaglider_async.cli.mb import bucket_alone
from deltaglider_async.cli.options import Connection
from deltaglider_async.cli.run import Code, run

if TYPE_CHECKING:
    from deltaglider_async.cli.progress import Tally
    from deltaglider_async.client import DeltaGliderClient


@grouped
def rb(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="s3://bucket", autocompletion=s3_urls)],
    printing: Printing,
    connection: Connection,
    force: Annotated[bool, typer.Option("--force", help="Remove all that is in it first.")] = False,
    as_json: AsRecords = False,
) -> None:
    """\b
    Examples:
      dg rb s3://nightly-builds
      dg rb s3://nightly-builds --force
      dg rb s3://nightly-builds --force --endpoint-url http://localhost:9000

    Remove a bucket that has no objects, or with --force one that has.

    References, the trash and temporary copies are objects to the service: with --force they go too, after all else.
    Nobody else should write there meanwhile. Older versions, where the bucket keeps them, stay, and the bucket with
    them.
    """
    place = bucket_alone(url)

    from deltaglider_async.cli.progress import Tally

    tally = Tally(go_on="the same command again removes the rest")
    showing = Showing(quiet=printing.silent, color=printing.color, as_json=as_json)

    async def work() -> Code:
        async with connection.client() as client:
            if force and await _empty(client, place, tally, showing, debug=context.obj.on) != Code.DONE:
                print(f"remove_bucket failed: {place.bucket} still has objects, and stays", file=sys.stderr)
                return Code.FAILED
            return await _remove(client, place, showing, force=force)

    run(context, work, so_far=lambda: str(tally) if force else "", refused=Code.FAILED)


async def _empty(client: DeltaGliderClient, place: InS3, tally: Tally, showing: Showing, *, debug: bool) -> Code:
    from deltaglider_async.bulk.plan import deletes, planned
    from deltaglider_async.bulk.sources import listing
    from deltaglider_async.cli.carry_out import carry_out

    plan = planned(listing(client, place.bucket, ""), deletes())
    return await carry_out(client, plan, tally, showing=showing, limits=Pace().limits, debug=debug, deletes=True)


async def _remove(client: DeltaGliderClient, place: InS3, showing: Showing, *, force: bool) -> Code:
    from deltaglider_async.errors import NotFoundError, StorageIOError

    try:
        if force:
            await client.delete_internal_objects(Bucket=place.bucket)
        await client.delete_bucket(Bucket=place.bucket)
    except (NotFoundError, StorageIOError) as error:
        print(f"remove_bucket failed: s3://{place.bucket} {error}", file=sys.stderr)
        return Code.FAILED
    if showing.as_json:
        print(json.dumps({"kind": "bucket", "name": place.bucket, "removed": True}))
    elif not showing.silent:
        print(f"remove_bucket: {place.bucket}")
    return Code.DONE
