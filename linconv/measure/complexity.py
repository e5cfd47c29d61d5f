"""Parameters and multiply-accumulates (MACs) of any network, by arithmetic on shapes.

MACs are those of convolutions, linear layers and coefficient products, the field's usual count. Normalization,
activations and pooling are left out. Products that a module makes by functions, such as attention, are left out too,
and a warning says how many torch's own counter sees.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from linconv.config.rules import check_size, is_int
from linconv.layers import ConvReplacement, Macs
from linconv.layers.forms import Form
from linconv.layers.replacing import check_module
from linconv.measure.paper_flops import BIASED, PADDED, PAPER_INPUT, QUIRKS, count_flops_paper, flops_paper
from linconv.measure.trace import Call, Trace, is_counted, trace_work
from linconv.results.counts import Complexity, LayerComplexity

if TYPE_CHECKING:
    from linconv.config import ComplexityOptions, Config, Variant
    from linconv.results import ComplexityResult


def complexity(
    model: nn.Module,
    input_shape: tuple[int, int, int],
    batch_size: int = 1,
    *,
    architecture: str = "",
    variant: str = "",
) -> Complexity:
    """Count the parameters and MACs of a model, plain or converted, in each exact form.

    Args:
        model: any module that takes a batch of images, detection models included. It does not run, a copy of it does,
            on the meta device where that is possible. Its hooks run in the copy: what they keep is of this run.
        input_shape: of one image, (c, h, w).
        batch_size: images per step, over which the weight-space form spreads its coefficient product.
        architecture, variant: names for the record.

    Returns:
        MACs per image; those of training count forward and backward of one step, divided by the batch.

    Raises:
        ValueError: `batch_size` or a size of the image is no int of at least 1.
        UserError: `model` is no module, or does not run on such an image.

    Warns:
        UserWarning: torch's FLOP counter sees work that is not counted here, or work of which neither knows; a module
            is quantized.
    """
    check_module(model)
    _check(input_shape, batch_size)
    done = trace_work(model, input_shape)
    _warn_of_uncounted(done)
    _warn_of_quantized(model)
    everything = done.calls
    calls = [call for call in everything if is_counted(call.module)]

    def total(form: str) -> int:
        return round(sum(_macs_per_image(call, form, batch_size) for call in calls))

    def total_training(form: str) -> int:
        return round(sum(_training_macs_per_image(call, form, batch_size) for call in calls))

    return Complexity(
        architecture=architecture,
        variant=variant,
        params=sum(p.numel() for p in model.parameters()),
        params_trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
        params_folded=_folded_params(model),
        macs_folded=total("folded"),
        macs_feature=total("feature"),
        macs_weight=total("weight"),
        macs_auto=total("auto"),
        macs_train_folded=total_training("folded"),
        macs_train_feature=total_training("feature"),
        macs_train_weight=total_training("weight"),
        macs_train_auto=total_training("auto"),
        flops_paper=count_flops_paper(everything),
        layers=[_layer(call) for call in calls],
    )


def measure_complexity(config: Config, key: str = "complexity", **_: object) -> ComplexityResult:
    """Count every network and variant of a configuration; the paper's quirks where its cells need them.

    Pruned variants are left out: the counts of those are in their runs.
    """
    from linconv.results import ComplexityResult  # here, so that counting one's own model needs torch alone
    from linconv.results.kinds.complexity import Counts, counted_variants

    options, counted = config.complexity, counted_variants(config.planned_variants)
    models = [
        _measure_one(architecture, name, variant, options)
        for architecture in options.architectures
        for name, variant in counted.items()
    ]
    return ComplexityResult(
        input_shape=options.input_shape,
        classes=options.classes,
        batch_size=options.batch_size,
        **Counts().identity(config, key),
        models=models,
    )


def _measure_one(architecture: str, name: str, variant: Variant, options: ComplexityOptions) -> Complexity:
    from linconv.config import VARIANTS
    from linconv.models import build_model

    def build(**quirks: bool) -> nn.Module:
        with torch.device("meta"):  # counting needs no numbers
            return build_model(
                architecture,
                variant,
                num_classes=options.classes,
                in_channels=options.input_shape[0],
                **quirks,
            )

    record = complexity(build(), options.input_shape, options.batch_size, architecture=architecture, variant=name)
    in_paper = variant == VARIANTS.get(name) and (options.input_shape, options.classes) == PAPER_INPUT
    quirk = QUIRKS.get((architecture, name)) if in_paper else None
    as_released = None
    if quirk == PADDED:
        as_released = flops_paper(build(as_released=True), options.input_shape)
    elif quirk == BIASED:
        as_released = flops_paper(build(), options.input_shape, linear_bias=True)
    return replace(record, flops_paper_as_released=as_released, flops_paper_quirk=quirk)


def _check(input_shape: tuple[int, int, int], batch_size: int) -> None:
    if not is_int(batch_size) or batch_size < 1:
        raise ValueError(f"batch_size must be an int of at least 1, not {batch_size!r}")
    check_size(input_shape, "input_shape")


def _warn_of_quantized(model: nn.Module) -> None:
    # such modules of torch hold their filters in a form of their own, which a method `weight` unpacks
    packed = [name for name, module in model.named_modules() if callable(getattr(type(module), "weight", None))]
    if packed:
        warnings.warn(
            f"complexity: neither parameters nor work of {len(packed)} quantized module(s) are counted: "
            f"{_first(packed)}; count the model before it is quantized",
            stacklevel=3,
        )


def _warn_of_uncounted(done: Trace) -> None:
    """Say what torch's counter sees and the formulas do not, and what neither knows."""
    missed = {
        name: f"{name} ({', '.join(f'{kind} {macs:,}' for kind, macs in kinds.items())})"
        for name, kinds in done.outside.items()
    }
    uncounted = sum(sum(kinds.values()) for kinds in done.outside.values())
    counted = [call for call in done.calls if is_counted(call.module)]
    total = uncounted + sum(call.macs for call in counted)
    for call in counted:
        if more := call.macs - _as_run(call):
            missed[call.name] = f"{call.name} (its formula and its run differ by {abs(more):,})"
            uncounted += max(0, more)
    if missed:
        warnings.warn(
            f"complexity: {uncounted:,} of the {total:,} MACs that run are not counted here, "
            f"in {len(missed)} module(s): {_first(list(missed.values()))}",
            stacklevel=3,
        )
    if done.silent:
        warnings.warn(
            f"complexity: the work of {len(done.silent)} module(s) is counted neither here nor by torch: "
            f"{_first(done.silent)}",
            stacklevel=3,
        )


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _as_run(call: Call) -> int:
    """MACs of a call, in the form that ran."""
    macs = _macs(call, _exact_form(call, getattr(call.module, "mode", "folded"), 1))
    return macs.per_image + macs.per_step


def _macs(call: Call, form: Form) -> Macs:
    """MACs of one call of a counted layer for one image, by the layer's own formula where it has one."""
    macs = _macs_of_one(call, form)
    return macs._replace(per_image=call.images * macs.per_image)


def _macs_of_one(call: Call, form: Form) -> Macs:
    """The same for one of the windows, regions or crops that were made of the image."""
    module = call.module
    if isinstance(module, nn.modules.conv._ConvTransposeNd):  # each input position meets every filter
        return Macs(module.weight.numel() * math.prod(call.input_shape[1:]))
    if isinstance(module, nn.modules.conv._ConvNd):
        return Macs(module.weight.numel() * math.prod(call.output_shape[1:]))
    if isinstance(module, nn.Linear):
        return Macs(module.in_features * math.prod(call.output_shape))
    return module.macs_at(form, call.output_shape[1:], call.input_shape[1:])  # type: ignore[operator]


def _exact_form(call: Call, form: str, batch_size: int) -> Form:
    """The form that a layer really runs where one is asked for; a plain convolution has the folded form alone."""
    if isinstance(call.module, ConvReplacement):
        return call.module.resolve_form(form, batch_size * call.images * math.prod(call.output_shape[1:]))
    return "folded"


def _macs_per_image(call: Call, form: str, batch_size: int) -> float:
    macs = _macs(call, _exact_form(call, form, batch_size))
    return macs.per_image + macs.per_step / batch_size


def _training_macs_per_image(call: Call, form: str, batch_size: int) -> float:
    """Forward, gradient of the weights unless they are frozen, gradient of the input where something needs it."""
    exact, module = _exact_form(call, form, batch_size), call.module
    if isinstance(module, ConvReplacement):
        macs = module.training_macs_at(exact, call.output_shape[1:], call.input_shape[1:], call.input_needs_grad)
        return call.images * macs.per_image + macs.per_step / batch_size
    learns = any(p.requires_grad for name, p in module.named_parameters() if name != "bias")
    return (1 + learns + call.input_needs_grad) * _macs(call, exact).per_image


def _layer(call: Call) -> LayerComplexity:
    weight, module = _macs(call, "weight"), call.module
    if isinstance(module, ConvReplacement):
        has_feature = "feature" in module.forms
    else:
        has_feature = not (isinstance(module, nn.modules.conv._ConvNd) and module.groups > 1)
    return LayerComplexity(
        layer=call.name,
        kind=type(call.module).__name__,
        output_shape=list(call.output_shape),
        params=sum(p.numel() for p in call.module.parameters()),
        macs_folded=_macs(call, "folded").per_image,
        macs_feature=_macs(call, "feature").per_image if has_feature else None,
        macs_weight_per_image=weight.per_image,
        macs_weight_per_step=weight.per_step,
    )


def _folded_params(model: nn.Module) -> int:
    folding = [m for m in model.modules() if isinstance(m, ConvReplacement) and m.folds]
    gone = {p for module in folding for name, p in module.named_parameters() if name != "bias"}  # some are shared
    stay = sum(p.numel() for p in model.parameters() if p not in gone)
    return stay + sum(module.out_channels * module.filter_size for module in folding)
