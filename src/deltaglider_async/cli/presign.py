"""`dg presign`: a URL from which anybody gets an object."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from deltaglider_async.cli.completion import s3_urls
from deltaglider_async.cli.groups import grouped
from deltaglider_async.cli.locations import parse_object
from deltaglider_async.cli.options import AsJson, Connection
from deltaglider_async.cli.run import run


@grouped
def presign(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="s3://bucket/key", autocompletion=s3_urls)],
    connection: Connection,
    expires_in: Annotated[
        int,
        typer.Option("--expires-in", metavar="SECONDS", min=1, max=604800, help="How long it lasts, at most a week."),
    ] = 3600,
    as_json: AsJson = False,
) -> None:
    """\b
    Examples:
      dg presign s3://bucket/releases/app-1.2.zip
      dg presign s3://bucket/releases/app-1.2.zip --expires-in 604800
      dg presign s3://bucket/releases/app-1.2.zip | xargs curl -fO

    Print a URL from which anybody gets the object, without credentials and without dg, for an hour or as long as said.

    Of an object that is stored as a delta, a whole, temporary copy is written first. `dg purge` removes it when it has
    expired.
    """
    place = parse_object(url if url[:5].lower() == "s3://" else f"s3://{url}")  # as aws takes it

    async def work() -> int:
        async with connection.client(one_object=True) as client:
            signed = await client.generate_presigned_url_with_rehydration(place.bucket, place.key, ExpiresIn=expires_in)
        if as_json:
            print(json.dumps({"kind": "presigned", "source": str(place), "url": signed, "expires_in": expires_in}))
        else:
            print(signed)
        return 0

    run(context, work)
