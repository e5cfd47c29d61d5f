"""The complexity of networks as plain text."""

from __future__ import annotations

import pandas as pd

from linconv.results import Complexity, ComplexityResult


def complexity_text(result: ComplexityResult, *, layers: bool = False) -> str:
    """A line per network and variant, or per layer; MACs per image in millions."""
    shape = "x".join(str(n) for n in result.input_shape)
    head = (
        f"input {shape}, {result.classes} classes; MACs per image, weight space and auto at batch {result.batch_size}"
    )
    frames = [_per_layer(model) for model in result.models] if layers else [_per_model(result)]
    return "\n\n".join([head, *(frame.to_string(index=False) for frame in frames)]) + "\n"


def _per_model(result: ComplexityResult) -> pd.DataFrame:
    rows = [
        {
            "network": m.architecture,
            "variant": m.variant,
            "params": f"{m.params:,}",
            "folded params": f"{m.params_folded:,}",
            "MACs folded": _millions(m.macs_folded),
            "feature": _millions(m.macs_feature),
            "weight": _millions(m.macs_weight),
            "auto": _millions(m.macs_auto),
            "training step folded": _millions(m.macs_train_folded),
            "feature ": _millions(m.macs_train_feature),
            "weight ": _millions(m.macs_train_weight),
            "FLOPs (paper's rule)": f"{m.flops_paper:,}",
        }
        for m in result.models
    ]
    return pd.DataFrame(rows)


def _per_layer(model: Complexity) -> pd.DataFrame:
    rows = [
        {
            "layer": layer.layer,
            "kind": layer.kind,
            "output": "x".join(str(n) for n in layer.output_shape),
            "params": f"{layer.params:,}",
            "MACs folded": _millions(layer.macs_folded),
            "feature": "-" if layer.macs_feature is None else _millions(layer.macs_feature),
            "weight per image": _millions(layer.macs_weight_per_image),
            "+ per step": _millions(layer.macs_weight_per_step),
        }
        for layer in model.layers
    ]
    return pd.DataFrame(rows)


def _millions(macs: int) -> str:
    return f"{macs / 1e6:.3f} M"
