"""Runs a command's coroutine: exit codes, signals, errors as one clear message each.

Exit codes are those of AWS's command line; see `Code`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from enum import IntEnum
from typing import Any, NoReturn

import typer

from deltaglider_async.cli.options import Debug
from deltaglider_async.errors import ConfigurationError, DeltaGliderError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Code(IntEnum):
    """How `dg` ends; 128 + n after signal n (130 for Ctrl-C)."""

    DONE = 0
    FAILED = 1
    """Something failed."""
    LEFT_OUT = 2
    """Nothing failed, but something was left out."""
    USAGE = 252
    CONFIGURATION = 253
    """A setting, a profile, or credentials."""
    SERVICE = 254
    """The service refused, or could not be reached."""


class _Interrupted(Exception):  # noqa: N818, the user's wish is no error
    def __init__(self, number: int) -> None:
        self.number = number


def run(
    context: typer.Context,
    work: Callable[[], Coroutine[Any, Any, int]],
    *,
    so_far: Callable[[], str] = lambda: "",
    refused: Code = Code.SERVICE,
    settings_needed: bool = True,
    page_size: int | None = None,
) -> NoReturn:
    """Run `work` to its end and leave with the exit code that it returns.

    An interruption cancels it, waits for its clean-up, and says `so_far()`. `refused` is the code for what the service
    refuses as a whole: `aws s3 cp` and its like count that as one failure among others. Without `settings_needed`,
    wrong `DG_*` variables do not end the command. `page_size`: keys that the service is asked for at once.
    """
    import asyncio

    from deltaglider_async.cli.later import read_modules_later

    read_modules_later()
    from deltaglider_async.store.limits import Limits, limited

    debug = isinstance(context.obj, Debug) and context.obj.on
    try:
        _import_aiohttp()
        with contextlib.nullcontext() if settings_needed else contextlib.suppress(ConfigurationError):
            _configure_logging(debug)
        with limited(Limits(page_size=page_size)):
            code = asyncio.run(_until_signalled(work))
        sys.stdout.flush()
    except _Interrupted as interruption:
        _say("\r"[: sys.stderr.isatty()] + "dg: interrupted" + (f": {so_far()}" if so_far() else ""))
        _leave_now(128 + interruption.number)
    except BrokenPipeError:
        # Who read our output has seen enough. Nothing more can be written, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise typer.Exit(1) from None
    except Exception as error:
        if (message := explain(error)) is None or debug:
            raise
        _say(f"dg: {message}")
        raise typer.Exit(code_of(error, refused)) from None
    raise typer.Exit(code)


def code_of(error: BaseException, refused: Code = Code.SERVICE) -> Code:
    """The exit code for an error that ends a command."""
    from botocore.exceptions import ClientError, HTTPClientError, NoCredentialsError, ProfileNotFound

    from deltaglider_async.errors import InvalidRequestError, NotFoundError, StorageIOError

    if isinstance(error, ConfigurationError | NoCredentialsError | ProfileNotFound):
        return Code.CONFIGURATION
    if isinstance(error, InvalidRequestError):
        return Code.USAGE
    if isinstance(error, ClientError | HTTPClientError | StorageIOError | NotFoundError):
        return refused
    return Code.FAILED


async def _until_signalled(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    import asyncio

    received: list[int] = []
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def interrupt(number: int) -> None:
        if received:  # asked twice: no more waiting for the clean-up
            _leave_now(128 + number)
        received.append(number)
        if task:
            task.cancel()

    with contextlib.suppress(NotImplementedError):  # Windows: asyncio.run deals with Ctrl-C there
        for number in _SIGNALS:
            loop.add_signal_handler(number, interrupt, number)
    try:
        return await work()
    except BaseException as error:
        if received:  # whatever came up on the way out, a child that got Ctrl-C too, is no news
            raise _Interrupted(received[0]) from error
        raise


def _leave_now(code: int) -> NoReturn:
    """Without waiting for threads: one may sit in a write to a pipe that nobody reads."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            if stream.isatty():
                stream.write("\x1b[?25h")  # a live display hides the cursor
            stream.flush()
    os._exit(code)


def explain(error: BaseException) -> str | None:
    """The message for an error that is the world's; None for one that is a mistake of this program."""
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, BaseExceptionGroup):
        messages = [explain(each) for each in error.exceptions]
        return None if None in messages else "; ".join(dict.fromkeys(filter(None, messages)))
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename is not None else error.strerror
    if isinstance(error, (DeltaGliderError, OSError, BotoCoreError, ClientError)):
        return str(error) or type(error).__name__
    return None


def _import_aiohttp() -> None:
    """Import aiohttp without the system's certificates, whose reading is a large part of it.

    It would read them for contexts of its own. botocore brings another one, with certificates that it chooses.
    """
    import ssl

    usual = ssl.create_default_context
    # This one trusts nobody: should it ever be used, no connection comes about.
    ssl.create_default_context = lambda *_, **__: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    own = vars(ssl.SSLContext).get("set_default_verify_paths")  # of truststore, say; ssl's own is inherited
    ssl.SSLContext.set_default_verify_paths = lambda _: None  # type: ignore[assignment, method-assign]
    try:
        import aiohttp  # noqa: F401
    finally:
        ssl.create_default_context = usual
        if own is None:
            del ssl.SSLContext.set_default_verify_paths
        else:
            ssl.SSLContext.set_default_verify_paths = own  # type: ignore[method-assign]


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _configure_logging(debug: bool) -> None:
    from deltaglider_async.cli.logs import configure

    configure(debug=debug)
