"""`dg verify`: whether an object is still what was put."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from deltaglider_async.cli.completion import s3_urls
from deltaglider_async.cli.locations import parse_s3
from deltaglider_async.cli.options import Connection, EndpointUrl, Profile, Region
from deltaglider_async.cli.run import run


def verify(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="s3://bucket/key", autocompletion=s3_urls)],
    endpoint_url: EndpointUrl = None,
    region: Region = None,
    profile: Profile = None,
) -> None:
    """\b
    Examples:
      dg verify s3://bucket/releases/app-1.2.zip
      dg verify s3://bucket/releases/app-1.2.zip | jq .valid
      dg verify --profile backup s3://bucket/releases/app-1.2.zip && echo intact

    Read an object as a download would, without keeping it, and compare its SHA-256 with the one recorded at its put.

    Prints JSON. The exit code is 1 if they differ.
    """
    connection = Connection(endpoint_url, region, profile)
    place = parse_s3(url)
    if not place.key:
        raise typer.BadParameter(f"{place} is a bucket. Expected: s3://bucket/key")

    async def work() -> int:
        async with connection.client(one_object=True) as client:
            result = await client.verify(str(place))
        print(json.dumps(asdict(result), indent=2))
        return 0 if result.valid else 1

    run(context, work)
