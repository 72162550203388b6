"""`--json`: one object per line, for programs. The names are described in docs/cli.md and stay."""

from __future__ import annotations

import json
from typing import Literal

from deltaglider_async.bulk.actions import Action, Copy, Delete, DeleteFile, Download, Refusal, Upload, Verify
from deltaglider_async.bulk.events import Summary
from deltaglider_async.cli import text

Status = Literal["planned", "done", "failed", "skipped"]


def record(action: Action, status: Status, summary: Summary | None = None, error: str | None = None) -> str:
    """A line about one object."""
    source, destination = _ends(action)
    done = summary if not isinstance(action, Delete | DeleteFile) else None
    return json.dumps(
        {
            "status": status,
            "action": text.verb(action),
            "source": source,
            "destination": destination,
            "size": done.original_size if done else action.size,
            "stored_size": done.stored_size if done else None,
            "error": error,
        }
    )


def _ends(action: Action) -> tuple[str, str | None]:
    match action:
        case Upload():
            return str(action.path), f"s3://{action.bucket}/{action.key}"
        case Download():
            return f"s3://{action.bucket}/{action.key}", str(action.path)
        case Copy():
            return f"s3://{action.bucket}/{action.key}", f"s3://{action.to_bucket}/{action.to_key}"
        case Delete() | Verify():
            return f"s3://{action.bucket}/{action.key}", None
        case DeleteFile():
            return str(action.path), None
        case Refusal():
            return action.source, None
