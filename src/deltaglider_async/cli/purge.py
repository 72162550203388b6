"""`dg purge`: temporary copies that have expired to nothing."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from deltaglider_async.cli.aws_options import Asking, Printing
from deltaglider_async.cli.completion import places
from deltaglider_async.cli.groups import grouped
from deltaglider_async.cli.locations import parse_bucket
from deltaglider_async.cli.options import Connection
from deltaglider_async.cli.run import Code, run


@grouped
def purge(
    context: typer.Context,
    bucket: Annotated[str, typer.Argument(metavar="BUCKET", help="bucket or s3://bucket", autocompletion=places)],
    printing: Printing,
    asking: Asking,
    connection: Connection,
    dry_run: Annotated[bool, typer.Option("--dry-run", "--dryrun", help="Count them, and remove nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """\b
    Examples:
      dg purge bucket
      dg purge bucket --dry-run
      dg purge s3://bucket --json

    Remove the temporary copies that `dg presign` and its like have written, and whose time is over by the clock of the
    service. Nothing else is touched.

    The exit code is 1 if something should have gone and could not.
    """
    place = parse_bucket(bucket)
    if place.key:
        raise typer.BadParameter(f"{bucket!r} is no bucket. Temporary copies are at the root of s3://{place.bucket}")

    async def work() -> Code:
        from deltaglider_async.cli.text import count, size

        async with connection.client() as client:
            done = await client.purge_temp_files(place.bucket, dry_run=dry_run, **asking.access)
        if printing.silent:
            pass
        elif as_json:
            print(json.dumps({"bucket": place.bucket, "dry_run": dry_run, **done}, indent=2))
        elif dry_run:
            print(f"(dryrun) {count(done['expired_count'], 'temporary copy').replace('copys', 'copies')} expired")
        else:
            copies = count(done["deleted_count"], "temporary copy").replace("copys", "copies")
            print(f"{copies} removed, {size(done['total_size_freed'])} freed")
        for message in done["errors"]:
            print(f"dg: {message}", file=sys.stderr)
        return Code.FAILED if done["errors"] else Code.DONE

    run(context, work, page_size=asking.page_size)
