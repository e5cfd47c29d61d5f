"""LinearConv: convolutions that learn half of their filters and combine them into the other half.

The public names below are loaded when first used, so that `linconv.report` and `linconv.results` need no torch.
"""

from typing import TYPE_CHECKING, Any

from linconv._extras import announce_extras, load_public

if TYPE_CHECKING:
    from linconv.config import Variant
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
        replaced_layers,
        set_mode,
    )
    from linconv.measure.budget import plan
    from linconv.measure.complexity import complexity
    from linconv.measure.one_layer import sensitivity
    from linconv.measure.summary import summary
    from linconv.models import build_model

__version__ = "0.1.0"

announce_extras()

_PLACES = {
    "layers": (
        "LinearConv2d",
        "SparsitySchedule",
        "coefficient_l1",
        "conv_orthogonal_penalty",
        "convert",
        "correlation_penalty",
        "fold",
        "never_orthogonal",
        "optimize",
        "orthogonal_penalty",
        "replaced_layers",
        "set_mode",
    ),
    "deploy": ("save", "load", "export_onnx", "quantize_onnx"),
    "measure.budget": ("plan",),
    "measure.complexity": ("complexity",),
    "measure.summary": ("summary",),
    "measure.one_layer": ("sensitivity",),
    "config": ("Variant",),
    "models": ("build_model",),
}
_ROOMS = (
    "catalogue",
    "config",
    "data",
    "deploy",
    "layers",
    "measure",
    "methods",
    "models",
    "pruning",
    "testing",
    "training",
)

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
    "save",
    "load",
    "export_onnx",
    "quantize_onnx",
    "build_model",
    "complexity",
    "summary",
    "plan",
    "sensitivity",
]


def __getattr__(name: str) -> Any:
    return load_public(__name__, _PLACES, name, _ROOMS)


def __dir__() -> list[str]:
    return [*globals(), *__all__, *_ROOMS]
