"""`dg sync`: a folder or prefix made like another one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deltaglider_async.cli.aws_options import Pace, Reading, Selecting, Showing, Writing
from deltaglider_async.cli.completion import urls
from deltaglider_async.cli.groups import grouped
from deltaglider_async.cli.guarding import Guarding
from deltaglider_async.cli.locations import InS3, Location, OnDisk, parse_location
from deltaglider_async.cli.options import Connection, ordered_filters
from deltaglider_async.cli.run import Code, run

if TYPE_CHECKING:
    from deltaglider_async.bulk.actions import Action, Options
    from deltaglider_async.bulk.filters import Filters
    from deltaglider_async.bulk.found import LocalFile, StoredObject
    from deltaglider_async.bulk.sync import Comparison
    from deltaglider_async.client import DeltaGliderClient


@grouped
def sync(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Folder or s3:// URL.", autocompletion=urls)],
    destination: Annotated[
        str, typer.Argument(metavar="DESTINATION", help="Folder or s3:// URL.", autocompletion=urls)
    ],
    *,
    delete: Annotated[bool, typer.Option("--delete", help="Remove what SOURCE does not have.")] = False,
    size_only: Annotated[bool, typer.Option("--size-only", help="Compare sizes alone.")] = False,
    exact_timestamps: Annotated[
        bool, typer.Option("--exact-timestamps", help="To a folder: any other time counts, not only a younger file.")
    ] = False,
    checksum: Annotated[
        bool, typer.Option("--checksum", help="Compare content by the SHA-256 recorded at the put, and not times.")
    ] = False,
    selecting: Selecting,
    writing: Writing,
    guarding: Guarding,
    reading: Reading,
    showing: Showing,
    pace: Pace,
    connection: Connection,
) -> None:
    """\b
    Examples:
      dg sync ./build s3://bucket/nightly/
      dg sync s3://bucket/releases/ ./releases --delete --exclude "*.log"
      dg sync ./build s3://bucket/nightly/ --checksum --dryrun

    Make a folder or prefix like another one: copy what is missing or different there.

    Different is what has another size, or was changed later than it was put; as with aws s3 sync. The size of a delta
    is that of the file that was put.
    """
    from deltaglider_async.bulk.sync import Comparison

    filters, limits = ordered_filters(context), pace.limits
    ends = parse_location(source), parse_location(destination)
    direction = _direction(*ends)
    comparison = Comparison(direction, size_only, exact_timestamps, checksum, reading.preserve_times)
    options = writing.options(selecting.access, recorded_times=reading.preserve_times)
    options = guarding.applied(options, *ends)

    from deltaglider_async.cli.carry_out import carry_out
    from deltaglider_async.cli.progress import Tally

    tally = Tally(go_on="the same command again does the rest")

    async def work() -> Code:
        async with guarding.clients(connection, ends, limits.objects) as (client, source):
            syncing = _Syncing(client, source, ends, filters, options, selecting, reading, comparison, delete)
            plan = guarding.checked(syncing.plan(*ends))
            return await carry_out(
                client, plan, tally, showing=showing, limits=limits, debug=context.obj.on, source=source
            )

    run(context, work, so_far=lambda: str(tally), refused=Code.FAILED, page_size=selecting.page_size)


def _direction(source: Location, destination: Location) -> Any:
    match source, destination:
        case OnDisk(), InS3():
            return "upload"
        case InS3(), OnDisk():
            return "download"
        case InS3(), InS3():
            inside = source.bucket == destination.bucket and destination.folder.startswith(source.folder)
            if inside and destination.folder != source.folder:
                raise typer.BadParameter(f"{destination} lies inside of {source}.")
            return "copy"
    raise typer.BadParameter("SOURCE and DESTINATION must be folders, and one of them an s3:// URL.")


@dataclass(frozen=True, slots=True)
class _Syncing:
    """One sync's listings, planners and questions."""

    client: DeltaGliderClient
    source_client: DeltaGliderClient
    ends: tuple[Location, Location]
    filters: Filters
    options: Options
    selecting: Selecting
    reading: Reading
    comparison: Comparison
    delete: bool

    def plan(self, source: Location, destination: Location) -> AsyncGenerator[Action, None]:
        """What makes the destination like the source."""
        from deltaglider_async.bulk.plan import copies, downloads, file_deletes, uploads
        from deltaglider_async.bulk.sources import walk

        chosen: dict[str, Any] = {"filters": self.filters, "options": self.options}
        archived = self.reading.archived
        match source, destination:
            case OnDisk(path), InS3() as to:
                files = walk(path, self.reading.links)
                return self._synced(files, self._objects(to), uploads(to.bucket, to.folder, **chosen), self._remove())
            case InS3() as place, OnDisk(path):
                # What is behind a link to a folder is not ours to write or to remove.
                files = walk(path, "files", may_be_missing=True)
                carry = downloads(path, archived=archived, **chosen)
                remove = file_deletes(filters=self.filters) if self.delete else None
                return self._synced(self._objects(place), files, carry, remove)
            case InS3() as place, InS3() as to:
                carry = copies(to.bucket, to.folder, archived=archived, **chosen)
                return self._synced(self._objects(place), self._objects(to), carry, self._remove())
        raise AssertionError("refused by _direction")

    def _synced(self, sources: Any, destinations: Any, carry: Any, remove: Any) -> AsyncGenerator[Action, None]:
        from deltaglider_async.bulk.sources import digest, examined
        from deltaglider_async.bulk.sync import Rules, paired, synced

        async def examine(found: StoredObject) -> StoredObject:
            client, key = self._reads(found)
            # A delta, whose size the listing does not tell, is never encrypted with a key of the customer's.
            return await examined(client, found, {**self.selecting.access, **(key if found.size is not None else {})})

        rules: Rules[LocalFile | StoredObject, LocalFile | StoredObject] = Rules(
            self.comparison, carry, remove, examine, digest
        )
        return synced(paired(sources, destinations), rules)

    def _reads(self, found: StoredObject) -> tuple[DeltaGliderClient, Mapping[str, Any]]:
        """What asks about an object, and with which key of the customer's."""
        source, options = self.ends[0], self.options
        if isinstance(source, InS3) and found.bucket == source.bucket and found.key.startswith(source.folder):
            return self.source_client, options.reading
        return self.client, {name: each for name, each in options.arguments.items() if name.startswith("SSECustomer")}

    def _remove(self) -> Any:
        from deltaglider_async.bulk.actions import Options
        from deltaglider_async.bulk.plan import deletes

        return deletes(filters=self.filters, options=Options(access=self.selecting.access)) if self.delete else None

    async def _objects(self, place: InS3) -> AsyncGenerator[StoredObject, None]:
        from deltaglider_async.bulk.sources import listing

        client = self.source_client if place == self.ends[0] else self.client
        found = listing(client, place.bucket, place.folder, access=self.selecting.access)
        async with aclosing(found):
            async for each in found:
                if not each.marker:
                    yield each
