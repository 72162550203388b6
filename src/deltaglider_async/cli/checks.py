"""What `dg doctor` looks at, one thing after the other. Nothing here ends it: what is wrong is a result."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import shutil
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.session import Session

from deltaglider_async._version import __version__
from deltaglider_async.cache.survey import free_space, survey
from deltaglider_async.cli import text
from deltaglider_async.cli.run import explain
from deltaglider_async.errors import ConfigurationError, DeltaGliderError
from deltaglider_async.settings import MIB, Settings
from deltaglider_async.streams.threads import in_thread

if TYPE_CHECKING:
    from deltaglider_async.cli.locations import InS3
    from deltaglider_async.cli.options import Connection
    from deltaglider_async.client import DeltaGliderClient

Status = Literal["ok", "warn", "fail"]

#: How long a program may take to say which version it is.
_SECONDS = 10
#: Requests by which latency is measured.
_REQUESTS = 3
#: Of latency, in seconds: from here on it is worth a word.
_SLOW = 0.5
#: Of clocks, in seconds: S3 refuses what is signed 15 minutes away.
_SKEW_NOTED, _SKEW_REFUSED = 60, 900
#: Of room on a disk, in bytes.
_LITTLE, _NONE = 2048 * MIB, 100 * MIB
_INSTALL = (
    "Install it: apt-get install xdelta3, dnf install xdelta, apk add xdelta3, brew install xdelta; or set DG_XDELTA3."
)
#: What goes on without a condition.
_WITHOUT = {
    "PutObject IfNoneMatch": "references are kept under their digest, and IfNoneMatch of callers is refused",
    "CompleteMultipartUpload IfNoneMatch": "references above 16 MiB are kept under their digest",
    "DeleteObject IfMatch": "references without deltas and leftovers stay until dg gc --exclusive",
    "CopyObject CopySourceIfMatch": "copies with new metadata are read and written here",
    "UploadPartCopy CopySourceIfMatch": "copies above 5 GiB are read and written here",
    "PutObject IfMatch": "IfMatch of callers is refused",
    "CompleteMultipartUpload IfMatch": "IfMatch of callers is refused for large files",
}
#: botocore's names of the places where credentials are.
_SOURCES = {
    "env": "the environment",
    "explicit": "the command line",
    "shared-credentials-file": "the shared credentials file",
    "config-file": "the AWS configuration file",
    "assume-role": "a role that the profile assumes",
    "assume-role-with-web-identity": "a role, by a web identity",
    "sso": "single sign-on",
    "login": "aws login",
    "custom-process": "a program that the profile names",
    "container-role": "the container's role",
    "iam-role": "the machine's role",
}


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, and what was found."""

    name: str
    status: Status
    detail: str
    advice: str = ""


async def examine(connection: Connection, place: InS3 | None, variables: Sequence[str]) -> AsyncGenerator[Check, None]:
    """All checks, in their order: this machine, then the service, then the bucket. `variables`: `DG_*` that are set."""
    yield await in_thread(_versions)
    settings: Settings | None = None
    try:
        settings = Settings()
    except ConfigurationError as error:
        yield Check("settings", "fail", str(error), "Correct the variable, or unset it.")
    if settings:
        yield _settings(settings, variables)
    yield await _xdelta3(settings.xdelta3 if settings else os.environ.get("DG_XDELTA3", "xdelta3"))
    if settings:
        for check in await in_thread(_cache, settings):
            yield check
    yield await in_thread(_room, "temporary", Path(gettempdir()), "Set TMPDIR to a folder with more room.")
    credentials = await in_thread(_credentials, connection)
    yield credentials
    if settings is None or credentials.status == "fail":
        return
    try:
        async with connection.client() as client:
            async for check in _service(client, place):
                yield check
    except (DeltaGliderError, BotoCoreError, ClientError) as error:
        yield Check("client", "fail", _why(error), "Correct --endpoint-url, --profile or the AWS configuration.")


def _versions() -> Check:
    others = ", ".join(f"{name} {version(name)}" for name in ("aioboto3", "botocore"))
    python = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    if os.name != "posix":
        return Check("version", "warn", f"{__version__}, {python}, {others}", "Deltas need Linux or macOS.")
    return Check("version", "ok", f"{__version__}, {python}, {others}")


def _settings(settings: Settings, given: Sequence[str]) -> Check:
    known = {f"DG_{each.name.upper()}" for each in fields(Settings)}
    if unknown := [name for name in given if name not in known]:
        return Check("settings", "warn", f"{', '.join(unknown)}: no such variable", "Look at docs/configuration.md.")
    if not settings.max_ratio:
        return Check("settings", "warn", "DG_MAX_RATIO is 0: no deltas are made", "Unset it, or set it to 0.5.")
    return Check("settings", "ok", f"from {', '.join(given)}" if given else "the defaults")


async def _xdelta3(program: str) -> Check:
    # As it is found when it is run: not in a folder that is relative to whatever the current one is.
    path = os.pathsep.join(filter(os.path.isabs, os.environ.get("PATH", os.defpath).split(os.pathsep)))
    found = await in_thread(shutil.which, program, os.F_OK | os.X_OK, path)
    if found is None:
        return Check("xdelta3", "fail", f"there is no {program!r} that can be run", _INSTALL)
    try:
        process = await asyncio.create_subprocess_exec(
            found,
            "-V",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"PATH": path, "LC_ALL": "C"},
        )
    except OSError as error:
        return Check("xdelta3", "fail", f"{found} cannot be run: {error.strerror}", _INSTALL)
    try:
        async with asyncio.timeout(_SECONDS):
            said, _ = await process.communicate()
    except TimeoutError:
        return Check("xdelta3", "fail", f"{found} does not say its version within {_SECONDS} s", _INSTALL)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    match = re.search(rb"ersion (\d+)\.(\d+)\.(\d+)", said)
    if match is None:
        return Check("xdelta3", "fail", f"{found} is no xdelta3: it does not say its version", _INSTALL)
    number = tuple(map(int, match.groups()))
    detail = f"{'.'.join(map(str, number))}, {found}"
    if number < (3, 0, 9):
        return Check(
            "xdelta3", "warn", detail, "Versions before 3.0.9 have errors in memory handling. Get a newer one."
        )
    return Check("xdelta3", "ok", detail)


def _cache(settings: Settings) -> list[Check]:
    try:
        found = survey(settings)
    except OSError as error:
        advice = "Set DG_CACHE_DIR to a folder that can be read, or DG_CACHE_BACKEND=memory."
        return [Check("cache", "fail", f"{error.filename}: {error.strerror}", advice)]
    if settings.cache_backend == "memory":
        return [Check("cache", "ok", f"in memory, at most {text.size(found.limit)} in each process")]
    room = _room(
        "cache", found.folder, "Set DG_CACHE_DIR to a folder with more room, or DG_CACHE_DISK_SIZE_MB to less."
    )
    if not found.lasting:
        kept = Check("cache", "ok", "goes with each command. DG_CACHE_ENCRYPTION_KEY keeps it")
    else:
        entries = text.count(found.entries, "reference")
        kept = Check("cache", "ok", f"{entries}, {text.size(found.size)} of at most {text.size(found.limit)}")
    return [kept, room]


def _room(name: str, folder: Path, advice: str) -> Check:
    try:
        free = free_space(folder)
    except OSError as error:
        return Check(name, "fail", f"{folder}: {error.strerror}", advice)
    status: Status = "fail" if free < _NONE else "warn" if free < _LITTLE else "ok"
    return Check(name, status, f"{text.size(free)} free in {folder}", "" if status == "ok" else advice)


def _credentials(connection: Connection) -> Check:
    if connection.no_sign_request:
        return Check("credentials", "ok", "none, as asked by --no-sign-request")
    try:
        found = Session(profile=connection.profile).get_credentials()
        if found is None:
            raise NoCredentialsError
        found.get_frozen_credentials()  # a role, a program or a sign-on may fail only now
    except (BotoCoreError, ClientError) as error:
        advice = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or use --profile."
        return Check("credentials", "fail", _why(error), advice)
    profile = connection.profile or os.environ.get("AWS_PROFILE")
    of = f", profile {profile}" if profile and found.method not in ("env", "explicit") else ""
    return Check("credentials", "ok", f"from {_SOURCES.get(found.method, found.method)}{of}")


async def _service(client: DeltaGliderClient, place: InS3 | None) -> AsyncGenerator[Check, None]:
    if place is None:
        ask: Callable[[], Any] = client.list_buckets
    else:
        bucket = place.bucket

        def ask() -> Any:
            return client.head_bucket(Bucket=bucket)

    name = f"{client.meta.endpoint_url}, region {client.meta.region_name}"
    took, answer = [], None
    for _ in range(_REQUESTS):
        began = time.monotonic()
        try:
            answer, refusal = await ask(), None
        except (DeltaGliderError, BotoCoreError, ClientError) as error:
            answer, refusal = getattr(error, "response", None), error
            if not (answer or {}).get("ResponseMetadata", {}).get("HTTPHeaders"):
                yield Check(
                    "endpoint", "fail", _why(error), "Check --endpoint-url, AWS_ENDPOINT_URL, proxy and network."
                )
                return
        took.append(time.monotonic() - began)
    yield Check("endpoint", "ok", name)
    best = min(took)
    far = "" if best < _SLOW else "Each request takes that long at least. Is the region right, and the way to it short?"
    yield Check("latency", "warn" if far else "ok", f"{1000 * best:,.0f} ms for a request", far)
    assert answer is not None
    yield _clock(answer["ResponseMetadata"]["HTTPHeaders"].get("date", ""))
    if refusal is not None:
        status: Status = "warn" if place is None else "fail"
        advice = (
            "Name a bucket: dg doctor s3://bucket" if place is None else "Check the bucket's name and who may read it."
        )
        yield Check("access", status, _why(refusal), advice)
        return
    if place is None:
        yield Check("access", "ok", f"{text.count(len(answer.get('Buckets', ())), 'bucket')} can be seen")
        return
    yield Check("access", "ok", f"s3://{place.bucket} can be reached")
    async for check in _bucket(client, place):
        yield check


def _clock(date: str) -> Check:
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return Check("clock", "warn", "the service does not say what time it is")
    away = (datetime.now(UTC) - theirs).total_seconds()
    # Times in headers are whole seconds, and the answer took a while.
    detail = f"{abs(away):,.0f} s {'ahead of' if away > 0 else 'behind'} the service's" if abs(away) > 2 else "in step"
    if abs(away) < _SKEW_NOTED:
        return Check("clock", "ok", detail)
    advice = "Set this machine's clock (timedatectl set-ntp true): 15 minutes away, S3 refuses every request."
    return Check("clock", "fail" if abs(away) >= _SKEW_REFUSED else "warn", detail, advice)


async def _bucket(client: DeltaGliderClient, place: InS3) -> AsyncGenerator[Check, None]:
    try:
        kept = await client.kept_conditions(place.bucket, place.folder)
    except (DeltaGliderError, BotoCoreError, ClientError) as error:
        yield Check("conditions", "fail", _why(error), "Without an answer, nothing is written as a delta.")
        return
    if all(kept.values()):
        yield Check("conditions", "ok", "all are kept: any number of clients may write at once")
    for name, keeps in kept.items():
        if not keeps:
            yield Check("conditions", "warn", f"{name} is not kept, or writing is not allowed", f"So {_WITHOUT[name]}.")
    try:
        rules = (await client.get_bucket_lifecycle_configuration(Bucket=place.bucket))["Rules"]
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "NoSuchLifecycleConfiguration":
            yield Check("lifecycle", "ok", "no rules")
        else:
            yield Check(
                "lifecycle", "warn", f"rules cannot be read: {code}", "They could take references before deltas."
            )
        return
    at_work = [rule for rule in rules if rule.get("Status") == "Enabled"]
    if any("Expiration" in rule or "Transitions" in rule for rule in at_work):
        advice = f"See whether it takes a reference before its deltas: dg fsck s3://{place.bucket}/{place.folder}"
        yield Check("lifecycle", "warn", f"{text.count(len(at_work), 'rule')} that expire or archive objects", advice)
    else:
        yield Check("lifecycle", "ok", f"{text.count(len(at_work), 'rule')}, none that expires or archives objects")


def _why(error: BaseException) -> str:
    return explain(error) or f"{type(error).__name__}: {error}"
