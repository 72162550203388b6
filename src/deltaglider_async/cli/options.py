"""Options that several commands share."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from deltaglider_async.cli.completion import places

if TYPE_CHECKING:
    from deltaglider_async.bulk.filters import Filters, Rule
    from deltaglider_async.client import DeltaGliderClient

EndpointUrl = Annotated[str | None, typer.Option("--endpoint-url", metavar="URL", help="The S3 endpoint, if not AWS.")]
Region = Annotated[str | None, typer.Option("--region", metavar="NAME", help="The region of the endpoint.")]
Profile = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="The profile of the AWS configuration to use.")
]
Include = Annotated[
    list[str] | None,
    typer.Option("--include", metavar="PATTERN", help="Take these after all. The last pattern that matches decides."),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="PATTERN", help="Leave these out. Patterns are relative to the source."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="All that is in the source.")]
DryRun = Annotated[bool, typer.Option("--dryrun", help="Print what would be done, and do nothing.")]
BucketOrFolder = Annotated[
    str,
    typer.Argument(metavar="BUCKET", help="bucket, s3://bucket or s3://bucket/prefix", autocompletion=places),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, an object per line.")]
Exclusive = Annotated[
    bool,
    typer.Option("--exclusive", help="Nobody else writes there until this is over: waste of any age may be removed."),
]
NoDelta = Annotated[bool, typer.Option("--no-delta", help="Store whole files, whatever their names.")]
MaxRatio = Annotated[
    float | None,
    typer.Option(
        "--max-ratio",
        metavar="FLOAT",
        min=0,
        max=1,
        help="Keep a delta if it is at most this share of the file. Default: DG_MAX_RATIO, or 0.5.",
    ),
]


@dataclass(frozen=True, slots=True)
class Debug:
    """The group's option; what `Context.obj` holds."""

    on: bool


@dataclass(frozen=True, slots=True)
class Connection:
    """Where S3 is and who asks."""

    endpoint_url: EndpointUrl = None
    region: Region = None
    profile: Profile = None
    no_sign_request: Annotated[bool, typer.Option("--no-sign-request", help="Ask as nobody, without credentials.")] = (
        False
    )
    no_verify_ssl: Annotated[bool, typer.Option("--no-verify-ssl", help="Do not check the endpoint's certificate.")] = (
        False
    )
    ca_bundle: Annotated[
        str | None, typer.Option("--ca-bundle", metavar="FILE", help="Certificates to check the endpoint's with.")
    ] = None

    @asynccontextmanager
    async def client(
        self, concurrency: int = 32, *, one_object: bool = False, max_ratio: float | None = None
    ) -> AsyncIterator[DeltaGliderClient]:
        """A client with connections for so many objects at once.

        For `one_object` a cache that would go with this process is of no use: its reference is not put away.
        """
        from botocore import UNSIGNED
        from botocore.config import Config

        from deltaglider_async.session import create_client
        from deltaglider_async.settings import Settings

        settings = Settings()
        if one_object and settings.cache_encryption_key is None:
            settings = replace(settings, cache_backend="memory", cache_memory_size_mb=1)

        async with create_client(
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            profile_name=self.profile,
            verify=False if self.no_verify_ssl else self.ca_bundle,
            config=Config(
                max_pool_connections=max(64, 2 * concurrency),
                **({"signature_version": UNSIGNED} if self.no_sign_request else {}),
            ),
            settings=settings,
            max_ratio=max_ratio,
        ) as client:
            if not gc.isenabled():  # by `main.run`
                gc.freeze()  # all that is there by now stays
                gc.enable()
            yield client


class LikeAws(TyperCommand):
    """A command that reads its line as `aws s3` does.

    It knows in which order `--include` and `--exclude` were given, relative to each other, and lets values be left out
    that `aws s3` lets one leave out.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As the base class; leaves the rules for `ordered_filters` to find."""
        from deltaglider_async.cli.aws_options import completed

        args = completed(args)
        values, _, order = self.make_parser(ctx).parse_args(args=list(args))
        given = {kind: iter(values.get(kind) or ()) for kind in ("include", "exclude")}
        ctx.meta[__name__] = [(each.name, next(given[each.name])) for each in order if each.name in given]
        return super().parse_args(ctx, args)


def ordered_filters(context: typer.Context) -> Filters:
    """The filters of the command line; a hint on stderr where they cannot have an effect."""
    from deltaglider_async.bulk.filters import Filters

    rules: list[Rule] = context.meta[__name__]
    if rules and all(kind == "include" for kind, _ in rules):
        print(
            "dg: hint: --include has no effect alone, everything is included at first. "
            'For "only these", put --exclude "*" before it.',
            file=sys.stderr,
        )
    return Filters.of(rules)
