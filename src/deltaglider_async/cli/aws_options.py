"""The options of `aws s3`: in groups, each with what it means for the library."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deltaglider_async.cli.options import DryRun, Exclude, Include, MaxRatio, NoDelta, Quiet

if TYPE_CHECKING:
    from deltaglider_async.bulk.actions import Options
    from deltaglider_async.bulk.plan import Archived
    from deltaglider_async.bulk.schedule import Limits
    from deltaglider_async.bulk.sources import Links

Acl = Literal[
    "private", "public-read", "public-read-write", "authenticated-read", "aws-exec-read", "bucket-owner-read",
    "bucket-owner-full-control", "log-delivery-write",
]  # fmt: skip
StorageClass = Literal[
    "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER", "DEEP_ARCHIVE",
    "GLACIER_IR",
]  # fmt: skip
_GRANTS = {
    "read": "GrantRead",
    "full": "GrantFullControl",
    "readacl": "GrantReadACP",
    "writeacl": "GrantWriteACP",
}
#: boto3's names of the options that are passed on as they are.
_ARGUMENTS = {
    "acl": "ACL",
    "storage_class": "StorageClass",
    "website_redirect": "WebsiteRedirectLocation",
    "content_type": "ContentType",
    "cache_control": "CacheControl",
    "content_disposition": "ContentDisposition",
    "content_encoding": "ContentEncoding",
    "content_language": "ContentLanguage",
    "expires": "Expires",
    "sse": "ServerSideEncryption",
    "sse_kms_key_id": "SSEKMSKeyId",
    "metadata_directive": "MetadataDirective",
}

RequestPayer = Annotated[
    Literal["requester"] | None, typer.Option("--request-payer", help="Whoever asks pays for the requests.")
]
PageSize = Annotated[
    int | None, typer.Option("--page-size", metavar="N", min=1, max=1000, help="How many keys to ask for at once.")
]
AsRecords = Annotated[bool, typer.Option("--json", help="Print JSON, an object per line.")]


@dataclass(frozen=True, slots=True)
class Asking:
    """How the service is asked."""

    page_size: PageSize = None
    request_payer: RequestPayer = None

    @property
    def access(self) -> dict[str, str]:
        """What goes with every request."""
        return {"RequestPayer": self.request_payer} if self.request_payer else {}


@dataclass(frozen=True, slots=True)
class Selecting(Asking):
    """Which objects are meant, and how they are asked for."""

    include: Include = None
    exclude: Exclude = None


@dataclass(frozen=True, slots=True)
class Writing:
    """How objects are written."""

    no_delta: NoDelta = False
    max_ratio: MaxRatio = None
    acl: Annotated[Acl | None, typer.Option("--acl", help="A canned ACL.")] = None
    grants: Annotated[
        list[str] | None,
        typer.Option("--grants", metavar="PERMISSION=GRANTEE", help="read, readacl, writeacl or full, to whom."),
    ] = None
    sse: Annotated[
        Literal["AES256", "aws:kms"] | None, typer.Option("--sse", help="Encryption by the service. Alone: AES256.")
    ] = None
    sse_kms_key_id: Annotated[str | None, typer.Option("--sse-kms-key-id", metavar="ID", help="The KMS key.")] = None
    storage_class: Annotated[StorageClass | None, typer.Option("--storage-class", help="The storage class.")] = None
    content_type: Annotated[
        str | None, typer.Option("--content-type", metavar="TYPE", help="Default: guessed from the file's name.")
    ] = None
    no_guess_mime_type: Annotated[bool, typer.Option("--no-guess-mime-type", help="Do not guess the content type.")] = (
        False
    )
    cache_control: Annotated[str | None, typer.Option("--cache-control", metavar="TEXT", help="A header.")] = None
    content_disposition: Annotated[
        str | None, typer.Option("--content-disposition", metavar="TEXT", help="A header.")
    ] = None
    content_encoding: Annotated[str | None, typer.Option("--content-encoding", metavar="TEXT", help="A header.")] = None
    content_language: Annotated[str | None, typer.Option("--content-language", metavar="TEXT", help="A header.")] = None
    expires: Annotated[str | None, typer.Option("--expires", metavar="TIME", help="A header.")] = None
    website_redirect: Annotated[
        str | None, typer.Option("--website-redirect", metavar="URL", help="Where a website sends readers instead.")
    ] = None
    metadata: Annotated[
        str | None, typer.Option("--metadata", metavar="MAP", help="User metadata: name=value,... or JSON.")
    ] = None
    metadata_directive: Annotated[
        Literal["COPY", "REPLACE"] | None,
        typer.Option("--metadata-directive", help="Between S3 places: whose metadata. Default: the source's."),
    ] = None

    def options(self, access: dict[str, str], *, move: bool = False, recorded_times: bool = False) -> Options:
        """For the library. Raises a usage error for what cannot be read."""
        from deltaglider_async.bulk.actions import Options

        arguments: dict[str, Any] = {
            argument: value for name, argument in _ARGUMENTS.items() if (value := getattr(self, name))
        }
        for grant in self.grants or ():
            permission, separator, grantee = grant.partition("=")
            if permission not in _GRANTS or not separator:
                raise typer.BadParameter(f"--grants {grant!r}: expected read, readacl, writeacl or full, = and whom.")
            arguments[_GRANTS[permission]] = grantee
        return Options(
            use_delta=False if self.no_delta else None,
            max_ratio=self.max_ratio,
            arguments=arguments,
            metadata=parse_map(self.metadata) or None if self.metadata else None,
            access=access,
            guess_content_type=not self.no_guess_mime_type,
            move=move,
            recorded_times=recorded_times,
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """How sources are read."""

    no_follow_symlinks: Annotated[
        bool, typer.Option("--no-follow-symlinks/--follow-symlinks", help="Leave symbolic links out of uploads.")
    ] = False
    preserve_times: Annotated[
        bool,
        typer.Option("--preserve-times", help="Downloaded files get the time that they had when they were uploaded."),
    ] = False
    ignore_glacier_warnings: Annotated[
        bool, typer.Option("--ignore-glacier-warnings", help="Leave out archived objects in silence.")
    ] = False
    force_glacier_transfer: Annotated[
        bool, typer.Option("--force-glacier-transfer", help="Try archived objects too: they may have been restored.")
    ] = False

    @property
    def links(self) -> Links:
        """Which symbolic links are read."""
        return "skip" if self.no_follow_symlinks else "follow"

    @property
    def archived(self) -> Archived:
        """What becomes of archived objects."""
        return "try" if self.force_glacier_transfer else "ignore" if self.ignore_glacier_warnings else "refuse"


@dataclass(frozen=True, slots=True)
class Printing:
    """What is printed."""

    quiet: Quiet = False
    only_show_errors: Annotated[bool, typer.Option("--only-show-errors", help="The same as --quiet.")] = False
    color: Annotated[
        Literal["on", "off", "auto"], typer.Option("--color", help="Colours. Default: where the terminal can.")
    ] = "auto"

    @property
    def silent(self) -> bool:
        """Whether errors alone are shown."""
        return self.quiet or self.only_show_errors

    def set_color(self) -> None:
        """Tell Rich, by the variable that it knows."""
        if self.color == "off":
            os.environ["NO_COLOR"] = "1"
        elif self.color == "on":
            os.environ.pop("NO_COLOR", None)


@dataclass(frozen=True, slots=True)
class Showing(Printing):
    """What is done at all, and what is printed of it."""

    dryrun: DryRun = False
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Print lines, draw no bars.")] = False
    as_json: AsRecords = False


@dataclass(frozen=True, slots=True)
class Pace:
    """How much at once."""

    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency",
            metavar="N",
            min=1,
            max=1000,
            help="Exactly N objects at once. Default: up to 32, large 10.",
        ),
    ] = None

    max_bandwidth: Annotated[
        str | None,
        typer.Option("--max-bandwidth", metavar="RATE", help="Per second at most, on average: 500kB, 20MB, 1GiB."),
    ] = None

    @property
    def limits(self) -> Limits:
        """For the library. Raises a usage error for what is no rate."""
        from deltaglider_async.bulk.schedule import Limits

        return Limits.of(self.concurrency, parse_rate(self.max_bandwidth) if self.max_bandwidth else None)


def parse_map(text: str) -> dict[str, str]:
    """A map as AWS's tools take it: `a=1,b=2`, or JSON. Raises a usage error for anything else."""
    if text.lstrip().startswith("{"):
        try:
            pairs: dict[Any, Any] = json.loads(text)
        except ValueError as error:
            raise typer.BadParameter(f"--metadata {text!r} is no JSON: {error}") from None
    else:
        items = [item.partition("=") for item in text.split(",") if item]
        pairs = {name: value if separator else None for name, separator, value in items}
    if not all(isinstance(value, str) for value in pairs.values()):
        raise typer.BadParameter(f"--metadata {text!r}: expected name=value,name=value or JSON, each value a text.")
    return pairs


def parse_rate(text: str) -> float:
    """Bytes per second: `500kB`, `20MB/s`, `1GiB`. Raises a usage error for anything else."""
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([kKMGT]?)(i?)B?(?:/s)?", text)
    if match is None or not float(match[1]):
        raise typer.BadParameter(f"--max-bandwidth {text!r}: expected bytes per second, such as 500kB, 20MB or 1GiB.")
    return float(match[1]) * float((1024 if match[3] else 1000) ** " KMGT".index(match[2].upper() or " "))


#: Options of `aws s3` whose value may be left out, what it is then, and what it may be.
_OPTIONAL = {
    "--sse": ("AES256", ("AES256", "aws:kms")),
    "--sse-c": ("AES256", ("AES256",)),
    "--sse-c-copy-source": ("AES256", ("AES256",)),
    "--request-payer": ("requester", ("requester",)),
}


def completed(args: list[str]) -> list[str]:
    """A command line with the values that `aws s3` lets one leave out, and one option for each word of others."""
    result: list[str] = []
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*result, word, *rest]
        result.append(word)
        if word in _OPTIONAL:
            value, known = _OPTIONAL[word]
            if not rest or rest[0] not in known:
                result.append(value)
        elif word == "--grants" and rest:
            result.append(rest.pop(0))
            while rest and rest[0].partition("=")[0] in _GRANTS and "=" in rest[0]:
                result += [word, rest.pop(0)]
        elif word == "--tags" and len(rest) > 1:
            result += [rest.pop(0), word, rest.pop(0)]
    return result
