"""The defining property: every form of the layer is the plain convolution with the filter bank [V; A V]."""

import inspect
import itertools
from unittest.mock import patch

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

from linconv import LinearConv2d
from linconv.layers.forms import MAX_STACKED_PRIMARIES, MIN_STACKED_VALUES

TOLERANCE = 1e-10


@st.composite
def layers(draw):
    """A layer of any geometry with an input it accepts: (options of the layer, input shape)."""
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.sampled_from(["same", "valid", 0, 1, (1, 2), (2, 0)]))
    stride = 1 if padding == "same" else draw(st.tuples(st.integers(1, 2), st.integers(1, 3)))
    kind = draw(st.sampled_from(["full", "rank", "ratio", "sparse"]))
    options = {
        "in_channels": groups * draw(st.integers(1, 4)),
        "out_channels": groups * draw(st.integers(2, 9)),
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": draw(st.booleans()),
        "padding_mode": draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"])),
        "primary_ratio": draw(st.sampled_from([0.25, 0.5, 0.6, 0.9])),
        "rank": {"rank": draw(st.integers(1, 5)), "ratio": draw(st.sampled_from([0.3, 1.0]))}.get(kind),
        "sparsity": 0.5 if kind == "sparse" else None,
        "init": draw(st.sampled_from(["paper", "variance_preserving"])),
    }
    batch = draw(st.sampled_from([(), (1,), (3,)]))
    size = draw(st.tuples(st.integers(7, 10), st.integers(7, 10)))
    return options, (*batch, options["in_channels"], *size)


def gradients(layer, output, x, cotangent):
    parameters = dict(layer.named_parameters())
    found = torch.autograd.grad(output, [x, *parameters.values()], cotangent)
    return dict(zip(["input", *parameters], found, strict=True))


def relative_error(a, b):
    return ((a - b).abs().max() / b.abs().max().clamp_min(1e-12)).item()


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(layers(), st.sampled_from([0, MIN_STACKED_VALUES]))
def test_weight_feature_and_folded_forms_agree_in_outputs_and_all_gradients(case, far):
    options, shape = case
    assume(int(options["primary_ratio"] * options["out_channels"]) >= 1)
    torch.manual_seed(0)
    layer = LinearConv2d(**options, dtype=torch.float64)
    if options["sparsity"]:
        layer.coefficients.mask.bernoulli_(0.5)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)

    folded = layer.to_conv2d()
    expected = folded(x)
    cotangent = torch.randn_like(expected)
    # the reference gradients: those of the plain convolution, carried back through W = [V; A V]
    dx, dw = torch.autograd.grad(expected, [x, folded.weight], cotangent)
    reference = {"input": dx}
    bank = {n: p for n, p in layer.named_parameters() if n != "bias"}
    reference |= dict(zip(bank, torch.autograd.grad(layer.weight, list(bank.values()), dw), strict=True))
    if layer.bias is not None:
        reference["bias"] = cotangent.movedim(-3, 0).flatten(1).sum(1)

    modes = ("weight", "auto") if layer.groups > 1 else ("weight", "feature", "auto")
    layouts = [x] if x.dim() == 3 else [x, x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()]
    for mode, maps in itertools.product(modes, layouts):
        layer.mode = mode
        with patch("linconv.layers.forms.MIN_STACKED_VALUES", far):  # both ways of joining the halves
            output = layer(maps)
        assert relative_error(output, expected) < TOLERANCE, mode
        found = gradients(layer, output, maps, cotangent)
        assert found.keys() == reference.keys()
        for name, gradient in found.items():
            assert relative_error(gradient, reference[name]) < TOLERANCE, (mode, name)


def test_signature_begins_with_that_of_conv2d():
    ours = list(inspect.signature(LinearConv2d.__init__).parameters.values())
    torchs = list(inspect.signature(nn.Conv2d.__init__).parameters.values())
    assert [(p.name, p.default, p.kind) for p in ours[: len(torchs)]] == [(p.name, p.default, p.kind) for p in torchs]
    extra = ours[len(torchs) :]
    assert all(p.kind is p.KEYWORD_ONLY for p in extra)
    assert {"primary_ratio": 0.5, "rank": None, "sparsity": None, "mode": "auto"}.items() <= {
        p.name: p.default for p in extra
    }.items()


@pytest.mark.parametrize(
    ("options", "shapes"),
    [
        ({}, {"coefficients.weight": (7, 6)}),
        ({"rank": 4}, {"coefficients.left": (7, 4), "coefficients.right": (4, 6)}),
        ({"rank": 0.5}, {"coefficients.left": (7, 3), "coefficients.right": (3, 6)}),
        ({"rank": 10}, {"coefficients.left": (7, 6), "coefficients.right": (6, 6)}),
        ({"sparsity": 0.5}, {"coefficients.weight": (7, 6), "coefficients.mask": (7, 6)}),
    ],
)
def test_state_dict_keys_and_shapes_are_the_contract(options, shapes):
    layer = LinearConv2d(8, 13, 3, groups=1, **options)
    expected = {"primary_filters": (6, 8, 3, 3), "bias": (13,), **shapes}
    assert {k: tuple(v.shape) for k, v in layer.state_dict().items()} == expected
    assert tuple(layer.weight.shape) == (13, 8, 3, 3)
    other = LinearConv2d(8, 13, 3, **options)
    other.load_state_dict(layer.state_dict())
    x = torch.randn(2, 8, 6, 6)
    assert torch.equal(other(x), layer(x))


@pytest.mark.parametrize("options", [{}, {"rank": 4}, {"sparsity": 0.5}])
def test_weight_is_v_over_a_times_v(options):
    layer = LinearConv2d(4, 9, 3, dtype=torch.float64, **options)
    if "sparsity" in options:
        layer.coefficients.mask.bernoulli_(0.5)
    state = layer.state_dict()
    v = state["primary_filters"].reshape(4, 36)
    a = {
        "rank": lambda: state["coefficients.left"] @ state["coefficients.right"],
        "sparsity": lambda: state["coefficients.weight"] * state["coefficients.mask"],
    }.get(next(iter(options), ""), lambda: state["coefficients.weight"])()
    torch.testing.assert_close(layer.weight.detach().reshape(9, 36), torch.cat([v, a @ v]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"primary_ratio": 0.0}, "primary_ratio must be a number in"),
        ({"primary_ratio": 1.0}, "primary_ratio must be a number in"),
        ({"primary_ratio": 0.05}, "leaves no primary filter"),
        ({"rank": 0}, "rank must be"),
        ({"rank": 1.5}, "rank must be"),
        ({"rank": True}, "rank must be"),
        ({"sparsity": 1.0}, "sparsity must be a number in"),
        ({"rank": 2, "sparsity": 0.5}, "exclude each other"),
        ({"mode": "fast"}, "mode must be one of"),
        ({"groups": 2, "mode": "feature"}, "exact for groups=1 only, not groups=2"),
        ({"init": "kaiming"}, "init must be one of"),
        ({"groups": 3}, "divisible by groups"),
        ({"padding": "same", "stride": 2}, "strided"),
        ({"padding_mode": "mirror"}, "padding_mode"),
        ({"in_channels": 0}, "in_channels must be at least 1, not 0"),
        ({"out_channels": 0}, "out_channels must be at least 1, not 0"),
        ({"kernel_size": (3, 0)}, "kernel_size must be at least 1, not 0"),
    ],
)
def test_wrong_options_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        LinearConv2d(**{"in_channels": 4, "out_channels": 8, "kernel_size": 3} | options)


def test_mode_may_change_later_but_not_to_feature_with_groups():
    layer = LinearConv2d(4, 8, 3, groups=2)
    with pytest.raises(ValueError, match="use 'weight' or 'auto'"):
        layer.mode = "feature"
    assert layer.mode == "auto"


@pytest.mark.parametrize(
    ("layer", "shape", "form"),
    [
        (LinearConv2d(64, 64, 3), (1, 64, 9, 9), "feature"),  # D - P = 544
        (LinearConv2d(16, 16, 3), (8, 16, 9, 9), "weight"),  # D - P = 136: half of the MACs, and no time, are saved
        (LinearConv2d(16, 256, 1), (1, 16, 32, 32), "weight"),  # P = 128 > D = 16
        (LinearConv2d(16, 256, 1), (1, 16, 2, 2), "feature"),  # 4 pixels: making W would cost more
        (LinearConv2d(16, 256, 1, rank=4), (1, 16, 32, 32), "weight"),  # r (S + P) = 1024 of S D = 2048
        (LinearConv2d(256, 256, 1, rank=4), (1, 256, 32, 32), "feature"),  # r (S + P) = 1024 of S D = 32768
        (LinearConv2d(16, 16, 3, groups=4), (1, 16, 9, 9), "weight"),
    ],
)
def test_auto_takes_feature_space_where_it_saves_more_than_it_moves(layer, shape, form):
    x = torch.randn(shape)
    assert layer.form_for(x) == form
    if form == "feature":
        counted = [(x.shape[0], layer(x)[0, 0].numel())] * 2  # the pixels of the whole batch
        assert sum(layer.macs_at("feature", *counted)) < sum(layer.macs_at("weight", *counted))


@pytest.mark.parametrize("options", [{}, {"rank": 3}, {"rank": 1}, {"sparsity": 0.5}])
@pytest.mark.parametrize("bias", [True, False])
def test_both_ways_of_joining_the_halves_agree_with_the_folded_layer(options, bias, monkeypatch):
    layer = LinearConv2d(16, 12, 3, padding=1, bias=bias, mode="feature", dtype=torch.float64, **options)
    plain = layer.to_conv2d()
    x = torch.randn(4, 16, 7, 7, dtype=torch.float64)
    assert not layer._stacks(x.contiguous(memory_format=torch.channels_last))  # in the cache
    monkeypatch.setattr("linconv.layers.forms.MIN_STACKED_VALUES", 4 * 12 * 49)
    for layout in (torch.contiguous_format, torch.channels_last):
        maps = x.contiguous(memory_format=layout)
        assert layer._stacks(maps) is (layout is torch.channels_last and options != {"rank": 1})
        torch.testing.assert_close(layer(maps), plain(maps), rtol=1e-12, atol=1e-12)
        assert layer(maps).is_contiguous(memory_format=layout)
    assert not layer._stacks(maps[:3])
    seeds = torch.stack([maps, 2 * maps])
    torch.testing.assert_close(torch.func.vmap(layer)(seeds), torch.stack([layer(x) for x in seeds]))
    assert not LinearConv2d(16, 2 * MAX_STACKED_PRIMARIES + 2, 3, padding=1, mode="feature", **options)._stacks(maps)


def test_paper_initialisation_and_the_variance_preserving_one():
    torch.manual_seed(0)
    paper = LinearConv2d(64, 256, 3)
    bound = (6 / (64 * 9 + 128 * 9)) ** 0.5  # Xavier: fans of the primary filters
    for tensor, limit in [(paper.primary_filters, bound), (paper.coefficients.weight, 0.1), (paper.bias, 0.1)]:
        assert limit * 0.98 < float(tensor.detach().abs().max()) <= limit
    ratio = {}
    for init in ("paper", "variance_preserving"):
        for options in ({}, {"rank": 10}):
            bank = LinearConv2d(64, 256, 3, init=init, **options).weight.detach()
            ratio[init, *options] = float(bank[128:].var() / bank[:128].var())
    assert ratio["variance_preserving",] == pytest.approx(1, rel=0.15)
    assert ratio["variance_preserving", "rank"] == pytest.approx(1, rel=0.4)  # a product of two thin random matrices
    he = LinearConv2d(64, 256, 3, init="variance_preserving")
    assert float(he.primary_filters.detach().var()) == pytest.approx(2 / 576, rel=0.05)
    assert float(he.bias.detach().abs().max()) == 0
    assert ratio["paper",] == pytest.approx(128 * 0.1**2 / 3, rel=0.15)


def test_repr_shows_primaries_rank_and_the_share_of_parameters():
    text = repr(LinearConv2d(64, 128, 3, padding=1, rank=10, bias=False))
    assert "primaries=64, rank=10" in text
    assert "bias=False" in text
    kept = (64 * 576 + 10 * 128) / (128 * 576)
    assert f"parameters={kept:.1%}" in text


@pytest.mark.parametrize("mode", ["weight", "feature"])
def test_vmap_over_stacked_seeds_equals_one_by_one(mode):
    x = torch.randn(2, 6, 8, 8, dtype=torch.float64)
    seeds = [LinearConv2d(6, 11, 3, rank=3, mode=mode, dtype=torch.float64) for _ in range(3)]
    parameters, buffers = torch.func.stack_module_state(seeds)

    def run(p, b):
        return torch.func.functional_call(seeds[0], (p, b), (x,))

    together = torch.func.vmap(run)(parameters, buffers)
    torch.testing.assert_close(together, torch.stack([s(x) for s in seeds]), atol=1e-12, rtol=1e-12)
