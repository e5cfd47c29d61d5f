"""Numbers about filters, against cases one can work out."""

import numpy as np
import pytest
import torch

from linconv import build_model, convert
from linconv.measure.redundancy import (
    FilterBank,
    correlation_matrix,
    effective_rank,
    filter_banks,
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
    # centred rows; correlations: (1, 2) 3 / sqrt(2 * 6) = 0.866, (1, 3) 0 and (2, 3) 0.5 exactly or just below
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
    # two columns of variances 9 and 1 (centred already): shares 0.9 and 0.1, divided by ln 2
    crossed = torch.tensor([[3.0, 0], [-3, 0], [0, 1], [0, -1]]).double()
    assert variance_entropy(crossed) == pytest.approx(-(0.9 * np.log(0.9) + 0.1 * np.log(0.1)) / np.log(2))
    assert variance_entropy(crossed + 7) == pytest.approx(variance_entropy(crossed))  # the mean filter is no variance
    assert variance_entropy(torch.ones(4, 9).double()) is None
    assert variance_entropy(torch.ones(2, 9).double()) is None


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
