"""What there is to do, one frozen object per unit of work."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from deltaglider_async.format.candidates import DEFAULT_POLICY, DeltaPolicy
from deltaglider_async.format.keys import deltaspace


@dataclass(frozen=True, slots=True)
class PutOptions:
    """How objects are written; one instance is shared by all actions of a plan."""

    use_delta: bool | None = None
    """None: the name decides. False: always the plain form."""
    max_ratio: float | None = None
    """None: the client's."""
    policy: DeltaPolicy = field(default=DEFAULT_POLICY, compare=False)
    """The client's, by which objects are put in order; what is stored how, the client decides."""

    def lead(self, bucket: str, key: str) -> str | None:
        """The deltaspace whose reference this object may create or need, None if it is stored plain anyway."""
        if self.use_delta is False or self.max_ratio == 0:
            return None
        if not (self.use_delta or self.policy.is_candidate(bucket, key)):
            return None
        return f"{bucket}/{deltaspace(key)}"


#: The client decides everything.
CLIENT_DECIDES = PutOptions()


@dataclass(frozen=True, slots=True)
class Upload:
    """A local file to an object."""

    path: Path
    bucket: str
    key: str
    size: int | None
    content_type: str | None
    options: PutOptions

    @property
    def lead(self) -> str | None:
        """See `PutOptions.lead`."""
        return self.options.lead(self.bucket, self.key)


@dataclass(frozen=True, slots=True)
class Download:
    """An object to a local file. Nothing outside of `root` is written, however the key reads."""

    bucket: str
    key: str
    path: Path
    root: Path | None
    """The folder that the file must stay in; None where the user named the file itself."""
    size: int | None
    modified: datetime | None
    """Becomes the file's modification time."""

    @property
    def lead(self) -> None:
        """Reading needs no order."""
        return


@dataclass(frozen=True, slots=True)
class Copy:
    """An object to an object, its content type and user metadata with it."""

    bucket: str
    key: str
    to_bucket: str
    to_key: str
    size: int | None
    options: PutOptions

    @property
    def lead(self) -> str | None:
        """See `PutOptions.lead`."""
        return self.options.lead(self.to_bucket, self.to_key)


@dataclass(frozen=True, slots=True)
class Delete:
    """An object to nothing."""

    bucket: str
    key: str

    @property
    def size(self) -> int:
        """Deleting moves no bytes."""
        return 0

    @property
    def lead(self) -> None:
        """Deleting needs no order."""
        return


@dataclass(frozen=True, slots=True, eq=False)
class Refusal:
    """Something that exists and that the plan cannot do: reported as a failure, in its turn."""

    what: str
    """The verb that was asked for: `upload`, `download`, `copy`."""
    source: str
    error: Exception

    @property
    def size(self) -> int:
        """Nothing moves."""
        return 0

    @property
    def lead(self) -> None:
        """Nothing moves."""
        return


Action = Upload | Download | Copy | Delete | Refusal
