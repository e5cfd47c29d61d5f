"""Statistics of batch normalization measured anew before every evaluation."""

from pathlib import Path

import pytest
import torch
from torch import nn

from linconv.config import parse_config, plan_runs, resolve_run
from linconv.report.source import Experiment
from linconv.training.engine import evaluate, fit
from linconv.training.recalibration import recalibrate
from linconv.training.run import prepare
from tests.training.short import continued, few_images


def described(**recipe):
    config = parse_config(
        {
            "experiment": "x",
            "datasets": ["synthetic"],
            "architectures": ["base"],
            "variants": ["LRr"],
            "seeds": [3],
            "recipe": {"overrides": [{"set": {"epochs": 2, "batch_size": 20, **recipe}}]},
        }
    )
    return resolve_run(config, plan_runs(config)[0])


RUNNING, RECALIBRATED = described(), described(batch_norm="recalibrated")


def test_statistics_are_the_means_over_the_batches_and_nothing_else_moves():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3, momentum=0.3), nn.Dropout(0.5)).train()
    batches = [(torch.randn(4, 2, 5, 5), torch.zeros(4)) for _ in range(3)]
    before = [parameter.clone() for parameter in model.parameters()]
    state = torch.get_rng_state()
    recalibrate(model, batches)
    maps = [model[0](x) for x, _ in batches]
    mean = torch.stack([x.mean(dim=(0, 2, 3)) for x in maps]).mean(0)
    variance = torch.stack([x.var(dim=(0, 2, 3)) for x in maps]).mean(0)
    torch.testing.assert_close(model[1].running_mean, mean)
    torch.testing.assert_close(model[1].running_var, variance)
    assert all(map(torch.equal, before, model.parameters()))
    assert torch.equal(state, torch.get_rng_state())
    assert (model[1].momentum, model.training) == (0.3, False)


def test_the_steps_are_the_same_and_the_accuracy_is_that_of_the_measured_statistics():
    data = few_images()
    running, ours = (fit(prepare(run, data, "cpu")) for run in (RUNNING, RECALIBRATED))
    for plain, measured in zip(running.model.parameters(), ours.model.parameters(), strict=True):
        assert torch.equal(plain, measured)
    assert [epoch.train_loss for epoch in running.history] == [epoch.train_loss for epoch in ours.history]
    recalibrate(running.model, running.train_batches(1))
    assert all(map(torch.equal, running.model.state_dict().values(), ours.model.state_dict().values()))
    loss, top1 = evaluate(running.model, running.test_batches(1))
    assert (ours.history[-1].test_loss, ours.history[-1].test_top1) == (loss, top1)
    assert running.history[-1].test_loss != loss


def test_an_interrupted_training_ends_with_the_same_bits(tmp_path):
    data = few_images()
    continued(RECALIBRATED, data, 1, tmp_path, fit(prepare(RECALIBRATED, data, "cpu")))


def test_it_is_part_of_what_a_run_is_and_the_default_changes_no_hash():
    assert RUNNING.hash != RECALIBRATED.hash
    assert RUNNING.hash == described(batch_norm="running").hash
    with pytest.raises(ValueError, match="batch_norm"):
        described(batch_norm="none")


def test_a_network_without_batch_normalization_needs_no_pass():
    def never():
        raise AssertionError
        yield

    recalibrate(nn.Sequential(nn.Conv2d(1, 1, 1)), never())


@pytest.mark.parametrize(
    ("architectures", "override", "said"),
    [
        (["base"], {}, ""),
        (["base"], {"set": {"batch_norm": "recalibrated"}}, ", with recalibrated statistics of batch normalization"),
        (
            ["base", "vgg11"],
            {"architectures": ["base"], "set": {"batch_norm": "recalibrated"}},
            ", with recalibrated statistics of batch normalization in part",
        ),
    ],
)
def test_captions_say_so(architectures, override, said):
    config = parse_config(
        {
            "experiment": "x",
            "datasets": ["synthetic"],
            "architectures": architectures,
            "variants": ["conv"],
            "seeds": [0],
            "recipe": {"overrides": [override] if override else []},
        }
    )
    assert Experiment(Path(), config, {}).reported_epoch == f"after the last epoch{said}"
