"""Every criterion's score against its formula on numbers made by hand, and the channels chosen."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from linconv.catalogue.criteria import CRITERIA
from linconv.config import Pruning
from linconv.config.errors import UserError
from linconv.pruning import cut_channels, make_criterion, make_plan
from linconv.pruning.betarank import beta_scores, deviations
from linconv.pruning.channels import Cut
from linconv.pruning.criterion import best, group_scores
from linconv.pruning.dcff import FusedFilters, importances, log_proxies, temperature
from linconv.pruning.l1 import filter_norms
from linconv.pruning.masksparsity import scale_magnitudes
from tests.pruning.networks import NETWORKS, SHAPE, masked, network


def conv(weight):
    """A 1x1 convolution with the given filters."""
    weight = torch.tensor(weight, dtype=torch.float64)
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=False).double()
    layer.weight.data = weight[:, :, None, None]
    return layer


def test_l1_is_the_sum_of_magnitudes():
    assert filter_norms(conv([[1, -2], [0.5, 0], [-3, 4]])).tolist() == [3, 0.5, 7]


def by_definition(layer, x):
    """mean |f| times the sum over positions of std(output over images) / std(patch), position by position."""
    padded = F.pad(x, layer._reversed_padding_repeated_twice, mode=PADS.get(layer.padding_mode, layer.padding_mode))
    out, (kh, kw), (sh, sw), (dh, dw) = layer(x).detach(), layer.kernel_size, layer.stride, layer.dilation
    scores, per_group = [], layer.in_channels // layer.groups
    for n, f in enumerate(layer.weight.detach()):
        first = n // (layer.out_channels // layer.groups) * per_group
        total = 0.0
        for i in range(out.shape[2]):
            for j in range(out.shape[3]):
                patch = padded[:, first : first + per_group, i * sh :, j * sw :]
                patch = patch[:, :, : (kh - 1) * dh + 1 : dh, : (kw - 1) * dw + 1 : dw]
                spread = float(patch.std(unbiased=False))
                total += float(out[:, n, i, j].std(unbiased=False)) / spread if spread > 1e-9 else 0
        scores.append(float(f.abs().mean()) * total)
    return torch.tensor(scores, dtype=torch.float64)


PADS = {"zeros": "constant"}


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "padding": 1, "stride": 2, "bias": False},
        {"kernel_size": (3, 2), "dilation": 2, "padding": (2, 1), "stride": (1, 2)},
        {"kernel_size": 3, "padding": 1, "groups": 2},
        {"kernel_size": 3, "padding": "same", "groups": 4},
        {"kernel_size": 2, "padding": 1, "padding_mode": "reflect"},
        {"kernel_size": 1},
    ],
)
def test_beta_rank_is_the_norm_times_the_ratios_of_deviations_position_by_position(arguments):
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 8, **arguments).double()
    x = torch.randn(7, 4, 6, 5).double() * torch.linspace(0.1, 2, 5) + 3  # positions differ, and the mean is no 0
    x[:, :, 0] = 0  # as a border where no image has anything
    found = deviations(layer, [("", layer)], lambda: x.split(3))[""]
    torch.testing.assert_close(beta_scores(layer, found), by_definition(layer, x), rtol=1e-10, atol=0)


def test_beta_rank_of_constant_inputs_is_zero():
    layer = nn.Conv2d(2, 3, 3, padding=1, padding_mode="replicate")
    found = deviations(layer, [("", layer)], lambda: [torch.full((4, 2, 5, 5), 0.3)])[""]
    assert beta_scores(layer, found).tolist() == [0, 0, 0]


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
    for t in (1.0, 0.3):
        p = torch.exp(-t * distance)
        p /= p.sum(1, keepdim=True)
        torch.testing.assert_close(log_proxies(filters, torch.tensor([2, 0]), t).exp(), p[[2, 0]])
        divergence = [sum((p[i] * (p[i] / p[j]).log()).sum() for j in range(3)) for i in range(3)]
        torch.testing.assert_close(importances(filters, t), torch.stack(divergence))


def test_fused_filters_have_gradients_and_become_the_filters_themselves():
    torch.manual_seed(0)
    weight = torch.randn(6, 2, 3, 3, requires_grad=True)
    fusion = FusedFilters(2, 2)
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


def test_the_temperature_is_the_sources():
    """By epoch of 10: 1, 4622, 7617, 9052, ..., 9998, and of 300 at 1e4 from epoch 20 on (tests/golden has all)."""
    default = Pruning(criterion="dcff")
    assert default.schedule == "sigmoid"
    found = [temperature("sigmoid", 1.0, 1e4, e, 10) for e in range(10)]
    assert [round(t) for t in found[:4]] == [1, 4622, 7617, 9052]
    assert round(found[9]) == 9998
    assert temperature("sigmoid", 1.0, 1e4, 50, 300) == pytest.approx(1e4)
    geometric = [temperature("geometric", 1.0, 1e4, e, 5) for e in range(5)]
    assert geometric == pytest.approx([1, 10, 100, 1000, 1e4])
    assert temperature("geometric", 1.0, 1e4, 0, 1) == 1e4


def test_a_result_without_a_schedule_was_trained_with_the_geometric_one():
    old = Pruning(criterion="dcff").model_dump()
    del old["schedule"]
    assert Pruning.model_validate(old).schedule == "geometric"
    stated = Pruning(criterion="dcff", schedule="geometric")
    assert "schedule" not in stated.identity(), "the hash of such results stays"
    assert Pruning(criterion="dcff").identity()["schedule"] == "sigmoid"
    with pytest.raises(ValueError, match="schedule belongs to criterion 'dcff', not to 'l1'"):
        Pruning(criterion="l1", schedule="sigmoid")


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "vgg"])
def test_an_input_that_is_cut_decides_nothing_in_dcff(name):
    """Neither what the network computes nor which channels are chosen."""
    model = network(name)
    plan = make_plan(model, SHAPE, 0.5)
    chooser = make_criterion(plan, Pruning(criterion="dcff", temperatures=(3.0, 3.0)))
    chooser.attach(model)
    chooser.at_epoch(model, 0, 10)
    x = torch.randn(4, *SHAPE, dtype=torch.float64)
    kept, before = chooser.choose(model, lambda: [x]), model(x)
    changed = 0
    for (layer, side), positions in Cut(model, plan.groups, kept).sides.items():
        module = model.get_submodule(layer)
        if side == "in" and "weight" in getattr(module, "parametrizations", {}):
            dead = sorted(set(range(module.in_channels)) - set(positions.tolist()))
            module.parametrizations.weight.original.data[:, dead] *= 3
            changed += len(dead)
    assert changed > 10
    torch.testing.assert_close(model(x), before, rtol=1e-12, atol=1e-12)
    chooser.at_epoch(model, 0, 10)
    for again, channels in zip(chooser.choose(model, lambda: [x]), kept, strict=True):
        assert torch.equal(again, channels)
    torch.testing.assert_close(model(x), before, rtol=1e-12, atol=1e-12)


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
    assert chooser.penalty(model) == 0  # the mask is chosen halfway to the pruning step
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


def test_mask_sparsity_needs_batch_normalization():
    model = network("concatenating, without batch norm")
    chooser = make_criterion(make_plan(model, SHAPE, 0.5), Pruning(criterion="masksparsity"))
    with pytest.raises(UserError, match="none follows stem; choose another criterion"):
        chooser.attach(model)
