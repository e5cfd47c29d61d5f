"""Numbers about filters, against cases one can work out."""

import numpy as np
import pytest
import torch
from torch import nn

from linconv import build_model, convert
from linconv.measure.redundancy import (
    FilterBank,
    correlation_matrix,
    effective_rank,
    filter_banks,
    kernel_sparsity,
    kernel_variance_entropy,
    orthogonality,
    redundancy,
    variance_entropy,
)


def test_correlations_are_pearsons_and_a_constant_filter_has_none():
    filters = torch.randn(5, 20, dtype=torch.float64)
    np.testing.assert_allclose(correlation_matrix(filters).numpy(), np.corrcoef(filters.numpy()), atol=1e-12)
    filters[2] = 3.0
    correlation = correlation_matrix(filters)
    assert correlation[2].abs().max() == 0
    assert correlation[0, 0] == pytest.approx(1)


def test_effective_rank_is_1_for_copies_and_n_for_equal_singular_values():
    assert effective_rank(torch.ones(4, 9).double()) == pytest.approx(1)
    assert effective_rank(torch.eye(6).double()) == pytest.approx(6)
    assert effective_rank(torch.zeros(3, 3).double()) == 0
    # singular values 3 and 1: p = 3/4, 1/4
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert effective_rank(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(expected)


def test_layer_record_on_filters_one_can_see_through():
    rows = torch.tensor([[1.0, -1, 0, 0], [0, 0, 1, -1], [-2, 2, 0, 0]]).double()
    record = redundancy(FilterBank(1, "conv", rows, primaries=2))
    assert record.mean_abs_correlation == pytest.approx(1 / 3)
    shares = (record.share_above_0_3, record.share_above_0_5, record.share_above_0_7, record.share_above_0_9)
    assert shares == pytest.approx([1 / 3] * 4)
    assert record.primary_mean_abs_correlation == pytest.approx(0)
    assert redundancy(FilterBank(1, "conv", rows[:1], None)).mean_abs_correlation is None


def test_shares_of_pairs_above_each_threshold():
    # centered rows; correlations: (1, 2) 3 / sqrt(2 * 6) = 0.866, (1, 3) 0 and (2, 3) 0.5 exactly or just below
    rows = torch.tensor([[1.0, -1, 0, 0], [2, -1, -1, 0], [1, 1, -2, 0]]).double()
    rows -= rows.mean(dim=1, keepdim=True)
    record = redundancy(FilterBank(1, "conv", rows, None))
    shares = (record.share_above_0_3, record.share_above_0_7, record.share_above_0_9)
    assert shares == pytest.approx((2 / 3, 1 / 3, 0))


def test_variance_entropy_is_0_for_one_direction_and_1_for_equal_ones():
    one = torch.outer(torch.tensor([-1.0, 0, 2, 5]), torch.ones(6)).double()
    assert variance_entropy(one) == pytest.approx(0, abs=1e-9)
    # the corners of a regular simplex vary alike in all their 5 directions
    assert variance_entropy(torch.eye(6).double()) == pytest.approx(1)
    # two columns of variances 9 and 1 (centered already): shares 0.9 and 0.1, divided by ln 2
    crossed = torch.tensor([[3.0, 0], [-3, 0], [0, 1], [0, -1]]).double()
    assert variance_entropy(crossed) == pytest.approx(-(0.9 * np.log(0.9) + 0.1 * np.log(0.1)) / np.log(2))
    assert variance_entropy(crossed + 7) == pytest.approx(variance_entropy(crossed))  # the mean filter is no variance
    assert variance_entropy(torch.ones(4, 9).double()) is None
    assert variance_entropy(torch.ones(2, 9).double()) is None


def test_kernels_below_a_hundredth_of_the_largest_number_are_sparse():
    kernels = torch.tensor([[-10.0, 0], [0.09, -0.09], [0.09, 0.11], [0, 0]]).double()
    assert kernel_sparsity(kernels) == pytest.approx(2 / 4)
    assert kernel_sparsity(torch.zeros(3, 9).double()) == 1
    assert kernel_sparsity(torch.tensor([[0.0]])) == 1


def test_kernel_entropy_is_that_of_the_singular_values_in_base_10():
    crossed = torch.tensor([[3.0, 0], [-3, 0], [0, 1], [0, -1]]).double()
    expected = -(0.9 * np.log10(0.9) + 0.1 * np.log10(0.1))
    assert kernel_variance_entropy(crossed) == pytest.approx(expected)
    assert kernel_variance_entropy(crossed + 7) == pytest.approx(expected)
    assert kernel_variance_entropy(torch.cat([torch.eye(9), -torch.eye(9)]).double()) == pytest.approx(np.log10(9))
    assert kernel_variance_entropy(torch.outer(torch.tensor([1.0, 2, 4]), torch.ones(9)).double()) < 1e-9
    assert kernel_variance_entropy(torch.ones(4, 9).double()) is None
    assert kernel_variance_entropy(torch.randn(8, 1).double()) is None  # 1x1


def test_orthogonality_is_1_less_the_mean_cosine():
    assert orthogonality(torch.eye(3, 5).double()) == pytest.approx(1)
    assert orthogonality(torch.tensor([[1.0, 2], [2, 4], [-1, -2]]).double()) == pytest.approx(0)
    # cosines 1, 1/2 and 1/2 (to itself not counted)
    rows = torch.tensor([[1.0, 0], [2, 0], [0.5, 3**0.5 / 2]]).double()
    assert orthogonality(rows) == pytest.approx(1 - 2 / 3)
    assert orthogonality(rows[:1]) is None


def test_layer_records_take_the_kernels_out_of_the_filters():
    first = nn.Conv2d(2, 3, 3, bias=False)
    nn.init.constant_(first.weight, 1.0)
    with torch.no_grad():
        first.weight[1, 0] = 0.001  # one kernel of six
        first.weight[2, 1, 0, 0] = 3.0
    record, pointwise = map(redundancy, filter_banks(nn.Sequential(first, nn.Conv2d(3, 4, 1)), (2, 5, 5)))
    assert record.kernel_sparsity == pytest.approx(1 / 6)
    kernels = first.weight.detach().double().reshape(6, 9)
    shares = torch.linalg.svdvals(kernels - kernels.mean(0)).square()
    shares = shares[shares > 1e-12] / shares.sum()
    assert record.kernel_variance_entropy == pytest.approx(-(shares * shares.log10()).sum().item())
    unit = nn.functional.normalize(first.weight.detach().double().flatten(1))
    assert record.orthogonality == pytest.approx(1 - ((unit @ unit.T).sum().item() - 3) / 6)
    assert pointwise.kernel_variance_entropy is None
    assert 0 < pointwise.orthogonality < 1


def test_banks_come_in_order_of_execution_with_the_full_filters():
    model = build_model("resnet18", "LRr")
    banks = filter_banks(model, (3, 32, 32))
    assert [b.position for b in banks] == list(range(1, 21))
    assert tuple(banks[0].filters.shape) == (64, 27)
    assert banks[0].primaries == 32
    first = dict(model.named_modules())[banks[0].layer]
    torch.testing.assert_close(banks[0].filters.float(), first.weight.detach().flatten(1))
    plain = filter_banks(convert(build_model("base"), "conv"), (3, 32, 32))
    assert {b.primaries for b in plain} == {None}
