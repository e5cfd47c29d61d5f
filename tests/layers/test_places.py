"""What follows a convolution in its network."""

import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import mobilenet_v2, resnet50

import linconv
from linconv.catalogue.networks import NETWORKS
from linconv.layers import places_of


def follows(model):
    places = places_of(model)
    return {name: places[m].relu_follows for name, m in model.named_modules() if m in places}


class Uses(nn.Module):
    """Every way in which the output of a convolution may be used."""

    def __init__(self):
        super().__init__()
        for name in ("function", "method", "in_place", "twice", "added", "joined", "pooled", "silu", "last", "unused"):
            setattr(self, name, nn.Conv2d(3, 3, 3, padding=1))
        self.shared = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        x = F.relu(self.function(x))
        x = self.method(x).relu()
        x = F.relu(self.in_place(x), inplace=True) * 2
        y = self.twice(x)
        x = F.relu(y) + y
        x = F.relu(self.added(x) + x)
        x = torch.cat([self.joined(x), x], 1).relu()[:, :3]
        x = F.relu(F.dropout(F.max_pool2d(self.pooled(x), 2)))
        x = F.silu(self.silu(x))
        x = self.shared(F.relu(self.shared(x)))
        return self.last(x)


def test_every_use_is_told_apart():
    expected = dict.fromkeys(("function", "method", "in_place", "pooled"), True)
    expected |= dict.fromkeys(("twice", "added", "joined", "silu", "last", "shared"), False)
    assert follows(Uses()) == expected


@pytest.mark.parametrize("name", NETWORKS)
def test_our_networks_are_followed_without_values_or_random_numbers(name):
    model = linconv.build_model(name).train()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    before = torch.get_rng_state()
    found = follows(model)
    assert len(found) == sum(isinstance(m, nn.Conv2d) for m in model.modules())
    assert any(found.values())
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_blocks_of_residual_networks():
    for name, relu in follows(linconv.build_model("resnet18")).items():
        assert relu == (name == "stem" or name.endswith("conv1")), name
    with torch.device("meta"):
        bottlenecks, inverted = resnet50(), mobilenet_v2()
    for name, relu in follows(bottlenecks).items():
        assert relu == (name == "conv1" or name.endswith(("conv1", "conv2"))), name
    for name, relu in follows(inverted).items():
        # the last 1x1 of a block is linear
        assert relu == (name.endswith(".0.0") or name.endswith(".1.0") or name == "features.18.0"), name


def test_nothing_is_known_of_a_convolution_by_itself():
    assert places_of(nn.Conv2d(3, 3, 3)) == {}
    assert places_of(nn.Linear(3, 3)) == {}
    assert follows(nn.Sequential(nn.Conv2d(3, 3, 3))) == {"0": False}


def test_other_threads_train_on():
    """Trainings share a process (`linconv work`): following one network must not reach the modules of another."""
    model, stop, errors = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU()), threading.Event(), []

    def train():
        while not stop.is_set():
            try:
                assert model(torch.ones(1, 3, 5, 5)).device.type == "cpu"
            except Exception as error:
                errors.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    for _ in range(20):
        places_of(linconv.build_model("base"))
    stop.set()
    thread.join()
    assert not errors
