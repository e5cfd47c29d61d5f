"""Factorised, weighted, spaced, dynamic and octave convolutions: equality, gradients, MACs, parameters, refusals."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet18

from linconv import convert, fold
from linconv.config import Variant
from linconv.layers import UnsupportedConvError, method_class
from linconv.layers.geometry import geometry
from linconv.measure.complexity import complexity

FOLDING = ["cp", "dcls", "lowrank", "spatial", "tucker", "wconv"]
OTHERS = ["dynamic", "octconv"]
OPTIONS = {
    "cp": [{}, {"rank": 3}],
    "dcls": [{}, {"kernel_count": 2, "dilated_kernel_size": 9}],
    "dynamic": [{"banks": 3}, {"banks": 2, "budget": 1.5}],
    "lowrank": [{}],
    "octconv": [{}, {"alpha": 0.3}],
    "spatial": [{}, {"vertical": 0.2}],
    "tucker": [{}, {"in_rank": 1, "out_rank": 0.9}],
    "wconv": [{}, {"density": 1.3, "learned": True}],
}
pairs = st.tuples(st.integers(0, 2), st.integers(0, 2))


@st.composite
def convolutions(draw, name):
    """A double-precision layer of a method, drawn from the geometry it accepts, and an input."""
    odd = name in ("wconv", "octconv")
    side = st.sampled_from([1, 3, 5] if odd else [1, 2, 3, 5])
    kernel = draw(st.tuples(side, side))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = draw(pairs)
    if name == "octconv":
        padding = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
    elif stride == (1, 1):
        padding = draw(st.sampled_from(["same", "valid", padding]))
    mode = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    channels, filters = draw(st.tuples(st.integers(1, 7), st.integers(2, 9)))
    options = draw(st.sampled_from(OPTIONS[name]))
    torch.manual_seed(draw(st.integers(0, 99)))
    try:
        layer = method_class(name)(
            channels, filters, kernel, stride, padding, dilation, 1, draw(st.booleans()), mode,
            dtype=torch.float64, **options,
        )  # fmt: skip
    except (UnsupportedConvError, ValueError) as error:
        assume(not isinstance(error, UnsupportedConvError) and "dilated_kernel_size" not in str(error))
        raise
    least = 25 if name == "octconv" else 11  # reflection needs maps larger than the padding, at half resolution too
    size = draw(st.tuples(st.integers(least, least + 3), st.integers(least, least + 3)))
    return layer, torch.randn(2, channels, *size, dtype=torch.float64)


def gradients(output, seed, tensors):
    cotangent = torch.randn(output.shape, dtype=output.dtype, generator=torch.Generator().manual_seed(seed))
    return torch.autograd.grad((output * cotangent).sum(), tensors)


@pytest.mark.parametrize("name", FOLDING)
def test_a_layer_equals_its_plain_convolution_in_output_and_gradients(name):
    @settings(max_examples=25, deadline=None)
    @given(convolutions(name))
    def check(drawn):
        layer, x = drawn
        x.requires_grad_()
        plain = layer.to_conv2d()
        assert plain.weight.shape == layer.weight.shape
        output, expected = layer(x), plain(x)
        assert output.shape[-2:] == layer.output_size(x.shape[-2:])
        torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-11)
        torch.testing.assert_close(layer(x[0]), expected[0], rtol=1e-10, atol=1e-11)
        # through W: the plain convolution carries the gradient to the filters and W to the parameters
        filters = layer.weight
        if plain.padding_mode == "zeros":
            through = F.conv2d(x, filters, layer.bias, plain.stride, plain.padding, plain.dilation)
        else:
            padded = F.pad(x, plain._reversed_padding_repeated_twice, mode=plain.padding_mode)
            through = F.conv2d(padded, filters, layer.bias, plain.stride, 0, plain.dilation)
        tensors = [x, *layer.parameters()]
        for ours, theirs in zip(gradients(output, 1, tensors), gradients(through, 1, tensors), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)

    check()


@pytest.mark.parametrize("name", [*FOLDING, *OTHERS])
def test_macs_are_those_that_run(name):
    @settings(max_examples=15, deadline=None)
    @given(convolutions(name))
    def check(drawn):
        layer, x = drawn
        with FlopCounterMode(display=False) as counter:
            output = layer(x)
        assert output.shape[-2:] == layer.output_size(x.shape[-2:])
        macs = layer.macs_at("feature", tuple(output.shape[-2:]), tuple(x.shape[-2:]))
        assert counter.get_total_flops() == 2 * (len(x) * macs.per_image + macs.per_step)

    check()


@pytest.mark.parametrize(
    ("name", "options", "params"),
    [
        # c = 12, N = 10, k = 3, bias 10; D = 108
        ("spatial", {}, 3 * 12 * 10),
        ("tucker", {}, 12 * 6 + 6 * 5 * 9 + 5 * 10),
        ("tucker", {"in_rank": 4, "out_rank": 0.25}, 12 * 4 + 4 * 2 * 9 + 2 * 10),
        ("cp", {"rank": 7}, 7 * (10 + 12 + 2 * 3)),
        ("cp", {}, 19 * (10 + 12 + 2 * 3)),  # floor(540 / 28) = 19
        ("dynamic", {}, 8 * 10 * 108 + (4 * 12 + 4) + (8 * 4 + 8)),
        ("dynamic", {"budget": 1.0, "banks": 2}, 2 * 4 * 108 + 10 * 4 + (4 * 12 + 4) + (2 * 4 + 2)),
        ("wconv", {}, 10 * 108),
        ("wconv", {"learned": True}, 10 * 108 + 1),
        ("dcls", {}, 3 * 3 * 12 * 10),
        ("octconv", {}, 10 * 108),
        ("lowrank", {}, 5 * (108 + 10)),
    ],
)
def test_parameters_follow_the_formula(name, options, params):
    layer = method_class(name)(12, 10, 3, padding=1, **options)
    assert layer.params_expected == sum(p.numel() for p in layer.parameters()) == params + 10


@pytest.mark.parametrize("name", [*FOLDING, *OTHERS])
def test_new_filters_keep_the_scale_of_those_replaced(name):
    torch.manual_seed(0)
    conv = nn.Conv2d(32, 32, 3, padding=1, bias=False)
    x = torch.randn(4, 32, 12, 12)
    expected = conv(x).std()
    for scale in (1.0, 3.0):
        with torch.no_grad():
            conv.weight.mul_(scale)
        layer = convert(nn.Sequential(conv), Variant(layer=name))[0]
        assert type(layer) is method_class(name)
        ratio = layer(x).std() / (scale * expected)
        # halving half of the channels' resolution averages four noisy pixels into one
        assert (0.5 if name == "octconv" else 0.8) < ratio < 1.25
        with torch.no_grad():
            conv.weight.div_(scale)
        direct = method_class(name)(32, 32, 3, padding=1, bias=False)(x).std() / expected
        assert (0.5 if name == "octconv" else 0.8) < direct < 1.25


@pytest.mark.parametrize("name", [*FOLDING, *OTHERS])
def test_a_network_converts_counts_trains_and_folds(name):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 3, stride=2, padding=1)
    )
    model = convert(model, Variant(layer=name)).double()
    assert type(model[3]) is method_class(name)
    record = complexity(model, (3, 9, 7), 1)
    x = torch.randn(1, 3, 9, 7, dtype=torch.float64)
    model.eval()
    with FlopCounterMode(display=False) as counter:
        output = model(x)
    assert record.macs_auto == record.macs_feature == counter.get_total_flops() / 2
    torch.testing.assert_close(fold(model)(x), output, rtol=1e-10, atol=1e-11)
    model.train()(torch.randn(2, 3, 9, 7, dtype=torch.float64)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", [*FOLDING, *OTHERS])
def test_autocast_and_channels_last(name):
    torch.manual_seed(0)
    layer = method_class(name)(8, 8, 3, stride=2, padding=1)
    x = torch.randn(2, 8, 9, 9)
    expected = layer(x)
    torch.testing.assert_close(layer(x.to(memory_format=torch.channels_last)), expected)
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(x)
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), expected, rtol=0.1, atol=0.05)


@pytest.mark.parametrize("name", [*FOLDING, *OTHERS])
def test_a_torchvision_network_is_converted_and_counted(name):
    with torch.device("meta"):
        model = convert(resnet18(), Variant(layer=name, skip_first=True)).eval()
    replaced = sum(isinstance(m, method_class(name)) for m in model.modules())
    assert replaced == (19 if name in ("dynamic", "lowrank", "octconv") else 16)  # 3 of its convolutions are 1x1
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, 72, 56, device="meta"))
    assert complexity(model, (3, 72, 56)).macs_auto == counter.get_total_flops() / 2


GROUPED = nn.Conv2d(4, 8, 3, groups=2, padding=1)
POINT = nn.Conv2d(4, 8, 1)


@pytest.mark.parametrize(
    ("name", "conv", "options", "reason"),
    [
        *((name, GROUPED, {}, "groups=2") for name in ("cp", "lowrank", "octconv", "spatial", "tucker")),
        *((name, POINT, {}, "1x1") for name in ("cp", "dcls", "spatial", "tucker", "wconv")),
        ("spatial", nn.Conv2d(4, 8, (3, 1)), {}, "3x1 kernel is one pixel wide"),
        ("spatial", nn.Conv2d(4, 1, 3), {}, "one filter"),
        ("wconv", nn.Conv2d(4, 8, (3, 4)), {}, "3x4 kernel has no centre"),
        ("wconv", nn.Conv2d(4, 8, 5), {"density": [0.5]}, r"needs 2 value\(s\)"),
        ("dynamic", GROUPED, {"budget": 0.5}, "groups=2"),
        ("dynamic", nn.Conv2d(4, 4, 3), {"budget": 0.5}, "no filter for each of 8 banks"),
        ("octconv", nn.Conv2d(4, 8, 3), {}, "does not keep the size"),
        ("octconv", nn.Conv2d(8, 8, 2, padding=1), {}, "does not keep the size"),
        ("octconv", nn.Conv2d(3, 1, 3, padding=1), {}, "no low-frequency channel"),
    ],
)  # fmt: skip
def test_what_cannot_be_replaced_is_refused_and_stays_plain(name, conv, options, reason):
    with pytest.raises(UnsupportedConvError, match=reason):
        method_class(name)(**geometry(conv), **options)
    variant = Variant(layer=name, options=options)
    assert convert(nn.Sequential(conv), variant)[0] is conv


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("spatial", {"vertical": 1.0}, r"vertical must be a number in \(0, 1\), not 1.0"),
        ("tucker", {"in_rank": 0}, "in_rank must be an int of at least 1 .* not 0"),
        ("tucker", {"out_rank": 1.5}, r"out_rank .* float in \(0, 1\], not 1.5"),
        ("tucker", {"init": "hosvd"}, "init must be one of matched, svd, not 'hosvd'"),
        ("cp", {"rank": True}, "rank must be .* not True"),
        ("dynamic", {"banks": 0}, "banks must be an int of at least 1, not 0"),
        ("dynamic", {"budget": -1.0}, "budget must be a number above 0, not -1.0"),
        ("dynamic", {"hidden": 0.0}, "hidden must be a number above 0, not 0.0"),
        ("wconv", {"density": 0.0}, "density must be a number above 0"),
        ("wconv", {"density": []}, "density must be a number above 0"),
        ("dcls", {"kernel_count": 0}, "kernel_count must be an int of at least 1, not 0"),
        ("dcls", {"dilated_kernel_size": 4}, "at least 3x3, the reach of the kernel, and exceed it by an even"),
        ("dcls", {"dilated_kernel_size": [5]}, "dilated_kernel_size must be"),
        ("octconv", {"alpha": 1.0}, r"alpha must be a number in \(0, 1\), not 1.0"),
    ],
)
def test_wrong_options_name_the_value_and_the_range(name, options, message):
    with pytest.raises(ValueError, match=message):
        method_class(name)(8, 8, 3, padding=1, **options)


@pytest.mark.parametrize("name", ["dcls", "dynamic", "wconv"])
def test_groups_where_they_are_accepted(name):
    torch.manual_seed(0)
    layer = method_class(name)(6, 4, 3, groups=2, padding=1, dtype=torch.float64)
    x = torch.randn(3, 6, 7, 7, dtype=torch.float64)
    other = torch.cat([x[:, :3], torch.zeros_like(x[:, 3:])], dim=1)
    if name == "dynamic":  # its coefficients see every channel
        layer.mix.weight.data.zero_()
    torch.testing.assert_close(layer(x)[:, :2], layer(other)[:, :2])
    assert not torch.allclose(layer(x)[:, 2:], layer(other)[:, 2:])
    if layer.folds:
        torch.testing.assert_close(layer.to_conv2d()(x), layer(x))
    convolution = layer.stages(49, 49)[-1]
    assert convolution.macs == 4 * layer.filter_size * 49
