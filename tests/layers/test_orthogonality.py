"""Orthogonality penalties against the matrices that convolutions are."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from linconv import (
    LinearConv2d,
    build_model,
    conv_orthogonal_penalty,
    convert,
    correlation_penalty,
    never_orthogonal,
    orthogonal_penalty,
)
from linconv.config import Variant

pytestmark = pytest.mark.filterwarnings("error")


def conv(filters, **geometry):
    """A plain convolution in double with given filters."""
    groups = geometry.get("groups", 1)
    n, c, *kernel = filters.shape
    layer = nn.Conv2d(c * groups, n, kernel, bias=False, dtype=torch.float64, **geometry)
    layer.weight.data = filters.double()
    return layer


def random_conv(*args, **kwargs):
    torch.manual_seed(0)
    return nn.Conv2d(*args, bias=False, dtype=torch.float64, **kwargs)


def penalty(layer, **kwargs):
    return conv_orthogonal_penalty(layer, "filters", skip_stem=False, **kwargs)


def circular_matrix(layer, size):
    """The matrix, (outputs, inputs), of a convolution of circular size x size signals."""
    c = layer.in_channels
    images = torch.eye(c * size * size, dtype=torch.float64).view(-1, c, size, size)
    reach = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    padded = F.pad(images, (0, reach[1], 0, reach[0]), mode="circular") if any(reach) else images
    out = F.conv2d(padded, layer.weight, None, layer.stride, 0, layer.dilation, layer.groups)
    return out.detach().flatten(1).T, out.shape[-2:].numel()


GEOMETRY = {
    "rows": (2, 3, 3, {}),
    "columns": (5, 2, 3, {}),
    "square": (3, 3, (3, 2), {}),
    "strided rows": (6, 2, 3, {"stride": 2}),
    "strided columns": (10, 2, 3, {"stride": 2}),
    "oblong stride": (3, 2, 3, {"stride": (2, 1)}),
    "oblong columns": (5, 1, (2, 3), {"stride": (1, 2)}),
    "kernel below stride": (3, 1, 2, {"stride": 3}),
    "1x1 rows": (2, 3, 1, {}),
    "1x1 columns": (4, 3, 1, {}),
    "dilated": (2, 2, 3, {"dilation": 2}),
    "dilated, coprime stride": (7, 1, 2, {"dilation": 3, "stride": 2}),
    "dilated, common divisor": (2, 2, 3, {"dilation": 2, "stride": 4}),
    "groups": (4, 4, 3, {"groups": 2}),
    "depthwise columns": (12, 3, 3, {"groups": 3, "stride": 1}),
}


@pytest.mark.parametrize("case", GEOMETRY.values(), ids=GEOMETRY)
def test_it_is_the_gram_matrix_of_the_convolution(case):
    filters, channels, kernel, geometry = case
    layer = random_conv(channels, filters, kernel, **geometry)
    matrix, _ = circular_matrix(layer, 12)  # 12: divisible by the strides, and no two shifts wrap onto each other
    rows = filters <= channels * math.prod(layer.stride) if layer.kernel_size != (1, 1) else filters <= channels
    matrix = matrix if rows else matrix.T
    expected = (matrix @ matrix.T - torch.eye(len(matrix))).square().sum()
    # the same deviations around every output (for columns: every block of inputs)
    repeated = 144 / math.prod(layer.stride)
    torch.testing.assert_close(penalty(layer).square() * repeated, expected)


def test_it_is_the_padded_convolution_of_the_filters_with_themselves():
    layer = random_conv(3, 5, 3, stride=2)
    padded = F.conv2d(layer.weight, layer.weight, stride=2, padding=2)  # P = floor((k - 1) / S) S
    padded[:, :, 1, 1] -= torch.eye(5)
    torch.testing.assert_close(penalty(layer), padded.norm())


def test_rows_and_columns_differ_by_the_constant():
    layer = random_conv(2, 7, 3)
    rows = F.conv2d(layer.weight, layer.weight, padding=2)
    rows[:, :, 2, 2] -= torch.eye(7)
    torch.testing.assert_close(penalty(layer).square(), rows.square().sum() - (7 - 2))


def test_the_interior_of_a_zero_padded_convolution_agrees():
    layer = random_conv(2, 3, 3, padding=1)
    images = torch.eye(2 * 7 * 7, dtype=torch.float64).view(-1, 2, 7, 7)
    toeplitz = layer(images).detach().flatten(1).T  # (3 * 49, 2 * 49), zeros beyond the border
    gram = (toeplitz.T @ toeplitz).view(2, 49, 2, 49)  # columns
    gram = gram - torch.eye(98).view(2, 49, 2, 49)
    center = gram[:, 3 * 7 + 3]  # of the inputs in the middle, whose outputs are all there
    torch.testing.assert_close(penalty(layer).square(), center.square().sum())


def orthonormal(rows, columns):
    torch.manual_seed(rows)
    tall = torch.linalg.qr(torch.randn(max(rows, columns), min(rows, columns), dtype=torch.float64)).Q
    return tall if rows >= columns else tall.T


def one_tap_each(filters, channels, kernel, stride):
    """Orthonormal filters on one tap per place of the stride's block."""
    q = min(kernel, stride)
    weight = torch.zeros(filters, channels, kernel, kernel, dtype=torch.float64)
    weight[:, :, :q, :q] = orthonormal(filters, channels * q * q).view(filters, channels, q, q)
    return weight


@pytest.mark.parametrize(("filters", "stride"), [(2, 1), (3, 1), (6, 1), (5, 2), (12, 2), (14, 2), (20, 5)])
def test_0_for_convolutions_orthogonal_by_construction(filters, stride):
    layer = conv(one_tap_each(filters, 3, 3, stride), stride=stride)
    assert never_orthogonal(layer, "filters") == []
    value = penalty(layer)
    assert value.item() == pytest.approx(0, abs=1e-12)
    value.backward()
    assert layer.weight.grad.isfinite().all()


def test_filters_that_overlap_shifted_copies_are_orthogonal_as_filters_only():
    layer = conv(torch.full((1, 1, 1, 2), 0.5**0.5, dtype=torch.float64))
    assert orthogonal_penalty(layer, "filters").item() == pytest.approx(0, abs=1e-12)
    assert penalty(layer).item() == pytest.approx(0.5**0.5)  # the overlap 1/2, left and right


@pytest.mark.parametrize("shape", [(4, 2, 3, 3), (40, 2, 3, 3)])
def test_orthogonal_takes_the_smaller_side(shape):
    layer = random_conv(shape[1], shape[0], 3)
    v = layer.weight.flatten(1)
    by_rows, by_columns = (g - torch.eye(len(g)) for g in (v @ v.T, v.T @ v))
    expected = by_rows if shape[0] < 18 else by_columns
    torch.testing.assert_close(orthogonal_penalty(layer, "filters"), expected.norm())
    exact = conv(orthonormal(shape[0], 18).view(shape))
    assert orthogonal_penalty(exact, "filters").item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("sizes", [(3, 5), (5, 3)])
@pytest.mark.parametrize("stride", [1, 2])
def test_1x1_is_taken_as_a_matrix(sizes, stride):
    layer = random_conv(*sizes, 1, stride=stride)
    assert penalty(layer).item() == orthogonal_penalty(layer, "filters").item() > 0


@pytest.mark.parametrize("case", ["rows", "strided columns", "oblong stride", "1x1 columns", "groups", "dilated"])
def test_gradients(case):
    filters, channels, kernel, geometry = GEOMETRY[case]
    layer = random_conv(channels, filters, kernel, **geometry)

    class Penalties(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self):
            return penalty(self) + orthogonal_penalty(self, "filters")

    def of_weight(weight):
        return torch.func.functional_call(Penalties(), {"layer.weight": weight}, ())

    assert torch.autograd.gradcheck(of_weight, (layer.weight.detach().clone().requires_grad_(),))


def test_what_the_penalties_act_on():
    torch.manual_seed(0)
    model = convert(nn.Sequential(*(nn.Conv2d(6, 8, 3) for _ in range(3))), "L", exclude=["2"]).double()
    primaries = [conv(model[i].primary_filters) for i in (0, 1)]
    everything = [conv(model[i].weight) for i in (0, 1, 2)]
    for function in (orthogonal_penalty, lambda *a: conv_orthogonal_penalty(*a, skip_stem=False), correlation):
        for on, layers in (("primaries", primaries), ("filters", everything)):
            torch.testing.assert_close(function(model, on), sum(function(layer, "filters") for layer in layers))
    torch.testing.assert_close(conv_orthogonal_penalty(model, "primaries"), penalty(primaries[1]))
    torch.testing.assert_close(
        conv_orthogonal_penalty(model, "filters"), penalty(everything[1]) + penalty(everything[2])
    )
    conv_orthogonal_penalty(model, "filters").backward()
    assert model[0].primary_filters.grad is None  # the stem
    assert model[1].coefficients.weight.grad.abs().min() > 0
    with pytest.warns(UserWarning, match="the model has no filters"):
        assert conv_orthogonal_penalty(nn.Linear(2, 2), "filters").item() == 0
    with pytest.raises(ValueError, match="'primaries' or 'filters', not 'secondaries'"):
        orthogonal_penalty(model, "secondaries")


def correlation(model, on):
    return correlation_penalty(model, on=on)


def test_primaries_that_fill_a_part_of_the_last_group():
    torch.manual_seed(0)
    layer = LinearConv2d(6, 12, 3, groups=3, primary_ratio=0.5).double()  # 6 primaries: one group of 4, half another
    first, second = conv(layer.primary_filters[:4]), conv(layer.primary_filters[4:])
    expected = torch.hypot(penalty(first), penalty(second))
    torch.testing.assert_close(conv_orthogonal_penalty(layer, skip_stem=False), expected)


def test_half_filters_and_autocast_are_computed_in_single_precision():
    layer = random_conv(4, 6, 3).float()
    expected = penalty(layer)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(penalty(layer), expected)
    assert penalty(layer.bfloat16()).dtype == torch.float32


@settings(max_examples=25, deadline=None)
@given(
    filters=st.integers(1, 10),
    channels=st.integers(1, 2),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 2),
)
def test_never_orthogonal_is_what_the_rank_of_the_matrix_says(filters, channels, kernel, stride, dilation):
    layer = random_conv(channels, filters, kernel, stride=stride, dilation=dilation)
    matrix, _ = circular_matrix(layer, 12)
    # filters in general position reach the largest rank of any, and orthonormal rows or columns need full rank
    full = torch.linalg.matrix_rank(matrix).item() == min(matrix.shape)
    assert (never_orthogonal(layer, "filters") == []) == full


def test_reports_name_the_layer_and_the_reason():
    resnet = build_model("resnet18", "conv")
    shortcuts = [warning.layer for warning in never_orthogonal(resnet, "filters")]
    assert shortcuts
    modules = dict(resnet.named_modules())
    assert all(modules[n].kernel_size == (1, 1) and modules[n].stride == (2, 2) for n in shortcuts)
    assert never_orthogonal(build_model("vgg11", "conv"), "filters") == []
    (unseen,) = never_orthogonal(nn.Sequential(nn.Conv2d(1, 10, 2, stride=3)), "filters")
    assert unseen == (
        "never_orthogonal",
        "0",
        "the kernel sees 4 of 9 inputs per block and channel, the rest have zero columns",
    )
    layer = LinearConv2d(8, 8, 3)
    assert never_orthogonal(layer) == []
    (warning,) = never_orthogonal(layer, "filters")
    assert warning.message == "a rank of 8 is needed, and the 4 primary filters give no more"
    assert never_orthogonal(LinearConv2d(4, 8, 3), "filters") == []  # 4 columns, 4 primaries


def test_a_basis_of_more_filters_than_outputs_is_one_group():
    layer = convert(nn.Conv2d(4, 6, 3), Variant(layer="basis_linear", options={"slice_channels": 4, "filters": 16}))
    equal = nn.Conv2d(4, 16, 3)
    equal.weight = nn.Parameter(layer.basis.detach().clone())
    found = conv_orthogonal_penalty(layer, skip_stem=False)
    torch.testing.assert_close(found, conv_orthogonal_penalty(equal, "filters", skip_stem=False))
    assert never_orthogonal(layer) == []


def test_a_penalty_of_a_first_convolution_alone_is_no_penalty():
    with pytest.warns(UserWarning, match="no primaries outside of its first convolution, .*; the penalty is 0"):
        assert conv_orthogonal_penalty(LinearConv2d(3, 8, 3)) == 0
    assert conv_orthogonal_penalty(LinearConv2d(3, 8, 3), skip_stem=False) > 0
