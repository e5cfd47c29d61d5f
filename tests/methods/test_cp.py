"""CP convolution: the factors, counts."""

import itertools

import pytest
import torch

from linconv.methods.cp import CPConv2d
from tests.methods.common import GROUPED, POINTWISE, count

OPTIONS = [{"rank": 3}]
REFUSED = [(GROUPED, {}, "groups=2"), (POINTWISE, {}, "1x1")]


def test_factors_make_the_filters():
    layer = CPConv2d(2, 3, (3, 2), rank=4, dtype=torch.float64)
    for n, c, y, x in itertools.product(range(3), range(2), range(3), range(2)):
        product = layer.out_factor[n] * layer.vertical[:, 0, y, 0] * layer.horizontal[:, 0, 0, x]
        torch.testing.assert_close(layer.weight[n, c, y, x], (product * layer.in_factor[:, c]).sum())


def test_parameters_follow_the_formula():
    for options, rank in (({"rank": 7}, 7), ({}, 19)):  # floor(540 / 28) = 19
        assert count(CPConv2d(12, 10, 3, padding=1, **options)) == rank * (10 + 12 + 2 * 3) + 10
    assert CPConv2d(2, 2, (2, 1), rank=99).rank == 8, "with N D products every W has such a sum"


@pytest.mark.parametrize("rank", [True, 0, 1.5, "3"])
def test_other_ranks_are_refused(rank):
    with pytest.raises(ValueError, match=f"rank must be an int of at least 1 or a float in .* not {rank!r}"):
        CPConv2d(8, 8, 3, rank=rank)
