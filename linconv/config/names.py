"""The names a configuration may use, known without importing torch.

The tests hold both tables against the real registries of `linconv.models` and `linconv.data`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

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

DATASETS: tuple[str, ...] = ("digits", "synthetic", "mnist", "fashionmnist", "cifar10", "cifar100", "svhn")


class Frozen(BaseModel):
    """Base of every configuration object: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False)


def nearest(name: str, known: Iterable[str]) -> str:
    """The remedy part of an error about an unknown name: the nearest known one, or all of them."""
    known = list(known)
    by_folded = {k.lower(): k for k in known}
    matches = [k for k in by_folded if k.startswith(name.lower())]
    matches += difflib.get_close_matches(name.lower(), by_folded, n=1, cutoff=0.5)
    if matches:
        return f"did you mean '{by_folded[matches[0]]}'?"
    return "known: " + ", ".join(known)


def check_known(names: Iterable[str], known: Iterable[str], kind: str) -> None:
    """Raise ValueError for the first of `names` that is not in `known`, with the nearest valid one."""
    known = list(known)
    for name in names:
        if name not in known:
            raise ValueError(f"unknown {kind} '{name}'; {nearest(name, known)}")
