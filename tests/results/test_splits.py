"""Runs on new splits of the data, from the result files to the verdicts."""

from __future__ import annotations

import numpy as np
import pytest

from linconv.config import RunKey, plan_runs
from linconv.report.figures.front import Front
from linconv.report.source import load_experiment
from linconv.report.tables import make_table
from linconv.report.verdicts import legend, noise_notes
from linconv.results.collect import collect
from linconv.results.merge import merge
from linconv.results.notes import mixtures
from tests.results.factory import make_config, read_rows, write_experiment

CHANGES = {"variants": ["conv", "L", "Lr"], "seeds": [0, 1], "splits": [0, 1, 2]}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    root, config = tmp_path_factory.mktemp("splits"), make_config(**CHANGES)
    write_experiment(root, config)
    collect(config, root)
    return load_experiment(root)


def test_rows_name_the_split(experiment):
    keys = [
        RunKey(r["dataset"], r["architecture"], r["variant"], int(r["seed"]), int(r["split"]))
        for r in read_rows(experiment.root / "data" / "runs.csv")
    ]
    assert keys == plan_runs(experiment.config)
    for name in ("history", "layers"):
        assert set(experiment.frames[name]["split"]) == {0, 1, 2}
    layers = experiment.layer_means
    assert set(layers["runs"]) == {6}
    assert not {"seed", "split"} & set(layers.columns)


def test_the_model_is_over_splits_and_says_so(experiment):
    model = experiment.models["digits", "base"]
    assert model.images == "splits"
    assert model.runs.tolist() == [6, 6, 6]
    assert model.seeds_told_apart
    means = experiment.runs.groupby("variant", sort=False)["top1"].mean()
    assert model.means == pytest.approx(means.loc[list(model.variants)].to_numpy())
    (note,) = noise_notes(experiment, experiment.comparisons)
    assert "3 splits of the data, whose test images and training sets differ" in note
    assert all(cell.planned == cell.value.n == 6 for cell in experiment.cells)


def collected(root, skip=(), **changes):
    config = make_config(**CHANGES | changes)
    write_experiment(root, config, skip={run for run in plan_runs(config) if skip and skip(run)})
    collect(config, root, partial=True)
    return load_experiment(root)


def test_splits_are_counted_where_runs_have_finished(tmp_path):
    found = collected(tmp_path, lambda run: run.split == 3, splits=[0, 1, 2, 3])
    (note,) = noise_notes(found, found.comparisons)
    assert "the rest from 3 splits" in note


def test_with_one_seed_a_split_the_note_says_that_nothing_tells_seeds_from_splits(tmp_path):
    found = collected(tmp_path, seeds=[0])
    (note,) = noise_notes(found, found.comparisons)
    assert "seeds and splits are not told apart" in note
    assert "about their variant and split" in note
    assert "%" not in note


def test_two_splits_give_no_verdict_and_a_note_says_why(tmp_path):
    found = collected(tmp_path, splits=[0, 1])
    assert {c.outcome for c in found.comparisons.values()} == {"n too small"}
    notes = " ".join(legend(found))
    assert "no sign: fewer than 3 runs, or 3 splits" in notes
    assert (
        "No verdict over several splits, since both sides have fewer than 3 in common: Base-L on Digits, Base-Lr"
        in notes
    )
    assert "Nothing varies" not in notes


def test_networks_with_other_numbers_of_finished_splits_are_compared(tmp_path):
    """VGG11 has finished split 0 alone: the networks have one split in common, so that nothing of them is tested."""
    found = collected(
        tmp_path, lambda run: run.architecture == "vgg11" and run.split > 0, architectures=["base", "vgg11"]
    )
    model = found.joint_model("digits")
    assert model.images == "splits"
    assert model.common_splits("base/L", "base/conv") == 3
    assert model.common_splits("vgg11/L", "base/conv") == 1
    assert model.count == 1797
    front = Front(found, found.cells)
    best = max((c for c in found.cells if c.architecture == "vgg11"), key=lambda c: c.value.mean)
    assert not front.holds(best, 1.0, [(c, 1.0) for c in found.cells if c.architecture == "base"])


def test_splits_are_no_mixture_of_data_and_other_data_within_one_are(experiment):
    runs = experiment.runs.copy()
    assert runs["data"].nunique() == 3
    assert not mixtures(runs)
    runs.loc[runs.index[0], "data"] = "another"
    assert {m.what for m in mixtures(runs)} == {"data"}


def test_tables_name_the_split_of_a_run(experiment):
    _, frame = make_table(experiment, "runs")
    table, _ = make_table(experiment, "runs")
    shown = [row[3].text for row in table.rows]
    assert shown[:6] == ["0", "1", "0, split 1", "1, split 1", "0, split 2", "1, split 2"]
    assert len(frame) == 18


def test_folders_of_different_splits_merge(tmp_path):
    for name, splits in (("a", [0, 1]), ("b", [2])):
        write_experiment(tmp_path / name, make_config(**CHANGES | {"splits": splits}))
    merged = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    assert (merged.planned, merged.joined) == (18, 18)
    found = load_experiment(tmp_path / "all")
    assert found.config.splits == (0, 1, 2)
    assert np.isfinite(found.comparisons["digits", "base", "L"].low)
