"""Checks of what a layer computes: outputs, gradients, costs, in every dtype and memory layout."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from linconv.layers import ConvReplacement
from linconv.testing.subject import (
    Case,
    Subject,
    folded_by_hand,
    in_every_form,
    shaken,
    tensors,
    trained,
)

DOUBLE_PRECISION_TOLERANCE = 1e-9  # of sums of some hundred products in double precision, relative to the largest value
STEP = 1e-7  # of the numerical derivative
NUMERICAL = 1e-4  # its tolerance, relative to the length of the gradient
DIRECTIONS = 3  # along which it is taken; one that agrees is enough, since others may cross the kink of a ReLU
DTYPES = (torch.float64, torch.float32, torch.bfloat16)


@contextmanager
def located(case: Case, form: str = "") -> Iterator[None]:
    """Puts the convolution, and the form, before the message of whatever is raised."""
    try:
        yield
    except Exception as error:
        first = next(iter(str(error).splitlines()), "")
        where = f"{case.name}, {form} form" if form else case.name
        raise AssertionError(f"{where}: {first or type(error).__name__}") from error


def close(found: Tensor, wanted: Tensor, what: str, tolerance: float = DOUBLE_PRECISION_TOLERANCE) -> None:
    """Raise AssertionError unless two tensors have one shape and equal values but for rounding."""
    assert found.shape == wanted.shape, f"{what} has shape {tuple(found.shape)}, not {tuple(wanted.shape)}"
    if not wanted.numel():
        return
    largest = float((found.double() - wanted.double()).abs().max() / wanted.double().abs().max().clamp(min=1e-30))
    assert largest <= tolerance, f"{what} differs by {largest:.1e} of the largest value"


def check_outputs(subject: Subject) -> None:
    """The output has the shape that `nn.Conv2d` gives, and the values that `nn.Conv2d` with `weight` gives."""
    for case in subject.cases:
        with located(case):
            layer, x = shaken(subject.layer(case)), case.images()
            plain = case.plain()
            shape = plain(x).shape
            assert layer.output_size(x.shape[-2:]) == tuple(shape[-2:]), "output_size is not that of nn.Conv2d"
            assert (layer.bias is None) == (plain.bias is None), "the bias is not as asked"
        for form in in_every_form(layer):
            with located(case, form), torch.no_grad():
                output = layer(x)
                assert output.shape == shape, f"the output has shape {tuple(output.shape)}, not {tuple(shape)}"
                assert output.isfinite().all(), "the output has values that are not finite"
                if layer.folds:
                    close(output, folded_by_hand(layer, case)(x), "the output, beside a convolution with `weight`,")


def check_padding_mode(subject: Subject) -> None:
    """The padding mode changes the borders: a layer that does not fold has no other witness."""
    padded = [c for c in subject.cases if c.arguments["padding_mode"] != "zeros" and _pads(c)]
    for case in padded:
        with located(case), torch.no_grad():
            layer, x = shaken(subject.layer(case)), case.images()
            zeros = subject.layer(case, padding_mode="zeros")
            zeros.load_state_dict(layer.state_dict())
            assert not torch.equal(layer(x), zeros(x)), "padding_mode changes nothing"


def check_groups(subject: Subject) -> None:
    """Groups are refused or kept apart: the filters of one group do not see the inputs of another."""
    for case in (c for c in subject.cases if c.arguments["groups"] > 1):
        with located(case):
            layer, x = shaken(subject.layer(case)), case.images().requires_grad_()
            seen = case.arguments["in_channels"] // case.arguments["groups"]
            for what, filters in (("weight", layer.weight if layer.folds else None), ("basis", layer.basis)):
                if filters is not None and filters.shape[2:] != (1, 1):
                    assert filters.shape[1] <= seen, f"{what} sees {filters.shape[1]} inputs, and a group has {seen}"
            if layer.folds:
                first = layer(x)[:, : case.arguments["out_channels"] // case.arguments["groups"]]
                (gradient,) = torch.autograd.grad(first.sum(), x)
                assert gradient[:, seen:].count_nonzero() == 0, "a group depends on the inputs of another"


def check_gradients(subject: Subject) -> None:
    """Gradients equal what autograd carries through `weight`, or else a numerical derivative."""
    for case in subject.cases:
        layer = shaken(subject.layer(case))
        for form in in_every_form(layer):
            with located(case, form):
                _check_autograd(layer, case) if layer.folds else _check_derivative(layer, case)


def _check_autograd(layer: ConvReplacement, case: Case) -> None:
    x = case.images().requires_grad_()
    learned = {"the input": x, **{n: p for n, p in layer.named_parameters() if p.requires_grad}}
    output = layer(x)
    cotangent = torch.randn_like(output)
    found = torch.autograd.grad(output, list(learned.values()), cotangent)
    wanted = torch.autograd.grad(folded_by_hand(layer, case)(x), list(learned.values()), cotangent)
    for name, ours, theirs in zip(learned, found, wanted, strict=True):
        close(ours, theirs, f"the gradient of {name}")


def _check_derivative(layer: ConvReplacement, case: Case) -> None:
    for module in (layer, trained(layer)):
        x = case.images().requires_grad_()
        learned = [x, *(p for p in module.parameters() if p.requires_grad)]
        output = module(x)
        cotangent = torch.randn_like(output)
        gradients = torch.autograd.grad((output * cotangent).sum(), learned)
        scale = math.sqrt(sum(float((g * g).sum()) for g in gradients))
        errors = []
        for _ in range(DIRECTIONS):
            direction = [tensor.detach().abs().mean() * torch.randn_like(tensor) for tensor in learned]
            slope = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True))
            errors.append(abs(slope - _derivative(module, x, learned, direction, cotangent)) / scale)
        where = "training" if module.training else "evaluation"
        assert min(errors) <= NUMERICAL, f"in {where} the numerical derivative differs by {min(errors):.1e}"


@torch.no_grad()
def _derivative(
    module: nn.Module, x: Tensor, learned: list[Tensor], direction: list[Tensor], cotangent: Tensor
) -> float:
    """That of the sum of the weighted outputs along a direction of the input and the parameters."""
    ends = []
    for sign in (1, -2, 1):  # ahead, behind, back where it was
        for tensor, d in zip(learned, direction, strict=True):
            tensor.add_(d, alpha=sign * STEP)
        ends.append(float((module(x) * cotangent).sum()))
    return (ends[0] - ends[1]) / (2 * STEP)


def check_batches(subject: Subject) -> None:
    """One image without a batch gives what it gives in a batch; an empty batch gives an empty one."""
    layer, x = shaken(subject.layer()), subject.first.images()
    for form in in_every_form(layer):
        with located(subject.first, form), torch.no_grad():
            output = layer(x)
            close(layer(x[0]), output[0], "the output of one image")
            assert layer(x[:0]).shape == output[:0].shape, "an empty batch has another shape"


def check_macs(subject: Subject) -> None:
    """`macs_at` is half of what torch's FlopCounterMode counts, in every form and folded."""
    for case in subject.cases:
        layer, x = subject.layer(case), case.images()
        output = layer(x)
        for form in (*layer.forms, *(("folded",) if layer.folds else ())):
            with located(case, form):
                if form == "folded":
                    counted = _counted_macs(layer.to_conv2d(), x)
                else:
                    layer.mode = form
                    counted = _counted_macs(layer, x)
                macs = layer.macs_at(form, tuple(output.shape[-2:]), tuple(x.shape[-2:]))
                stated = len(x) * macs.per_image + macs.per_step
                assert stated == counted, f"stages state {stated} MACs, and {counted:.0f} run"


@torch.no_grad()
def _counted_macs(module: nn.Module, x: Tensor) -> float:
    with FlopCounterMode(display=False) as counter:
        module(x)
    return counter.get_total_flops() / 2


def check_parameters(subject: Subject) -> None:
    """`params_expected` is the number of parameters, and every tensor is a parameter or a buffer."""
    for case in subject.cases:
        with located(case):
            layer = subject.layer(case, device="meta")
            total = sum(p.numel() for p in layer.parameters())
            stated = layer.params_expected
            masked = any(buffer.dtype == torch.bool for buffer in layer.buffers())  # coefficients that will be 0
            assert stated == total or (masked and 0 < stated < total), f"params_expected is {stated}, not {total}"
    for name, module in subject.layer().named_modules():
        for attribute, value in vars(module).items():
            where = f"{name}.{attribute}" if name else attribute
            assert not isinstance(value, Tensor), f"{where} is a tensor, but neither a parameter nor a buffer"


def check_dtype(subject: Subject) -> None:
    """Parameters and outputs have the dtype that is asked for, and under autocast that of `nn.Conv2d`."""
    case = subject.first
    for dtype in DTYPES:
        for layer in (subject.layer(dtype=dtype), subject.layer(dtype=torch.float32).to(dtype)):
            for name, tensor in tensors(layer).items():
                if tensor.is_floating_point():
                    assert tensor.dtype == dtype, f"{name} is {tensor.dtype}, not {dtype}"
            for form in in_every_form(layer):
                with located(case, form), torch.no_grad():
                    output = layer(case.images(dtype=dtype))
                    assert output.dtype == dtype, f"the output is {output.dtype}, not {dtype}"
    layer, x = shaken(subject.layer(dtype=torch.float32)), case.images(dtype=torch.float32)
    for form in in_every_form(layer):
        with located(case, form), torch.no_grad():
            expected = layer(x)
            with torch.autocast("cpu", torch.bfloat16):
                output = layer(x)
            assert output.dtype == torch.bfloat16, f"under autocast the output is {output.dtype}"
            close(output, expected, "the output under autocast", 0.1)


def check_layout(subject: Subject) -> None:
    """channels_last goes in and comes out, with the same values; the folded filters have the layer's layout."""
    for case in subject.cases:
        layer, x = shaken(subject.layer(case)), case.images()
        for form in in_every_form(layer):
            with located(case, form), torch.no_grad():
                expected = layer(x)
                laid = copy.deepcopy(layer).to(memory_format=torch.channels_last)
                output = laid(x.contiguous(memory_format=torch.channels_last))
                close(output, expected, "the output of channels_last")
                assert output.is_contiguous(memory_format=torch.channels_last), "the output is not channels_last"
                assert layer(x).is_contiguous(), "the output of contiguous images is not contiguous"
                if layer.folds:
                    weight = laid.to_conv2d().weight
                    assert weight.is_contiguous(memory_format=torch.channels_last), "folding loses channels_last"


def _pads(case: Case) -> bool:
    padding = case.arguments["padding"]
    if isinstance(padding, str):
        kernel = case.arguments["kernel_size"]
        return padding == "same" and max(kernel if isinstance(kernel, tuple) else (kernel,)) > 1
    return any(padding) if isinstance(padding, tuple) else padding > 0
