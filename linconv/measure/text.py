"""Measurements as plain text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import yaml

from linconv.config import Variant
from linconv.config.throughput import ThroughputOptions, plan_throughput
from linconv.results import Complexity, ComplexityResult
from linconv.results.schema import Provenance
from linconv.results.sensitivity import LayerSensitivity, SensitivityResult, cheapest
from linconv.results.throughput import ThroughputResult, read_cells, throughput_hash, timings


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
            "FLOPs (paper's rule)": "" if m.flops_paper is None else f"{m.flops_paper:,}",
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


def excluding_text(result: SensitivityResult, keep: float) -> str:
    """The `exclude` with which a variant keeps the share `keep` of its saving, and what that costs."""

    def saved(layers: list[LayerSensitivity]) -> int:
        return sum(max(0, layer.params_saved) for layer in layers)

    chosen = cheapest(result.layers, keep)
    head = (
        f"{len(chosen)} of {len(result.layers)} layers replaced save {saved(chosen):,} of {saved(result.layers):,} "
        f"parameters; sum of increases {sum(layer.increase for layer in chosen):+.4f}\n"
    )
    return head + yaml.safe_dump({"exclude": result.exclude(keep)}, default_flow_style=None, width=math.inf)


def throughput_text(options: ThroughputOptions, variants: Mapping[str, Variant], folder: Path) -> str:
    """A line per arm of every cell that `folder` holds: time, ratio to the plain network, quartiles, A/A band."""
    cells, _ = read_cells(folder, [key.name for key in plan_throughput(options)], throughput_hash(options, variants))
    return "\n".join(_timed(cell) for cell in cells)


def _timed(cell: ThroughputResult) -> str:
    measured = timings(cell)
    head = f"{cell.architecture}, {cell.activity}, batch {cell.batch_size}, {cell.precision}, {cell.backend}: "
    left_out = [f"{arm.name}: {arm.status}, {arm.detail}\n" for arm in cell.arms if arm.status != "ok"]
    if not measured:
        return head + "not timed\n" + "".join(left_out)
    head += f"{_where(cell.provenance)}, {measured[0].samples} rounds, A/A band {100 * measured[0].band:.1f} %\n"
    rows = [
        {
            "arm": t.arm.name,
            "ms per call": f"{t.latency_ms:.2f}",
            "images/s": f"{t.images_per_second:.0f}",
            "ratio": f"{t.ratio:.3f}",
            "quartiles": f"{t.low:.3f} to {t.high:.3f}",
            "": t.difference if t.arm.form != "plain" else "",
        }
        for t in measured
    ]
    return head + pd.DataFrame(rows).to_string(index=False) + "\n" + "".join(left_out)


def _where(origin: Provenance) -> str:
    return origin.hardware.get("gpu") or f"{origin.hardware['cpu']}, {origin.numerics['threads']} threads"
