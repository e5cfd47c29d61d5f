"""Rankings at equal cost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from linconv.catalogue.tables import TABLES
from linconv.config import ConfigError, RankingOptions, plan_runs, resolve_run
from linconv.report import render_tables
from linconv.report.costs import found_in_training, macs_cost, parameter_cost
from linconv.report.plan import plan_outputs
from linconv.report.source import load_experiment
from linconv.report.tables.budgets import LATENCY, MACS, PARAMETERS
from linconv.report.tables.comparisons import comparisons_table
from linconv.report.tables.ranking import ranking_latency_table, ranking_macs_table, ranking_parameters_table
from linconv.results.collect import collect
from linconv.results.manifest import write_manifest
from tests.report.conftest import key, written
from tests.results.factory import make_config, read_rows, write_experiment, write_timings

# Parameters and multiply-accumulates: half (LRr, cheap, narrow_half), a quarter (tiny, narrow_quarter), and neither.
COSTS = {
    "conv": (1_000_000, 10_000_000),
    "LRr": (520_000, 8_000_000),
    "cheap": (480_000, 2_500_000),
    "narrow_half": (500_000, 5_000_000),
    "narrow_quarter": (250_000, 2_400_000),
    "tiny": (240_000, 2_500_000),
    "large": (800_000, 9_900_000),
}


TOP1 = {
    "conv": (97.0, 97.1, 97.2),
    "LRr": (95.0, 95.3, 95.6),
    "cheap": (96.0, 96.11, 96.21),
    "narrow_half": (94.0, 94.1, 94.2),
    "narrow_quarter": (93.0, 93.1, 93.2),
    "tiny": (93.01, 93.1, 93.19),
    "large": (96.5, 96.5, 96.5),
}


OTHERS = [v for v in COSTS if v not in ("conv", "LRr")]


PEERS = {
    "datasets": ["mnist"],
    "variants": list(COSTS),
    "define": {v: {"extends": "L"} for v in OTHERS},
    "ranking": {"references": {"narrow": ["narrow_half", "narrow_quarter"], "LRr": "LRr"}},
}


def accuracies(table=TOP1):
    return {key(v, k, dataset="mnist"): x for v, values in table.items() for k, x in enumerate(values)}


@pytest.fixture(scope="module")
def peers(tmp_path_factory):
    return written(tmp_path_factory.mktemp("peers"), top1=accuracies(), costs=COSTS, **PEERS)


def lines(table):
    """Cells as text by variant, in the order of the rows."""
    rows = [[cell if isinstance(cell, str) else cell.text for cell in row] for row in table.rows]
    assert all(len(row) == len(table.columns) for row in rows)
    return {row[4]: row for row in rows}


def test_budgets_take_what_lies_within_the_tolerance():
    options = RankingOptions(budgets=(0.25, 0.5), tolerance=0.1)
    assert options.budgets == (0.5, 0.25)
    ratios = (0.55, 0.551, 0.45, 0.449, 0.275, 0.226, 1.0)
    found = [options.budget_of(r, options.budgets, options.tolerance) for r in ratios]
    assert found == [0.5, None, 0.5, None, 0.25, 0.25, None]


def test_variants_are_ranked_within_their_budget(peers):
    """At 5 % error 10,000 images leave 0.3 points: what differs less shares a rank."""
    table, frame = ranking_parameters_table(peers)
    rows = lines(table)
    assert [(name, row[2], row[3]) for name, row in rows.items()] == [
        ("Conv", "plain", ""),
        ("cheap", "50 %", "1"),
        ("LRr", "50 %", "2"),
        ("narrow 1/2", "50 %", "3"),
        ("narrow 1/4", "25 %", "1="),
        ("tiny", "25 %", "1="),
        ("large", "other costs", ""),
    ]
    assert rows["LRr"][5].startswith("95.30 [94.")
    assert rows["LRr"][6:8] == ["0.520", "0.520"]
    assert [row[4] for row in table.rows if row[5].best] == ["cheap"]
    assert table.breaks == {0, 1, 4, 6}
    assert list(frame["variant"]) == ["conv", "cheap", "LRr", "narrow_half", "narrow_quarter", "tiny", "large"]
    assert frame.set_index("variant")["parameters_ratio"].to_dict() == {v: c[0] / 1e6 for v, c in COSTS.items()}
    ranks = frame.set_index("variant")
    assert (ranks.loc["tiny", "rank"], ranks.loc["tiny", "rank_shared"]) == (1, True)
    assert (ranks.loc["narrow_half", "rank"], ranks.loc["narrow_half", "rank_shared"]) == (3, False)
    assert "Ranks come from 4 pairs within budgets" in table.caption


def test_what_no_test_separates_from_the_best_leaves_nothing_bold(collected):
    near = accuracies() | {key("cheap", k, dataset="mnist"): 95.4 + 0.3 * k for k in range(3)}
    table, _ = ranking_parameters_table(load_experiment(collected(costs=COSTS, top1=near, **PEERS)))
    assert [row[4] for row in table.rows if row[5].best] == []
    assert [row[3] for row in lines(table).values() if row[2] == "50 %"] == ["1=", "1=", "3"]


def test_another_cost_is_another_ranking(peers):
    rows = lines(ranking_macs_table(peers)[0])
    groups = {name: row[2] for name, row in rows.items()}
    assert groups == {
        "Conv": "plain",
        "narrow 1/2": "50 %",
        "cheap": "25 %",
        "narrow 1/4": "25 %",
        "tiny": "25 %",
        "large": "other costs",
        "LRr": "other costs",
    }
    assert list(rows)[-2:] == ["large", "LRr"]  # the dearest first
    assert rows["cheap"][6:9] == ["2.50", "0.250", "2.50"]  # in the form auto, relative, folded


def test_each_budget_has_its_reference(peers):
    rows = lines(ranking_parameters_table(peers)[0])
    assert rows["narrow 1/4"][8] == rows["narrow 1/2"][8] == rows["LRr"][10] == "reference"
    assert rows["tiny"][8].startswith("+0.00 ")  # minus narrow_quarter; narrow_half is 1 point above
    assert rows["tiny"][10].startswith("-2.20 ")
    assert rows["large"][8:10] == ["", ""]  # in no budget
    assert rows["large"][10].startswith("+1.20 ")
    assert rows["Conv"][8:] == [""] * 4
    by_macs = lines(ranking_macs_table(peers)[0])
    assert by_macs["cheap"][9].startswith("+3.01 ")  # a quarter of the operations: beside narrow_quarter


def test_a_budget_without_its_reference_says_so(collected):
    changes = PEERS | {"ranking": {"references": {"narrow": ["narrow_quarter"]}}}
    table, frame = ranking_parameters_table(load_experiment(collected(costs=COSTS, top1=accuracies(), **changes)))
    assert lines(table)["cheap"][8:] == ["-", ""]
    assert frame.set_index("variant")["narrow_reference"].dropna().to_dict() == dict.fromkeys(
        ("tiny", "narrow_quarter"), "narrow_quarter"
    )


def test_the_plain_network_is_a_reference_for_what_costs_as_much(collected):
    """What changes nothing in the number of parameters, such as a regularizer, is compared with it."""
    costs = COSTS | {"tiny": COSTS["conv"]}
    changes = PEERS | {"ranking": {"budgets": [1, 0.5], "references": {"narrow": ["conv", "narrow_half"]}}}
    table, frame = ranking_parameters_table(load_experiment(collected(costs=costs, top1=accuracies(), **changes)))
    rows = lines(table)
    assert rows["Conv"][2:4] == ["plain", ""]
    assert rows["Conv"][8:] == ["reference", ""]
    assert rows["tiny"][2] == "100 %"
    references = frame.set_index("variant")["narrow_reference"]
    assert (references["tiny"], references["cheap"]) == ("conv", "narrow_half")
    difference = sum(TOP1["tiny"]) / 3 - sum(TOP1["conv"]) / 3
    assert frame.set_index("variant").loc["tiny", "narrow_difference_mean"] == pytest.approx(difference)
    assert "Conv" not in [row[4] for row in table.rows if row[5].best]


def test_latency_has_a_tolerance_of_its_own(peers):
    options = RankingOptions(tolerance=0.05, latency_tolerance=0.2)
    assert [kind.tolerance(options) for kind in (PARAMETERS, MACS, LATENCY)] == [0.05, 0.05, 0.2]


def test_verdicts_are_adjusted_over_the_whole_table(peers):
    table, frame = ranking_parameters_table(peers)
    frame = frame.set_index("variant")
    # eight comparisons, of which LRr minus narrow 1/2 and narrow 1/2 minus LRr are one hypothesis
    raw = frame[["narrow_p", "LRr_p"]].stack().dropna().to_numpy()
    adjusted = frame[["narrow_p_adjusted", "LRr_p_adjusted"]].stack().dropna().to_numpy()
    assert len(raw) == len(adjusted) == 8
    assert "Intervals hold for all 7 comparisons at once (95 %)." in table.caption
    assert ((raw - 1e-6 <= adjusted) & (adjusted <= 7 * raw + 1e-6)).all()
    assert frame.loc["LRr", "narrow_p_adjusted"] == frame.loc["narrow_half", "LRr_p_adjusted"]
    verdicts = frame["narrow_verdict"].dropna().to_dict()
    assert verdicts == {"cheap": "better", "LRr": "better", "tiny": "undecided"}
    assert frame.loc[["narrow_quarter", "large"], "LRr_verdict"].tolist() == ["worse", "better"]


def test_the_differences_to_references_are_those_of_the_other_tables(peers):
    _, frame = ranking_parameters_table(peers)
    _, every = comparisons_table(peers)
    frame = frame.set_index("variant")
    found = every[every["reference"] != "conv"].set_index(["variant", "reference"])
    assert len(found) == 7, "a pair in both directions once"
    assert found.loc[("LRr", "narrow_half"), "difference_low"] == frame.loc["LRr", "narrow_difference_low"]


def test_what_has_no_run_is_listed_last_without_a_rank(collected):
    skip = [key("cheap", k, dataset="mnist") for k in range(3)]
    rows = lines(
        ranking_parameters_table(load_experiment(collected(costs=COSTS, top1=accuracies(), skip=skip, **PEERS)))[0]
    )
    assert [name for name, row in rows.items() if row[2] == "50 %"] == ["LRr", "narrow 1/2", "cheap"]
    assert rows["cheap"][3:6] == ["", "cheap", "-"]
    assert rows["cheap"][8:10] == ["-", "no run"]


def test_a_variant_that_diverged_is_named_and_not_bold(collected):
    """Its other runs were once called the best of the budget without a word."""
    seeds = PEERS | {"seeds": [0, 1, 2, 3, 4]}
    top1 = {key(v, k, dataset="mnist"): TOP1[v][k % 3] for v in TOP1 for k in range(5)}
    diverged = [key("cheap", k, dataset="mnist") for k in (3, 4)]
    table, frame = ranking_parameters_table(
        load_experiment(collected(costs=COSTS, top1=top1, diverged=diverged, **seeds))
    )
    assert lines(table)["cheap"][3] == "1"
    assert [row[4] for row in table.rows if row[5].best] == []
    assert "Base on MNIST: of 5 runs each, cheap 2 diverged." in table.notes
    assert any(note.startswith("Diverged runs are in no mean, difference or rank") for note in table.notes)
    assert frame.set_index("variant")["diverged"].to_dict() == dict.fromkeys(TOP1, 0) | {"cheap": 2}


def test_the_printed_accuracy_is_the_one_that_is_ranked(collected):
    """cheap lacks the seed with which all lose 12 points: its plain mean once stood above LRr, which is better."""
    seeds = PEERS | {"seeds": [0, 1, 2, 3]}
    top1 = {key(v, k, dataset="mnist"): TOP1[v][k % 3] - 12 * (k == 3) for v in TOP1 for k in range(4)}
    top1 |= {key("cheap", k, dataset="mnist"): TOP1["LRr"][k] - 1 for k in range(3)}
    root = collected(costs=COSTS, top1=top1, diverged=[key("cheap", 3, dataset="mnist")], **seeds)
    experiment = load_experiment(root)
    table, frame = ranking_parameters_table(experiment)
    frame = frame.set_index("variant")
    model = experiment.models["mnist", "base"]
    assert [name for name, row in lines(table).items() if row[2] == "50 %"] == ["LRr", "cheap", "narrow 1/2"]
    assert frame.loc["cheap", "top1_mean"] == pytest.approx(model.means[model.variants.index("cheap")])
    assert frame.loc["cheap", "top1_low"] < frame.loc["cheap", "top1_mean"] < frame.loc["cheap", "top1_high"]
    difference = frame.loc["cheap", "top1_mean"] - frame.loc["narrow_half", "top1_mean"]
    assert frame.loc["cheap", "narrow_difference_mean"] == pytest.approx(difference)
    wanted = "Means adjusted for the seeds or splits that a variant lacks: Base cheap on MNIST (runs alone 94.30)."
    assert wanted in table.notes
    assert experiment.runs.query("variant == 'cheap'")["top1"].mean() == pytest.approx(94.3)
    assert frame.loc["conv", "top1_mean"] == np.mean([top1[key("conv", k, dataset="mnist")] for k in range(4)])


TIMED = {"architectures": ["base"], "activities": ["inference"], "rounds": 3, "optimized": False}


def test_latency_ranks_what_was_timed_and_lists_the_rest(tmp_path):
    timed = TIMED | {"variants": ["LRr", "cheap"], "batches": [8, 50], "forms": ["auto", "folded"]}
    config = make_config(throughput=timed, **PEERS)
    write_experiment(tmp_path, config, costs=COSTS, top1=accuracies())
    write_timings(tmp_path, config, {"auto": 0.63, "folded": 1.0})
    collect(config, tmp_path)
    table, frame = ranking_latency_table(load_experiment(tmp_path))
    rows = lines(table)
    unmeasured = dict.fromkeys(["narrow 1/2", "narrow 1/4", "tiny", "large"], "not measured")
    assert {name: row[2] for name, row in rows.items()} == {
        "Conv": "plain",
        "cheap": "65 %",
        "LRr": "65 %",
        **unmeasured,
    }
    # 50 images take 50, 100 and 150 s in the factory: the median is 100 s
    assert rows["Conv"][6:8] == ["100000.00", "1.000"]
    assert rows["cheap"][6:8] == ["63000.00", "0.630"]
    assert rows["tiny"][6:8] == ["-", "-"]
    assert rows["tiny"][10].startswith("-2.20 ")
    assert frame.set_index("variant").loc["cheap", "latency_ratio"] == pytest.approx(0.63)
    assert "50 images in the form auto" in table.notes[0]


def test_pruned_networks_are_counted_by_their_runs(collected):
    root = collected(costs=COSTS, top1=accuracies(), **PEERS)
    frame = pd.read_csv(root / "data" / "runs.csv")
    pruned = frame["variant"] == "tiny"
    frame["macs"] = [
        2_000_000 + 1_000_000 * seed if own else None for own, seed in zip(pruned, frame["seed"], strict=True)
    ]
    frame.loc[pruned, "params"] = [190_000, 201_000, 212_000]
    frame.to_csv(root / "data" / "runs.csv", index=False)
    write_manifest(root / "data")
    experiment = load_experiment(root)
    place = ("mnist", "base", "tiny")
    assert found_in_training(experiment, place)
    assert not found_in_training(experiment, ("mnist", "base", "cheap"))
    assert parameter_cost(experiment, place) == (201_000, 201_000 / 402_000)  # the plain runs' own count
    assert macs_cost(experiment, place) == (3_000_000, 0.3)
    table, _ = ranking_macs_table(experiment)
    assert lines(table)["tiny"][2] == "other costs"
    assert table.notes[-1] == "Counted on the trained networks, mean over the runs: tiny."


def test_rankings_are_planned_where_they_are_asked_for(tmp_path, collected):
    timed = make_config(throughput=TIMED | {"variants": ["LRr"]}, **PEERS)
    write_experiment(tmp_path / "timed", timed)
    collect(timed, tmp_path / "timed", partial=True)
    planned = plan_outputs(load_experiment(tmp_path / "timed"), TABLES)
    rankings = {"ranking_parameters", "ranking_macs", "ranking_latency"}
    assert rankings <= {table.stem for table in planned.made}
    few = {"variants": ["conv", "LRr"], "seeds": [0], "complexity": {"architectures": ["base"]}, "ranking": {}}
    root = collected(costs=COSTS, **few)
    render_tables(root)
    made = {path.stem for path in (root / "tables").iterdir()}
    assert {"ranking_parameters", "ranking_macs"} <= made
    assert "ranking_latency" not in made
    rows = read_rows(root / "tables" / "ranking_macs.csv")
    assert [float(r["macs"]) for r in rows if r["variant"] == "LRr"] == [8e6]
    config = root / "config.yaml"
    config.write_text(config.read_text().partition("ranking:")[0])
    render_tables(root)
    assert not list((root / "tables").glob("ranking*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ranking": {"references": {"narrow": ["L", "LRx"]}}}, "ranking.references.narrow: unknown variant 'LRx'"),
        ({"variants": ["L"], "ranking": {}}, "add 'conv' to variants"),
        ({"ranking": {"batch": 7}, "throughput": {}}, "ranking.batch: 7 is none of throughput.batches"),
        ({"ranking": {"budgets": [0.5, 0.5]}}, "a budget is listed twice"),
        ({"figures": {"variants": ["Lx"]}}, "figures.variants: unknown variant 'Lx'"),
    ],
)
def test_wrong_options_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        make_config(**changes)


def test_what_is_shown_is_no_part_of_a_run():
    plain = make_config()
    other = make_config(ranking={"tolerance": 0.2}, figures={"variants": ["L"]})
    for run in plan_runs(plain)[:2]:
        assert resolve_run(plain, run).hash == resolve_run(other, run).hash
