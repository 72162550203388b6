"""Which buckets a client of botocore writes to, whoever uses it and whatever the call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

#: How the names of calls begin that change nothing.
_READS = ("Get", "Head", "List", "Select")
_BUCKET = "deltaglider_bucket"


def watch_writes(s3: Any, changed: Callable[[str], None], ignored_key: str) -> Callable[[], None]:
    """Tell `changed` the bucket of each call that may change one: when it begins, and when it has ended.

    Writes of `ignored_key` are not told. Returns what ends the watch.
    """

    def begins(params: Mapping[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        bucket = params.get("Bucket")
        if isinstance(bucket, str) and not model.name.startswith(_READS) and params.get("Key") != ignored_key:
            context[_BUCKET] = bucket
            changed(bucket)

    def ended(context: Mapping[str, Any], **_: Any) -> None:
        if _BUCKET in context:
            changed(context[_BUCKET])

    events = s3.meta.events
    handlers = (("before-parameter-build.s3", begins), ("after-call.s3", ended), ("after-call-error.s3", ended))
    for event, handler in handlers:
        events.register(event, handler)

    def end() -> None:
        for event, handler in handlers:
            events.unregister(event, handler)

    return end
