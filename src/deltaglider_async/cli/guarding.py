"""Options of `aws s3` for keys of one's own, checksums, and what could come to the wrong place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deltaglider_async.cli.locations import InS3, Location
from deltaglider_async.cli.options import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from deltaglider_async.bulk.actions import Action, Options
    from deltaglider_async.client import DeltaGliderClient

_Key = str | bytes


@dataclass(frozen=True, slots=True)
class Guarding:
    """With which keys objects are encrypted, how they are checked, and what must not be mistaken for another."""

    sse_c: Annotated[
        Literal["AES256"] | None, typer.Option("--sse-c", help="Encryption with a key of your own: whole files.")
    ] = None
    sse_c_key: Annotated[
        str | None, typer.Option("--sse-c-key", metavar="KEY", help="That key: 32 bytes, or fileb://NAME.")
    ] = None
    sse_c_copy_source: Annotated[
        Literal["AES256"] | None,
        typer.Option("--sse-c-copy-source", help="Between S3 places: SOURCE is encrypted with such a key."),
    ] = None
    sse_c_copy_source_key: Annotated[
        str | None, typer.Option("--sse-c-copy-source-key", metavar="KEY", help="That key of SOURCE.")
    ] = None
    checksum_algorithm: Annotated[
        Literal["CRC64NVME", "CRC32", "CRC32C", "SHA1", "SHA256"] | None,
        typer.Option("--checksum-algorithm", help="The checksum that S3 keeps and checks what is sent with."),
    ] = None
    checksum_mode: Annotated[
        Literal["ENABLED"] | None, typer.Option("--checksum-mode", help="Have S3 tell its checksum of what is read.")
    ] = None
    source_region: Annotated[
        str | None, typer.Option("--source-region", metavar="NAME", help="Between S3 places: the region of SOURCE.")
    ] = None
    case_conflict: Annotated[
        Literal["ignore", "skip", "warn", "error"],
        typer.Option("--case-conflict", help="What becomes of downloads whose names differ by case alone."),
    ] = "ignore"

    def applied(self, options: Options, source: Location, destination: Location) -> Options:
        """The options with what these mean for this direction. Raises a usage error for what they cannot mean."""
        own = _customer_key("--sse-c", self.sse_c, self.sse_c_key)
        of_source = _customer_key("--sse-c-copy-source", self.sse_c_copy_source, self.sse_c_copy_source_key)
        within_s3 = isinstance(source, InS3) and isinstance(destination, InS3)
        if of_source and not within_s3:
            raise typer.BadParameter("--sse-c-copy-source is for copies between places in S3.")
        writes, reads = isinstance(destination, InS3), isinstance(source, InS3) and not within_s3
        if self.checksum_algorithm and not writes:
            raise typer.BadParameter("--checksum-algorithm is for what is written to S3.")
        if self.checksum_mode and not reads:
            raise typer.BadParameter("--checksum-mode is for downloads.")
        if writes:
            written = own | ({"ChecksumAlgorithm": self.checksum_algorithm} if self.checksum_algorithm else {})
            return replace(options, arguments={**options.arguments, **written}, reading=of_source)
        return replace(options, reading=own | ({"ChecksumMode": self.checksum_mode} if self.checksum_mode else {}))

    def checked(self, plan: AsyncGenerator[Action, None]) -> AsyncGenerator[Action, None]:
        """The plan without what the choice about names that differ by case alone leaves out."""
        if self.case_conflict == "ignore":
            return plan
        import logging

        from deltaglider_async.bulk.case import checked

        return checked(plan, self.case_conflict, logging.getLogger(__name__).warning)

    @asynccontextmanager
    async def clients(
        self, connection: Connection, ends: tuple[Location, Location], concurrency: int, *, one_object: bool = False
    ) -> AsyncIterator[tuple[DeltaGliderClient, DeltaGliderClient]]:
        """What writes, and what reads the source: the same, but for copies from another region."""
        from deltaglider_async.store.conditions import is_aws

        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(connection.client(concurrency, one_object=one_object))
            source = client
            if self.source_region and all(isinstance(end, InS3) for end in ends):
                # An endpoint of AWS names a region, which is the destination's.
                url = None if is_aws(connection.endpoint_url or "") else connection.endpoint_url
                elsewhere = replace(connection, region=self.source_region, endpoint_url=url)
                source = await stack.enter_async_context(elsewhere.client(concurrency, one_object=one_object))
            yield client, source


def _customer_key(option: str, algorithm: str | None, key: str | None) -> dict[str, Any]:
    """The arguments for a key of the customer's; no message shows it."""
    if algorithm is None and key is None:
        return {}
    if algorithm is None or key is None:
        missing = option if algorithm is None else f"{option}-key"
        raise typer.BadParameter(f"{option} and {option}-key go together: {missing} is missing.")
    return {"SSECustomerAlgorithm": algorithm, "SSECustomerKey": _blob(f"{option}-key", key)}


def _blob(option: str, text: str) -> _Key:
    """A value as AWS's tools take it: the text itself, or the content of `fileb://NAME` or `file://NAME`."""
    for prefix, read in (("fileb://", Path.read_bytes), ("file://", Path.read_text)):
        if text.startswith(prefix):
            try:
                content: _Key = read(Path(text.removeprefix(prefix)).expanduser())
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is no text; use fileb://"
                raise typer.BadParameter(f"{option} {text}: {reason}") from None
            return content
    return text
