"""The arguments of a call, checked by botocore's own description of the operation."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ParamValidationError
from botocore.handlers import validate_ascii_metadata
from botocore.validate import ParamValidator

from deltaglider_async.store.errors import translated

if TYPE_CHECKING:
    from botocore.model import ServiceModel


#: What may be given as bytes: botocore spells it in base64 before it looks at types, unless its MD5 is given, too.
_CUSTOMER_KEYS = ("SSECustomerKey", "CopySourceSSECustomerKey")


def check(service: ServiceModel, operation: str, arguments: Mapping[str, Any]) -> None:
    """Raise what boto3 raises for a misspelled argument, or one of a wrong type, before anything is sent.

    That is an `InvalidRequestError` which is botocore's `ParamValidationError` too. `arguments` need not be complete;
    None counts as not given. What only the service can tell is left to it.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    for name in _CUSTOMER_KEYS:
        if isinstance(given.get(name), bytes | bytearray) and f"{name}MD5" not in given:
            given[name] = ""
    shape: Any = copy.copy(service.operation_model(operation).input_shape)
    shape.metadata = {**shape.metadata, "required": []}  # Python itself asks for those
    report = ParamValidator().validate(given, shape)
    with translated("call", operation):
        if report.has_errors():
            raise ParamValidationError(report=report.generate_report())
        validate_ascii_metadata(given)
