"""Tucker convolution: the start from given filters, ranks, counts, budgets."""

import pytest
import torch
from torch import nn

from linconv.methods.tucker import TuckerConv2d
from tests.methods.common import GROUPED, POINTWISE, by_hand, count, in_millions, measured

OPTIONS = [{"in_rank": 1, "out_rank": 0.9}]
REFUSED = [(GROUPED, {}, "groups=2"), (POINTWISE, {}, "1x1")]

DOUBLE = {"dtype": torch.float64}


def tucker(c, n, k, inputs, pixels):
    """The first 1x1 runs on the input, before the stride."""
    rest = (c // 2) * (n // 2) * k**2 + n // 2 * n
    return c * (c // 2) + rest, c * (c // 2) * inputs + rest * pixels


def leading(unfolded, rank):
    return torch.linalg.svd(unfolded, full_matrices=False)[0][:, :rank]


def test_svd_is_exact_at_full_rank_and_nearer_than_one_projection_below():
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 8, 3, padding=1, **DOUBLE)
    full = TuckerConv2d.from_conv2d(conv, in_rank=1.0, out_rank=1.0, init="svd")
    torch.testing.assert_close(full.weight, conv.weight)
    filters, errors = conv.weight.detach(), []
    for rank in (2, 4, 5):
        layer = TuckerConv2d.from_conv2d(conv, in_rank=rank, out_rank=rank, init="svd")
        for factor in (layer.out_factor, layer.in_factor.T):
            torch.testing.assert_close(factor.T @ factor, torch.eye(rank, **DOUBLE))
        # the input's factor is the best one for the output's: no subspace keeps more of what that leaves
        left = torch.einsum("nchw,nb->cbhw", filters, layer.out_factor.detach()).flatten(1)
        kept = (layer.in_factor @ left).norm()
        torch.testing.assert_close(kept, torch.linalg.svdvals(left)[:rank].norm())
        errors.append(float((layer.weight.detach() - filters).norm()))
        b, a = leading(filters.flatten(1), rank), leading(filters.transpose(0, 1).flatten(1), rank)
        once = torch.einsum("nb,mb,mchw,ca,da->ndhw", b, b, filters, a, a)
        assert errors[-1] < 0.999 * float((once - filters).norm())
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("kept", [16, 3])
def test_the_gram_matrix_gives_the_factors_of_a_decomposition(monkeypatch, kept):
    torch.manual_seed(0)
    conv = nn.Conv2d(16, 24, 3, **DOUBLE)
    with torch.no_grad():  # of input channels that are all different, or combinations of a few
        conv.weight.copy_(torch.einsum("nkhw,kc->nchw", conv.weight[:, :kept], torch.randn(kept, 16, **DOUBLE)))
    ours = TuckerConv2d.from_conv2d(conv, in_rank=5, out_rank=7, init="svd").weight.detach()
    monkeypatch.setattr("linconv.methods.tucker._leading", lambda tensor, rank: leading(tensor.flatten(1), rank))
    theirs = TuckerConv2d.from_conv2d(conv, in_rank=5, out_rank=7, init="svd").weight.detach()
    assert (ours - theirs).norm() <= 1e-6 * theirs.norm()


def test_svd_of_filters_that_are_all_zero():
    conv = nn.Conv2d(6, 8, 3)
    nn.init.zeros_(conv.weight)
    assert TuckerConv2d.from_conv2d(conv, init="svd").weight.abs().max() == 0


def test_ranks_that_no_filters_have_are_lowered():
    assert TuckerConv2d(2, 64, 3, in_rank=2, out_rank=64).core.shape[:2] == (18, 2)
    assert TuckerConv2d(64, 2, 3, in_rank=64, out_rank=2).core.shape[:2] == (2, 18)


def test_parameters_follow_the_formula():
    assert count(TuckerConv2d(12, 10, 3)) == 12 * 6 + 6 * 5 * 9 + 5 * 10 + 10
    assert count(TuckerConv2d(12, 10, 3, in_rank=4, out_rank=0.25)) == 12 * 4 + 4 * 2 * 9 + 2 * 10 + 10


@pytest.mark.parametrize(("architecture", "budget"), [("vgg11", ("3.39", "57.9")), ("resnet18", ("4.20", "212.0"))])
def test_networks_have_the_budgets_counted_by_hand(architecture, budget):
    counted = measured(architecture, "tucker")
    assert counted == by_hand(architecture, tucker)
    assert in_millions(*counted) == budget


def test_the_budget_was_estimated_with_the_first_1x1_after_the_stride_where_it_would_be_another_function():
    estimate = by_hand("resnet18", lambda c, n, k, inputs, pixels: tucker(c, n, k, pixels, pixels))
    assert in_millions(*estimate) == ("4.20", "207.3")
    # three strided layers: c (c / 2) products at the pixels that the stride leaves out
    left_out = 64 * 32 * 768 + 128 * 64 * 192 + 256 * 128 * 48
    assert by_hand("resnet18", tucker)[1] - estimate[1] == left_out == 4_718_592


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_rank": 0}, "in_rank must be an int of at least 1 .* not 0"),
        ({"out_rank": 1.5}, r"out_rank .* float in \(0, 1\], not 1.5"),
        ({"init": "hosvd"}, "init must be one of matched, svd, not 'hosvd'"),
        ({"init": "svd"}, "init 'svd' starts from the filters of a given convolution: use from_conv2d or convert"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        TuckerConv2d(8, 8, 3, **options)
