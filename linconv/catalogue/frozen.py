"""The base of every configuration object, and the markers of its fields."""

from __future__ import annotations

import functools
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=64)]
Names = Annotated[tuple[Name, ...], Field(min_length=1)]
ReportEpoch = Literal["last", "best_validation"]

# Markers of fields: `precision: Annotated[str, OmitDefaultFromHash] = "fp32"`.
OmitDefaultFromHash = "no part of a hash while it has its default value, which means: as before this field existed"
ExcludeFromHash = "never part of a hash: decides speed and memory, no result"


@dataclass(frozen=True)
class Formerly:
    """Marker of a field whose key or values were spelled otherwise once.

    Results and their hashes have the old spelling: it is read, and `identity()` writes it.

    Attributes:
        key: the old key, where that has changed.
        values: pairs of a value and its old spelling.
    """

    key: str | None = None
    values: tuple[tuple[str, str], ...] = ()


class Frozen(BaseModel):
    """Base of every configuration object: immutable, and an unknown key is an error.

    A field marked `OmitDefaultFromHash` is left out of `identity()` while it has its default value: a new field keeps
    the hash of the results that exist. A field marked `ExcludeFromHash` is always left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False)

    def identity(self) -> dict[str, Any]:
        """What two equal descriptions have in common, as JSON-able values: the input of every hash."""
        return self.model_dump(mode="json", context={"identity": True})

    @classmethod
    def formerly_spelled(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Some dumped values with the keys that hashes have."""
        old = {
            name: marker.key
            for name, field in cls.model_fields.items()
            for marker in field.metadata
            if isinstance(marker, Formerly) and marker.key
        }
        return {old.get(name, name): value for name, value in values.items()}

    @model_validator(mode="before")
    @classmethod
    def _read_former_spelling(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        for name, field in cls.model_fields.items():
            for former in (marker for marker in field.metadata if isinstance(marker, Formerly)):
                if former.key in raw and name not in raw:
                    raw = {name if key == former.key else key: value for key, value in raw.items()}
                for value, old in former.values:
                    if raw.get(name) == old:
                        raw = raw | {name: value}
        return raw

    @field_validator("*", mode="before")
    @classmethod
    def _no_bool_as_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """pydantic would read true as 1."""
        annotation: Any = cls.model_fields[str(info.field_name)].annotation
        types = _leaf_types(annotation)
        if bool not in types and types & {int, float}:
            entries = value if isinstance(value, list | tuple) else [value]
            for i, entry in enumerate(entries):
                if isinstance(entry, bool):
                    where = f"entry {i}" if entries is value else "this"
                    raise ValueError(f"a number is expected, but {where} is {str(entry).lower()}")
        return value

    @model_serializer(mode="wrap")
    def _only_identity(self, serialize: SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:
        values = serialize(self)
        if not (info.context and info.context.get("identity")):
            return values
        kept = {k: v for k, v in values.items() if k not in type(self).model_fields}
        for name, field in type(self).model_fields.items():
            is_default = getattr(self, name) == field.default
            if ExcludeFromHash in field.metadata or (OmitDefaultFromHash in field.metadata and is_default):
                continue
            key, value = name, values[name]
            for former in (marker for marker in field.metadata if isinstance(marker, Formerly)):
                key, value = former.key or key, dict(former.values).get(value, value) if former.values else value
            kept[key] = value
        return kept


@functools.cache
def _leaf_types(annotation: Hashable) -> frozenset[type]:
    """The types that a field may hold, at any depth of unions and tuples; `bool` for a literal True or False."""
    arguments = get_args(annotation)
    if get_origin(annotation) is Literal:
        return frozenset(type(value) for value in arguments)
    if get_origin(annotation) is Annotated:
        return _leaf_types(arguments[0])
    if arguments:
        return frozenset().union(*(_leaf_types(argument) for argument in arguments))
    return frozenset([annotation]) if isinstance(annotation, type) else frozenset()
