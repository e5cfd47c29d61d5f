"""Dilated convolution with learnable spacings: where weights lie, the larger kernel, counts."""

import pytest
import torch
from torch import nn

from linconv.config import Recipe
from linconv.methods.dcls import DCLSConv2d
from linconv.training.step import EagerStep, make_optimizer
from tests.methods.common import POINTWISE, count

OPTIONS = [{"kernel_count": 2, "dilated_kernel_size": 9}]
REFUSED = [
    (POINTWISE, {}, "1x1"),
    (nn.Conv2d(4, 8, 3), {"dilated_kernel_size": 4}, "at least 3x3, the reach of the kernel, and exceed"),
]

DOUBLE = {"dtype": torch.float64}


def test_a_weight_is_spread_bilinearly_and_learns_where_it_lies():
    layer = DCLSConv2d(1, 1, 3, padding=1, bias=False, kernel_count=1, dilated_kernel_size=5, **DOUBLE)
    with torch.no_grad():
        layer.values.fill_(2.0)
        layer.positions.copy_(torch.tensor([0.25, -1.5], **DOUBLE).view(2, 1, 1, 1))
    expected = torch.zeros(5, 5, **DOUBLE)
    expected[2, 0], expected[2, 1] = 2 * 0.75 * 0.5, 2 * 0.75 * 0.5  # y = 0.25 below the center, x between -2 and -1
    expected[3, 0], expected[3, 1] = 2 * 0.25 * 0.5, 2 * 0.25 * 0.5
    torch.testing.assert_close(layer.weight[0, 0], expected)
    torch.manual_seed(0)
    x, step = torch.randn(1, 1, 7, 7, **DOUBLE), 1e-6
    layer(x).square().sum().backward()
    gradient = layer.positions.grad.clone()
    for axis in range(2):
        losses = []
        for sign in (1, -1):
            with torch.no_grad():
                layer.positions[axis] += sign * step
                losses.append(layer(x).square().sum())
                layer.positions[axis] -= sign * step
        torch.testing.assert_close(gradient[axis].squeeze(), (losses[0] - losses[1]) / (2 * step), rtol=1e-5, atol=1e-7)
    with torch.no_grad():
        layer.positions.fill_(9.0)  # beyond the kernel: kept at its corner
    assert layer.weight.nonzero().tolist() == [[0, 0, 4, 4]]


def test_a_position_beyond_the_border_has_a_gradient_and_is_projected():
    torch.manual_seed(0)
    layer = DCLSConv2d(2, 3, 3, padding=1, kernel_count=2, **DOUBLE)
    x = torch.randn(1, 2, 7, 7, **DOUBLE)
    gradients = {}
    for place in (-2.0, -3.5, 2.0, 2.3):
        with torch.no_grad():
            layer.positions.fill_(0.4)
            layer.positions[..., 0] = place
        gradients[place] = torch.autograd.grad(layer(x).square().sum(), layer.positions)[0][..., 0]
        assert (gradients[place] != 0).all(), "a position that has left the kernel would never come back"
    torch.testing.assert_close(gradients[2.3], gradients[2.0])  # as on the border
    torch.testing.assert_close(gradients[-3.5], gradients[-2.0])
    layer.project_()
    assert layer.positions.abs().max() == 2


def test_the_gradient_on_a_pixel_is_that_of_a_step_into_the_kernel():
    layer = DCLSConv2d(1, 1, 3, padding=1, bias=False, kernel_count=1, **DOUBLE)
    x = torch.randn(1, 1, 7, 7, generator=torch.Generator().manual_seed(0), **DOUBLE)
    for place, step in ((-2.0, 1e-6), (0.0, 1e-6), (2.0, -1e-6)):
        with torch.no_grad():
            layer.positions.fill_(place)
            layer.positions[0] = 0.3
        loss = layer(x).square().sum()
        (gradient,) = torch.autograd.grad(loss, layer.positions)
        with torch.no_grad():
            layer.positions[1] += step
            slope = (layer(x).square().sum() - loss) / step
        torch.testing.assert_close(gradient[1].squeeze(), slope.detach(), rtol=1e-4, atol=1e-6)


def test_positions_are_learned_at_their_own_rate_without_decay_and_stay_inside():
    """Five times the recipe's rate and no weight decay, the numbers of the source; projected after every step."""
    torch.manual_seed(0)
    model = nn.Sequential(DCLSConv2d(2, 3, 3, padding=1), nn.Flatten(), nn.Linear(3 * 25, 4))
    recipe = Recipe(optimizer="sgd", learning_rate=0.1, weight_decay=0.5)
    optimizer = make_optimizer(model, recipe)
    other, positions = optimizer.param_groups
    assert [p is model[0].positions for p in positions["params"]] == [True]
    assert (other["lr"], other["weight_decay"]) == (0.1, 0.5)
    assert (positions["lr"], positions["weight_decay"]) == (0.5, 0)
    step = EagerStep(model, model, optimizer, recipe)
    step.set_learning_rate(0.2)
    assert (other["lr"], positions["lr"]) == (0.2, 1.0)
    with torch.no_grad():
        model[0].values.zero_()  # no gradient for positions, which decay would draw to the center
    before = model[0].positions.clone()
    step(torch.randn(8, 2, 5, 5), torch.randint(4, (8,)))
    assert torch.equal(model[0].positions, before)
    with torch.no_grad():
        model[0].values.normal_(std=10)
        model[0].positions.fill_(1.99)
    step.set_learning_rate(100.0)
    step(torch.randn(8, 2, 5, 5), torch.randint(4, (8,)))
    assert not torch.equal(model[0].positions, torch.full_like(before, 1.99))
    assert model[0].positions.abs().max() <= 2


@pytest.mark.parametrize(
    ("geometry", "kernel", "padding"),
    [
        ({"kernel_size": 3, "padding": 1}, (5, 5), (2, 2)),
        ({"kernel_size": 3, "dilation": 2, "padding": 2}, (9, 9), (4, 4)),
        ({"kernel_size": (3, 1)}, (5, 1), (1, 0)),
        ({"kernel_size": 2, "padding": "valid"}, (4, 4), (1, 1)),
        ({"kernel_size": 7, "stride": 2, "padding": 3}, (13, 13), (6, 6)),
        ({"kernel_size": 5, "padding": "same"}, (9, 9), "same"),
    ],
)
def test_a_larger_kernel_gives_an_output_of_the_same_size(geometry, kernel, padding):
    layer, plain = DCLSConv2d(2, 4, **geometry), nn.Conv2d(2, 4, **geometry)
    assert (layer.kernel_size, layer.padding, layer.dilation) == (kernel, padding, (1, 1))
    x = torch.randn(1, 2, 16, 15)
    assert layer(x).shape == plain(x).shape
    assert layer.params_expected <= count(plain)


def test_parameters_and_options():
    assert count(DCLSConv2d(12, 10, 3, padding=1)) == 3 * 3 * 12 * 10 + 10
    with pytest.raises(ValueError, match="kernel_count must be an int of at least 1, not 0"):
        DCLSConv2d(8, 8, 3, kernel_count=0)
    for size in ([5], 0, [5, 2.0]):
        with pytest.raises(ValueError, match="dilated_kernel_size must be an int of at least 1, or two, not"):
            DCLSConv2d(8, 8, 3, dilated_kernel_size=size)
