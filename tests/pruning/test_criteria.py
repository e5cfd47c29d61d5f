"""Every criterion's score against its formula on numbers made by hand, and the channels chosen."""

import copy
import math

import pytest
import torch
from torch import nn

from linconv.catalogue.criteria import CRITERIA
from linconv.config import Pruning
from linconv.config.errors import UserError
from linconv.pruning import cut_channels, make_criterion, make_plan
from linconv.pruning.betarank import Deviations, beta_scores, deviations
from linconv.pruning.criterion import best, group_scores
from linconv.pruning.dcff import FusedFilters, importances, log_proxies
from linconv.pruning.l1 import filter_norms
from linconv.pruning.masksparsity import scale_magnitudes
from tests.pruning.networks import SHAPE, masked, network


def conv(weight):
    """A 1x1 convolution with the given filters."""
    weight = torch.tensor(weight, dtype=torch.float64)
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=False).double()
    layer.weight.data = weight[:, :, None, None]
    return layer


def test_l1_is_the_sum_of_magnitudes():
    assert filter_norms(conv([[1, -2], [0.5, 0], [-3, 4]])).tolist() == [3, 0.5, 7]


def test_beta_rank_is_the_norm_times_the_ratio_of_deviations():
    layer = conv([[2.0], [-1.0]])
    images = [
        torch.tensor([[[[1.0, 3.0]]], [[[5.0, 7.0]]]], dtype=torch.float64),
        torch.full((1, 1, 1, 2), 4.0).double(),
    ]
    found = deviations(layer, [("", layer)], lambda: images)[""]
    spread = math.sqrt((9 + 1 + 1 + 9 + 0 + 0) / 6)  # of 1 3 5 7 4 4
    torch.testing.assert_close(found.input, torch.tensor(spread, dtype=torch.float64))
    torch.testing.assert_close(found.output, torch.tensor([2 * spread, spread], dtype=torch.float64))
    torch.testing.assert_close(beta_scores(layer, found).tolist(), [2 * 2.0, 1 * 1.0])
    dead = Deviations(torch.zeros((), dtype=torch.float64), torch.zeros(2, dtype=torch.float64))
    assert beta_scores(layer, dead).tolist() == [0, 0]


def test_beta_rank_leaves_the_statistics_of_the_network_alone():
    model = network("vgg").train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    deviations(model, [("c", model.features.conv1)], lambda: [torch.randn(2, *SHAPE).double()])
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_mask_sparsity_ranks_by_the_magnitude_of_the_scales():
    norm = nn.BatchNorm2d(3)
    norm.weight.data = torch.tensor([-2.0, 0.5, 1.0])
    assert scale_magnitudes(norm).tolist() == [2, 0.5, 1]


def test_proxies_are_the_softmax_of_distances():
    filters = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]], dtype=torch.float64)
    distance = torch.tensor([[0, 5, 1], [5, 0, math.sqrt(18)], [1, math.sqrt(18), 0]], dtype=torch.float64)
    for temperature in (1.0, 0.3):
        p = torch.exp(-temperature * distance)
        p /= p.sum(1, keepdim=True)
        torch.testing.assert_close(log_proxies(filters, torch.tensor([2, 0]), temperature).exp(), p[[2, 0]])
        divergence = [sum((p[i] * (p[i] / p[j]).log()).sum() for j in range(3)) for i in range(3)]
        torch.testing.assert_close(importances(filters, temperature), torch.stack(divergence))


def test_fused_filters_have_gradients_and_become_the_filters_themselves():
    torch.manual_seed(0)
    weight = torch.randn(6, 2, 3, 3, requires_grad=True)
    fusion = FusedFilters(2)
    fusion.rows.copy_(torch.tensor([1, 4]))
    check = copy.deepcopy(fusion).double()
    assert torch.autograd.gradcheck(check, weight.detach().double().requires_grad_())
    fused = fusion(weight)
    assert torch.equal(fused[[0, 2, 3, 5]], torch.zeros(4, 2, 3, 3))
    assert not torch.allclose(fused[1], weight[1], atol=0.01)
    fusion.temperature.fill_(1e4)
    assert torch.equal(fusion(weight)[[1, 4]], weight[[1, 4]])
    fusion(weight).square().sum().backward()
    assert weight.grad.isfinite().all()


def test_scores_of_layers_that_are_added_weigh_the_same():
    """Two convolutions whose outputs are added: neither the scale nor the size of one decides."""
    model = network("residual")
    plan = make_plan(model, SHAPE, 0.5)
    group = next(g for g in plan.groups if g.name == "stages.1.0.conv2")
    scores = group_scores(model, group, lambda _, layer: filter_norms(layer))
    names = [m.layer for m in group.members if m.side == "out" and isinstance(model.get_submodule(m.layer), nn.Conv2d)]
    norms = [model.get_submodule(n).weight.abs().sum((1, 2, 3)) for n in names]
    assert len(names) == 3
    torch.testing.assert_close(scores, sum(n / n.mean() for n in norms).detach())
    model.stages[1][0].conv2.weight.data *= 100
    torch.testing.assert_close(scores, group_scores(model, group, lambda _, layer: filter_norms(layer)))


def test_of_equal_scores_the_first_stay():
    assert best(torch.tensor([1.0, 3.0, 1.0, 1.0]), 2).tolist() == [0, 1]


@pytest.mark.parametrize("name", ["chain, 2x2 outputs flattened", "residual"])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_leaves_the_plan_and_an_equal_network(name, criterion):
    """Trained as the criterion asks, the network that is cut computes what the masked one did."""
    model = network(name)
    options = (
        Pruning(criterion=criterion, temperatures=(1.0, 50.0)) if criterion == "dcff" else Pruning(criterion=criterion)
    )
    plan = make_plan(model, SHAPE, 0.5)
    chooser = make_criterion(plan, options)
    chooser.attach(model)
    chooser.at_epoch(model, 2, 4)
    x = torch.randn(4, *SHAPE, dtype=torch.float64)
    trained = model(x)  # of dcff, the compact network
    kept = chooser.choose(model, lambda: [x])
    assert tuple(map(len, kept)) == plan.left
    small = copy.deepcopy(model)
    chooser.fold(small)
    expected = masked(small, plan.groups, kept)(x)
    cut_channels(small, plan.groups, kept)
    torch.testing.assert_close(small(x), expected, rtol=1e-12, atol=1e-12)
    assert type(small.get_submodule(plan.groups[0].name)) is nn.Conv2d
    if criterion == "dcff":
        torch.testing.assert_close(small(x), trained, rtol=1e-10, atol=1e-12)


def test_the_penalty_is_the_sum_of_the_masked_scales_alone():
    model = network("residual")
    plan = make_plan(model, SHAPE, 0.5)
    chooser = make_criterion(plan, Pruning(criterion="masksparsity"))
    assert chooser.penalty_weight == 5e-4
    chooser.attach(model)
    chooser.at_epoch(model, 0, 8)
    assert chooser.penalty(model) == 0  # the mask is chosen halfway to the cut
    chooser.at_epoch(model, 4, 8)
    chooser.penalty(model).backward()
    kept = chooser.choose(model, list)
    total = 0.0
    for group, channels in zip(plan.groups, kept, strict=True):
        for member in group.members:
            layer = model.get_submodule(member.layer)
            if isinstance(layer, nn.BatchNorm2d):
                gone = torch.ones(group.size, dtype=torch.bool)
                gone[channels] = False
                assert torch.equal(layer.weight.grad != 0, gone)
                total += float(layer.weight[gone].abs().sum().detach())
    assert float(chooser.penalty(model).detach()) == pytest.approx(total)


def test_mask_sparsity_needs_batch_normalisation():
    model = network("concatenating, without batch norm")
    chooser = make_criterion(make_plan(model, SHAPE, 0.5), Pruning(criterion="masksparsity"))
    with pytest.raises(UserError, match="none follows stem; choose another criterion"):
        chooser.attach(model)
