"""What there is to do: one frozen object per unit of work, plain data that can be stored or sent (see `wire`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from deltaglider_async.format.candidates import DeltaPolicy
from deltaglider_async.format.keys import deltaspace


@dataclass(frozen=True, slots=True)
class Options:
    """How objects are read and written; one instance is shared by all actions of a plan.

    The mappings hold text, numbers and booleans. They are not to be changed.
    """

    use_delta: bool | None = None
    """None: the name decides. False: always the plain form."""
    max_ratio: float | None = None
    """None: the client's."""
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    """boto3's for PutObject or CopyObject: `ACL`, `StorageClass`, `ContentType`, `MetadataDirective`, ..."""
    metadata: Mapping[str, str] | None = field(default=None, hash=False)
    """The user metadata of what is written. None: the source's, where it has any."""
    access: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What goes with every request: `RequestPayer`, `ExpectedBucketOwner`."""
    reading: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    """What goes with requests that read the source, too: `SSECustomerKey` and its like, `ChecksumMode`."""
    guess_content_type: bool = True
    """Whether an upload's content type follows from the file's name, where `arguments` give none."""
    move: bool = False
    """Whether the source is removed when it has been carried over."""
    recorded_times: bool = False
    """Whether a downloaded file gets the modification time that was recorded when it was uploaded."""

    def lead(self, bucket: str, key: str, policy: DeltaPolicy) -> str | None:
        """The deltaspace whose reference this object may create or need, None if it is stored plain anyway."""
        if self.use_delta is False or self.max_ratio == 0:
            return None
        if not (self.use_delta or policy.is_candidate(bucket, key)):
            return None
        return space_of(bucket, key)

    @property
    def decides_form(self) -> bool:
        """Whether what is written may have another form than the client would give it."""
        return self.use_delta is not None or self.max_ratio is not None


#: The client decides everything.
CLIENT_DECIDES = Options()


def space_of(bucket: str, key: str) -> str:
    """What groups units of work: the deltaspace of a key, with its bucket."""
    return f"{bucket}/{deltaspace(key)}"


@dataclass(frozen=True, slots=True)
class Upload:
    """A local file to an object."""

    path: Path
    bucket: str
    key: str
    size: int | None = None
    options: Options = CLIENT_DECIDES

    def lead(self, policy: DeltaPolicy) -> str | None:
        """See `Options.lead`."""
        return self.options.lead(self.bucket, self.key, policy)

    @property
    def space(self) -> str:
        """Where the object is written."""
        return space_of(self.bucket, self.key)


@dataclass(frozen=True, slots=True)
class Download:
    """An object to a local file. Nothing outside of `root` is written, however the key reads."""

    bucket: str
    key: str
    path: Path
    root: Path | None = None
    """The folder that the file must stay in; None where the user named the file itself."""
    size: int | None = None
    modified: datetime | None = None
    """Becomes the file's modification time."""
    options: Options = CLIENT_DECIDES

    def lead(self, policy: DeltaPolicy) -> None:
        """Reading needs no order."""
        return

    @property
    def space(self) -> str:
        """Where the object is read."""
        return space_of(self.bucket, self.key)


@dataclass(frozen=True, slots=True)
class Copy:
    """An object to an object, its content type and user metadata with it."""

    bucket: str
    key: str
    to_bucket: str
    to_key: str
    size: int | None = None
    options: Options = CLIENT_DECIDES
    stored_size: int | None = None
    """In bytes, where `size` is not known because it is a delta's file's."""

    def lead(self, policy: DeltaPolicy) -> str | None:
        """See `Options.lead`."""
        return self.options.lead(self.to_bucket, self.to_key, policy)

    @property
    def space(self) -> str:
        """Where the object is written."""
        return space_of(self.to_bucket, self.to_key)


@dataclass(frozen=True, slots=True)
class Delete:
    """An object to nothing."""

    bucket: str
    key: str
    options: Options = CLIENT_DECIDES

    @property
    def size(self) -> int:
        """Deleting moves no bytes."""
        return 0

    def lead(self, policy: DeltaPolicy) -> None:
        """Deleting needs no order."""
        return

    @property
    def space(self) -> str:
        """Where the object is."""
        return space_of(self.bucket, self.key)


@dataclass(frozen=True, slots=True)
class DeleteFile:
    """A local file to nothing. A symbolic link is removed, not what it points to."""

    path: Path

    @property
    def size(self) -> int:
        """Deleting moves no bytes."""
        return 0

    def lead(self, policy: DeltaPolicy) -> None:
        """Deleting needs no order."""
        return

    @property
    def space(self) -> str:
        """The folder."""
        return str(self.path.parent)


@dataclass(frozen=True, slots=True)
class Verify:
    """An object is read as a download would, and compared with the SHA-256 recorded at its put."""

    bucket: str
    key: str
    size: int | None = None
    options: Options = CLIENT_DECIDES

    def lead(self, policy: DeltaPolicy) -> None:
        """Reading needs no order."""
        return

    @property
    def space(self) -> str:
        """Where the object is read."""
        return space_of(self.bucket, self.key)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that exists and that the plan leaves out: told in its turn, with the reason."""

    what: str
    """The verb that was asked for: `upload`, `download`, `copy`."""
    source: str
    reason: str

    @property
    def size(self) -> int:
        """Nothing moves."""
        return 0

    def lead(self, policy: DeltaPolicy) -> None:
        """Nothing moves."""
        return

    @property
    def space(self) -> str:
        """None in particular."""
        return ""


Action = Upload | Download | Copy | Delete | DeleteFile | Verify | Refusal
