"""`dg cache`: references at hand, on this machine."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import typer

from deltaglider_async.cli.run import run


def cache(
    context: typer.Context,
    action: Annotated[Literal["show", "clear"], typer.Argument(metavar="[show|clear]", help="show or clear")] = "show",
    clear: Annotated[bool, typer.Option("--clear", help="The same as clear.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """\b
    Examples:
      dg cache
      dg cache clear
      dg cache --json

    Show where references are kept on this machine, and how large they are, or forget them.

    Cleared are those of the current DG_CACHE_ENCRYPTION_KEY. Commands that are using one go on.
    """

    async def work() -> int:
        from deltaglider_async.cache import ReferenceCache
        from deltaglider_async.cache.survey import free_space, survey
        from deltaglider_async.settings import Settings
        from deltaglider_async.streams.threads import in_thread

        settings = Settings()
        found = await in_thread(survey, settings)
        cleared = clear or action == "clear"
        if cleared and found.lasting and found.entries:
            opened = await ReferenceCache.open(settings)
            try:
                await opened.clear()
            finally:
                await opened.aclose()
        on_disk = settings.cache_backend == "filesystem"
        known: dict[str, Any] = {
            "backend": settings.cache_backend,
            "lasting": found.lasting,
            "folder": str(found.folder) if on_disk else None,
            "entries": found.entries,
            "size": found.size,
            "limit": found.limit,
            "other_entries": found.other_entries,
            "other_size": found.other_size,
            "free": await in_thread(free_space, found.folder) if on_disk else None,
            "cleared": cleared,
        }
        if as_json:
            print(json.dumps(known))
        else:
            print("\n".join(_lines(known)))
        return 0

    run(context, work)


def _lines(known: dict[str, Any]) -> list[str]:
    from deltaglider_async.cli.text import count, size

    entries = count(known["entries"], "reference")
    others = (
        f"other keys  {count(known['other_entries'], 'reference')}, {size(known['other_size'])}, ignored: remove their "
        "files by hand"
    )
    if not known["lasting"]:
        kind = f"in {known['folder']}, encrypted" if known["folder"] else "in memory"
        return [
            f"each command has a cache of its own, {kind}, of at most {size(known['limit'])}, which ends with it.",
            "To keep references between commands, set DG_CACHE_ENCRYPTION_KEY (openssl rand -base64 32)"
            + ("." if known["folder"] else ", and DG_CACHE_BACKEND=filesystem."),
        ]
    if known["cleared"]:
        return [f"{entries} removed, {size(known['size'])} freed", *([others] if known["other_entries"] else [])]
    return [
        f"folder      {known['folder']}",
        f"entries     {entries}, encrypted",
        f"size        {size(known['size'])} of at most {size(known['limit'])}",
        *([others] if known["other_entries"] else []),
        f"free        {size(known['free'])} on that disk",
    ]
