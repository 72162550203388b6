"""Every `DG_*` variable: its default, what it accepts, and what it says of anything else."""

from __future__ import annotations

import base64
import logging
import secrets
import traceback
from dataclasses import FrozenInstanceError, asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from deltaglider_async.errors import ConfigurationError
from deltaglider_async.settings import MIB, Settings, configure_logging, decode_key

DEFAULTS: dict[str, Any] = {
    "DG_MAX_RATIO": 0.5,
    "DG_CACHE_BACKEND": "filesystem",
    "DG_CACHE_MEMORY_SIZE_MB": 100,
    "DG_CACHE_DISK_SIZE_MB": 10_240,
    "DG_CACHE_ENCRYPTION_KEY": None,
    "DG_CACHE_DIR": None,
    "DG_MAX_REFERENCE_SIZE": 1024 * MIB,
    "DG_DELTA_PATTERNS": "default",
    "DG_DELTA_MIN_SIZE": 0,
    "DG_DELTA_MAX_SIZE": None,
    "DG_LOG_LEVEL": "INFO",
    "DG_XDELTA3": "xdelta3",
    "DG_XDELTA3_LEVEL": None,
    "DG_DISABLE_EC2_DETECTION": False,
}
VARIABLES = [*DEFAULTS, "DG_MEMORY_MB"]

VALID: list[tuple[str, str, Any]] = [
    ("DG_MAX_RATIO", "0", 0.0),
    ("DG_MAX_RATIO", "1.0", 1.0),
    ("DG_MAX_RATIO", "0.25", 0.25),
    ("DG_CACHE_BACKEND", "memory", "memory"),
    ("DG_CACHE_BACKEND", "filesystem", "filesystem"),
    ("DG_CACHE_MEMORY_SIZE_MB", "1", 1),
    ("DG_CACHE_DISK_SIZE_MB", "500", 500),
    ("DG_CACHE_DIR", "/var/cache/dg", Path("/var/cache/dg")),
    ("DG_MAX_REFERENCE_SIZE", "0", 0),
    ("DG_MAX_REFERENCE_SIZE", "1000", 1000),
    ("DG_MAX_REFERENCE_SIZE", "512MiB", 512 * MIB),
    ("DG_MAX_REFERENCE_SIZE", "1.5 GB", 1_500_000_000),
    ("DG_MAX_REFERENCE_SIZE", "2GiB", 2048 * MIB),
    ("DG_DELTA_PATTERNS", "*", "*"),
    ("DG_DELTA_PATTERNS", "default,*.bin !releases/app/*.img@1MiB..", "default,*.bin !releases/app/*.img@1MiB.."),
    ("DG_DELTA_MIN_SIZE", "64KiB", 65_536),
    ("DG_DELTA_MAX_SIZE", "10", 10),
    ("DG_MEMORY_MB", "64", 64),
    ("DG_LOG_LEVEL", "debug", "DEBUG"),
    ("DG_LOG_LEVEL", "Warning", "WARNING"),
    ("DG_XDELTA3", "/opt/bin/xdelta3", "/opt/bin/xdelta3"),
    ("DG_XDELTA3_LEVEL", "9", 9),
    ("DG_DISABLE_EC2_DETECTION", "true", True),
    ("DG_DISABLE_EC2_DETECTION", "1", True),
    ("DG_DISABLE_EC2_DETECTION", "yes", True),
    ("DG_DISABLE_EC2_DETECTION", "False", False),
]

INVALID: list[tuple[str, str, str]] = [
    ("DG_MAX_RATIO", "1.01", "0.0 to 1.0"),
    ("DG_MAX_RATIO", "-0.1", "0.0 to 1.0"),
    ("DG_MAX_RATIO", "half", "0.0 to 1.0"),
    ("DG_MAX_RATIO", "nan", "0.0 to 1.0"),
    ("DG_MAX_RATIO", "inf", "0.0 to 1.0"),
    ("DG_CACHE_BACKEND", "redis", "filesystem (the default) or memory"),
    ("DG_CACHE_MEMORY_SIZE_MB", "0", "from 1"),
    ("DG_CACHE_MEMORY_SIZE_MB", "-5", "from 1"),
    ("DG_CACHE_MEMORY_SIZE_MB", "1.5", "whole number"),
    ("DG_CACHE_DISK_SIZE_MB", "ten", "whole number"),
    ("DG_MAX_REFERENCE_SIZE", "3GiB", "up to 2GiB"),
    ("DG_MAX_REFERENCE_SIZE", "-1", "up to 2GiB"),
    ("DG_MAX_REFERENCE_SIZE", "large", "512MiB"),
    ("DG_DELTA_PATTERNS", " , ", "the last one that matches decides"),
    ("DG_DELTA_PATTERNS", "*.bin !", "'!' matches nothing"),
    ("DG_DELTA_PATTERNS", "*.bin /x", "'/x' matches nothing"),
    ("DG_DELTA_PATTERNS", "*@2MiB..1MiB", "'*@2mib..1mib' matches nothing"),
    ("DG_DELTA_PATTERNS", "*@..", "'*@..' has no range of sizes behind @"),
    ("DG_DELTA_PATTERNS", "*@1MiB..x", "'x' is no size"),
    ("DG_DELTA_PATTERNS", "*@1parsec..", "'1parsec' is no size"),
    ("DG_DELTA_MIN_SIZE", "-1", "64KiB"),
    ("DG_DELTA_MAX_SIZE", "large", "2GiB"),
    ("DG_MEMORY_MB", "0", "from 1"),
    ("DG_DISABLE_EC2_DETECTION", "perhaps", "true, 1 or yes"),
    ("DG_XDELTA3_LEVEL", "0", "1 (fastest) to 9"),
    ("DG_LOG_LEVEL", "LOUD", "DEBUG, INFO, WARNING, ERROR or CRITICAL"),
]


def field(variable: str) -> str:
    return variable.removeprefix("DG_").lower()


@pytest.mark.parametrize("variable", DEFAULTS)
@pytest.mark.parametrize("empty", [False, True], ids=["unset", "empty"])
def test_an_unset_or_empty_variable_is_its_default(monkeypatch: pytest.MonkeyPatch, variable: str, empty: bool) -> None:
    if empty:
        monkeypatch.setenv(variable, "")
    assert getattr(Settings(), field(variable)) == DEFAULTS[variable]


def test_memory_defaults_to_a_share_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 64 * 1024 * MIB // 4096}
    monkeypatch.setattr("os.sysconf", pages.__getitem__)
    assert Settings().memory_mb == 16 * 1024
    pages["SC_PHYS_PAGES"] = 1024 * MIB // 4096
    assert Settings().memory_mb == 512
    monkeypatch.delattr("os.sysconf")
    assert Settings().memory_mb == 512


def test_no_variable_is_left_out_of_this_file() -> None:
    assert sorted(map(field, VARIABLES)) == sorted(each.name for each in fields(Settings))


@pytest.mark.parametrize(("variable", "text", "value"), VALID)
def test_what_is_accepted(monkeypatch: pytest.MonkeyPatch, variable: str, text: str, value: Any) -> None:
    monkeypatch.setenv(variable, text)
    assert getattr(Settings(), field(variable)) == value
    monkeypatch.delenv(variable)
    assert getattr(Settings(**{field(variable): text}), field(variable)) == value


@pytest.mark.parametrize(("variable", "text", "accepted"), INVALID)
def test_anything_else_is_named_with_what_is_accepted(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, accepted: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigurationError) as refused:
        Settings()
    message = str(refused.value)
    assert message.startswith(f"{variable}: '{text}' is not accepted")
    assert accepted in message
    assert isinstance(refused.value, ValueError)


def test_a_maximum_below_the_minimum_is_refused() -> None:
    Settings(delta_min_size=5, delta_max_size=5)
    with pytest.raises(ConfigurationError, match="DG_DELTA_MAX_SIZE: 4 is not accepted"):
        Settings(delta_min_size=5, delta_max_size=4)


def test_every_wrong_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DG_MAX_RATIO", "2")
    monkeypatch.setenv("DG_LOG_LEVEL", "LOUD")
    with pytest.raises(ConfigurationError, match=r"(?s)DG_MAX_RATIO.*\n.*DG_LOG_LEVEL"):
        Settings()


def test_an_argument_beats_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DG_MAX_RATIO", "0.1")
    assert Settings(max_ratio=0.2).max_ratio == 0.2
    monkeypatch.setenv("DG_MAX_RATIO", "wrong")
    assert Settings(max_ratio=0.2).max_ratio == 0.2


def test_an_unknown_setting_is_refused_and_an_unknown_variable_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tools have `DG_*` variables too, and so has the original."""
    monkeypatch.setenv("DG_SUPPRESS_DEPRECATION", "1")
    Settings()
    with pytest.raises(ConfigurationError, match=r"'max_ration' is no setting.*max_ratio"):
        Settings(max_ration=0.5)


def test_a_program_gives_values_of_their_own_types() -> None:
    given: dict[str, Any] = {
        "max_ratio": 1, "cache_disk_size_mb": 7, "cache_dir": Path("/var/cache/dg"), "max_reference_size": MIB,
        "delta_max_size": None, "xdelta3_level": 3, "disable_ec2_detection": True,
    }  # fmt: skip
    settings = Settings(**given)
    assert {name: getattr(settings, name) for name in given} == given
    assert type(settings.max_ratio) is float
    assert replace(settings, max_ratio=0.5) == Settings(**given | {"max_ratio": 0.5}) != settings
    assert Settings(delta_max_size="1.1 KiB").delta_max_size == 1126


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_ratio": None}, {"cache_disk_size_mb": 1.5}, {"cache_disk_size_mb": None}, {"cache_dir": 7},
        {"max_reference_size": 1.5}, {"max_reference_size": None}, {"delta_patterns": None}, {"log_level": 10},
        {"xdelta3": 3}, {"xdelta3": None}, {"disable_ec2_detection": None}, {"delta_max_size": "1iB"},
        {"delta_max_size": "1 1"}, {"cache_backend": ["memory"]}, {"cache_encryption_key": 5},
    ],
    ids=str,
)  # fmt: skip
def test_values_of_other_types_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"DG_{next(iter(wrong)).upper()}"):
        Settings(**wrong)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().max_ratio = 0.1  # type: ignore[misc]


# -- the key

KEY = bytes(range(200, 232))  # its base64 has both of the characters that differ between alphabets
URL_SAFE = base64.urlsafe_b64encode(KEY).decode()
STANDARD = base64.b64encode(KEY).decode()


@pytest.mark.parametrize(
    "text",
    [
        STANDARD,
        URL_SAFE,
        URL_SAFE.rstrip("="),
        f"  {STANDARD}\n",
        base64.b64encode(URL_SAFE.encode()).decode(),
        base64.urlsafe_b64encode(STANDARD.encode()).decode(),
    ],
    ids=["standard", "URL-safe", "unpadded", "with a line end", "doubled", "doubled standard"],
)
def test_a_key_is_accepted_in_every_form(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert {"-", "_"} & set(URL_SAFE)
    monkeypatch.setenv("DG_CACHE_ENCRYPTION_KEY", text)
    key = Settings().cache_encryption_key
    assert key is not None
    assert key.get_secret_value() == KEY
    assert decode_key(text) == decode_key(text.encode()) == KEY


def test_no_two_random_keys_are_confused() -> None:
    for _ in range(200):
        key = secrets.token_bytes(32)
        assert decode_key(base64.b64encode(key)) == key
        assert decode_key(base64.b64encode(base64.urlsafe_b64encode(key))) == key


WRONG_KEYS = [
    "correct-horse-battery-staple",
    "hunter2!hunter2!hunter2!",
    STANDARD[:-4],
    base64.b64encode(KEY + b"x").decode(),
    base64.b64encode(KEY[:31]).decode(),
    "ключ" * 8,
]


@pytest.mark.parametrize("text", WRONG_KEYS, ids=range(len(WRONG_KEYS)))
def test_a_wrong_key_is_never_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    monkeypatch.setenv("DG_CACHE_ENCRYPTION_KEY", text)
    with caplog.at_level(logging.DEBUG), pytest.raises(ConfigurationError) as refused:
        Settings()
    message = str(refused.value)
    assert message.startswith("DG_CACHE_ENCRYPTION_KEY")
    assert "32 random bytes in base64" in message
    shown = "".join([message, repr(refused.value), *traceback.format_exception(refused.value), caplog.text])
    assert text not in shown
    assert text[:10] not in shown
    # Nor where a reporter of errors follows the chain.
    assert text not in repr(refused.value.__context__)
    assert text not in repr(refused.value.__cause__)


def test_a_right_key_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DG_CACHE_ENCRYPTION_KEY", STANDARD)
    settings = Settings()
    shown = f"{settings} {settings!r} {asdict(settings)} {vars(settings)}"
    assert STANDARD not in shown
    assert repr(KEY)[2:-1] not in shown
    monkeypatch.setenv("DG_MAX_RATIO", "2")
    with pytest.raises(ConfigurationError) as refused:
        Settings()
    assert STANDARD not in "".join(traceback.format_exception(refused.value))
    assert STANDARD not in repr(refused.value.__context__)


def test_the_level_is_that_of_this_packages_logger_alone() -> None:
    logger, root = logging.getLogger("deltaglider_async"), logging.getLogger()
    before = logger.level, root.level, list(root.handlers)
    try:
        configure_logging("ERROR")
        assert logger.level == logging.ERROR
        assert (root.level, root.handlers, logger.handlers) == (before[1], before[2], [])
    finally:
        logger.setLevel(before[0])
