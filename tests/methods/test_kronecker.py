"""Kronecker convolution: the formula, the start from given filters, the choice of the form, counts, budgets."""

import itertools

import pytest
import torch
from torch import nn

from linconv.methods.kronecker import KroneckerConv2d
from tests.methods.common import GEOMETRIES, by_hand, count, in_millions, measured, same_outputs_and_gradients, stages

OPTIONS = [{"rank": 1}, {"rank": 2, "inner_filters": 5}]
REFUSED = [
    (nn.Conv2d(1, 1, 3), {}, "is a number"),
    (nn.Conv2d(4, 8, 3), {"inner_filters": 3}, "inner_filters 3 does not divide 8"),
]

DOUBLE = {"dtype": torch.float64}


@pytest.mark.parametrize("rank", [1, 40])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_filters_are_sums_of_kronecker_products(geometry, rank):
    torch.manual_seed(0)
    layer = KroneckerConv2d(6, 8, rank=rank, inner_filters=2, inner_channels=3, **geometry, **DOUBLE)
    assert layer.forms == (("feature",) if rank == 1 else ("weight",))
    inner = layer.inner.unflatten(0, (layer.rank, 2))
    taps = [
        sum(torch.kron(a, b[:, :, i, j]) for a, b in zip(layer.outer, inner, strict=True))
        for i, j in itertools.product(*map(range, layer.kernel_size))
    ]
    weight = torch.stack(taps, -1).unflatten(-1, layer.kernel_size)
    x = torch.randn(2, 6, 9, 8, **DOUBLE, requires_grad=True)
    plain = nn.Conv2d(6, 8, **geometry, **DOUBLE)
    values = {"weight": weight} | ({} if layer.bias is None else {"bias": layer.bias})
    expected = torch.func.functional_call(plain, values, (x,))
    same_outputs_and_gradients(layer(x), expected, [x, layer.outer, layer.inner])


def test_svd_is_exact_at_full_rank_and_finds_a_kronecker_product():
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 8, 3, **DOUBLE)
    full = KroneckerConv2d.from_conv2d(conv, rank=1000, init="svd")
    assert full.rank == min(full.outer[0].numel(), full.inner.numel() // full.rank)
    torch.testing.assert_close(full.weight, conv.weight)
    product = KroneckerConv2d(6, 8, 3, rank=2, **DOUBLE)
    found = KroneckerConv2d.from_conv2d(product.to_conv2d(), rank=2, init="svd")
    torch.testing.assert_close(found.weight, product.weight)
    with torch.no_grad():
        fitted = [KroneckerConv2d.from_conv2d(conv, rank=rank, init="svd").weight for rank in (1, 2, 4)]
        errors = [float((weight - conv.weight).norm()) for weight in fitted]
    assert errors == sorted(errors, reverse=True)


def test_the_factors_are_near_the_roots_and_the_rank_fits_the_share():
    layer = KroneckerConv2d(32, 128, 3, rank=0.5, device="meta")
    assert layer.outer.shape[1:] == (16, 8)  # N1, c1: 8 and 4 are the smaller of two divisors equally near
    assert layer.inner.shape[1:] == (4, 3, 3)
    factors = 16 * 8 + 8 * 4 * 9
    assert layer.rank == 16 * 8 * 8 * 4 * 9 // 2 // factors
    assert count(layer) == layer.rank * factors + 128 <= 0.5 * 32 * 128 * 9 + 128
    assert KroneckerConv2d(7, 5, 3, rank=0.01).rank == 1


def test_counts_follow_the_formula():
    maps = KroneckerConv2d(12, 10, 3, rank=1, inner_filters=5, inner_channels=4)
    assert count(maps) == 2 * 3 + 5 * 4 * 9 + 10
    assert stages(maps, (7, 5), (7, 5)) == (3 * 5 * 4 * 9 * 35, 2 * 3 * 5 * 35)
    assert maps.macs_per_step == 0
    whole = KroneckerConv2d(12, 10, 3, rank=4, inner_filters=5, inner_channels=4)
    assert count(whole) == 4 * (2 * 3 + 5 * 4 * 9) + 10
    assert stages(whole, (7, 5), (7, 5)) == (12 * 10 * 9 * 35,)
    assert whole.macs_per_step == 4 * 12 * 10 * 9


def kronecker(c, n, k, inputs, pixels):
    n2, c2 = (2 ** ((size.bit_length() - 1) // 2) for size in (n, c))
    factors = (n // n2) * (c // c2) + n2 * c2 * k**2
    return c * n * k**2 // 2 // factors * factors, c * n * k**2 * (pixels + c * n * k**2 // 2 // factors)


@pytest.mark.parametrize(("architecture", "params"), [("vgg11", "4.62"), ("resnet18", "5.58")])
def test_networks_have_the_budgets_counted_by_hand(architecture, params):
    """At half of the parameters every layer runs with W: its work is the plain one, and making W once a step."""
    counted = measured(architecture, "kronecker")
    assert counted == by_hand(architecture, kronecker, shortcuts=True)
    assert in_millions(*counted)[0] == params


@pytest.mark.parametrize("options", [{"inner_filters": 3}, {"inner_channels": 5}])
def test_sizes_that_do_not_divide_are_refused(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} . does not divide 8"):
        KroneckerConv2d(8, 8, 3, **options)
