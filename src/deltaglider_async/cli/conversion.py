"""What Typer's options become: only what is given, and is not what it should be yet, goes through Typer's validators.

Typer makes them with pydantic, one for each option of a command whether it is given or not. To import that and to make
them took a quarter of what a short command takes.
"""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from typer.core import TyperArgument, TyperOption

_PLAIN = (str, int, float, bool)


def validate_only_what_needs_it() -> None:
    """Let Typer do so from now on. A Typer that has other means is left as it is."""
    for kind in (TyperArgument, TyperOption):
        usual: Any = getattr(kind, "get_runtime_param", None)
        if usual is not None and usual.__module__ != __name__:
            setattr(kind, "get_runtime_param", _first_a_look(usual))  # noqa: B010, no type has it


def _first_a_look(usual: Any) -> Any:
    class Look:
        """Stands for what Typer would make at once."""

        def __init__(self, parameter: Any) -> None:
            self._parameter = parameter

        def coerce(self, value: Any, **others: Any) -> Any:
            parameter = self._parameter
            several = parameter.multiple or parameter.nargs == -1
            if value is None:
                return () if several else None
            wanted = parameter.type_descriptor.annotation
            if parameter.type_descriptor.parameter_info.parser is None:
                if not several and wanted in _PLAIN and type(value) is wanted:
                    return value
                if get_origin(wanted) is Literal and type(value) is str and value in get_args(wanted):
                    return value
                if wanted == list[str] and type(value) in (list, tuple) and all(type(each) is str for each in value):
                    return list(value)
            return usual(parameter).coerce(value, **others)

    def get_runtime_param(parameter: Any) -> Look:
        return Look(parameter)

    return get_runtime_param
