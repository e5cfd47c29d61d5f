"""A pruned network runs and computes what it should, or one error names the layer."""

import re

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from linconv import convert
from linconv.config.errors import UserError
from linconv.pruning import channel_groups, pruned_network
from linconv.pruning.plan import count_left, make_plan
from linconv.pruning.verify import check_cut

SHAPE = (3, 16, 16)


def conv(c, n, k=3, **more):
    return nn.Conv2d(c, n, k, padding=k // 2, **more)


class Network(nn.Module):
    """A stem, something in the middle, a classifier."""

    def __init__(self, **layers):
        super().__init__()
        self.stem = conv(3, 64)
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.last, self.fc = conv(64, 64), nn.Linear(64, 4)

    def forward(self, x):
        return self.fc(self.last(self.middle(self.stem(x))).mean((2, 3)))


class Chunked(Network):
    def __init__(self):
        super().__init__(part=conv(32, 32))

    def middle(self, x):
        u, v = x.chunk(2, 1)
        return torch.cat([self.part(u), v], 1)


class Sliced(Chunked):
    def middle(self, x):
        return torch.cat([self.part(x[:, :32]), x[:, 32:]], 1)


class Split(Chunked):
    def middle(self, x):
        u, v = x.split([32, 32], 1)
        return torch.cat([v, self.part(u)], 1)


class Shuffled(Network):
    def middle(self, x):
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class Fixed(Network):
    """A reshape to the number of channels as it was written."""

    def middle(self, x):
        return x.reshape(x.shape[0], 64, *x.shape[2:])


class TwiceReshaped(nn.Module):
    """Two reshapes in a row: torch-pruning takes each for the whole, and counts 524,288 positions for 8 channels."""

    def __init__(self):
        super().__init__()
        self.stem, self.fc = conv(3, 8), nn.Linear(8 * 16 * 16, 4)

    def forward(self, x):
        return self.fc(self.stem(x).unflatten(1, (2, 4)).flatten(1))


class PixelShuffled(Network):
    def __init__(self):
        super().__init__(wide=conv(16, 64))

    def middle(self, x):
        return F.max_pool2d(self.wide(F.pixel_shuffle(x, 2)), 2)


class Hierarchical(Network):
    """Res2Net: each part meets the one before."""

    def __init__(self):
        super().__init__(parts=nn.ModuleList(conv(16, 16) for _ in range(3)))

    def middle(self, x):
        first, *others = x.split(16, 1)
        outputs = [first]
        for part, chunk in zip(self.parts, others, strict=True):
            outputs.append(part(chunk + outputs[-1]))
        return torch.cat(outputs, 1)


class Scaled(Network):
    """A parameter of the network itself has an entry for each channel."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(64, 1, 1))

    def middle(self, x):
        return x * self.scale


class Grouped(Network):
    def __init__(self):
        super().__init__(grouped=conv(64, 64, groups=4))

    def middle(self, x):
        return self.grouped(x)


class Tied(Network):
    def __init__(self):
        super().__init__(a=conv(64, 64), b=conv(64, 64))
        self.b.weight = self.a.weight

    def middle(self, x):
        return self.b(self.a(x))


class Twice(Network):
    """A module that runs two times."""

    def __init__(self):
        super().__init__(a=conv(64, 64))

    def middle(self, x):
        return self.a(self.a(x))


class Normalized(Network):
    def __init__(self):
        super().__init__(norm=nn.GroupNorm(4, 64))

    def middle(self, x):
        return self.norm(x)


class Gated(Network):
    """Squeeze and excitation."""

    def __init__(self):
        super().__init__(down=conv(64, 8, 1), up=conv(8, 64, 1))

    def middle(self, x):
        return x * torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))


NETWORKS = [Chunked, Sliced, Split, Shuffled, Fixed, PixelShuffled, Hierarchical, Scaled, Grouped, Tied, Twice]
NETWORKS += [Normalized, Gated]
REFUSED = {
    Shuffled: "stem",
    Fixed: "stem",
    Grouped: "grouped",
    Tied: "shares its parameters",
    Normalized: "norm",
    TwiceReshaped: "does not understand the reshapes behind layer stem",
}


def params(model):
    return sum(p.numel() for p in model.parameters())


def pruned_or_named(model, shape, share, exclude):
    """The pruned network; None where one line of an error names a layer."""
    layers = [name for name, m in model.named_modules() if name and any(True for _ in m.parameters(recurse=False))]
    try:
        return pruned_network(model, shape, share, exclude=exclude)
    except UserError as error:
        named = [name for name in layers if re.search(rf"(layer|convolution) {re.escape(name)}\b", str(error))]
        if not named or "\n" in str(error):
            raise
        return None


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("share", [0.3, 0.5])
def test_a_network_runs_with_the_parameters_that_were_asked_for_or_an_error_names_a_layer(network, share):
    torch.manual_seed(0)
    model = network()
    small = pruned_or_named(model, SHAPE, share, ["fc"])
    if small is None:
        return
    assert network not in REFUSED
    assert small(torch.randn(2, *SHAPE)).shape == (2, 4)
    assert params(small) == pytest.approx(share * params(model), rel=0.02)
    groups = channel_groups(model, SHAPE, exclude=["fc"])
    whole = count_left(model, groups, [group.size for group in groups])
    assert whole == params(model)


@pytest.mark.parametrize(("network", "named"), REFUSED.items())
def test_what_cannot_be_cut_is_refused_with_a_reason(network, named):
    with pytest.raises(UserError, match=named):
        pruned_network(network(), SHAPE, 0.5, exclude=["fc"])


def test_a_network_that_can_be_cut_when_a_layer_is_left_out():
    with pytest.raises(UserError, match="the channels of layer stem cannot be cut"):
        pruned_network(Shuffled(), SHAPE, 0.7, exclude=["fc"])
    small = pruned_network(Shuffled(), SHAPE, 0.7, exclude=["fc", "stem"])
    assert small(torch.randn(2, *SHAPE)).shape == (2, 4)


LARGE = [pytest.param(name, marks=pytest.mark.slow) for name in ("densenet121", "efficientnet_b0")]


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "googlenet", *LARGE])
def test_torchvision(name):
    more = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    model = torchvision.models.get_model(name, weights=None, **more).eval()
    classes = [n for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    small = pruned_or_named(model, (3, 64, 64), 0.5, classes)
    assert (small is None) == (name == "shufflenet_v2_x0_5")
    if small is not None:
        assert small(torch.randn(1, 3, 64, 64)).shape == (1, 1000)
        assert params(small) == pytest.approx(0.5 * params(model), rel=0.02)


def test_outputs_stay_what_they_are():
    model = nn.Sequential(conv(3, 64), nn.ReLU(), conv(64, 20))
    with pytest.raises(UserError, match=r"layer 2 cannot be cut: they are outputs of the network"):
        pruned_network(model, (3, 8, 8), 0.5, exclude=[])
    assert pruned_network(model, (3, 8, 8), 0.5, exclude=["2"])(torch.zeros(1, 3, 8, 8)).shape == (1, 20, 8, 8)


def test_networks_that_have_nothing_to_cut():
    with pytest.raises(UserError, match=r"layer stem is a LinearConv2d, and only plain convolutions .* fold"):
        pruned_network(convert(Gated(), "L"), SHAPE, 0.5, exclude=["fc"])
    with pytest.raises(UserError, match=r"no nn\.Conv2d whose channels can be cut"):
        pruned_network(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), (3, 2, 2), 0.5, exclude=["1"])


class Detects(Network):
    """Returns what scores more than `least`: nothing, or a varying number of values."""

    def __init__(self, least):
        super().__init__()
        self.least = least

    def forward(self, x):
        scores = self.fc(self.last(self.stem(x)).mean((2, 3))).flatten()
        return scores[scores.abs() > self.least], scores[:0]


def test_outputs_without_values_are_refused_only_where_nothing_else_is_there_to_compare():
    groups, left = make_plan(Detects(0.0), SHAPE, 0.7, exclude=["fc"])
    kept = [torch.arange(n) for n in left]
    check_cut(Detects(0.0), SHAPE, groups, kept)
    with pytest.raises(UserError, match="have no finite values, by which a cut could be checked; prune a") as raised:
        check_cut(Detects(1e9), SHAPE, groups, kept)
    assert "\n" not in str(raised.value)


class Straight(Network):
    def middle(self, x):
        return x


def masked(network, value, classes):
    """A network whose scores of some classes are no numbers, as masked logits have them."""

    class Masked(network):
        def forward(self, x):
            return super().forward(x).index_fill(1, torch.tensor(classes), value)

    return Masked()


@pytest.mark.parametrize("value", [-torch.inf, torch.nan])
def test_outputs_that_are_masked_are_checked_where_they_are_not(value):
    with pytest.raises(UserError, match="the channels of layer stem cannot be cut"):
        pruned_network(masked(Shuffled, value, [3]), SHAPE, 0.7, exclude=["fc"])
    small = pruned_network(masked(Straight, value, [3]), SHAPE, 0.7, exclude=["fc"])
    assert small(torch.zeros(1, *SHAPE)).isfinite().tolist() == [[True, True, True, False]]
    with pytest.raises(UserError, match="have no finite values, by which a cut could be checked"):
        pruned_network(masked(Straight, value, [0, 1, 2, 3]), SHAPE, 0.7, exclude=["fc"])


class Overflowing(Shuffled):
    """Infinite where a value is large, which the wrong channels decide."""

    def forward(self, x):
        scores = super().forward(x)
        return torch.where(scores > 0, torch.inf, 0 * scores)


def test_outputs_that_are_infinite_elsewhere_without_some_channels_are_refused():
    with pytest.raises(UserError, match=r"the channels of layers? stem.* cannot be cut"):
        pruned_network(Overflowing(), SHAPE, 0.3, exclude=["fc"])


class Selected(Network):
    """Two paths, weighed by attention over the paths as selective kernels have it."""

    def __init__(self):
        super().__init__(one=conv(64, 64), two=conv(64, 64), gate=conv(64, 128, 1))

    def middle(self, x):
        paths = torch.stack([self.one(x), self.two(x)], 1)
        weights = self.gate(paths.sum(1).mean((2, 3), keepdim=True)).view(len(x), 2, 64, 1, 1)
        return (paths * weights.softmax(1)).sum(1)


def test_channels_that_are_none_are_named():
    with pytest.raises(UserError, match=r"has layer \w+ follow channel 127 of layer \w+, which has 64"):
        pruned_network(Selected(), SHAPE, 0.5, exclude=["fc"])
