"""Least squares from given filters: exact where the filters allow it, near the optimum elsewhere."""

import copy
import time

import pytest
import torch
from torch import nn

from linconv import LinearConv2d, SparsitySchedule


@pytest.mark.parametrize("options", [{}, {"rank": 3}, {"primary_ratio": 0.3}])
@pytest.mark.parametrize("groups", [1, 2])
def test_least_squares_is_exact_where_the_filters_allow_it(options, groups):
    torch.manual_seed(0)
    source = LinearConv2d(6, 12, 3, groups=groups, dtype=torch.float64, **options)
    layer = LinearConv2d.from_conv2d(source.to_conv2d(), **options)
    error = (layer.weight - source.weight).abs().max() / source.weight.abs().max()
    assert error < 1e-10
    assert torch.equal(layer.bias, source.bias)


def test_least_squares_comes_close_to_the_best_rank_p_approximation():
    torch.manual_seed(0)
    conv = nn.Conv2d(64, 64, 3).double()
    filters = conv.weight.detach().flatten(1)
    layer = LinearConv2d.from_conv2d(conv)
    best = torch.linalg.svdvals(filters)[32:].norm()  # Eckart-Young: no [V; A V] has a smaller error
    error = (layer.weight.flatten(1) - filters).norm()
    assert best <= error < 1.01 * best
    assert layer.coefficients.weight.abs().max() < 2


@pytest.mark.parametrize("rank", [None, 10])
def test_least_squares_takes_no_longer_than_a_singular_value_decomposition(rank):
    conv = nn.Conv2d(256, 256, 3)

    def seconds(call):
        start = time.process_time()
        call()
        return time.process_time() - start

    filters = conv.weight.detach().double().flatten(1)
    least = min(seconds(lambda: torch.linalg.svd(filters, full_matrices=False)) for _ in range(3))
    assert min(seconds(lambda: LinearConv2d.from_conv2d(conv, rank=rank)) for _ in range(3)) < 1.5 * least


def test_a_sparse_fit_survives_the_first_update_of_its_schedule():
    torch.manual_seed(0)
    layer = LinearConv2d.from_conv2d(nn.Conv2d(16, 24, 3), sparsity=0.5)
    before = layer.weight.detach().clone()
    SparsitySchedule(layer, period=1).step()
    assert layer.coefficients.params_nonzero == 72
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("options", [{}, {"rank": 3}, {"sparsity": 0.5}])
def test_least_squares_beats_the_projection_onto_the_first_filters(options):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 12, 3).double()
    filters = conv.weight.detach().flatten(1)
    layer = LinearConv2d.from_conv2d(conv, **options)
    error = (layer.weight.flatten(1) - filters).norm()
    primary = filters[:6]
    fitted = layer.coefficients.matrix().detach()
    projection = torch.cat([primary, fitted @ primary])
    assert error < (projection - filters).norm()
    # V is optimal for this A: the residual is orthogonal to what a change of V can reach
    basis = torch.cat([torch.eye(6, dtype=torch.float64), fitted])
    assert (basis.T @ (layer.weight.flatten(1) - filters)).abs().max() < 1e-10
    if "sparsity" in options:
        assert layer.coefficients.params_nonzero == 18


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_least_squares_in_half_precision_is_that_of_the_same_filters_in_double(dtype):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 12, 3, dtype=dtype)
    layer = LinearConv2d.from_conv2d(conv, rank=3)
    assert layer.primary_filters.dtype == layer.coefficients.left.dtype == dtype
    exact = LinearConv2d.from_conv2d(copy.deepcopy(conv).double(), rank=3)
    torch.testing.assert_close(layer.primary_filters, exact.primary_filters.to(dtype))
