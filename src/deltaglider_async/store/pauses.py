"""How long to wait before something is asked for again that botocore does not ask for again."""

from __future__ import annotations

import random
from collections.abc import Iterator

#: Requests in a row that may bring nothing after the first.
FRUITLESS = 5
_FIRST, _LONGEST = 0.1, 5.0


def pauses() -> Iterator[float]:
    """Seconds before each next attempt. Random, so that many readers that were cut off do not come back at once."""
    for attempt in range(FRUITLESS):
        yield random.uniform(0, min(_FIRST * 2**attempt, _LONGEST))  # noqa: S311, no secret
