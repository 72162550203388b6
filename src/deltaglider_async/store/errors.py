"""botocore's errors as ours: one exception that is both, with a message that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)

from deltaglider_async.errors import (
    ConfigurationError,
    DeltaGliderError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    StorageIOError,
)

MISSING_KEY = frozenset({"NoSuchKey", "404", "NotFound", "NoSuchVersion"})
_MISSING = MISSING_KEY | {"NoSuchBucket", "NoSuchUpload"}
_PRECONDITION = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "304", "NotModified"})
_INVALID = frozenset({"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch"})

_ADVICE = {
    "NoSuchBucket": "Check the name and the endpoint, or create the bucket (create_bucket, dg mb).",
    "AccessDenied": "Check the credentials and the policies of the bucket.",
    "403": "Check the credentials and the policies of the bucket.",
    "InvalidAccessKeyId": "Check the credentials (AWS_ACCESS_KEY_ID, AWS_PROFILE).",
    "SignatureDoesNotMatch": "Check the secret key (AWS_SECRET_ACCESS_KEY, AWS_PROFILE) and the clock.",
    "ExpiredToken": "The credentials have expired; get new ones.",
    "RequestTimeTooSkewed": "Set this machine's clock.",
    "PermanentRedirect": "The bucket is in another region; give that one (--region, region_name).",
    "BucketNotEmpty": "Delete its objects first; dropped references count too (dg gc --exclusive --older-than 0s).",
    "InvalidObjectState": "It is archived: restore it first (restore_object), which takes hours.",
    "SlowDown": "The service asks for fewer requests; try again later.",
}


@contextmanager
def translated(attempt: str, where: str) -> Iterator[None]:
    """Raise what botocore raises in the block as an exception of ours that is botocore's too.

    `attempt` and `where` read like "put" and "s3://bucket/key".
    """
    try:
        yield
    except DeltaGliderError:
        raise
    except ClientError as error:
        raise _both(_kind(error), error, _describe(error, attempt, where)) from error
    except (ConfigNotFound, ConfigParseError, InvalidRegionError) as error:
        raise _both(ConfigurationError, error, f"cannot {attempt} {where}: {error}") from error
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound, TokenRetrievalError) as error:
        message = f"cannot {attempt} {where}: {error}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile."
        raise _both(ConfigurationError, error, message) from error
    except ParamValidationError as error:
        raise _both(InvalidRequestError, error, f"cannot {attempt} {where}: {error}") from error
    except (BotoConnectionError, HTTPClientError) as error:
        message = f"cannot {attempt} {where}: {error}. Check the endpoint URL and the network."
        raise _both(StorageIOError, error, message) from error
    except BotoCoreError as error:
        raise _both(StorageIOError, error, f"cannot {attempt} {where}: {error}") from error


def code_of(error: BaseException) -> str:
    """The service's error code, empty if it is no answer of the service."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def service_error(
    code: str,
    status: int,
    operation: str,
    message: str,
    kind: type[ClientError] = ClientError,
    *,
    ours: type[DeltaGliderError] | None = None,
) -> Exception:
    """What S3 would answer, for something about a logical key that the engine found out itself.

    It is one of `ours` too, of the kind that the code stands for unless given; `kind` is botocore's class for the code,
    where it has one.
    """
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = kind(answer, operation)
    return _both(ours or _kind(error), error, message)


def refused(message: str) -> Exception:
    """An `InvalidRequestError` that boto3's users catch as well, as `ParamValidationError`."""
    return _both(InvalidRequestError, ParamValidationError(report=message), message)


def invalid_argument(operation: str, message: str) -> Exception:
    """What S3 answers to an argument that cannot be; `InvalidRequestError` too."""
    answer: Any = {
        "Error": {"Code": "InvalidArgument", "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }
    return _both(InvalidRequestError, ClientError(answer, operation), message)


@contextmanager
def answered_as_head(*codes: str) -> Iterator[None]:
    """Give errors with these codes the one of HEAD (`404`, `403`, `412`), with which boto3's transfers begin.

    The class stays: `client.exceptions.NoSuchKey` catches it as well.
    """
    try:
        yield
    except ClientError as error:
        if code_of(error) in codes:
            status = str(error.response["ResponseMetadata"]["HTTPStatusCode"])
            told: Any = {**error.response, "Error": {**error.response["Error"], "Code": status}}
            error.response, error.operation_name = told, "HeadObject"
        raise


@contextmanager
def upload_failures() -> Iterator[None]:
    """Raise what S3 answers as boto3's `upload_file` does, `S3UploadFailedError`; it stays what it was, too."""
    try:
        yield
    except ClientError as error:
        from boto3.exceptions import S3UploadFailedError  # type: ignore[import-untyped]

        raise _both(S3UploadFailedError, error, str(error)) from error


def is_missing_key(error: BaseException) -> bool:
    """Whether this is S3's word for "no such object" (of a HEAD also "no such bucket": it has no body to tell)."""
    return code_of(error) in MISSING_KEY


def _kind(error: ClientError) -> type[DeltaGliderError]:
    code = code_of(error)
    if code in _MISSING:
        return NotFoundError
    if code in _INVALID:
        return InvalidRequestError
    return PreconditionFailedError if code in _PRECONDITION else StorageIOError


def _describe(error: ClientError, attempt: str, where: str) -> str:
    code = code_of(error)
    said = error.response.get("Error", {}).get("Message") or ""
    if code == "NoSuchBucket" or (code in MISSING_KEY and error.operation_name == "HeadBucket"):
        bucket = where.removeprefix("s3://").partition("/")[0]
        return f"cannot {attempt} {where}: there is no bucket {bucket!r}. {_ADVICE['NoSuchBucket']}"
    if code in MISSING_KEY:
        return f"cannot {attempt} {where}: there is no such object."
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    what = f"{code}: {said}" if said and said != code else f"the service answered {code or status}"
    return " ".join(part for part in (f"cannot {attempt} {where}: {what.rstrip('.')}.", _ADVICE.get(code, "")) if part)


def _combined(ours: type[Exception], theirs: type[Exception]) -> type[Exception]:
    """One class that is both, always the same for the same pair.

    Kept on botocore's class, which belongs to one client, so that it goes when the client goes.
    """
    known: dict[type, type[Exception]] = theirs.__dict__.get("_deltaglider", {})
    if ours not in known:
        known[ours] = type(theirs.__name__, (ours, theirs), {"__module__": ours.__module__, "__doc__": theirs.__doc__})
        setattr(theirs, "_deltaglider", known)  # noqa: B010, no type has it
    return known[ours]


def _both(ours: type[Exception], error: Exception, message: str) -> Exception:
    kind: Any = _combined(ours, type(error))
    # Their constructors take other arguments each; what they set is copied instead.
    new: Exception = kind.__new__(kind)
    new.__dict__.update(error.__dict__)
    new.args = (message,)
    return new
