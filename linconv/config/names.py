"""The names a configuration may use, known without importing torch.

The tests hold both tables against the real registries of `linconv.models` and `linconv.data`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SerializationInfo, SerializerFunctionWrapHandler, model_serializer

# Architecture -> output channels of its widest replaceable convolution: enough to tell, before any job
# starts, that a rank exceeds the primary filters of every layer.
ARCHITECTURES: dict[str, int] = {
    "base": 256,
    "vgg11": 512,
    "allconv": 192,
    "resnet18": 512,
    "resnext29": 1024,
    "mobilenetv2": 1280,
    "squeezenet": 256,
}

DATASETS: tuple[str, ...] = ("digits", "synthetic", "mnist", "fashionmnist", "cifar10", "cifar100", "svhn", "imagenet")

ReportEpoch = Literal["last", "best_validation"]

LATER = "added after results were published"
MACHINE = "decides speed and memory, never a result"


class Frozen(BaseModel):
    """Base of every configuration object: immutable, and an unknown key is an error.

    A field annotated with `LATER` (`precision: Annotated[str, LATER] = "fp32"`) is left out of `identity()` while it
    has its default value, which means what was done before there was such a field: older results keep their hash. One
    annotated with `MACHINE` is never part of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False)

    def identity(self) -> dict[str, Any]:
        """What two equal descriptions have in common, as JSON-able values: the input of every hash."""
        return self.model_dump(mode="json", context={"identity": True})

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, serialize: SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:
        values = serialize(self)
        if not (info.context and info.context.get("identity")):
            return values
        kept = {k: v for k, v in values.items() if k not in type(self).model_fields}
        for name, field in type(self).model_fields.items():
            if MACHINE in field.metadata or (LATER in field.metadata and getattr(self, name) == field.default):
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
