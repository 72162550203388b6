"""Modules that `dg` reads when they are used."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import _LazyModule  # type: ignore[attr-defined]

PROGRAM = """
import sys
from deltaglider_async.cli.main import run
sys.argv = ["dg", *sys.argv[1:]]
try: run()
except SystemExit: pass
kind = lambda module: object.__getattribute__(module, "__class__").__name__
print(*(name for name, module in sys.modules.items() if kind(module) == "_LazyModule"))
"""


def test_a_listing_reads_what_lists() -> None:
    environment = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, "ls", "s3://bucket/"], capture_output=True, text=True, check=True,
        env=environment | {"AWS_MAX_ATTEMPTS": "1"},
    )  # fmt: skip
    assert "connect" in result.stderr
    unread = {name.removeprefix("deltaglider_async.") for name in result.stdout.split()}
    assert unread >= {"engine.put", "engine.get", "engine.fsck", "engine.gc", "engine.stats", "engine.copy"}
    assert not unread & {"engine.core", "engine.listing", "engine.read_ahead"}


def test_a_program_reads_all_at_once() -> None:
    """So that its event loop does not wait for a file."""
    program = "import sys, deltaglider_async.session; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"deltaglider_async.engine.fsck", "deltaglider_async.engine.put"} <= set(result.stdout.split())
    assert _LazyModule.__name__ == "_LazyModule"  # what the other test looks for
