"""The base of every configuration object, and the check of a name against those that are known."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Hashable, Iterable
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)

ReportEpoch = Literal["last", "best_validation"]

# Markers of fields: `precision: Annotated[str, OmitDefaultFromHash] = "fp32"`.
OmitDefaultFromHash = "no part of a hash while it has its default value, which means: as before this field existed"
ExcludeFromHash = "never part of a hash: decides speed and memory, no result"


class Frozen(BaseModel):
    """Base of every configuration object: immutable, and an unknown key is an error.

    A field marked `OmitDefaultFromHash` is left out of `identity()` while it has its default value: a new field keeps
    the hash of the results that exist. A field marked `ExcludeFromHash` is always left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False)

    def identity(self) -> dict[str, Any]:
        """What two equal descriptions have in common, as JSON-able values: the input of every hash."""
        return self.model_dump(mode="json", context={"identity": True})

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
            kept[name] = values[name]
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


def nearest(name: str, known: Iterable[str]) -> str:
    """The remedy part of an error about an unknown name: the nearest known one, or all of them."""
    known = list(known)
    by_folded = {k.lower(): k for k in known}
    matches = [k for k in by_folded if k.startswith(name.lower())]
    matches += difflib.get_close_matches(name.lower(), by_folded, n=1, cutoff=0.5)
    if matches:
        return f"did you mean '{by_folded[matches[0]]}'?"
    return "known: " + ", ".join(known)


def check_known(names: Iterable[str], known: Iterable[str], kind: str, place: str = "") -> None:
    """Raise ValueError for the first of `names` that is not in `known`, with the nearest valid one.

    Args:
        place: the key of the configuration that the message begins with, if any.
    """
    known = list(known)
    for name in names:
        if name not in known:
            raise ValueError(f"{place and f'{place}: '}unknown {kind} '{name}'; {nearest(name, known)}")
