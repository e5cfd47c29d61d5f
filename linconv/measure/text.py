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
from linconv.results.profile import NetworkProfile, ProfileResult
from linconv.results.regularizer import RegularizerResult, band, costs
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


def sensitivity_text(result: SensitivityResult, keep: float | None = None) -> str:
    """A line per layer, by the increase in loss per parameter saved; then `exclude` for the share `keep`."""
    recipe, start = result.config["recipe"], result.start or "new filters"
    head = (
        f"{result.architecture} on {result.dataset}, variant {result.variant}: each layer by itself, from {start}\n"
        f"plain network after {recipe['epochs']} epoch(s): validation loss {result.val_loss:.4f}, "
        f"top-1 {result.val_top1:.2f} %; then {result.steps} steps of the layer alone, replaced or plain\n"
    )
    rows = [
        {
            "layer": la.layer,
            "params": f"{la.params:,}",
            "saved": f"{la.params_saved:,}",
            "loss": _loss(la.val_loss),
            "plain": _loss(la.val_loss_plain),
            "increase": f"{la.increase:+.4f}",
            "per 1000 saved": f"{1000 * la.increase_per_parameter:+.3g}" if la.params_saved > 0 else "saves nothing",
        }
        for la in result.ranked
    ]
    text = head + "\n" + pd.DataFrame(rows).to_string(index=False) + "\n"
    return text if keep is None else text + "\n" + _excluding(result, keep)


def _excluding(result: SensitivityResult, keep: float) -> str:
    def saved(layers: list[LayerSensitivity]) -> int:
        return sum(max(0, layer.params_saved) for layer in layers)

    chosen = cheapest(result.layers, keep)
    head = (
        f"{len(chosen)} of {len(result.layers)} layers replaced save {saved(chosen):,} of {saved(result.layers):,} "
        f"parameters; sum of increases {sum(layer.increase for layer in chosen):+.4f}\n"
    )
    return head + yaml.safe_dump({"exclude": result.exclude(keep)}, default_flow_style=None, width=math.inf)


def _loss(loss: float | None) -> str:
    return "not finite" if loss is None else f"{loss:.4f}"


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


def regularizer_text(result: RegularizerResult) -> str:
    """A line per arm: time, ratio to the step without the penalty, quartiles, the share of a step over the period."""
    head = (
        f"{result.architecture} {result.variant}, batch {result.batch_size}, correlation regulariser of "
        f"{len(result.filters)} layers on every {result.period}. step\n{_where(result.provenance)}, "
        f"{len(result.arms[0].seconds_per_call)} rounds, A/A band {100 * band(result):.1f} %\n"
    )
    rows = [
        {
            "arm": cost.name,
            "ms": f"{cost.milliseconds:.2f}",
            "of a step": f"{cost.ratio:.3f}",
            "quartiles": f"{cost.low:.3f} to {cost.high:.3f}",
            "penalty, averaged": "" if cost.averaged is None else f"{100 * cost.averaged:+.2f} %",
        }
        for cost in costs(result)
    ]
    return head + pd.DataFrame(rows).to_string(index=False) + "\n"


def profile_text(result: ProfileResult) -> str:
    """A line per kind of operation: milliseconds per call and shares, of the plain network and of the variant."""
    head = (
        f"{result.architecture}, {result.activity}, batch {result.batch_size}"
        f"{', channels_last' if result.channels_last else ''}: {_where(result.provenance)}\n"
    )
    columns = {"kind": [*(k.kind for k in result.networks[0].kinds), "sum", "without the profiler"]}
    for network in result.networks:
        columns |= _profiled(network)
    return head + pd.DataFrame(columns).to_string(index=False) + "\n"


def _profiled(network: NetworkProfile) -> dict[str, list[str]]:
    milliseconds = [*(k.milliseconds for k in network.kinds), network.profiled_milliseconds, network.milliseconds]
    shares = [f"{100 * k.share:.1f} %" for k in network.kinds]
    return {f"{network.name}, ms": [f"{ms:.3f}" for ms in milliseconds], f"{network.name}, share": [*shares, "", ""]}
