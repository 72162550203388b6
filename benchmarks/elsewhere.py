"""`dg` as it is where listings do not tell metadata, which is everywhere but on MinIO: each delta is asked.

python benchmarks/elsewhere.py ARGUMENTS
"""

from __future__ import annotations

from deltaglider_async.cli.main import run
from deltaglider_async.store import listed

listed._server = lambda page: ""
run()
