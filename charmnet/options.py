"""Option records: typed fields with descriptions and bounds, set from text, with errors that name them."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError


def _parse_flag(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise PydanticCustomError("bool_parsing", "expected true or false")


Flag = Annotated[bool, BeforeValidator(_parse_flag)]
"""A boolean that is written `true` or `false`, and nothing else."""


class Options(BaseModel):
    """Base of option records: immutable, without unknown fields, a docstring under each field."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        validate_default=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_flags(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false where a number is expected, which pydantic would take for 1 and 0."""
        kinds = _alternatives(cls.model_fields[str(info.field_name)].annotation)
        if isinstance(value, bool) and bool not in kinds:
            raise PydanticCustomError("flag_for_number", "expected no true or false")
        return value

    def __init__(self, **values: Any) -> None:
        """Validate values given by name.

        Raises:
            ValueError: a value does not fit its field; names the field, the value and what is expected.
        """
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ValueError(describe_errors(type(self), error)) from error

    def replaced(self, **changes: Any) -> Self:
        """Return a record with some fields changed and validated; errors as in the constructor."""
        return type(self)(**{**self.explicit(), **changes})

    def explicit(self) -> dict[str, Any]:
        """Return the fields that were set and not left at their defaults."""
        return {
            name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set
        }

    @classmethod
    def value_from_text(cls, name: str, text: str) -> Any:
        """Return a field's value as the constructor takes it, from `text` as a command line has it.

        An empty text or `none` is None where the field may be None; a tuple is divided at commas.
        """
        annotation = cls.model_fields[name].annotation
        if type(None) in typing.get_args(annotation) and text.lower() in ("", "none"):
            return None
        if any(typing.get_origin(kind) is tuple for kind in _alternatives(annotation)):
            return tuple(part.strip() for part in text.split(",") if part.strip())
        return text

    @classmethod
    def describe_fields(cls, record: Self) -> Iterator[str]:
        """Yield lines for a person: every field with its value, what it may be, and its description."""
        for name, field in cls.model_fields.items():
            value = getattr(record, name)
            if not isinstance(value, Options):
                yield f"{name}={field_text(value)}  ({_type_name(field)})"
                yield f"    {' '.join((field.description or '').split())}"


def field_text(value: Any) -> str:
    """Return a field's value as a command line would set it."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def describe_errors(record: type[BaseModel], error: ValidationError) -> str:
    """Return one line that names each field with its value and what is expected."""
    return "; ".join(_describe(record, details) for details in error.errors(include_url=False))


def _describe(record: type[BaseModel], details: ErrorDetails) -> str:
    kind = details["type"]
    if kind in ("value_error", "assertion_error") and not details["loc"]:
        return str(details["ctx"]["error"])
    name = str(details["loc"][0])
    if kind == "value_error" and isinstance(details["input"], Mapping):  # a record of its own has named it
        return str(details["ctx"]["error"])
    if kind == "value_error":
        return f"{name}={field_text(details['input'])}: {details['ctx']['error']}"
    if kind == "extra_forbidden":
        return f"there is no field {name}; there are {', '.join(record.model_fields)}"
    if kind == "missing":
        return f"{name} is missing"
    return f"{name}={field_text(details['input'])}: expected {_expected(record.model_fields[name], details)}"


def _expected(field: FieldInfo, details: ErrorDetails) -> str:
    context = details.get("ctx", {})
    match details["type"]:
        case "greater_than":
            return f"a number above {context['gt']:g}"
        case "greater_than_equal":
            return f"at least {context['ge']:g}"
        case "less_than":
            return f"a number below {context['lt']:g}"
        case "less_than_equal":
            return f"at most {context['le']:g}"
        case "multiple_of":
            return f"a multiple of {context['multiple_of']:g}"
        case "bool_parsing":
            return "true or false"
    return _type_name(field)


def _type_name(field: FieldInfo) -> str:
    kinds = _alternatives(field.annotation)
    names = " or ".join(_kind_name(kind) for kind in kinds if kind is not type(None))
    bounds = "".join(
        f" {word} {getattr(bound, attribute):g}"
        for bound in field.metadata
        for attribute, word in (("gt", "above"), ("ge", "of at least"), ("lt", "below"), ("le", "of at most"))
        if getattr(bound, attribute, None) is not None
    )
    return f"{names}{bounds}{', or none' if type(None) in kinds else ''}"


def _kind_name(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, typing.get_args(kind)))}"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"one of {', '.join(str(member.value) for member in kind)}"
    if typing.get_origin(kind) is tuple:
        return "a list divided by commas"
    return {int: "a whole number", float: "a number", bool: "true or false", type(None): "none"}.get(
        kind, "text"
    )


def _alternatives(annotation: Any) -> list[Any]:
    """Return the members of a union, or the type itself."""
    if typing.get_origin(annotation) is Annotated:
        return _alternatives(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return [member for part in typing.get_args(annotation) for member in _alternatives(part)]
    return [annotation]
