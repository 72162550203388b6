"""Every `DG_*` variable, validated once, each error naming its variable."""

from __future__ import annotations

import base64
import binascii
import logging
import operator
import os
import re
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from deltaglider_async.errors import ConfigurationError

MIB = 1024 * 1024
#: xdelta3 refuses a source window (`-B`) above this.
LARGEST_REFERENCE = 2048 * MIB

#: In `delta_patterns`, the names that the original makes deltas of.
ORIGINALS_LIST = "default"

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


def _default_memory() -> int:
    """A quarter of the machine's memory, at least 512 MiB, in MiB."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        total = 0
    return max(512, total // 4 // MIB)


class Secret:
    """Bytes that are not shown by accident: not by `repr`, nor in a traceback or a log record."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def get_secret_value(self) -> bytes:
        """The bytes."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('**********')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class _UnacceptableError(ValueError):
    """Says why a value is not accepted, where that is more than what would be."""


# What reads a setting, from the text of a variable or from what a program gives. It raises `ValueError` or `TypeError`.


def _number(smallest: float, largest: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if not smallest <= (number := float(value)) <= largest:  # which nan is not
            raise ValueError
        return number

    return read


def _whole(smallest: int, largest: int | None = None) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        number = int(value) if isinstance(value, str) else operator.index(value)
        if number < smallest or (largest is not None and number > largest):
            raise ValueError
        return number

    return read


def _size(largest: int | None = None) -> Callable[[Any], int]:
    in_bytes = _whole(0, largest)
    return lambda value: in_bytes(_bytes(value) if isinstance(value, str) else value)


def _one_of(*accepted: str) -> Callable[[Any], str]:
    return lambda value: accepted[accepted.index(value)]


def _level(value: Any) -> str:
    return _one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")(value.upper() if isinstance(value, str) else value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _patterns(value: Any) -> str:
    delta_rules(_text(value))
    return str(value)


_YES, _NO = ("true", "1", "yes", "on", "y", "t"), ("false", "0", "no", "off", "n", "f")


def _yes_or_no(value: Any) -> bool:
    if (said := str(value).lower()) not in _YES + _NO:
        raise ValueError
    return said in _YES


def _key(value: Any) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str | bytes) or (key := decode_key(value)) is None:
        raise ValueError
    return Secret(key)


def _setting(default: Any, read: Callable[[Any], Any], accepted: str) -> Any:
    """A field. `default` is a value, or a function that finds one. Where it is None, None is accepted."""
    kind: dict[str, Any] = {"default_factory" if callable(default) else "default": default}
    return field(**kind, metadata={"read": read, "accepted": accepted})


@dataclass(frozen=True, init=False)
class Settings:
    """How a client works. A keyword argument beats the environment, which beats the default.

    Raises `ConfigurationError` for a value that is not accepted: it names the variable, the value
    (never that of a key) and what is accepted.
    """

    # Written without a library for such things: importing one took as long as a small listing.

    max_ratio: float = _setting(0.5, _number(0, 1), "a number from 0.0 to 1.0; the default is 0.5.")
    """A delta is kept if it is at most this share of the original. 0: no deltas, no references."""

    cache_backend: Literal["filesystem", "memory"] = _setting(
        "filesystem", _one_of("filesystem", "memory"), "filesystem (the default) or memory."
    )
    """Where references are kept between operations. Encrypted in both."""

    cache_memory_size_mb: int = _setting(100, _whole(1), "a whole number of MiB from 1; the default is 100.")
    """Bound of the `memory` cache in MiB."""

    cache_disk_size_mb: int = _setting(10_240, _whole(1), "a whole number of MiB from 1; the default is 10240.")
    """Bound of the `filesystem` cache in MiB."""

    cache_encryption_key: Secret | None = _setting(
        None, _key, "32 random bytes in base64, URL-safe or standard. Make one with: openssl rand -base64 32"
    )
    """32 bytes in base64. With it the cache is a folder that processes and restarts share."""

    cache_dir: Path | None = _setting(None, Path, "the path of a folder.")
    """The shared cache's folder. Default: `deltaglider-async` in the user's cache folder."""

    max_reference_size: int = _setting(
        1024 * MIB, _size(LARGEST_REFERENCE), "bytes, or a size such as 512MiB, up to 2GiB; the default is 1GiB."
    )
    """Largest file, in bytes or with a unit (`512MiB`), that may become a reference."""

    delta_patterns: str = _setting(
        ORIGINALS_LIST,
        _patterns,
        "patterns with spaces or commas between them, such as `default *.bin releases/app/*.img@1MiB..2GiB !*.iso`; "
        "the last one that matches decides. The default is `default`, the original's list.",
    )
    """Which names are delta candidates; `delta_rules` reads it."""

    delta_min_size: int = _setting(0, _size(), "bytes, or a size such as 64KiB; the default is 0.")
    """A smaller file is no delta candidate."""

    delta_max_size: int | None = _setting(
        None, _size(), "bytes, or a size such as 2GiB, not below DG_DELTA_MIN_SIZE; by default none."
    )
    """A larger file is no delta candidate."""

    memory_mb: int = _setting(
        _default_memory, _whole(1), "a whole number of MiB from 1; the default is a quarter of the machine's memory."
    )
    """MiB that references in use and xdelta3 processes may take together, for puts and for gets each."""

    log_level: LogLevel = _setting("INFO", _level, "DEBUG, INFO, WARNING, ERROR or CRITICAL.")
    """Level of the `deltaglider_async` logger."""

    xdelta3: str = _setting("xdelta3", _text, "the path or name of the xdelta3 program.")
    """Path or name of the xdelta3 program."""

    xdelta3_level: int | None = _setting(
        None, _whole(1, 9), "1 (fastest) to 9 (smallest deltas); the default is a choice by size and content."
    )
    """How hard xdelta3 tries, 1 to 9. Default: by the reference's size and content."""

    disable_ec2_detection: bool = _setting(False, _yes_or_no, "true, 1 or yes; false, 0 or no, which is the default.")
    """`dg migrate` does not look whether it runs on EC2, and in which region."""

    def __init__(self, **values: Any) -> None:
        wrong: list[str] = []
        for each in fields(type(self)):
            given = values.pop(each.name, os.environ.get(f"DG_{each.name.upper()}") or _UNSET)
            try:
                object.__setattr__(self, each.name, _value(each, given, self))
            except (ValueError, TypeError) as error:
                wrong.append(_describe(each, given, str(error) if isinstance(error, _UnacceptableError) else ""))
        if values:
            known = ", ".join(sorted(each.name for each in fields(type(self))))
            wrong += [f"settings: {name!r} is no setting. Known: {known}." for name in values]
        if wrong:  # said here, outside of the block above: an error that knows the key must not be this one's context
            raise ConfigurationError("\n".join(wrong))


_UNSET: Any = object()


def _value(setting: Field[Any], given: Any, others: Settings) -> Any:
    if given is _UNSET:
        return setting.default if setting.default_factory is MISSING else setting.default_factory()
    if given is None and setting.default is None:
        return None
    value = setting.metadata["read"](given)
    if setting.name == "delta_max_size" and value < getattr(others, "delta_min_size", 0):
        raise _UnacceptableError("less than DG_DELTA_MIN_SIZE")
    return value


def decode_key(text: str | bytes) -> bytes | None:
    """32 bytes from base64, URL-safe or standard, or from the doubled form (base64 of base64).

    The original's guide prints a key that is base64 of a Fernet key, which is itself base64.
    """
    raw = text.strip().encode() if isinstance(text, str) else text.strip()
    for _ in range(2):
        try:
            raw = base64.b64decode(raw.replace(b"-", b"+").replace(b"_", b"/") + b"=" * (-len(raw) % 4), validate=True)
        except (binascii.Error, ValueError):
            return None
        if len(raw) == 32:
            return raw
    return None


@dataclass(frozen=True, slots=True)
class DeltaRule:
    """One word of `delta_patterns`. Sizes in bytes."""

    pattern: str
    """In lower case. With a `/` it is matched with `bucket/key`, else with the key's last component."""
    candidate: bool = True
    smallest: int = 0
    largest: int | None = None

    @property
    def bounded(self) -> bool:
        """Whether the rule is for some sizes only."""
        return self.smallest > 0 or self.largest is not None


_SIZES = re.compile(r"@([0-9]\S*)?\.\.(\S*)$")
_SIZE = re.compile(r"\s*(\d*\.?\d+)\s*([kmgtpe]?)(i?)b?\s*", re.IGNORECASE)


def delta_rules(text: str) -> tuple[DeltaRule, ...]:
    """Read `delta_patterns`: words, each `pattern` or `!pattern`, and perhaps `@smallest..largest` behind it.

    Raises `ValueError`.
    """
    if not (words := text.lower().replace(",", " ").split()):
        raise _UnacceptableError("no pattern is named")
    return tuple(map(_rule, words))


def _rule(word: str) -> DeltaRule:
    pattern, smallest, largest = word.removeprefix("!").removeprefix("s3://"), 0, None
    if sizes := _SIZES.search(pattern):
        if not any(sizes.groups()):
            raise _UnacceptableError(f"{word!r} has no range of sizes behind @")
        pattern = pattern[: sizes.start()]
        smallest, largest = _bytes(sizes[1] or "0"), _bytes(sizes[2]) if sizes[2] else None
    if not pattern or pattern.startswith("/") or (largest is not None and largest < smallest):
        raise _UnacceptableError(f"{word!r} matches nothing")
    if pattern.endswith("/"):
        pattern += "*"
    return DeltaRule(pattern, not word.startswith("!"), smallest, largest)


def _bytes(text: str) -> int:
    if (size := _SIZE.fullmatch(text)) is None or (size[3] and not size[2]):
        raise _UnacceptableError(f"{text!r} is no size")
    unit: int = (1024 if size[3] else 1000) ** " kmgtpe".index(size[2].lower() or " ")
    whole, _, fraction = size[1].partition(".")
    return int(whole + fraction) * unit // int("1" + "0" * len(fraction))


def _describe(setting: Field[Any], given: Any, why: str) -> str:
    variable, accepted = f"DG_{setting.name.upper()}", f"Accepted: {setting.metadata['accepted']}"
    if setting.name == "cache_encryption_key":
        return f"{variable}: the value (not shown) is no key. {accepted}"
    return f"{variable}: {given!r} is not accepted{f' ({why})' if why else ''}. {accepted}"


def configure_logging(level: LogLevel) -> None:
    """Set the level of this package's logger; handlers are the application's own business."""
    logging.getLogger("deltaglider_async").setLevel(level)
