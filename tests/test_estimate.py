"""`linconv plan --estimate`: what is counted, and that it follows what a run does."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from linconv import estimate as module
from linconv.catalogue.datasets import DATASETS
from linconv.cli import estimating
from linconv.cli.estimating import Progress, not_estimated
from linconv.config import load_config, parse_config, plan_runs
from linconv.config.needs import MEASURING
from linconv.config.steps import step_kinds
from linconv.data import load
from linconv.estimate import CellEstimate, Estimate
from linconv.measure import run_seconds
from linconv.measure.redundancy import FilterBank
from linconv.results.missing import missing_runs
from tests.results.factory import write_experiment

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


def estimate(config, root, device, *tell):
    """Of the runs that a folder of results lacks."""
    return module.estimate(config, missing_runs(config, root), device, *tell)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every timed call is made once and takes a second; the notes say which."""
    calls: list[str] = []

    def seconds(call, device):
        call()
        calls.append(device)
        return np.array([1.0, 0.5])

    monkeypatch.setattr(run_seconds, "seconds", seconds)
    monkeypatch.setattr(run_seconds, "clocks", lambda: np.zeros(2))
    return calls


def test_the_time_of_a_run_is_that_of_its_steps_and_evaluations(clock, tmp_path):
    found = estimate(parse_config(RAW), tmp_path, "cpu")
    cells = {(c.dataset, c.variant): c for c in found.cells}
    # a second to draw a batch, a second for a step; with terms it takes no longer here
    assert {c.step_seconds for c in found.cells} == {2.0}
    image = 2 / 500  # a second to load 500 images, a second to evaluate them
    for name in ("digits", "synthetic"):
        train, test = DATASETS[name].images
        expected = 3 * (2 * math.ceil(train / 100) + image * test) + image * test
        assert cells[name, "conv"].run_seconds == pytest.approx(expected)
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
    write_experiment(tmp_path, config, skip=plan_runs(config)[5:])
    found = estimate(config, tmp_path, "cpu")
    assert [(c.dataset, c.variant, c.runs) for c in found.cells] == [("synthetic", "conv", 1), ("synthetic", "Lr", 2)]
    assert found.planned == 8


def test_a_cell_that_equals_another_is_timed_once(clock, tmp_path):
    one = estimate(parse_config(RAW | {"datasets": ["mnist"]}), tmp_path, "cpu")
    count = len(clock)
    clock.clear()
    two = estimate(parse_config(RAW | {"datasets": ["mnist", "fashionmnist"]}), tmp_path, "cpu")
    assert len(clock) == count + 2  # fashion's images are mirrored, so batches are made once more
    assert two.seconds - two.start_seconds == pytest.approx(2 * (one.seconds - one.start_seconds))


def test_variants_that_differ_in_loss_terms_share_the_time_of_a_step(clock, tmp_path):
    told: list[tuple[int, str]] = []
    raw = RAW | {"datasets": ["digits"], "variants": ["L", "Lr"]}
    estimate(parse_config(raw), tmp_path, "cpu", lambda number, what: told.append((number, what)))
    assert told == [(1, "digits/base/L")]
    assert len(clock) == 4 + 2  # step, evaluation and two batches; then steps with terms and without them


def test_trials_of_learning_rates_are_in_it(clock, tmp_path):
    raw = RAW | {"datasets": ["digits"], "variants": ["conv"], "validation": {"share": 0.2}}
    search = {"rate_search": {"factors": [0.5, 1, 2], "share": 0.4}}
    one, two = (
        estimate(parse_config(raw | {"recipe": RAW["recipe"] | more}), tmp_path, "cpu").cells[0].run_seconds
        for more in ({}, search)
    )
    last = 2 / 500 * DATASETS["digits"].images[1]  # every test image once more
    assert two - last == pytest.approx((1 + 3 * 0.4) * (one - last))


def _machine(monkeypatch: pytest.MonkeyPatch, seconds_of: Callable[[int], float]) -> tuple[list[int], Callable]:
    """A call whose time a clock gives without passing, and the numbers of images that it was called with."""
    now, called = np.zeros(2), []

    def call(images: int) -> None:
        called.append(images)
        now[:] += seconds_of(images)

    monkeypatch.setattr(run_seconds, "clocks", now.copy)
    return called, call


@pytest.mark.parametrize("constant", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("an_image", [0.0001, 0.01, 0.5, 3.0])
def test_a_long_step_is_timed_on_few_images(monkeypatch, constant, an_image):
    called, call = _machine(monkeypatch, lambda images: constant + an_image * images)
    found = run_seconds.seconds_of_images(call, 128, "cpu", at_most=0.4)
    assert found == pytest.approx(constant + 128 * an_image)
    if constant + 128 * an_image > 0.4:
        assert max(called) < 128
        assert len(called) == 4
    longest = max(0.4, constant + 4 * an_image)  # four images are the fewest that say what an image adds
    assert all(constant + images * an_image <= longest for images in called)


def test_a_slow_first_call_does_not_count(monkeypatch):
    seen: set[int] = set()

    def with_start(images: int) -> float:
        start = 0.0 if images in seen else 5.0
        seen.add(images)
        return start + 0.1 * images

    _, call = _machine(monkeypatch, with_start)
    assert run_seconds.seconds_of_images(call, 50, "cpu", at_most=0.4) == pytest.approx(5.0)


def test_filters_of_one_shape_are_described_once_and_large_ones_never(monkeypatch, tmp_path):
    described, describe = _machine(monkeypatch, lambda rows: 0.2 if rows > 100 else 0.01)
    monkeypatch.setattr(run_seconds, "redundancy", lambda bank: describe(len(bank.filters)))

    def bank(rows: int, numbers: int) -> FilterBank:
        return FilterBank(1, "c", torch.zeros(rows, numbers), None, 9)

    timer = run_seconds.Timer(parse_config(RAW), "cpu")
    whole = timer._look_at([bank(512, 1024), bank(256, 512), bank(64, 128), bank(64, 128)])
    assert described == [64, 256]
    assert whole == pytest.approx(0.01 + 0.01 + 0.2 + 0.2 * 8)  # twice the rows and numbers, eight times the operations


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


def test_the_paper_s_grid_is_few_kinds_of_steps():
    config = load_config(Path("config/paper.yaml"))
    kinds = {kind for run in missing_runs(config, Path("nowhere")) for kind in step_kinds(run)}
    assert len(kinds) == 6 * 3 * 2  # networks; conv, L as Lr, LRr; images in color and in gray


def test_a_warm_start_is_steps_of_two_kinds():
    defined = {"define": {"W": {"extends": "Lr", "warm_start": 0.5}}, "variants": ["W", "conv"], "seeds": [0]}
    warm, plain = missing_runs(parse_config(RAW | defined | {"datasets": ["digits"]}), Path("nowhere"))
    before, after = step_kinds(warm)
    assert [before] == step_kinds(plain)
    assert after.definition.layer == "linear"
    assert after.definition.warm_start is None


def test_what_is_timed_is_said_before_torch_is_imported(tmp_path):
    script = f"""
import sys
from pathlib import Path
from linconv.config import load_config
from linconv.cli import estimating
import linconv.devices
class Reached(Exception): pass
def stop(*_): raise Reached
linconv.devices.device_slot = stop
try:
    estimating.show_estimate(load_config(Path("config/paper.yaml")), Path({str(tmp_path)!r}), "cpu")
except Reached:
    print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert "timing steps of 36 kinds of runs" in done.stderr
    assert "about 72 s on an idle core" in done.stderr


def test_progress_is_told_after_two_silent_seconds(monkeypatch, capsys):
    times = iter([0.0, 1.9, 2.1, 3.0, 4.2])
    monkeypatch.setattr(estimating.time, "monotonic", lambda: next(times))
    progress = Progress(9)
    for number in range(1, 5):
        progress(number, f"mnist/base/{number}")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "2 of 9: mnist/base/2\n4 of 9: mnist/base/4\n")
