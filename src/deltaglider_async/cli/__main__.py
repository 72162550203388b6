"""`python -m deltaglider_async.cli` is `dg`."""

from __future__ import annotations

from deltaglider_async.cli.main import run

if __name__ == "__main__":
    run()
