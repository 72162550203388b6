"""What runs here has a loop on which nothing waits for threads; that it does not block them is shown elsewhere."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def blockbuster() -> None:
    """Instead of the fixture that fails a test which blocks its loop."""
