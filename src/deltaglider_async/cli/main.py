"""The `dg` command's table of commands.

Nothing heavy is imported here or at the top of a command's module: `dg --help` must be quick.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from deltaglider_async._version import __version__
from deltaglider_async.cli.bucket_acl import get_bucket_acl, put_bucket_acl
from deltaglider_async.cli.cache import cache
from deltaglider_async.cli.cat import cat
from deltaglider_async.cli.cp import cp
from deltaglider_async.cli.demo import demo
from deltaglider_async.cli.doctor import doctor
from deltaglider_async.cli.du import du
from deltaglider_async.cli.fsck import fsck
from deltaglider_async.cli.gc import gc
from deltaglider_async.cli.head import head
from deltaglider_async.cli.ls import ls
from deltaglider_async.cli.mb import mb
from deltaglider_async.cli.migrate import migrate
from deltaglider_async.cli.mv import mv
from deltaglider_async.cli.options import Debug, LikeAws
from deltaglider_async.cli.presign import presign
from deltaglider_async.cli.purge import purge
from deltaglider_async.cli.rb import rb
from deltaglider_async.cli.rm import rm
from deltaglider_async.cli.run import Code
from deltaglider_async.cli.stats import stats
from deltaglider_async.cli.sync import sync
from deltaglider_async.cli.verify import verify

app = typer.Typer(
    name="dg",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: no import of Rich, and examples stay as they are written
    pretty_exceptions_enable=False,  # they would print local variables, credentials among them
    context_settings={"help_option_names": ["--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"deltaglider-async {__version__}")
        raise typer.Exit


@app.callback()
def dg(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Log everything; show tracebacks of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print name and version.")
    ] = False,
) -> None:
    """\b
    Examples:
      dg cp app-1.2.zip s3://bucket/releases/
      dg cp -r s3://bucket/releases/ ./releases
      dg stats bucket

    Versioned artifacts in S3 as small binary deltas, handed back byte for byte.
    """
    context.obj = Debug(debug)


app.command("cp", cls=LikeAws, short_help="Copy files and objects.")(cp)
app.command("mv", cls=LikeAws, short_help="Move files and objects.")(mv)
app.command("sync", cls=LikeAws, short_help="Make a folder or prefix like another one.")(sync)
app.command("migrate", cls=LikeAws, short_help="Copy a bucket or prefix, as deltas.")(migrate)
app.command("ls", cls=LikeAws, short_help="List buckets and objects.")(ls)
app.command("rm", cls=LikeAws, short_help="Remove objects.")(rm)
app.command("cat", cls=LikeAws, short_help="Write objects to standard output.")(cat)
app.command("head", cls=LikeAws, short_help="Show what is known of an object.")(head)
app.command("du", short_help="Show what folders take.")(du)
app.command("presign", short_help="Print a URL from which anybody gets an object.")(presign)
app.command("mb", cls=LikeAws, short_help="Create a bucket.")(mb)
app.command("rb", short_help="Remove a bucket.")(rb)
app.command("stats", short_help="Show what a bucket holds and saves.")(stats)
app.command("fsck", short_help="Check what is stored, and mend it.")(fsck)
app.command("gc", short_help="Remove what is of no use.")(gc)
app.command("purge", short_help="Remove temporary copies that have expired.")(purge)
app.command("get-bucket-acl", short_help="Print who may do what with a bucket.")(get_bucket_acl)
app.command("put-bucket-acl", short_help="Say who may do what with a bucket.")(put_bucket_acl)
app.command("cache", short_help="Show or clear the references at hand.")(cache)
app.command("doctor", short_help="Look whether all is there that dg needs.")(doctor)
app.command("demo", short_help="Show what dg does, on this machine.")(demo)
app.command("verify", cls=LikeAws, short_help="Check that objects are what was put.")(verify)


def run() -> None:
    """Entry point of `dg`."""
    for stream in (sys.stdout, sys.stderr):
        # Names are shown as well as the terminal can; a name that is not UTF-8 must not end the program.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if os.environ.get("_DG_COMPLETE", "").startswith("complete_"):
        from deltaglider_async.cli.completion import answer

        answer(app)
    usage_error: Any = typer.BadParameter.__base__
    usage_error.exit_code = Code.USAGE
    app()
