"""Whether every form of the layer computes the same on a device, at each precision, outputs and gradients.

The reference is the plain convolution with W = [V; A V] in double precision on the CPU, gradients carried back
through W.
"""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from linconv.layers import LinearConv2d
from linconv.measure.origin import origin
from linconv.results.correctness import Check, CorrectnessResult
from linconv.results.provenance import code_hash

KINDS: dict[str, dict[str, Any]] = {
    "full": {},
    "rank 4": {"rank": 4},
    "rank 0.5": {"rank": 0.5},
    "sparse": {"sparsity": 0.5},
}
GEOMETRIES: dict[str, dict[str, Any]] = {
    "3x3": {"kernel_size": 3, "padding": 1},
    "3x3, stride 2, no bias": {"kernel_size": 3, "padding": 1, "stride": 2, "bias": False},
    "1x1": {"kernel_size": 1},
    "3x3, dilation 2, circular": {"kernel_size": 3, "padding": 2, "dilation": 2, "padding_mode": "circular"},
    "3x3, 2 groups": {"kernel_size": 3, "padding": 1, "groups": 2},
}
FORMS = ("weight", "feature", "folded")
# The largest admitted error, relative to the largest value: rounding of sums of some hundred products.
TOLERANCES = {"fp64": 1e-10, "fp32": 1e-4, "tf32": 1e-2, "bf16": 6e-2}
CHANNELS, FILTERS, BATCH, SIZE = 16, 22, 4, 12


def measure_correctness(device: str, *, command: str) -> CorrectnessResult:
    """Check every form of every kind of coefficients over a grid of geometries, layouts and precisions.

    Args:
        device: "cpu" or "cuda". TF32 is checked on "cuda" alone.
        command: the command line that repeats this.
    """
    began = time.perf_counter()
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    checks = list(_checks(device))
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
    return CorrectnessResult(
        device=device,
        checks=checks,
        code_hash=code_hash("throughput"),
        provenance=origin(device, command, began),
    )


def _checks(device: str) -> Iterator[Check]:
    for (kind, options), (geometry, arguments) in itertools.product(KINDS.items(), GEOMETRIES.items()):
        torch.manual_seed(0)
        reference = LinearConv2d(CHANNELS, FILTERS, **arguments, **options, dtype=torch.float64)
        if (mask := getattr(reference.coefficients, "mask", None)) is not None:
            mask.copy_(torch.rand(mask.shape) < 0.5)
        x = torch.randn(BATCH, CHANNELS, SIZE, SIZE, dtype=torch.float64)
        wanted = _outcome(reference.double(), x, "weight", nullcontext())
        for precision, channels_last, form in itertools.product(TOLERANCES, (False, True), FORMS):
            if (form == "feature" and reference.groups > 1) or (precision == "tf32" and device != "cuda"):
                continue
            tf32 = precision == "tf32"
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
            dtype = torch.float64 if precision == "fp64" else torch.float32
            layout = torch.channels_last if channels_last else torch.contiguous_format
            layer = copy.deepcopy(reference).to(device, dtype).to(memory_format=layout)
            here = x.to(device, dtype).contiguous(memory_format=layout)
            context = torch.autocast(device, torch.bfloat16) if precision == "bf16" else nullcontext()
            found = _outcome(layer, here, form, context)
            yield Check(
                coefficients=kind,
                geometry=geometry,
                form=form,
                precision=precision,
                channels_last=channels_last,
                error=_largest(_error(found[name], wanted[name]) for name in found),
                tolerance=TOLERANCES[precision],
            )


def _outcome(layer: LinearConv2d, x: Tensor, form: str, context: AbstractContextManager[Any]) -> dict[str, Tensor]:
    """The output and, but for a folded layer, the gradients of a fixed weighted sum of it."""
    module: nn.Module = layer
    if form == "folded":
        module = layer.to_conv2d()
    else:
        layer.mode = form
    x = x.clone().requires_grad_()
    with context:
        y = module(x)
    weights = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).view(y.shape)
    (y.double() * weights.to(y.device)).sum().backward()
    outcome = {"output": y, "input": x.grad}
    if form != "folded":
        outcome |= {name: p.grad for name, p in layer.named_parameters()}
    return {name: value.detach().double().cpu() for name, value in outcome.items() if value is not None}


def _largest(errors: Iterable[float]) -> float | None:
    """The largest of the errors, None where one is not finite."""
    largest = max(errors)
    return largest if math.isfinite(largest) else None


def _error(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, relative to the largest value wanted; infinite where a number is not finite."""
    difference = float((found - wanted).abs().max() / wanted.abs().max())
    return difference if difference == difference else float("inf")
