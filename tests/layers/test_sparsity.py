"""The schedule of the sparse variant."""

import pytest
import torch
from torch import nn

from linconv import LinearConv2d, SparsitySchedule


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(LinearConv2d(3, 20, 3, sparsity=0.6), nn.ReLU(), LinearConv2d(20, 20, 3))


def test_masks_change_every_period_and_theta_follows_the_formula(model):
    schedule = SparsitySchedule(model, period=3, step_size=0.01, initial_threshold=0.05)
    layer = model[0].coefficients
    schedule.step()
    schedule.step()
    assert layer.params_nonzero == 100
    schedule.step()
    expected = (layer.weight.abs() > 0.05).sum()
    assert layer.params_nonzero == expected < 100
    achieved = 1 - float(expected) / 100
    theta = 0.05 + (2 / (1 + 10 ** (10 * (achieved - 0.6))) - 1) * 0.01
    assert schedule.thresholds == {"0.coefficients": pytest.approx(theta)}


def test_it_reaches_the_wanted_sparsity(model):
    schedule = SparsitySchedule(model, period=1, step_size=0.002)
    for _ in range(400):
        schedule.step()
    assert 1 - model[0].coefficients.params_nonzero / 100 == pytest.approx(0.6, abs=0.02)


def test_theta_falls_where_too_much_is_zero_but_not_below_0(model):
    schedule = SparsitySchedule(model, period=1, step_size=0.04, initial_threshold=0.099)
    schedule.step()  # nearly all coefficients lie below theta
    assert 0.05 < schedule.thresholds["0.coefficients"] < 0.099
    for _ in range(3):
        schedule.thresholds["0.coefficients"] = 0.0
        model[0].coefficients.weight.data.zero_()
        schedule.step()
    assert schedule.thresholds["0.coefficients"] == 0.0


def test_masked_coefficients_do_not_act_and_get_no_gradient(model):
    layer = model[0]
    layer.coefficients.mask[:, 0] = 0
    layer(torch.randn(1, 3, 6, 6)).sum().backward()
    assert layer.coefficients.weight.grad[:, 0].abs().max() == 0
    assert layer.coefficients.matrix()[:, 0].abs().max() == 0
    assert layer.coefficients.weight[:, 0].abs().min() > 0, "the value is kept"


def test_forward_moves_nothing_in_training_or_evaluation(model):
    schedule = SparsitySchedule(model, period=1, step_size=0.1, initial_threshold=0.05)
    for mode in (True, False):
        model.train(mode)(torch.randn(1, 3, 8, 8))
    assert schedule.steps == 0
    assert model[0].coefficients.params_nonzero == 100


def test_state_continues_and_foreign_state_is_refused(model):
    one = SparsitySchedule(model, period=2, step_size=0.01)
    for _ in range(5):
        one.step()
    two = SparsitySchedule(model, period=2, step_size=0.01)
    two.load_state_dict(one.state_dict())
    assert (two.steps, two.thresholds) == (5, one.thresholds)
    assert one.thresholds["0.coefficients"] > 0
    with pytest.raises(ValueError, match="other sparse layers"):
        SparsitySchedule(nn.Sequential(model)).load_state_dict(one.state_dict())
    with pytest.raises(ValueError, match="period"):
        SparsitySchedule(model, period=0)


def test_a_model_without_sparse_coefficients_is_said():
    with pytest.warns(UserWarning, match="the model has no sparse coefficients to schedule"):
        SparsitySchedule(nn.Conv2d(3, 8, 3))
