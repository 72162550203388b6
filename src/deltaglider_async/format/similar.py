"""How like two file names are, as names of versions of one thing are."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

_VERSION = re.compile(r"[0-9]+(?:[._-][0-9]+)*")


def similarity(name: str, other: str) -> float:
    """1.0 for the same name, high where only version numbers differ, halved where the extension differs."""
    if name == other:
        return 1.0
    one, two = name.lower(), other.lower()
    alike = 0.8 * _ratio(_VERSION.sub("#", one), _VERSION.sub("#", two)) + 0.2 * _ratio(one, two)
    return min(0.99, alike if one.rpartition(".")[2] == two.rpartition(".")[2] else alike / 2)


def _ratio(one: str, two: str) -> float:
    return 1.0 if one == two else SequenceMatcher(None, one, two, autojunk=False).ratio()
