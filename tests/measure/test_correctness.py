"""The check of every form on a device, on this one; and that it can fail."""

from __future__ import annotations

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from linconv.config import Variant
from linconv.config.methods import known_methods
from linconv.layers import LinearConv2d, convert
from linconv.measure import correctness
from linconv.measure.correctness import TOLERANCES, SmoothReLU, measure_correctness
from tests.results.factory import make_config

CONFIG = make_config(correctness={})


def test_every_form_is_right_on_the_cpu():
    result = measure_correctness(CONFIG, device="cpu", command="linconv measure correctness")
    # four kinds; three precisions and two layouts; three forms, of grouped convolutions two
    of_the_layer = 4 * 3 * 2 * (4 * 3 + 2)
    # every other method; three precisions and two layouts; two geometries
    assert len(result.checks) == of_the_layer + (len(known_methods()) - 1) * 3 * 2 * 2
    assert not result.failed
    errors = {p: max(c.error for c in result.checks if c.precision == p) for p in ("fp64", "fp32", "bf16")}
    assert errors["fp64"] < 1e-12 < errors["fp32"] < errors["bf16"]
    assert str(result).startswith(f"{len(result.checks)} of {len(result.checks)} checks passed on cpu")


def small(monkeypatch):
    monkeypatch.setattr(correctness, "COEFFICIENT_KINDS", {"full": {}})
    monkeypatch.setattr(correctness, "GEOMETRIES", {"3x3": {"kernel_size": 3, "padding": 1}})


def test_a_wrong_output_is_found(monkeypatch):
    small(monkeypatch)
    forward = LinearConv2d.forward

    def wrong(self, input):
        return forward(self, input) + (1e-3 if self.mode == "feature" else 0)

    monkeypatch.setattr(LinearConv2d, "forward", wrong)
    failed = measure_correctness(CONFIG, device="cpu", command="").failed
    assert {check.form for check in failed} == {"feature"}
    assert {check.precision for check in failed} == {"fp64", "fp32"}  # bf16 rounds more coarsely than that


def test_a_wrong_gradient_is_found(monkeypatch):
    small(monkeypatch)
    forward = LinearConv2d.forward

    def detached(self, input):
        if self.mode != "feature":
            return forward(self, input)
        return forward(self, input.detach() + 0.9 * (input - input.detach()))

    monkeypatch.setattr(LinearConv2d, "forward", detached)
    failed = measure_correctness(CONFIG, device="cpu", command="").failed
    assert {check.form for check in failed} == {"feature"}
    assert {check.precision for check in failed} == {"fp64", "fp32", "bf16"}


class AsTF32(TorchFunctionMode):
    """Convolutions read ten bits of each number behind the first, forward and backward, as TF32 does on a GPU."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is not F.conv2d:
            return func(*args, **(kwargs or {}))
        batch, weight, *others = args
        return Rounded.apply(func(Rounded.apply(batch), Rounded.apply(weight), *others, **(kwargs or {})), True)


class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor, backward=False):
        ctx.backward = backward
        return tensor.view_as(tensor) if backward else ten_bits(tensor)

    @staticmethod
    def backward(ctx, gradient):
        return ten_bits(gradient) if ctx.backward else gradient, None


def ten_bits(tensor):
    return ((tensor.detach().contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


def test_at_ten_bits_the_jump_of_relu_is_what_moves_gradients():
    torch.manual_seed(0)
    reference = convert(nn.Sequential(nn.Conv2d(16, 24, 3, padding=1)), Variant(layer="basis")).double()
    x = torch.randn(4, 16, 12, 12, dtype=torch.float64)
    found = {}
    for kind in (nullcontext, SmoothReLU):
        with kind():
            wanted = correctness._outcome(reference, x, nullcontext())
            layer = copy.deepcopy(reference).float()
            found[kind] = correctness._distance(correctness._outcome(layer, x.float(), AsTF32()), wanted)
    assert found[nullcontext] > TOLERANCES["tf32"] > 2 * found[SmoothReLU]


def test_a_number_that_is_not_finite_is_an_error():
    assert correctness._error(torch.tensor([float("nan"), 1.0]), torch.ones(2)) == float("inf")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_every_form_is_right_on_a_gpu():
    assert not measure_correctness(CONFIG, device="cuda", command="").failed
