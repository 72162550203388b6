"""What the shell offers for an S3 URL that is being typed: buckets, folders, keys.

A shell waits for it, so it is short: three seconds at most, then it offers nothing; and silent: what goes wrong is no
candidate.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from deltaglider_async.client import DeltaGliderClient

#: How long the shell waits at most, in seconds.
_SECONDS = 3.0
#: Candidates of one level: nobody looks at more.
_MOST = 100
_SCHEME = "s3://"
#: Folders into which is gone down by itself, where there is nothing else.
_DEEPEST = 5


def urls(context: typer.Context, incomplete: str) -> list[str]:
    """Candidates for an argument that may be a local file, too: nothing before `s3` is typed."""
    return s3_urls(context, incomplete) if incomplete[:2].lower() == "s3" else []


def s3_urls(context: typer.Context, incomplete: str) -> list[str]:
    """Candidates for an S3 URL."""
    if not _SCHEME.startswith(incomplete[: len(_SCHEME)].lower()):
        return []
    return _in_time(context, incomplete[len(_SCHEME) :], _SCHEME)


def places(context: typer.Context, incomplete: str) -> list[str]:
    """Candidates for a place in S3, where `s3://` may be left out."""
    if incomplete[:3].lower() == "s3:":
        return s3_urls(context, incomplete)
    return _in_time(context, incomplete, "")


def _in_time(context: typer.Context, typed: str, scheme: str) -> list[str]:
    found: list[str] = []
    names = ("endpoint_url", "region", "profile", "no_sign_request", "no_verify_ssl", "ca_bundle")
    given = {name: context.params[name] for name in names if context.params.get(name) is not None}
    # In a thread that is left behind when time is up: reading credentials cannot be cancelled.
    asking = threading.Thread(target=_ask, args=(found, given, typed), daemon=True)
    asking.start()
    asking.join(_SECONDS)
    return [scheme + place for place in list(found)]


def _ask(found: list[str], given: dict[str, Any], typed: str) -> None:
    import asyncio
    import logging

    from botocore.exceptions import BotoCoreError, ClientError

    from deltaglider_async.cli.options import Connection
    from deltaglider_async.errors import DeltaGliderError

    logging.disable()
    os.environ.setdefault("AWS_MAX_ATTEMPTS", "1")

    async def ask() -> None:
        async with asyncio.timeout(_SECONDS), Connection(**given).client(one_object=True) as client:
            await _look(client, typed, found)

    with contextlib.suppress(DeltaGliderError, BotoCoreError, ClientError, OSError, TimeoutError):
        asyncio.run(ask())


async def _look(client: DeltaGliderClient, typed: str, found: list[str]) -> None:
    """Find places that begin with what is typed, without scheme. One that stands alone and is a folder is gone into."""
    found[:] = await _level(client, typed)
    for _ in range(_DEEPEST):
        if len(found) != 1 or not found[0].endswith("/"):
            break
        # Else the shell would add a blank, as if nothing could follow.
        if not (deeper := await _level(client, found[0])):
            break
        found[:] = deeper


async def _level(client: DeltaGliderClient, typed: str) -> list[str]:
    bucket, separator, key = typed.partition("/")
    if not separator:
        answer = await client.list_buckets()
        return [f"{each['Name']}/" for each in answer.get("Buckets", []) if each["Name"].startswith(bucket)][:_MOST]
    page = await client.list_objects_v2(Bucket=bucket, Prefix=key, Delimiter="/", MaxKeys=_MOST)
    folders = [each["Prefix"] for each in page.get("CommonPrefixes", [])]
    keys = [each["Key"] for each in page.get("Contents", []) if each["Key"] != key]
    return [f"{bucket}/{name}" for name in sorted(folders + keys) if name.isprintable()]


def answer(app: typer.Typer) -> NoReturn:
    """Do what the shell's script asks of `dg`, and leave at once."""
    in_bash = os.environ["_DG_COMPLETE"] == "complete_bash"
    cut = _join_words() if in_bash else ""
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        app()
    lines = told.getvalue().splitlines()
    if in_bash:
        lines = [_escaped(line.removeprefix(cut)) for line in lines if line]
    with contextlib.suppress(OSError):
        print("\n".join(lines))
        sys.stdout.flush()
    os._exit(0)  # a thread may still be waiting for S3


#: Where bash cuts words, though no blank is there.
_BREAK = re.compile(r"[:=]+")


def _join_words() -> str:
    """Put together what bash has cut: `s3`, `:`, `//bucket/key`. Returns what of the last word it will not replace."""
    words, position = os.environ.get("COMP_WORDS", "").split("\n"), int(os.environ.get("COMP_CWORD", "0"))
    words = words[: position + 1]
    words += [""] * (position + 1 - len(words))
    joined: list[str] = []
    for number, word in enumerate(words):
        after_break = number and _BREAK.fullmatch(words[number - 1]) and joined[-1].lower().startswith("s3:")
        if joined and (after_break or (_BREAK.fullmatch(word) and joined[-1].lower().startswith("s3"))):
            joined[-1] += word
        else:
            joined.append(word)
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = "\n".join(joined), str(len(joined) - 1)
    last = joined[-1]
    breaks = [match.end() for match in _BREAK.finditer(last)] if last.lower().startswith("s3:") else []
    return last[: breaks[-1]] if breaks else ""


def _escaped(word: str) -> str:
    """As it is typed in a shell, without quotes."""
    return re.sub(r"([^\w@%+=:,./~-])", r"\\\1", word)
