"""Basis, BSConv, Ghost and HetConv: what their formulas say, over geometries; trained, converted, folded."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

import linconv
from linconv.config import Variant
from linconv.layers import orthogonal_penalty
from linconv.layers.methods import method_class
from linconv.methods.basis import BasisConv2d, LinearBasisConv2d
from linconv.methods.bsconv import BSConvS2d, BSConvU2d
from linconv.methods.ghost import GhostConv2d
from linconv.methods.hetconv import HetConv2d

TOLERANCE = 1e-10
FOLDABLE = {
    "basis_linear": (LinearBasisConv2d, {"slice_channels": st.integers(1, 8), "filters": st.integers(1, 5)}),
    "bsconv_u": (BSConvU2d, {}),
    "bsconv_s": (BSConvS2d, {"mid_ratio": st.sampled_from([0.25, 0.5, 1.0]), "min_mid_channels": st.integers(1, 4)}),
    "hetconv": (HetConv2d, {"part": st.integers(2, 4)}),
}
OTHERS = {
    "basis": (BasisConv2d, {"slice_channels": st.integers(1, 8), "filters": st.integers(1, 5)}),
    "ghost": (GhostConv2d, {"ratio": st.integers(2, 4), "cheap_size": st.sampled_from([1, 3, 5])}),
}
ALL = FOLDABLE | OTHERS
grid = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@st.composite
def geometries(draw):
    """Arguments of nn.Conv2d that every method here accepts, and an input shape."""
    kernel = draw(st.sampled_from([(3, 3), (1, 3), (3, 2), (2, 1), (2, 2)]))
    padding = draw(st.sampled_from(["same", "valid", 0, 1, (1, 2), (2, 0)]))
    arguments = {
        "in_channels": draw(st.integers(4, 9)),
        "out_channels": draw(st.integers(2, 9)),
        "kernel_size": kernel,
        "stride": 1 if padding == "same" else draw(st.tuples(st.integers(1, 2), st.integers(1, 3))),
        "padding": padding,
        "dilation": draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        "bias": draw(st.booleans()),
        "padding_mode": draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"])),
    }
    batch = draw(st.sampled_from([(), (1,), (3,)]))
    return arguments, (*batch, arguments["in_channels"], *draw(st.tuples(st.integers(6, 9), st.integers(6, 9))))


def make(name, arguments, data):
    cls, options = ALL[name]
    torch.manual_seed(0)
    drawn = {option: data.draw(values) for option, values in options.items()}
    return cls(**arguments, **drawn, dtype=torch.float64)


def assert_same_outputs_and_gradients(output, expected, wanted):
    """Equal outputs, and equal gradients with respect to `wanted`, of two ways to compute them."""
    torch.testing.assert_close(output, expected, rtol=0, atol=TOLERANCE)
    cotangent = torch.randn_like(expected)
    ours = torch.autograd.grad(output, wanted, cotangent)
    for found, reference in zip(ours, torch.autograd.grad(expected, wanted, cotangent), strict=True):
        torch.testing.assert_close(found, reference, rtol=0, atol=TOLERANCE * 1e2)


@pytest.mark.parametrize("name", FOLDABLE)
@grid
@given(geometry=geometries(), data=st.data())
def test_the_cheap_form_is_the_plain_convolution_in_outputs_and_gradients(name, geometry, data):
    arguments, shape = geometry
    layer = make(name, arguments, data)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    folded = layer.to_conv2d()
    output = layer(x)
    torch.testing.assert_close(output, folded(x), rtol=0, atol=TOLERANCE)
    plain = torch.func.functional_call(
        folded, {"weight": layer.weight} | ({} if layer.bias is None else {"bias": layer.bias}), (x,)
    )
    assert_same_outputs_and_gradients(output, plain, [x, *layer.parameters()])


@grid
@given(geometry=geometries(), data=st.data(), training=st.booleans())
def test_basis_is_norm_and_relu_between_a_shared_convolution_of_each_slice_and_a_1x1(geometry, data, training):
    arguments, shape = geometry
    layer = make("basis", arguments, data).train(training)
    layer.norm.running_mean.normal_()
    if layer.bias is not None:
        nn.init.normal_(layer.filter_bias)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    geometric = arguments | {"bias": False, "out_channels": len(layer.filters)}
    maps = []
    for channels in x.view(-1, *shape[-3:]).split(layer.slice_channels, dim=1):
        conv = nn.Conv2d(**geometric | {"in_channels": channels.shape[1]}, dtype=torch.float64)
        found = torch.func.functional_call(conv, {"weight": layer.filters[:, : channels.shape[1]]}, (channels,))
        maps.append(found if layer.filter_bias is None else found + layer.filter_bias[:, None, None])
    maps = torch.cat(maps, dim=1)
    assume(not training or maps.numel() > maps.shape[1])
    norm = layer.norm
    normalised = F.batch_norm(
        maps, norm.running_mean.clone(), norm.running_var.clone(), norm.weight, norm.bias, training, eps=norm.eps
    )
    expected = torch.einsum("nm,bmhw->bnhw", layer.combination, normalised.clamp(min=0))
    if layer.bias is not None:
        expected = expected + layer.bias[:, None, None]
    assert_same_outputs_and_gradients(
        layer(x), expected.view(*shape[:-3], *expected.shape[1:]), [x, *layer.parameters()]
    )


@grid
@given(geometry=geometries(), data=st.data(), training=st.booleans())
def test_ghost_makes_the_rest_of_the_maps_from_the_first_ones(geometry, data, training):
    arguments, shape = geometry
    layer = make("ghost", arguments, data).train(training)
    layer.norm.running_mean.normal_()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)

    def normed(maps, norm):
        assume(not training or maps.numel() > maps.shape[1])
        stored = norm.running_mean.clone(), norm.running_var.clone()
        return F.batch_norm(maps, *stored, norm.weight, norm.bias, training, eps=norm.eps).clamp(min=0)

    primary = math.ceil(arguments["out_channels"] / layer.ratio)
    conv = nn.Conv2d(**arguments | {"out_channels": primary, "bias": False}, dtype=torch.float64)
    maps = torch.func.functional_call(conv, {"weight": layer.filters}, (x.view(-1, *shape[-3:]),))
    maps = normed(maps, layer.norm)
    made = [
        F.conv2d(maps[:, [j // (layer.ratio - 1)]], cheap[None], padding=layer.cheap_size // 2)
        for j, cheap in enumerate(layer.cheap_filters)
    ]
    expected = torch.cat([maps, normed(torch.cat(made, dim=1), layer.cheap_norm)], dim=1)
    if layer.bias is not None:
        expected = expected + layer.bias[:, None, None]
    assert_same_outputs_and_gradients(
        layer(x), expected.view(*shape[:-3], *expected.shape[1:]), [x, *layer.parameters()]
    )


def test_filters_are_what_the_formulas_say():
    linear = LinearBasisConv2d(5, 3, 3, slice_channels=2, filters=4)  # slices of 2, 2 and 1 channels
    for n, i in ((0, 0), (2, 3), (1, 4)):
        expected = sum(linear.combination[n, i // 2 * 4 + m] * linear.filters[m, i % 2] for m in range(4))
        torch.testing.assert_close(linear.weight[n, i], expected)
    blueprint = BSConvU2d(4, 3, 3)
    torch.testing.assert_close(blueprint.weight[2, 1], blueprint.mixing[2, 1] * blueprint.blueprints[2, 0])
    subspace = BSConvS2d(8, 3, 3)
    scale = sum(subspace.mixing[2, j] * subspace.projection[j, 1] for j in range(4))
    torch.testing.assert_close(subspace.weight[2, 1], scale * subspace.blueprints[2, 0])


@pytest.mark.parametrize("channels", [8, 10])
def test_hetconv_shifts_its_kernels_by_one_input_per_filter(channels):
    weight = HetConv2d(channels, 7, 3, part=4).weight
    for n in range(7):
        for i in range(channels):
            taps = weight[n, i].count_nonzero().item()
            assert taps == (9 if i % 4 == n % 4 else 1)
            assert weight[n, i, 1, 1] != 0


@pytest.mark.parametrize("name", FOLDABLE)
def test_new_filters_have_the_deviation_of_the_convolution_and_of_those_replaced(name):
    torch.manual_seed(0)
    cls = method_class(name)
    fresh = [cls(64, 64, 3).weight.std().item() for _ in range(3)]
    assert sum(fresh) / 3 == pytest.approx(1 / math.sqrt(3 * 64 * 9), rel=0.1)
    conv = nn.Conv2d(12, 16, 3)
    nn.init.normal_(conv.weight, std=0.7)
    replaced = cls.from_conv2d(conv)
    assert replaced.weight.std().item() == pytest.approx(conv.weight.std().item(), rel=1e-5)


def test_what_regularisers_act_on():
    shapes = {name: tuple(cls(8, 12, 3).basis.shape) for name, (cls, _) in ALL.items()}
    assert shapes == {
        "basis_linear": (128, 8, 3, 3),
        "bsconv_u": (12, 1, 3, 3),
        "bsconv_s": (4, 8, 1, 1),
        "hetconv": (12, 8, 3, 3),
        "basis": (128, 8, 3, 3),
        "ghost": (6, 8, 3, 3),
    }


def test_the_penalty_of_the_source_reaches_the_first_1x1_of_bsconv_s_alone():
    layer = BSConvS2d(8, 12, 3)
    projection = layer.basis.flatten(1)
    penalty = 0.1 * orthogonal_penalty(layer)
    penalty.backward()
    torch.testing.assert_close(penalty, 0.1 * torch.linalg.matrix_norm(projection @ projection.T - torch.eye(4)))
    assert layer.projection.grad.count_nonzero() == layer.projection.numel()
    assert layer.mixing.grad is None
    assert layer.blueprints.grad is None
    nn.init.orthogonal_(layer.projection)
    assert orthogonal_penalty(layer) < 1e-5


@pytest.mark.parametrize("name", ALL)
def test_a_network_is_converted_trained_one_step_and_folded(name):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 10, 3, 2, "valid"), nn.ReLU(), nn.Conv2d(10, 6, (1, 3), bias=False)
    ).double()
    for parameter in model[4].parameters():
        parameter.requires_grad_(False)
    linconv.convert(model, Variant(layer=name, skip_first=True))
    cls = ALL[name][0]
    assert [type(model[i]) for i in (0, 2, 4)] == [nn.Conv2d, cls, cls]
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert not any(p.requires_grad for p in model[4].parameters())
    before = [p.clone() for p in model[2].parameters()]
    x = torch.randn(4, 3, 9, 9, dtype=torch.float64)
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1)
    model(x).square().mean().backward()
    optimizer.step()
    changed = [not torch.equal(old, new) for old, new in zip(before, model[2].parameters(), strict=True)]
    # before a batch norm in train mode a bias has no gradient
    names = [n for n, _ in model[2].named_parameters()]
    assert all(was for n, was in zip(names, changed, strict=True) if n != "filter_bias")
    folded = linconv.fold(model.eval())
    assert type(folded[2]) is (nn.Conv2d if cls.folds else cls)
    torch.testing.assert_close(folded(x), model(x))


def test_state_is_parameters_and_norms_alone_and_loads_into_another():
    for name, (cls, _) in ALL.items():
        layer, other = cls(9, 6, 3), cls(9, 6, 3)
        state = layer.state_dict()
        assert {k for k in state if "norm" not in k} == {n for n, _ in layer.named_parameters() if "norm" not in n}
        other.load_state_dict(state)
        x = torch.randn(2, 9, 5, 5)
        assert torch.equal(layer.eval()(x), other.eval()(x)), name
