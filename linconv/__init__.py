"""LinearConv: convolutions that learn half of their filters and combine them into the other half.

The public names below are loaded when first used, so that `linconv.report` and `linconv.results` need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linconv.deploy import export_onnx, load, quantize_onnx, save
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
        set_mode,
    )
    from linconv.measure.budget import plan
    from linconv.measure.complexity import complexity
    from linconv.measure.one_layer import sensitivity
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
    "set_mode": "linconv.layers",
    "save": "linconv.deploy",
    "load": "linconv.deploy",
    "export_onnx": "linconv.deploy",
    "quantize_onnx": "linconv.deploy",
    "build_model": "linconv.models",
    "complexity": "linconv.measure.complexity",
    "plan": "linconv.measure.budget",
    "sensitivity": "linconv.measure.one_layer",
}

__all__ = [  # noqa: RUF022  (in the order in which a reader meets them)
    "LinearConv2d",
    "convert",
    "fold",
    "optimize",
    "set_mode",
    "correlation_penalty",
    "coefficient_l1",
    "orthogonal_penalty",
    "conv_orthogonal_penalty",
    "never_orthogonal",
    "SparsitySchedule",
    "save",
    "load",
    "export_onnx",
    "quantize_onnx",
    "build_model",
    "complexity",
    "plan",
    "sensitivity",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'linconv' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
