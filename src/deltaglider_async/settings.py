"""Every `DG_*` variable, validated once, each error naming its variable."""

from __future__ import annotations

import base64
import binascii
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    SecretBytes,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)

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


class Settings(BaseModel):
    """How a client works. A keyword argument beats the environment, which beats the default.

    Raises `ConfigurationError` for a value that is not accepted: it names the variable, the value
    (never that of a key) and what is accepted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_ratio: float = Field(default=0.5, ge=0, le=1)
    """A delta is kept if it is at most this share of the original. 0: no deltas, no references."""

    cache_backend: Literal["filesystem", "memory"] = "filesystem"
    """Where references are kept between operations. Encrypted in both."""

    cache_memory_size_mb: int = Field(default=100, ge=1)
    """Bound of the `memory` cache in MiB."""

    cache_disk_size_mb: int = Field(default=10_240, ge=1)
    """Bound of the `filesystem` cache in MiB."""

    cache_encryption_key: SecretBytes | None = None
    """32 bytes in base64. With it the cache is a folder that processes and restarts share."""

    cache_dir: Path | None = None
    """The shared cache's folder. Default: `deltaglider-async` in the user's cache folder."""

    max_reference_size: ByteSize = Field(default=ByteSize(1024 * MIB), ge=0, le=LARGEST_REFERENCE)
    """Largest file, in bytes or with a unit (`512MiB`), that may become a reference."""

    delta_patterns: str = ORIGINALS_LIST
    """Which names are delta candidates; `delta_rules` reads it."""

    delta_min_size: ByteSize = Field(default=ByteSize(0), ge=0)
    """A smaller file is no delta candidate."""

    delta_max_size: ByteSize | None = Field(default=None, ge=0)
    """A larger file is no delta candidate."""

    memory_mb: int = Field(default_factory=_default_memory, ge=1)
    """MiB that references in use and xdelta3 processes may take together, for puts and for gets each."""

    log_level: LogLevel = "INFO"
    """Level of the `deltaglider_async` logger."""

    xdelta3: str = "xdelta3"
    """Path or name of the xdelta3 program."""

    xdelta3_level: int | None = Field(default=None, ge=1, le=9)
    """How hard xdelta3 tries, 1 to 9. Default: by the reference's size and content."""

    disable_ec2_detection: bool = False
    """`dg migrate` does not look whether it runs on EC2, and in which region."""

    def __init__(self, **values: Any) -> None:
        variables = {name: os.environ.get(f"DG_{name.upper()}") for name in type(self).model_fields}
        try:
            super().__init__(**{name: text for name, text in variables.items() if text} | values)
        except ValidationError as error:
            wrong = "\n".join(_describe(dict(item)) for item in error.errors())
        else:
            return
        # Outside of the block: the error must not carry pydantic's as its context, which shows the key.
        raise ConfigurationError(wrong)

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("delta_patterns")
    @classmethod
    def _read_patterns(cls, value: str) -> str:
        delta_rules(value)
        return value

    @field_validator("delta_max_size")
    @classmethod
    def _not_below_the_minimum(cls, value: ByteSize | None, found: ValidationInfo) -> ByteSize | None:
        if value is not None and value < found.data.get("delta_min_size", 0):
            raise ValueError("less than DG_DELTA_MIN_SIZE")
        return value

    @field_validator("cache_encryption_key", mode="before")
    @classmethod
    def _decode_key(cls, value: object) -> object:
        if value is None or isinstance(value, SecretBytes):
            return value
        key = decode_key(value) if isinstance(value, (str, bytes)) else None
        if key is None:
            raise ValueError("32 bytes in base64")
        return SecretBytes(key)


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
_SIZE = TypeAdapter(ByteSize)


def delta_rules(text: str) -> tuple[DeltaRule, ...]:
    """Read `delta_patterns`: words, each `pattern` or `!pattern`, and perhaps `@smallest..largest` behind it.

    Raises `ValueError`.
    """
    if not (words := text.lower().replace(",", " ").split()):
        raise ValueError("no pattern is named")
    return tuple(map(_rule, words))


def _rule(word: str) -> DeltaRule:
    pattern, smallest, largest = word.removeprefix("!").removeprefix("s3://"), 0, None
    if sizes := _SIZES.search(pattern):
        if not any(sizes.groups()):
            raise ValueError(f"{word!r} has no range of sizes behind @")
        pattern = pattern[: sizes.start()]
        smallest, largest = _bytes(sizes[1]) or 0, _bytes(sizes[2])
    if not pattern or pattern.startswith("/") or (largest is not None and largest < smallest):
        raise ValueError(f"{word!r} matches nothing")
    if pattern.endswith("/"):
        pattern += "*"
    return DeltaRule(pattern, not word.startswith("!"), smallest, largest)


def _bytes(text: str | None) -> int | None:
    try:
        return None if not text else int(_SIZE.validate_python(text))
    except ValidationError:
        raise ValueError(f"{text!r} is no size") from None


def _describe(error: dict[str, Any]) -> str:
    name = str(error["loc"][0]) if error["loc"] else "settings"
    field = Settings.model_fields.get(name)
    if field is None:
        return f"settings: {name!r} is no setting. Known: {', '.join(sorted(Settings.model_fields))}."
    variable = f"DG_{name.upper()}"
    if name == "cache_encryption_key":
        return (
            f"{variable}: the value (not shown) is no key. Accepted: 32 random bytes in base64, URL-safe or "
            "standard. Make one with: openssl rand -base64 32"
        )
    why = error.get("ctx", {}).get("error")  # of a validator of ours
    return (
        f"{variable}: {error['input']!r} is not accepted{f' ({why})' if why else ''}. "
        f"{_ACCEPTED.get(name, error['msg'])}"
    )


_ACCEPTED = {
    "max_ratio": "Accepted: a number from 0.0 to 1.0; the default is 0.5.",
    "cache_backend": "Accepted: filesystem (the default) or memory.",
    "cache_memory_size_mb": "Accepted: a whole number of MiB from 1; the default is 100.",
    "cache_disk_size_mb": "Accepted: a whole number of MiB from 1; the default is 10240.",
    "cache_dir": "Accepted: the path of a folder.",
    "max_reference_size": "Accepted: bytes, or a size such as 512MiB, up to 2GiB; the default is 1GiB.",
    "delta_patterns": (
        "Accepted: patterns with spaces or commas between them, such as `default *.bin releases/app/*.img@1MiB..2GiB "
        "!*.iso`; the last one that matches decides. The default is `default`, the original's list."
    ),
    "delta_min_size": "Accepted: bytes, or a size such as 64KiB; the default is 0.",
    "delta_max_size": "Accepted: bytes, or a size such as 2GiB, not below DG_DELTA_MIN_SIZE; by default none.",
    "memory_mb": "Accepted: a whole number of MiB from 1; the default is a quarter of the machine's memory.",
    "log_level": "Accepted: DEBUG, INFO, WARNING, ERROR or CRITICAL.",
    "xdelta3": "Accepted: the path or name of the xdelta3 program.",
    "xdelta3_level": "Accepted: 1 (fastest) to 9 (smallest deltas); the default is a choice by size and content.",
    "disable_ec2_detection": "Accepted: true, 1 or yes; false, 0 or no, which is the default.",
}


def configure_logging(level: LogLevel) -> None:
    """Set the level of this package's logger; handlers are the application's own business."""
    logging.getLogger("deltaglider_async").setLevel(level)
