"""`dg cat`: objects to standard output, one after the other."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deltaglider_async.cli.aws_options import RequestPayer
from deltaglider_async.cli.completion import s3_urls
from deltaglider_async.cli.groups import grouped
from deltaglider_async.cli.locations import InS3, parse_object
from deltaglider_async.cli.options import Connection
from deltaglider_async.cli.run import Code, explain, run

if TYPE_CHECKING:
    from deltaglider_async.client import DeltaGliderClient


@grouped
def cat(
    context: typer.Context,
    urls: Annotated[list[str], typer.Argument(metavar="URL...", help="s3://bucket/key", autocompletion=s3_urls)],
    connection: Connection,
    bytes_range: Annotated[
        str | None, typer.Option("--range", metavar="RANGE", help="These bytes of each only: 0-99, 100-, or -100.")
    ] = None,
    request_payer: RequestPayer = None,
) -> None:
    """\b
    Examples:
      dg cat s3://bucket/logs/today.txt
      dg cat s3://bucket/app.tar.part1 s3://bucket/app.tar.part2 | tar -x
      dg cat --range 0-99 s3://bucket/releases/app-1.2.zip | xxd

    Write objects to standard output. The end of each comes only if its SHA-256 is the one recorded at its put.

    An object that fails does not stop the others.
    """
    places = [parse_object(url) for url in urls]
    arguments: dict[str, Any] = {"RequestPayer": request_payer} if request_payer else {}
    if bytes_range is not None:
        arguments["Range"] = f"bytes={parse_range(bytes_range)}"

    async def work() -> Code:
        from botocore.exceptions import ClientError

        from deltaglider_async.errors import ConfigurationError, DeltaGliderError

        code = Code.DONE
        async with connection.client(one_object=len(places) == 1) as client:
            for place in places:
                try:
                    await _write(client, place, arguments)
                except ConfigurationError:
                    raise
                except (DeltaGliderError, ClientError) as error:
                    print(f"dg: {explain(error)}", file=sys.stderr, flush=True)
                    code = Code.FAILED
        return code

    run(context, work, refused=Code.FAILED)


async def _write(client: DeltaGliderClient, place: InS3, arguments: dict[str, Any]) -> None:
    from deltaglider_async.cli.stdio import write_stdout

    answer = await client.get_object(Bucket=place.bucket, Key=place.key, **arguments)
    async with answer["Body"] as body:
        async for chunk in body:
            await write_stdout(chunk)


def parse_range(text: str) -> str:
    """`0-99`, `100-` or `-100`, perhaps with `bytes=` before it. Raises a usage error for anything else."""
    given = text.removeprefix("bytes=")
    first, _, last = given.partition("-")
    if not re.fullmatch(r"\d+-\d*|-\d+", given) or (first and last and int(last) < int(first)):
        raise typer.BadParameter(f"--range {text!r} is no range of bytes. Expected: 0-99, 100- or -100.")
    return given
