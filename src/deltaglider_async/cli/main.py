"""The `dg` command's table of commands.

A command's module is imported when the command is called, and nothing heavy at its top: `dg --help` must be quick.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from deltaglider_async._version import __version__

#: What `dg --help` says of each command.
COMMANDS = {
    "cp": "Copy files and objects.",
    "mv": "Move files and objects.",
    "sync": "Make a folder or prefix like another one.",
    "migrate": "Copy a bucket or prefix, as deltas.",
    "ls": "List buckets and objects.",
    "rm": "Remove objects.",
    "cat": "Write objects to standard output.",
    "head": "Show what is known of an object.",
    "du": "Show what folders take.",
    "presign": "Print a URL from which anybody gets an object.",
    "mb": "Create a bucket.",
    "rb": "Remove a bucket.",
    "stats": "Show what a bucket holds and saves.",
    "fsck": "Check what is stored, and mend it.",
    "gc": "Remove what is of no use.",
    "purge": "Remove temporary copies that have expired.",
    "get-bucket-acl": "Print who may do what with a bucket.",
    "put-bucket-acl": "Say who may do what with a bucket.",
    "cache": "Show or clear the references at hand.",
    "doctor": "Look whether all is there that dg needs.",
    "demo": "Show what dg does, on this machine.",
    "verify": "Check that objects are what was put.",
}
#: Commands that read their lines as `aws s3` does.
_LIKE_AWS = frozenset({"cp", "mv", "sync", "migrate", "ls", "rm", "cat", "head", "mb", "verify"})
#: Where a command is that has no module of its own name.
_MODULES = {"get-bucket-acl": "bucket_acl", "put-bucket-acl": "bucket_acl"}


def function_of(name: str) -> Callable[..., Any]:
    """The function of a command, from its module, which is imported for it."""
    module = import_module(f"deltaglider_async.cli.{_MODULES.get(name, name)}")
    function: Callable[..., Any] = getattr(module, name.replace("-", "_"))
    return function


class Commands(TyperGroup):
    """All commands. Only that one is imported and built which is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**{**attributes, "commands": dict.fromkeys(COMMANDS)})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name; None if there is none."""
        if cmd_name in COMMANDS and self.commands[cmd_name] is None:
            alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
            kind: dict[str, Any] = {}
            if cmd_name in _LIKE_AWS:
                from deltaglider_async.cli.options import LikeAws

                kind = {"cls": LikeAws}
            alone.command(cmd_name, short_help=COMMANDS[cmd_name], **kind)(function_of(cmd_name))
            self.commands[cmd_name] = typer.main.get_command(alone)
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """What `--help` lists."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(
    name="dg",
    cls=Commands,
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
    from deltaglider_async.cli.options import Debug

    context.obj = Debug(debug)


def run() -> None:
    """Entry point of `dg`."""
    gc.disable()  # nothing of what is imported is garbage; `Connection.client` enables it
    for stream in (sys.stdout, sys.stderr):
        # Names are shown as well as the terminal can; a name that is not UTF-8 must not end the program.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if os.environ.get("_DG_COMPLETE", "").startswith("complete_"):
        from deltaglider_async.cli.completion import answer

        answer(app)
    from deltaglider_async.cli.conversion import validate_only_what_needs_it
    from deltaglider_async.cli.run import Code

    validate_only_what_needs_it()
    usage_error: Any = typer.BadParameter.__base__
    usage_error.exit_code = Code.USAGE
    app()
