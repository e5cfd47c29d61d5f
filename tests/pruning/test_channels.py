"""The smaller network computes what the masked one does, and has the parameters asked for."""

import copy
import sys

import pytest
import torch
import torchvision
from torch import nn

from linconv.config.errors import UserError
from linconv.models import build_model
from linconv.pruning import channel_groups, cut_channels, make_plan, pruned_network
from linconv.pruning.plan import count_left
from tests.pruning.networks import NETWORKS, SHAPE, masked, network
from tests.training.short import params


def draw(groups, left=None):
    """Some channels of every group, at least one."""
    generator = torch.Generator().manual_seed(1)
    numbers = left or [max(1, group.size // 2 - i % 2) for i, group in enumerate(groups)]
    return [
        torch.randperm(group.size, generator=generator)[:n].sort().values
        for group, n in zip(groups, numbers, strict=True)
    ]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_the_cut_network_equals_the_masked_one(name, training):
    model = network(name)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    groups = channel_groups(model, SHAPE)
    kept = draw(groups)
    small = copy.deepcopy(model)
    cut_channels(small, groups, kept)
    expected = masked(model, groups, kept)
    x = torch.randn(4, *SHAPE, dtype=torch.float64)
    torch.testing.assert_close(small.train(training)(x), expected.train(training)(x), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(small(x), model(x))
    assert params(small) == count_left(model, groups, [len(channels) for channels in kept]) < params(model)
    for layer in small.modules():  # the sizes that a layer states are those of its tensors
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.shape[:2] == (layer.out_channels, layer.in_channels // layer.groups)
        if isinstance(layer, nn.Linear):
            assert layer.weight.shape == (layer.out_features, layer.in_features)


@pytest.mark.parametrize("name", NETWORKS)
def test_images_and_classes_stay_and_every_other_channel_can_go(name):
    model = network(name)
    groups = channel_groups(model, SHAPE)
    classifier = [m for g in groups for m in g.members if m.layer == "classifier"]
    assert {m.side for m in classifier} == {"in"}
    producing = {m.layer for g in groups for m in g.members if m.side == "out"}
    convolutions = {n for n, m in model.named_modules() if isinstance(m, nn.Conv2d) and n != "classifier"}
    assert convolutions <= producing
    small = copy.deepcopy(model)
    cut_channels(small, groups, [torch.tensor([0])] * len(groups))
    assert small(torch.randn(2, *SHAPE, dtype=torch.float64)).shape == (2, 5)
    channels_of_images = next(m for m in small.modules() if isinstance(m, nn.Conv2d)).in_channels
    assert channels_of_images == 3


def test_channels_that_are_added_go_together():
    model = network("residual")
    groups = {group.name: {m.layer for m in group.members if m.side == "out"} for group in channel_groups(model, SHAPE)}
    stage = {*(f"stages.1.{block}.{layer}2" for block in (0, 1) for layer in ("conv", "bn"))}
    assert groups["stages.1.0.conv2"] == stage | {"stages.1.0.shortcut.conv", "stages.1.0.shortcut.bn"}
    assert groups["stages.0.0.conv1"] == {"stages.0.0.conv1", "stages.0.0.bn1"}


def test_groups_are_the_same_whenever_they_are_asked_for():
    def description():
        groups = channel_groups(network("residual"), SHAPE)
        return [(g.name, g.size, [(m.layer, m.side, m.positions.tolist()) for m in g.members]) for g in groups]

    assert description() == description()


@pytest.mark.parametrize("architecture", ["base", "vgg11", "resnet18"])
def test_the_budget_is_met(architecture):
    model = build_model(architecture)
    for share in (0.5, 0.25):
        plan = make_plan(model, (3, 32, 32), share)
        assert abs(count_left(model, *plan) / params(model) / share - 1) < 0.02
        ratios = [n / group.size for group, n in zip(*plan, strict=True)]
        assert max(ratios) - min(ratios) < 1 / 32  # one share for all layers, up to a channel


@pytest.mark.parametrize("architecture", ["base", "resnet18"])
def test_the_plan_s_count_is_the_network_s(architecture):
    model = build_model(architecture)
    plan = make_plan(model, (3, 32, 32), 0.25)
    wanted = count_left(model, *plan)
    cut_channels(model, plan.groups, draw(plan.groups, plan.left))
    assert params(model) == wanted


@pytest.mark.parametrize("name", NETWORKS)
def test_the_pruned_network_has_the_first_channels_of_every_group(name):
    model = network(name)
    before = copy.deepcopy(model.state_dict())
    plan = make_plan(model, SHAPE, 0.6)
    small = pruned_network(model, SHAPE, 0.6)
    assert all(map(torch.equal, model.state_dict().values(), before.values()))
    assert params(small) == count_left(model, *plan)
    expected = masked(model, plan.groups, [torch.arange(n) for n in plan.left])
    x = torch.randn(2, *SHAPE, dtype=torch.float64)
    torch.testing.assert_close(small(x), expected(x), rtol=1e-12, atol=1e-12)


def test_a_network_kept_whole_stays_bit_for_bit():
    model = network("residual")
    plan = make_plan(model, SHAPE, 1.0)
    assert plan.left == tuple(group.size for group in plan.groups)
    small = copy.deepcopy(model)
    cut_channels(small, plan.groups, [torch.arange(n) for n in plan.left])
    assert all(map(torch.equal, small.state_dict().values(), model.state_dict().values()))


def test_the_memory_layout_stays():
    model = network("vgg").to(memory_format=torch.channels_last)
    groups = channel_groups(model, SHAPE)
    cut_channels(model, groups, draw(groups))
    assert model.features.conv3.weight.is_contiguous(memory_format=torch.channels_last)


def test_without_torch_pruning_only_pruning_fails(monkeypatch):
    """Nothing else imports it: machines that do not prune need not have it."""
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(UserError, match="pip install 'torch-pruning>="):
        channel_groups(network("vgg"), SHAPE)


def test_a_network_from_elsewhere_names_the_layer_of_its_classes():
    model = torchvision.models.resnet18()
    with pytest.raises(UserError, match="no layer classifier in the network; `exclude` names"):
        pruned_network(model, (3, 64, 64), 0.5)
    small = pruned_network(model, (3, 64, 64), 0.5, exclude=["fc"])
    assert small.eval()(torch.randn(2, 3, 64, 64)).shape == (2, 1000)
    assert abs(params(small) / params(model) / 0.5 - 1) < 0.02


def test_the_name_of_a_module_excludes_every_layer_in_it():
    class Headed(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.head = nn.Conv2d(3, 64, 3), nn.Sequential(nn.Conv2d(64, 8, 1), nn.Conv2d(8, 4, 1))

        def forward(self, x):
            return self.head(self.stem(x))

    groups = channel_groups(Headed(), (3, 8, 8), exclude=["head"])
    assert [group.name for group in groups] == ["stem"]
    small = pruned_network(Headed(), (3, 8, 8), 0.7, exclude=["head"])
    assert small(torch.zeros(1, 3, 8, 8)).shape == (1, 4, 6, 6)
    assert small.head[0].out_channels == 8


@pytest.mark.parametrize("params", [0, -1, 1.5, float("nan"), "0.5", None, True])
def test_a_share_is_a_number_between_0_and_1(params):
    with pytest.raises(ValueError, match=r"params=.*: a share of the parameters in \(0, 1\] is expected"):
        pruned_network(build_model("base"), (3, 32, 32), params)


@pytest.mark.parametrize("size", [32, (32, 32), (1, 3, 32, 32), (3, 32.0, 32)])
def test_a_size_is_three_numbers(size):
    with pytest.raises(ValueError, match=r"input_shape must be \(channels, height, width\) of one image, not "):
        pruned_network(build_model("base"), size, 0.5)


def test_a_network_that_does_not_run_is_not_blamed_on_its_layers():
    with pytest.raises(UserError, match=r"the model does not run on one image of shape \(1, 32, 32\): RuntimeError"):
        pruned_network(build_model("base"), (1, 32, 32), 0.5)


def test_names_to_exclude_are_no_string():
    with pytest.raises(TypeError, match=r"exclude: a list of names of layers is expected, .* not 'fc'"):
        pruned_network(build_model("base"), (3, 32, 32), 0.5, exclude="fc")


def test_what_cannot_be_cut_is_refused():
    with pytest.raises(UserError, match=r"convolution stages\.0\.0\.conv2 has groups=2"):
        channel_groups(build_model("resnext29"), (3, 32, 32))
    for plan in (make_plan, pruned_network):
        with pytest.raises(UserError, match=r"params 0\.0001 asks for .* choose another share"):
            plan(network("vgg"), SHAPE, 1e-4)


def test_names_of_layers_may_be_patterns():
    model = torchvision.models.squeezenet1_1()
    found = [channel_groups(model, (3, 64, 64), exclude=[layer]) for layer in ("classifier.1", "class*.1")]
    assert [group.name for group in found[0]] == [group.name for group in found[1]]
    assert "classifier.1" not in [group.name for group in found[1]]
    with pytest.raises(UserError, match=r"no layer fc\* in the network; .* class scores, such as 'classifier.1'"):
        channel_groups(model, (3, 64, 64), exclude=["fc*"])


@pytest.mark.parametrize(
    ("normalize", "reason"),
    [
        (nn.utils.parametrizations.weight_norm, "is parametrized; remove the parametrization"),
        (nn.utils.parametrizations.spectral_norm, "is parametrized; remove the parametrization"),
        (nn.utils.spectral_norm, "is made by a hook .*; remove the hook"),
    ],
)
@pytest.mark.parametrize("layer", ["2", "5"])
def test_a_weight_that_is_made_anew_is_named(layer, normalize, reason):
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    )
    normalize(model.get_submodule(layer))
    with pytest.raises(UserError, match=rf"^pruning: the weight of layer {layer} {reason}"):
        pruned_network(model, (3, 8, 8), 0.8, exclude=["5"])


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (nn.Flatten(), "has no nn.Conv2d whose channels can be cut"),
        (nn.Sequential(nn.Linear(4, 4)), "has no nn.Conv2d whose channels can be cut"),
        (nn.Sequential(nn.Conv2d(3, 8, 3, dtype=torch.complex64)), "0.weight is complex"),
    ],
)
def test_what_has_no_channels_to_cut_is_one_line(model, reason):
    with pytest.raises(UserError, match=reason):
        pruned_network(model, (3, 8, 8), 0.8, exclude=[])


def three_layers(norm=nn.BatchNorm2d, **options):
    layers = [nn.Conv2d(3, 32, 3), norm(32, **options), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def pruned(model):
    return pruned_network(model, (3, 12, 12), 0.6, exclude=["7"])


@pytest.mark.parametrize("frozen", [[0], [0, 1], [0, 1, 3], [0, 1, 3, 7]])
def test_frozen_parameters_are_cut_like_any_others_and_stay_frozen(frozen):
    model = three_layers()
    wanted = {name: p.shape for name, p in pruned(model).named_parameters()}
    for i in frozen:
        model[i].requires_grad_(False)
    small = pruned(model)
    assert {name: p.shape for name, p in small.named_parameters()} == wanted
    for made, given in zip(small.parameters(), model.parameters(), strict=True):
        assert made.requires_grad == given.requires_grad


def test_a_network_is_cut_in_inference_mode_and_can_learn():
    model = three_layers()
    with torch.inference_mode():
        small = pruned(model)
        inside = pruned(three_layers())
    assert [p.shape for p in inside.parameters()] == [p.shape for p in small.parameters()]
    assert [p.shape for p in small.parameters()] == [p.shape for p in pruned(model).parameters()]
    small(torch.zeros(2, 3, 12, 12)).sum().backward()


@pytest.mark.parametrize(
    ("norm", "options"),
    [
        (nn.BatchNorm2d, {"affine": False}),
        (nn.BatchNorm2d, {"affine": False, "track_running_stats": False}),
        (torchvision.ops.FrozenBatchNorm2d, {}),
    ],
)
def test_norms_without_parameters_are_cut(norm, options):
    model = three_layers(norm, **options).double()
    for i, buffer in enumerate(model[1].buffers()):
        if buffer.is_floating_point():
            buffer.copy_(torch.rand(32) + i)
    small = pruned(model)
    n = small[0].out_channels
    assert n < 32
    for made, given in zip(small[1].buffers(), model[1].buffers(), strict=True):
        assert torch.equal(made, given[:n] if given.dim() else given)
    assert getattr(small[1], "num_features", n) == n
    groups = channel_groups(model, (3, 12, 12), exclude=["7"])
    kept = draw(groups)
    cut, expected = copy.deepcopy(model).eval(), copy.deepcopy(model).eval()
    for (layer, side), stays in cut_channels(cut, groups, kept).sides.items():
        if side == "in":
            weight = expected.get_submodule(layer).weight.data
            weight[:, [i for i in range(weight.shape[1]) if i not in stays.tolist()]] = 0
    x = torch.randn(2, 3, 12, 12, dtype=torch.float64)
    torch.testing.assert_close(cut(x), expected(x), rtol=1e-12, atol=1e-12)


def test_marks_on_parameters_carry_over_and_hooks_are_refused():
    model = three_layers()
    model[0].weight.no_decay = model[7].bias.rate = 3
    small = pruned(model)
    assert (small[0].weight.no_decay, small[7].bias.rate) == (3, 3)
    for add in ("register_hook", "register_post_accumulate_grad_hook"):
        hooked = three_layers()
        getattr(hooked[3].bias, add)(lambda _: None)
        with pytest.raises(UserError, match=r"3\.bias has hooks, which the smaller network would not have"):
            pruned(hooked)


class NoGradient(nn.Module):
    """A network that runs its first layers without gradients."""

    def __init__(self, layers):
        super().__init__()
        self.layers, self.first = three_layers(), layers

    def forward(self, x):
        with torch.no_grad():
            x = self.layers[: self.first](x)
        return self.layers[self.first :](x)


def test_layers_that_run_without_gradients_are_named(caplog):
    small = pruned_network(NoGradient(3), (3, 12, 12), 0.7, exclude=["layers.7"])
    assert (small.layers[0].out_channels, small.layers[3].out_channels < 32) == (32, True)
    assert "all channels stay of layers.0, which does not run, or runs where no gradient goes" in caplog.text
    with pytest.raises(UserError, match=r"can be cut: layers\.0 does not run, or runs where no gradient goes"):
        pruned_network(NoGradient(5), (3, 12, 12), 0.7, exclude=["layers.7"])
