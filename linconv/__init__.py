"""LinearConv: convolutions that learn half of their filters and combine them into the other half.

The public names below are loaded when first used, so that `linconv.report` and `linconv.results` need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linconv.config import Variant
    from linconv.layers import (
        LinearConv2d,
        SparsitySchedule,
        coefficient_l1,
        conv_orthogonal_penalty,
        convert,
        correlation_penalty,
        fold,
        never_orthogonal,
        optimize,
        orthogonal_penalty,
        replaced_layers,
        set_mode,
    )
    from linconv.measure.complexity import complexity
    from linconv.measure.summary import summary
    from linconv.models import build_model

__version__ = "0.1.0"

_PUBLIC = {
    "LinearConv2d": "linconv.layers",
    "SparsitySchedule": "linconv.layers",
    "coefficient_l1": "linconv.layers",
    "conv_orthogonal_penalty": "linconv.layers",
    "convert": "linconv.layers",
    "correlation_penalty": "linconv.layers",
    "fold": "linconv.layers",
    "never_orthogonal": "linconv.layers",
    "optimize": "linconv.layers",
    "orthogonal_penalty": "linconv.layers",
    "replaced_layers": "linconv.layers",
    "set_mode": "linconv.layers",
    "Variant": "linconv.config",
    "build_model": "linconv.models",
    "complexity": "linconv.measure.complexity",
    "summary": "linconv.measure.summary",
}
_ROOMS = ("catalogue", "config", "data", "layers", "measure", "methods", "models", "pruning", "testing", "training")

__all__ = [  # noqa: RUF022  (in the order in which a reader meets them)
    "LinearConv2d",
    "convert",
    "fold",
    "optimize",
    "set_mode",
    "replaced_layers",
    "Variant",
    "correlation_penalty",
    "coefficient_l1",
    "orthogonal_penalty",
    "conv_orthogonal_penalty",
    "never_orthogonal",
    "SparsitySchedule",
    "build_model",
    "complexity",
    "summary",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    if name in _ROOMS:
        return import_module(f"linconv.{name}")
    raise AttributeError(f"module 'linconv' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*globals(), *__all__, *_ROOMS]
