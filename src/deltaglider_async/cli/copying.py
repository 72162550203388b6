"""What `dg cp` and `dg mv` share: which ends go together, and the plan for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from deltaglider_async.cli.aws_options import Reading, Selecting
from deltaglider_async.cli.locations import InS3, Location, OnDisk

if TYPE_CHECKING:
    from deltaglider_async.bulk.actions import Action, Options
    from deltaglider_async.bulk.filters import Filters
    from deltaglider_async.client import DeltaGliderClient


def check(source: Location, destination: Location, *, recursive: bool, verb: str) -> None:
    """Raise a usage error for what cannot be meant."""
    if "-" in (source, destination) and (recursive or verb != "cp"):
        raise typer.BadParameter("- is one stream, for cp without -r.")
    match source, destination:
        case ((OnDisk() | "-"), (OnDisk() | "-")):
            raise typer.BadParameter("One of SOURCE and DESTINATION must be an s3:// URL.")
        case InS3(_, ""), _ if not recursive:
            raise typer.BadParameter(f"{source} is a bucket. Take all that is in it with -r.")
        case "-", InS3(_, key) if not key or key.endswith("/"):
            raise typer.BadParameter(f"{destination} is no name for an object, and standard input has none.")
        case InS3(), InS3() if recursive and source.bucket == destination.bucket:
            # It would find its own copies, and copy them again.
            if destination.folder.startswith(source.folder):
                raise typer.BadParameter(f"{destination} lies inside of {source}.")
        case InS3(), InS3() if into(source, destination) == source:
            raise typer.BadParameter(f"{source} would be put onto itself.")


def into(source: InS3, destination: InS3) -> InS3:
    """The object that a single copy writes."""
    if destination.key and not destination.key.endswith("/"):
        return destination
    return InS3(destination.bucket, destination.key + source.key.rpartition("/")[2])


@dataclass(frozen=True, slots=True)
class Copying:
    """A copy or a move from one place to another."""

    client: DeltaGliderClient
    """What reads SOURCE, where that is in S3."""
    source: Location
    destination: Location
    filters: Filters
    options: Options
    selecting: Selecting
    reading: Reading
    exact: bool
    """Whether the sizes of deltas are needed beforehand, which costs a request each."""

    def recursive(self) -> AsyncGenerator[Action, None]:
        """The plan for all that is in the source."""
        from deltaglider_async.bulk.plan import copies, downloads, planned, uploads
        from deltaglider_async.bulk.sources import listing, walk

        filters, options, archived = self.filters, self.options, self.reading.archived
        match self.source, self.destination:
            case OnDisk(path), InS3(bucket) as to:
                planner = uploads(bucket, to.folder, filters=filters, options=options)
                return planned(walk(path, self.reading.links), planner)
            case InS3() as place, to:
                objects = listing(
                    self.client,
                    place.bucket,
                    place.folder,
                    original_sizes=self.exact,
                    access=self.selecting.access,
                )
                if isinstance(to, OnDisk):
                    return planned(objects, downloads(to.path, filters=filters, options=options, archived=archived))
                assert isinstance(to, InS3)
                return planned(
                    objects, copies(to.bucket, to.folder, filters=filters, options=options, archived=archived)
                )
        raise AssertionError("refused by check")

    async def single(self) -> AsyncGenerator[Action, None]:
        """The plan for one file or object."""
        from anyio.to_thread import run_sync

        from deltaglider_async.bulk.actions import Copy, Download, Refusal, Upload
        from deltaglider_async.bulk.names import local_parts
        from deltaglider_async.bulk.sources import one_file, one_object

        options = self.options
        match self.source, self.destination:
            case OnDisk(path), InS3(bucket, key):
                if self.reading.links == "skip" and await run_sync(path.is_symlink):
                    return
                file = await one_file(path)
                if not key or key.endswith("/"):
                    key += file.name
                if self.filters.allow(file.name):
                    yield Upload(path, bucket, key, file.size, options)
            case InS3() as place, to:
                found = await one_object(self.client, place.bucket, place.key, {**options.access, **options.reading})
                if not self.filters.allow(found.name):
                    return
                if found.archived and self.reading.archived != "try":
                    if self.reading.archived == "refuse":
                        what = "download" if isinstance(to, OnDisk) else "copy"
                        yield Refusal(what, str(place), "it is archived (GLACIER, DEEP_ARCHIVE). Restore it first.")
                    return
                if isinstance(to, InS3):
                    to = into(place, to)
                    yield Copy(place.bucket, place.key, to.bucket, to.key, found.size, options)
                elif isinstance(to, OnDisk):
                    path = to.path
                    if to.into or await run_sync(path.is_dir):
                        path = path.joinpath(*local_parts(found.name))
                    yield Download(place.bucket, place.key, path, None, found.size, found.modified, options)
