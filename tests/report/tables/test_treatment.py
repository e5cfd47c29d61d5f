"""The table of what the training gave to every variant."""

from __future__ import annotations

import pytest

from linconv.config import Variant
from linconv.report import render_tables
from linconv.report.tables.treatment import start_of
from linconv.results import RunResult, read_result, write_result
from linconv.results.collect import collect
from tests.report.conftest import key
from tests.results.factory import make_config, read_rows, write_experiment

WORK = {"conv": (4_000_000_000, 0.04), "L": (3_000_000_000, 0.03), "warm": (3_500_000_000, None)}


def rendered(root, work=WORK, **changes):
    """Three variants of three seeds with this work and first step, one of whose runs diverged, as a table."""
    changes = {"define": {"warm": {"layer": "lowrank", "warm_start": 0.25}}} | changes
    config = make_config(variants=["conv", "L", "warm"], **changes)
    write_experiment(root, config, diverged=[key("warm", 1)])
    for path in root.glob("runs/**/result.json"):
        result = read_result(path, RunResult)
        macs, step = work.get(result.variant, (None, None))
        metrics = result.metrics.model_copy(update={"macs_trained": macs, "first_step": step})
        write_result(path, result.model_copy(update={"metrics": metrics}))
    collect(config, root, partial=True)
    render_tables(root)
    text = (root / "tables" / "treatment.md").read_text()
    header, _, *rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip().strip("*") for cell in row] for row in (header, *rows)]
    return text, (cells[0][3:], {row[2]: row[3:] for row in cells[1:]})


def test_every_variant_has_its_start_rate_first_step_and_work(tmp_path):
    text, (header, rows) = rendered(tmp_path)
    assert header == [
        "start",
        "learning rate",
        "first step",
        "MACs at inference (M)",
        "MACs trained (T)",
        "MACs ratio",
        "top-1 (%)",
    ]
    conv, ours, warm = (rows[name] for name in ("Conv", "L", "warm"))
    assert conv[:3] == ["", "0.001", "0.040"]
    assert ours[:3] == ["paper's", "0.001", "0.030"]
    assert warm[:3] == ["plain network, 25 % of the epochs", "0.001", "-"]
    assert [row[4:6] for row in (conv, ours, warm)] == [["0.004", "1.00"], ["0.003", "0.75"], ["0.004", "0.88"]]
    assert warm[6].endswith("(2)")
    assert "Learning rate: the recipe's." in text
    record = read_rows(tmp_path / "tables" / "treatment.csv")[1]
    assert (record["variant"], float(record["macs_trained_ratio"])) == ("L", 0.75)


def test_the_chosen_rates_are_shown_with_the_number_of_runs(tmp_path):
    recipe = {"rate_search": {"factors": [0.5, 2]}, "overrides": [{"set": {"epochs": 6}}]}
    text, (_, rows) = rendered(tmp_path, recipe=recipe, validation={"share": 0.2})
    assert rows["L"][1] == "0.0005 (2), 0.002 (1)"  # seeds 0 and 2, seed 1
    assert rows["warm"][1] == "0.0005"  # seed 1 diverged
    assert "the best on the validation part of 0.5, 2 times the recipe's" in text
    assert "a search for the rate of 2 times 20 % of the epochs on top" in text


def test_the_mean_of_the_last_epochs_stands_beside_the_reported_accuracy(tmp_path):
    text, (header, rows) = rendered(tmp_path, statistics={"last_epochs": 2})
    assert header[-1] == "last 2 epochs (%)"
    assert "mean over the last 2 epochs of every run" in text
    history = [r for r in read_rows(tmp_path / "data" / "history.csv") if r["variant"] == "warm" and r["seed"] != "1"]
    last = [float(r["test_top1"]) for r in history if int(r["epoch"]) > 4]
    assert len(last) == 4
    assert float(rows["warm"][7].split()[0]) == pytest.approx(sum(last) / 4, abs=0.06)
    assert rows["warm"][7].endswith("(2)")


def test_runs_without_the_figures_say_so(tmp_path):
    text, (_, rows) = rendered(tmp_path, work={})
    assert rows["L"][2] == rows["L"][4] == "-"
    assert "were not recorded when these runs were made" in text


@pytest.mark.parametrize(
    ("variant", "start"),
    [
        ({"layer": "conv"}, ""),
        ({"layer": "conv", "pruning": {"criterion": "l1"}}, "plain network"),
        ({"layer": "linear"}, "paper's"),
        ({"layer": "linear", "options": {"init": "variance_preserving"}}, "variance-preserving"),
        ({"layer": "lowrank", "options": {"rank": 3}}, ""),
        ({"layer": "lowrank", "options": {"init": "svd"}}, "svd of new filters"),
    ],
)
def test_starts(variant, start):
    assert start_of(Variant.model_validate(variant)) == start
