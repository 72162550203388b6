"""`dg demo`: the main job, shown end to end on a local S3 server, with real releases of a real program."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from deltaglider_async.cli.run import run


def demo(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="FOLDER", help="Where to keep what is fetched. Default: the user's cache."),
    ] = None,
) -> None:
    """\b
    Examples:
      dg demo
      dg demo --folder /var/cache/dg
      dg demo | tee demo.txt

    Show what dg does: store ten releases of a program on a local S3 server, as deltas, and get them back.

    The releases are fetched with pip (133 MB) and kept; nothing else is. No account is needed, and none is used.
    """
    # What is configured for real accounts, a profile for example, must not get in the way.
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull

    from deltaglider_async.cli.demonstration import demonstrate

    run(context, lambda: demonstrate(folder or _user_cache(), debug=context.obj.on))


def _user_cache() -> Path:
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "deltaglider-async" / "demo"
