"""`dg du`: what folders take, and what they would take without deltas."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deltaglider_async.cli.aws_options import Asking, AsRecords
from deltaglider_async.cli.groups import grouped
from deltaglider_async.cli.locations import parse_bucket
from deltaglider_async.cli.options import BucketOrFolder, Connection
from deltaglider_async.cli.run import run
from deltaglider_async.cli.seen import Seen

if TYPE_CHECKING:
    from deltaglider_async.types import DeltaspaceStats, StatsMode


@grouped
def du(
    context: typer.Context,
    url: BucketOrFolder,
    asking: Asking,
    connection: Connection,
    depth: Annotated[
        int | None,
        typer.Option("--depth", "-d", metavar="N", min=0, help="Folders of so many levels; 0: the sum alone."),
    ] = None,
    human_readable: Annotated[bool, typer.Option("--human-readable", "-h", help="Sizes in KiB, MiB, ...")] = False,
    sampled: Annotated[
        bool, typer.Option("--sampled", help="Ask one delta of each folder, estimate the others.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Use what a listing alone says.")] = False,
    as_json: AsRecords = False,
) -> None:
    """\b
    Examples:
      dg du s3://bucket/releases/
      dg du -h --depth 1 bucket
      dg du --depth 0 --json bucket

    Show what is stored below each folder, references included, and how large its files are: two numbers of bytes, and
    the folder with all that is in it. The last line is the sum.

    The exit code is 1 if nothing is below the prefix.
    """
    place = parse_bucket(url)
    if sampled and quick:
        raise typer.BadParameter("--sampled and --quick exclude each other.")
    seen = Seen()
    mode: StatsMode = "quick" if quick else "sampled" if sampled else "detailed"

    async def work() -> int:
        async with connection.client() as client:
            found = await client.get_deltaspace_stats(
                place.bucket, mode, prefix=place.folder, progress=seen.count, **dict[str, Any](asking.access)
            )
        seen.clear()
        for use in usage(found, place.folder, depth):
            if as_json:
                print(json.dumps({"kind": "folder", "url": f"s3://{place.bucket}/{use.prefix}", **use.sizes()}))
            else:
                print(_line(use, place.bucket, human_readable=human_readable))
        return 1 if place.key and not any(space.object_count for space in found) else 0

    run(context, work, page_size=asking.page_size)


@dataclass(slots=True)
class Usage:
    """What is below a prefix. Sizes in bytes."""

    prefix: str
    objects: int = 0
    original_size: int = 0
    stored_size: int = 0

    def sizes(self) -> dict[str, int]:
        """For JSON."""
        return {"objects": self.objects, "size": self.original_size, "stored_size": self.stored_size}

    def add(self, space: DeltaspaceStats) -> None:
        """Count what is in a folder, or below it."""
        self.objects += space.object_count
        self.original_size += space.original_size
        self.stored_size += space.stored_size


def usage(spaces: Iterable[DeltaspaceStats], top: str, depth: int | None) -> Iterator[Usage]:
    """Sums of the folders down to a depth below `top`, those within others first; the last is that of `top` itself."""
    found = {top: Usage(top)}
    for space in spaces:
        if not space.object_count:
            continue  # a reference that nothing uses is no folder of anybody's
        found[top].add(space)
        prefix = top
        for folder in space.prefix[len(top) :].split("/")[:-1][:depth]:
            prefix += f"{folder}/"
            found.setdefault(prefix, Usage(prefix)).add(space)
    # As du does: a folder after what is in it. No other character stands before the end of a name.
    for prefix in sorted(found, key=lambda prefix: [*prefix[len(top) :].split("/")[:-1], "\U0010ffff"]):
        yield found[prefix]


def _line(use: Usage, bucket: str, *, human_readable: bool) -> str:
    from deltaglider_async.cli.text import aws_size, shown

    stored, original = (
        (aws_size(use.stored_size), aws_size(use.original_size))
        if human_readable
        else (str(use.stored_size), str(use.original_size))
    )
    return shown(f"{stored:>14} {original:>14} s3://{bucket}/{use.prefix}", sys.stdout)
