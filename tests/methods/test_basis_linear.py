"""A filter basis without anything between its two convolutions: the filters and the counts."""

import torch

from linconv.methods.basis import LinearBasisConv2d
from tests.methods.common import GROUPED, POINTWISE, count, stages

OPTIONS = [{"slice_channels": 4, "filters": 5}]
REFUSED = [(GROUPED, {}, "groups=2"), (POINTWISE, {}, "1x1")]


def test_filters_are_what_the_formula_says():
    layer = LinearBasisConv2d(5, 3, 3, slice_channels=2, filters=4)  # slices of 2, 2 and 1 channels
    for n, i in ((0, 0), (2, 3), (1, 4)):
        expected = sum(layer.combination[n, i // 2 * 4 + m] * layer.filters[m, i % 2] for m in range(4))
        torch.testing.assert_close(layer.weight[n, i], expected)


def test_counts_are_those_of_the_formula():
    assert count(LinearBasisConv2d(256, 512, 3, device="meta")) == 128 * 128 * 9 + 2 * 128 * 512 + 512
    layer = LinearBasisConv2d(6, 9, (3, 2), stride=2, padding=1, slice_channels=3, filters=5)
    assert stages(layer, (4, 5), (8, 9)) == (2 * 5 * 3 * 6 * 20, 9 * 10 * 20)
    assert layer.basis.shape == (5, 3, 3, 2)
