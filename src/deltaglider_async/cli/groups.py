"""Options in groups: a command takes a dataclass, and has an option for each of its fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from inspect import Parameter
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A command for Typer whose parameters are those of `command`, dataclasses replaced by their fields."""
    parameters: list[Parameter] = []
    groups: dict[str, tuple[type[Any], list[str]]] = {}
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        kind = parameter.annotation
        if isinstance(kind, type) and is_dataclass(kind):
            hints = get_type_hints(kind, include_extras=True)
            groups[parameter.name] = kind, [field.name for field in fields(kind)]
            parameters += [
                Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name])
                for field in fields(kind)
            ]
        else:
            parameters.append(parameter.replace(kind=Parameter.KEYWORD_ONLY))

    def with_groups(**values: Any) -> None:
        for name, (kind, members) in groups.items():
            values[name] = kind(**{member: values.pop(member) for member in members})
        command(**values)

    with_groups.__doc__, with_groups.__name__ = command.__doc__, command.__name__
    with_groups.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    vars(with_groups)["__signature__"] = inspect.Signature(parameters)
    return with_groups
