"""Low-rank convolutions: the warm start from given filters, the frozen basis, ranks."""

import pytest
import torch
from torch import nn

from linconv import convert
from linconv.config import Variant
from linconv.methods.lowrank import LowRankConv2d
from tests.methods.common import GROUPED, LAYERS, by_hand, count, in_millions, measured

OPTIONS = [{"rank": 3, "freeze_basis": True}]
REFUSED = [(GROUPED, {}, "groups=2")]


@pytest.fixture
def conv() -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(6, 16, 3, stride=2, padding=1, dtype=torch.float64)


@pytest.mark.parametrize("rank", [1, 5, 16])
def test_svd_is_the_best_approximation_of_that_rank(conv, rank):
    layer = LowRankConv2d.from_conv2d(conv, rank=rank, init="svd")
    filters = conv.weight.detach().flatten(1)
    singular = torch.linalg.svdvals(filters)
    error = (layer.weight.flatten(1) - filters).norm()
    torch.testing.assert_close(error, singular[rank:].norm(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(layer.bias, conv.bias)
    norms = layer.combination.norm(dim=0), layer.filters.flatten(1).norm(dim=1)
    torch.testing.assert_close(*norms)  # each singular value is shared out evenly
    if rank == 16:
        x = torch.randn(2, 6, 9, 9, dtype=torch.float64)
        torch.testing.assert_close(layer(x), conv(x), rtol=1e-10, atol=1e-11)


def test_svd_through_convert_keeps_frozen_filters_frozen_and_half_precision(conv):
    conv.requires_grad_(False)
    model = convert(nn.Sequential(conv.bfloat16()), Variant(layer="lowrank", options={"rank": 1.0, "init": "svd"}))
    assert not any(p.requires_grad for p in model.parameters())
    assert model[0].filters.dtype == torch.bfloat16
    torch.testing.assert_close(model[0].weight, conv.weight, rtol=0.05, atol=0.01)


def test_a_frozen_basis_is_never_trained_and_gets_no_gradient():
    model = convert(nn.Sequential(nn.Conv2d(3, 8, 3)), Variant(layer="lowrank", options={"freeze_basis": True}))
    before = model[0].filters.clone()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.1)
    model(torch.randn(2, 3, 6, 6)).square().sum().backward()
    optimizer.step()
    assert model[0].filters.grad is None
    assert torch.equal(model[0].filters, before)
    assert model[0].combination.grad is not None


@pytest.mark.parametrize(("rank", "expected"), [(0.5, 8), (0.29, 4), (0.01, 1), (40, 16), (7, 7), (1.0, 16)])
def test_rank_counts_filters_and_never_exceeds_what_filters_can_have(rank, expected):
    assert LowRankConv2d(6, 16, 3, rank=rank).rank == expected
    assert LowRankConv2d(2, 16, 1, rank=rank).rank == min(expected, 2)  # D = 2


@pytest.mark.parametrize("rank", [0, -1, 0.0, 1.5, True])
def test_other_ranks_are_refused(rank):
    with pytest.raises(ValueError, match=r"rank must be an int of at least 1 or a float in \(0, 1\], not"):
        LowRankConv2d(6, 16, 3, rank=rank)
    with pytest.raises(ValueError, match="init must be one of matched, source, svd, not 'paper'"):
        LowRankConv2d(6, 16, 3, init="paper")


BUDGETS = {2: (("5.22", "88.8"), ("6.46", "318.4")), 4: (("2.62", "45.3"), ("3.24", "160.1"))}


@pytest.mark.parametrize("share", BUDGETS)
@pytest.mark.parametrize("architecture", LAYERS)
def test_networks_have_the_budgets_counted_by_hand(architecture, share):
    def lowrank(c, n, k, inputs, pixels):
        weights = min(n // share, c * k**2) * (c * k**2 + n)
        return weights, weights * pixels

    counted = measured(architecture, "lowrank", {"rank": 1 / share})
    assert counted == by_hand(architecture, lowrank, shortcuts=True)
    assert in_millions(*counted) == BUDGETS[share][list(LAYERS).index(architecture)]
    assert count(LowRankConv2d(12, 10, 3)) == 5 * (108 + 10) + 10
