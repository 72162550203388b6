"""Which objects are worth a delta: by name, and by how the content begins."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from functools import lru_cache

from deltaglider_async.settings import ORIGINALS_LIST, DeltaRule, Settings, delta_rules

#: The original's list (docs/bucket-format.md). `.tar.gz` and its family end in one of these.
CANDIDATE_SUFFIXES = (
    ".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".dmg", ".iso", ".pkg", ".deb", ".rpm",
    ".apk", ".jar", ".war", ".ear",
)  # fmt: skip

#: What xdelta3 recognises as externally compressed, and would silently decompress and recompress with the
#: machine's own tools on reading (its table `extcomp_types`; xz by its first two bytes, to be on the safe side).
_STREAM_MAGIC = {b"\x1f\x8b": "gzip", b"\x1f\x9d": "compress", b"BZh": "bzip2", b"\xfd7": "xz"}

#: How many first bytes `compressed_stream` looks at.
MAGIC_LENGTH = max(map(len, _STREAM_MAGIC))


@dataclass(frozen=True, slots=True)
class DeltaPolicy:
    """Which objects are delta candidates: the last rule that matches an object decides, none means no.

    `smallest` and `largest`, in bytes, hold for all of them.
    """

    rules: tuple[DeltaRule, ...]
    smallest: int = 0
    largest: int | None = None

    @classmethod
    def of(cls, settings: Settings) -> DeltaPolicy:
        """The policy of a client."""
        return cls(delta_rules(settings.delta_patterns), settings.delta_min_size, settings.delta_max_size)

    def is_candidate(self, bucket: str, key: str, size: int | None = None) -> bool:
        """Whether a put of this key should try a delta. Without `size` (bytes): whether one of some size would."""
        return not self.why_not(bucket, key, size)

    def why_not(self, bucket: str, key: str, size: int | None = None) -> str:
        """Why an object is no candidate; empty for one that is."""
        matching = [rule for rule in self.rules if _pattern_matches(rule, bucket, key)]
        if size is None:
            # A rule for some sizes only takes a name away for these, and leaves it to others.
            matching = [rule for rule in matching if rule.candidate or not rule.bounded]
            return "" if matching and matching[-1].candidate else "the name is no delta candidate"
        fitting = [rule for rule in matching if _between(rule.smallest, size, rule.largest)]
        if fitting and fitting[-1].candidate:
            within = _between(self.smallest, size, self.largest)
            return "" if within else "its size is not within DG_DELTA_MIN_SIZE and DG_DELTA_MAX_SIZE"
        if fitting == matching or not any(rule.candidate for rule in matching):
            return "the name is no delta candidate"
        return "the name is no delta candidate at this size"


def _between(smallest: int, size: int, largest: int | None) -> bool:
    return smallest <= size and (largest is None or size <= largest)


def _pattern_matches(rule: DeltaRule, bucket: str, key: str) -> bool:
    if rule.pattern == ORIGINALS_LIST:
        return key.lower().endswith(CANDIDATE_SUFFIXES)
    whole = f"{bucket}/{key}" if "/" in rule.pattern else key.rpartition("/")[2]
    return _compiled(rule.pattern).match(whole.lower()) is not None


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


#: What a client does that is not told otherwise.
DEFAULT_POLICY = DeltaPolicy(delta_rules(ORIGINALS_LIST))


def compressed_stream(head: bytes) -> str | None:
    """The compression (`gzip`, `bzip2`, `xz`, `compress`) that content with these first bytes has as a whole.

    Such content neither becomes a delta nor a reference: a small change changes all compressed bytes after
    it, and the original could not decode a delta whose reference starts like this (it decompresses it first).
    """
    return next((name for magic, name in _STREAM_MAGIC.items() if head.startswith(magic)), None)
