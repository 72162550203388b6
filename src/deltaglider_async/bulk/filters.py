"""`--include` and `--exclude`, as `aws s3` understands them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate
from typing import Literal

Rule = tuple[Literal["include", "exclude"], str]


@dataclass(frozen=True, slots=True)
class Filters:
    """Everything is in at first; the last rule whose pattern matches decides.

    `*` and `?` match `/` too, `[...]` is a set; patterns are relative to the source and cover the whole name.
    """

    rules: tuple[tuple[bool, re.Pattern[str]], ...] = ()

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> Filters:
        """From rules in the order of the command line."""
        return cls(tuple((kind == "include", re.compile(translate(pattern))) for kind, pattern in rules))

    def allow(self, name: str) -> bool:
        """Whether the object of this name, relative to the source and with `/` between its parts, is in."""
        return next((include for include, pattern in reversed(self.rules) if pattern.match(name)), True)


EVERYTHING = Filters()
