"""The base of every configuration object, and the check of a name against those that are known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SerializationInfo, SerializerFunctionWrapHandler, model_serializer

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
