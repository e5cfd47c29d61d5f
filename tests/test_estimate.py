"""`linconv plan --estimate`: what is counted, and that it follows what a run does."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from linconv import estimate as module
from linconv.catalogue.datasets import DATASETS
from linconv.cli.estimating import not_estimated
from linconv.config import parse_config, plan_runs
from linconv.config.needs import MEASURING
from linconv.data import load
from linconv.estimate import CellEstimate, Estimate, estimate
from linconv.results import write_result
from tests.results.factory import make_run

RAW = {
    "experiment": "toy",
    "datasets": ["digits", "synthetic"],
    "architectures": ["base"],
    "variants": ["conv", "Lr"],
    "seeds": [0, 1],
    "recipe": {"overrides": [{"set": {"epochs": 3, "batch_size": 100}}]},
    "keep_weights": True,
    "device": "cpu",
}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every timed call is made once and takes a second; the notes say which."""
    calls: list[str] = []

    def seconds(call, device):
        call()
        calls.append(device)
        return np.array([1.0, 0.5])

    monkeypatch.setattr(module, "_seconds", seconds)
    monkeypatch.setattr(module, "_clocks", lambda: np.zeros(2))
    return calls


def test_the_time_of_a_run_is_that_of_its_steps_and_evaluations(clock, tmp_path):
    found = estimate(parse_config(RAW), tmp_path, "cpu")
    cells = {(c.dataset, c.variant): c for c in found.cells}
    # a second to draw a batch, a second for a step; with terms it takes no longer here
    assert {c.step_seconds for c in found.cells} == {2.0}
    steps, tested = math.ceil(1442 / 100), 1.0  # the evaluation of 355 images takes a second
    assert cells["digits", "conv"].run_seconds == pytest.approx(3 * (2 * steps + tested) + tested)
    assert cells["synthetic", "conv"].run_seconds == pytest.approx(3 * (2 * 5 + 1) + 1)
    assert (found.planned, found.runs) == (8, 8)
    runs = sum(2 * c.run_seconds for c in found.cells)
    assert found.seconds - found.start_seconds == pytest.approx(runs)
    assert found.processor_seconds - found.start_seconds == pytest.approx(runs / 2)


def test_the_start_holds_the_loading_of_the_data_that_are_there(clock, tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr(module, "load", lambda name, root: loaded.append(name))
    monkeypatch.setattr(module.time, "process_time", lambda: 5.0 + 10 * len(loaded))
    raw = RAW | {"datasets": ["digits", "synthetic", "cifar10"], "data_root": str(tmp_path), "variants": ["conv"]}
    found = estimate(parse_config(raw), tmp_path, "cpu")
    assert loaded == ["digits", "synthetic"]  # cifar10 is not there
    assert found.start_seconds == 25


def test_each_process_starts_once():
    cell = CellEstimate("digits", "base", "conv", 3, 0.1, 20.0, 10.0, 0, 0)
    found = Estimate(6, [cell, cell._replace(variant="Lr")], {}, [], 4.0)
    assert found.processor_seconds == 4 + 6 * 10  # one process takes all runs
    assert found.starts_seconds == 5 * 4  # and five more start where each run has its own
    assert Estimate(1, [cell._replace(runs=1)], {}, [], 4.0).starts_seconds == 0
    assert Estimate(0, [], {}, [], 0.0).starts_seconds == 0


def test_runs_with_a_result_are_not_counted_and_cells_without_runs_not_timed(clock, tmp_path):
    config = parse_config(RAW)
    for key in plan_runs(config)[:5]:
        write_result(tmp_path / key.path / "result.json", make_run(config, key))
    found = estimate(config, tmp_path, "cpu")
    assert [(c.dataset, c.variant, c.runs) for c in found.cells] == [("synthetic", "conv", 1), ("synthetic", "Lr", 2)]
    assert found.planned == 8


def test_a_cell_that_equals_another_is_timed_once(clock, tmp_path):
    one = estimate(parse_config(RAW | {"datasets": ["mnist"]}), tmp_path, "cpu")
    count = len(clock)
    two = estimate(parse_config(RAW | {"datasets": ["mnist", "fashionmnist"]}), tmp_path, "cpu")
    assert len(clock) == 2 * count
    assert two.seconds - two.start_seconds == pytest.approx(2 * (one.seconds - one.start_seconds))


def test_downloads_are_of_the_archives_that_are_not_there(clock, tmp_path):
    raw = RAW | {"datasets": ["cifar10", "digits", "svhn"], "data_root": str(tmp_path)}
    assert estimate(parse_config(raw), tmp_path, "cpu").downloads == {"cifar10": 170.5, "svhn": 246.4}
    (tmp_path / "cifar-10-python.tar.gz").touch()
    assert estimate(parse_config(raw), tmp_path, "cpu").downloads == {"svhn": 246.4}


def test_disk_space_is_that_of_weights_and_of_two_checkpoints(clock, tmp_path):
    found = estimate(parse_config(RAW | {"variants": ["conv"], "datasets": ["digits"]}), tmp_path, "cpu")
    params = sum(p.numel() for p in torch.nn.ModuleList([module.build_model("base", in_channels=1)]).parameters())
    assert found.checkpoint_bytes == 2 * 3 * 4 * params
    assert 0 < found.result_bytes - 2 * 4 * params < 200_000


def test_what_is_left_out_is_said(clock, tmp_path):
    pruned = {"define": {"P": {"layer": "conv", "pruning": {"criterion": "l1", "params": 0.5}}}, "variants": ["P"]}
    assert "pruned" in estimate(parse_config(RAW | pruned), tmp_path, "cpu").notes[0]


def test_every_measurement_that_is_asked_for_is_named_as_left_out():
    asked = {"sensitivity": {"variants": ["Lr"]}}
    blocks = {name: asked.get(name, {}) for name in MEASURING if name != "complexity"}
    assert not_estimated(parse_config(RAW)) == []
    assert not_estimated(parse_config(RAW | blocks)) == list(blocks)


@pytest.mark.parametrize("name", ["digits", "synthetic"])
def test_the_catalogue_knows_how_many_images_there_are(name):
    data = load(name, Path("nowhere"))
    assert (len(data.train_labels), len(data.test_labels)) == DATASETS[name].images


def test_real_steps_are_timed(tmp_path):
    raw = RAW | {"datasets": ["synthetic"], "variants": ["Lr"], "seeds": [0]}
    (cell,) = estimate(parse_config(raw), tmp_path, "cpu").cells
    assert 3 * 5 * cell.step_seconds < cell.run_seconds < 60
