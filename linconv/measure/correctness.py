"""Whether every form of the layer and every method computes the same on a device, at each precision.

Outputs and gradients are compared. The reference of LinearConv is the plain convolution with W = [V; A V] in double
precision on the CPU, gradients carried back through W; the reference of another method is itself in double precision on
the CPU. On a GPU, trainings by CUDA graphs are compared with eager ones, to the bit.
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
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from linconv.config import Config, RunKey, Variant, parse_config, resolve_run
from linconv.config.methods import known_methods
from linconv.data import load
from linconv.layers import ConvReplacement, LinearConv2d, convert
from linconv.measure.origin import origin
from linconv.results.kinds.correctness import NAME, Correctness, CorrectnessResult, FormCheck
from linconv.training.device_loop import DeviceLoop
from linconv.training.engine import Loop, fit
from linconv.training.numerics import set_numerics
from linconv.training.run import prepare

COEFFICIENT_KINDS: dict[str, dict[str, Any]] = {
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
METHOD_GEOMETRIES = {name: GEOMETRIES[name] for name in ("3x3", "3x3, stride 2, no bias")}
COARSE = ("tf32", "bf16")
METHOD_TOLERANCES = TOLERANCES | {"bf16": 0.1}  # the gradient of a normalization is a difference of close numbers
METHOD_FILTERS = 24  # some methods need a multiple of their ratio


def measure_correctness(
    config: Config, key: str = NAME, *, device: str, threads: int | None = None, command: str
) -> CorrectnessResult:
    """Check every form of every kind of coefficients over a grid of geometries, layouts and precisions.

    Args:
        config: an experiment with `correctness`.
        device: "cpu" or "cuda". TF32 is checked on "cuda" alone.
        command: the command line that repeats this.
    """
    began = time.perf_counter()
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    checks = [*_checks(device), *_method_checks(device), *_loop_checks(device)]
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
    return CorrectnessResult(
        device=device,
        checks=checks,
        **Correctness().identity(config, key),
        provenance=origin(device, command, began),
    )


class SmoothReLU(TorchFunctionMode):
    """Within it `relu` is `softplus`.

    The slope of ReLU jumps at zero. Where a rounded input has the other sign, its gradient is there or not: TF32 moves
    the gradients of `basis` by 1.2e-2 although every sum is as exact as TF32 is, and by 2e-3 without the jump.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return F.softplus(args[0]) if func in (F.relu, torch.relu) else func(*args, **(kwargs or {}))


def _checks(device: str) -> Iterator[FormCheck]:
    for (kind, options), (geometry, arguments) in itertools.product(COEFFICIENT_KINDS.items(), GEOMETRIES.items()):
        torch.manual_seed(0)
        reference = LinearConv2d(CHANNELS, FILTERS, **arguments, **options, dtype=torch.float64)
        if (mask := getattr(reference.coefficients, "mask", None)) is not None:
            mask.copy_(torch.rand(mask.shape) < 0.5)
        x = torch.randn(BATCH, CHANNELS, SIZE, SIZE, dtype=torch.float64)
        wanted = _form_outcome(reference.double(), x, "weight", nullcontext())
        for precision, channels_last, form in itertools.product(TOLERANCES, (False, True), FORMS):
            if (form == "feature" and reference.groups > 1) or (precision == "tf32" and device != "cuda"):
                continue
            layer, here, context = _placed(reference, x, device, precision, channels_last)
            found = _form_outcome(layer, here, form, context)
            yield FormCheck(
                coefficients=kind,
                geometry=geometry,
                form=form,
                precision=precision,
                channels_last=channels_last,
                error=_largest(_error(found[name], wanted[name]) for name in found),
                tolerance=TOLERANCES[precision],
            )


def _method_checks(device: str) -> Iterator[FormCheck]:
    """Every method but LinearConv with its default options, in the form that it chooses.

    At coarse precisions ReLUs are smooth, see `SmoothReLU`.
    """
    for name, (geometry, arguments) in itertools.product(known_methods(), METHOD_GEOMETRIES.items()):
        if name == "linear":
            continue
        torch.manual_seed(0)
        plain = nn.Sequential(nn.Conv2d(CHANNELS, METHOD_FILTERS, **arguments))
        reference = convert(plain, Variant(layer=name)).double()
        x = torch.randn(BATCH, CHANNELS, SIZE, SIZE, dtype=torch.float64)
        wanted = {kind: _outcome(reference, x, kind()) for kind in (nullcontext, SmoothReLU)}
        for precision, channels_last in itertools.product(TOLERANCES, (False, True)):
            if precision == "tf32" and device != "cuda":
                continue
            kind = SmoothReLU if precision in COARSE else nullcontext
            with kind():
                found = _outcome(*_placed(reference, x, device, precision, channels_last))
            yield FormCheck(
                coefficients=name,
                geometry=geometry,
                form="auto",
                precision=precision,
                channels_last=channels_last,
                error=_distance(found, wanted[kind]),
                tolerance=METHOD_TOLERANCES[precision],
            )


def _loop_checks(device: str) -> Iterator[FormCheck]:
    """Whether steps replayed as CUDA graphs leave the bits of eager ones: the share of parameters that differ."""
    if device != "cuda":
        return
    for (name, precision), channels_last in itertools.product(
        itertools.product(("conv", "Lr", "LRr"), ("fp32", "tf32", "bf16")), (False, True)
    ):
        raw = {
            "experiment": "loops",
            "datasets": ["synthetic"],
            "architectures": ["base"],
            "variants": [name],
            "seeds": [0],
            "recipe": {"overrides": [{"set": {"epochs": 3, "precision": precision}}]},
        }
        run = resolve_run(parse_config(raw, "loops"), RunKey("synthetic", "base", name, 0))
        data = load(run.dataset, "data", device=device)
        set_numerics(1, precision=precision)
        trained = []
        for loop in (Loop(), DeviceLoop()):
            graphs = isinstance(loop, DeviceLoop)
            training = prepare(run, data, device, channels_last=channels_last, cuda_graph=graphs)
            training.loop = loop
            trained.append(fit(training).model.state_dict())
        eager, graphed = trained
        differing = sum(not torch.equal(eager[key], graphed[key]) for key in eager)
        yield FormCheck(
            coefficients=name,
            geometry="base",
            form="graphed training",
            precision=precision,
            channels_last=channels_last,
            error=differing / len(eager),
            tolerance=0.0,
        )


def _placed(
    reference: nn.Module, x: Tensor, device: str, precision: str, channels_last: bool
) -> tuple[nn.Module, Tensor, AbstractContextManager[Any]]:
    """A copy of the reference and its input on the device, and the context of the precision."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    dtype = torch.float64 if precision == "fp64" else torch.float32
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = copy.deepcopy(reference).to(device, dtype).to(memory_format=layout)
    context = torch.autocast(device, torch.bfloat16) if precision == "bf16" else nullcontext()
    return model, x.to(device, dtype).contiguous(memory_format=layout), context


def _form_outcome(layer: nn.Module, x: Tensor, form: str, context: AbstractContextManager[Any]) -> dict[str, Tensor]:
    """`_outcome` of a LinearConv in one of its forms; the folded one has no gradients but that of the input."""
    assert isinstance(layer, ConvReplacement)
    if form == "folded":
        found = _outcome(layer.to_conv2d(), x, context)
        return {name: found[name] for name in ("output", "input")}
    layer.mode = form
    return _outcome(layer, x, context)


def _outcome(module: nn.Module, x: Tensor, context: AbstractContextManager[Any]) -> dict[str, Tensor]:
    """The output and the gradients of a fixed weighted sum of it."""
    x = x.clone().requires_grad_()
    module.zero_grad()
    with context:
        y = module(x)
    weights = torch.linspace(-1, 1, y.numel(), dtype=torch.float64, device="cpu").view(y.shape)
    (y.double() * weights.to(y.device)).sum().backward()
    outcome = {"output": y, "input": x.grad} | {name: p.grad for name, p in module.named_parameters()}
    return {name: value.detach().double().cpu() for name, value in outcome.items() if value is not None}


def _largest(errors: Iterable[float]) -> float | None:
    """The largest of the errors, None where one is not finite."""
    largest = max(errors)
    return largest if math.isfinite(largest) else None


def _error(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, relative to the largest value wanted; infinite where a number is not finite."""
    difference = float((found - wanted).abs().max() / wanted.abs().max())
    return difference if difference == difference else float("inf")


def _distance(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    """The largest distance of the output or a gradient, relative to its norm; infinite where a value is not finite.

    A gradient that is zero in exact arithmetic (of a bias before a normalization) has no scale of its own: no norm
    counts as less than a thousandth of the largest gradient's.
    """
    norms = {name: float(value.norm()) for name, value in wanted.items()}
    least = 1e-3 * max(norm for name, norm in norms.items() if name != "output")
    distances = [float((found[n] - wanted[n]).norm()) / max(norms[n], least) for n in found]
    return max(d if d == d else float("inf") for d in distances)
