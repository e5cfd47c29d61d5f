"""The table of timings."""

from __future__ import annotations

import json

import pytest

from linconv.report import render_figures, render_tables
from linconv.report.figures.speed import speed_figure
from linconv.report.source import load_experiment
from linconv.report.tables.speed import speed_table
from linconv.report.timings import macs_ratio
from linconv.results import ComplexityResult, read_result, write_result
from linconv.results.collect import collect
from linconv.results.integrity import sealed_text
from tests.report.conftest import markdown_rows
from tests.results.factory import make_config, read_rows, write_experiment, write_timings

GRID = {"architectures": ["base"], "variants": ["Lr", "LRr"], "batches": [50, 1], "rounds": 5}


SKIPPED = "base_training_b1_fp32_eager"


@pytest.fixture
def timed(tmp_path):
    config = make_config(throughput=GRID)
    write_experiment(tmp_path, config)
    write_timings(tmp_path, config, {"auto": 0.7, "weight": 1.2, "folded": 1.005}, skip=(SKIPPED,))
    collect(config, tmp_path, partial=True)
    return tmp_path


def test_the_table_prints_ratios_quartiles_and_what_is_equal(timed):
    render_tables(timed)
    header, _ = markdown_rows(timed / "tables" / "speed.md")
    assert header[4:] == [
        "plain images/s",
        "plain A/A (%)",
        "variant",
        "MACs",
        "time auto",
        "time weight",
        "time folded",
    ]
    lines = [line.split(" | ") for line in (timed / "tables" / "speed.md").read_text().splitlines() if "| Base" in line]
    cells = {(c[1].strip(), c[2].strip(), c[6].strip()): [x.strip(" |") for x in c[7:]] for c in lines}
    assert len(cells) == 6
    # a second, twice a second ... per image: the third of five rounds is the median
    assert {c[4].strip() for c in lines} == {"0.3"}
    assert {c[5].strip() for c in lines} == {"1.0"}
    auto, weight, folded = cells["inference", "50", "Lr"][1:4]
    assert auto == "0.700 (0.700 to 0.700)"
    assert weight == "1.200 (1.200 to 1.200)"
    assert folded == "1.005 (1.005 to 1.005) ≈"
    assert cells["training", "50", "LRr"][3] == ""
    assert ("training", "1", "Lr") not in cells
    assert "* Timed on " in (timed / "tables" / "speed.md").read_text()


def test_the_numbers_behind_it_are_those_of_the_timings(timed):
    experiment = load_experiment(timed)
    _, frame = speed_table(experiment)
    assert len(frame) == len(read_rows(timed / "data" / "throughput.csv")) == 2 * 8 + 6
    failures = read_rows(timed / "data" / "failures.csv")
    assert [row["detail"] for row in failures] == [f"throughput/{SKIPPED}.json: not timed yet"]


def counted(timed, **counts):
    """The collected experiment with other counts of its variants; the factory's are all alike."""
    path = timed / "complexity.json"
    record = json.loads(path.read_text())
    for model in record["models"]:
        if model["variant"] != "conv":
            model |= counts
    path.write_text(sealed_text(record))
    collect(make_config(throughput=GRID), timed, partial=True)
    return load_experiment(timed)


def test_the_ratio_of_the_macs_is_that_of_what_ran(timed):
    each = load_experiment(timed).model("base", "conv")["macs_folded"]  # of every form and in training
    counts = {"macs_auto": 2, "macs_feature": 3, "macs_weight": 4}
    counts |= {"macs_train_auto": 5, "macs_train_feature": 6, "macs_train_weight": 7}
    experiment = counted(timed, **{name: factor * each for name, factor in counts.items()})
    for activity, prefix in (("inference", "macs"), ("training", "macs_train")):
        for form in ("auto", "feature", "weight"):
            assert macs_ratio(experiment, "base", "Lr", activity, form) == counts[f"{prefix}_{form}"]
        assert macs_ratio(experiment, "base", "Lr", activity) == counts[f"{prefix}_auto"]
    assert macs_ratio(experiment, "vgg16", "Lr", "inference") is None


def test_pruned_networks_have_times_and_no_macs(tmp_path):
    config = make_config(
        variants=["conv", "Lr", "X"],
        define={"X": {"layer": "conv", "pruning": {"criterion": "l1"}}},
        throughput=GRID | {"variants": ["Lr", "X"]},
    )
    write_experiment(tmp_path, config)
    counts = read_result(tmp_path / "complexity.json", ComplexityResult)
    left = [model for model in counts.models if model.variant != "X"]
    write_result(tmp_path / "complexity.json", counts.model_copy(update={"models": left}))
    write_timings(tmp_path, config, {"auto": 0.7})
    collect(config, tmp_path)
    experiment = load_experiment(tmp_path)
    table, _ = speed_table(experiment)
    cells = {str(row[6]): (row[7].text, row[8].text) for row in table.rows}
    assert cells == {"Lr": ("1.00", "0.700 (0.700 to 0.700)"), "X": ("-", "0.700 (0.700 to 0.700)")}
    note = "Timed as what pruning leaves, whose MACs are in the runs alone: X."
    assert note in table.notes
    assert note in speed_figure(experiment)[1]


@pytest.mark.usefixtures("sketched")
def test_the_figure_is_drawn_where_there_are_timings_and_only_there(timed, tmp_path_factory):
    assert timed / "figures" / "speed.svg" in render_figures(timed)
    text = (timed / "figures" / "speed.svg").read_text()
    assert "on the diagonal all of the saving becomes time" in text
    first = (timed / "figures" / "speed.svg").read_bytes()
    render_figures(timed)
    assert (timed / "figures" / "speed.svg").read_bytes() == first
    untimed = tmp_path_factory.mktemp("untimed")
    config = make_config()
    write_experiment(untimed, config)
    collect(config, untimed)
    assert "speed.svg" not in {path.name for path in render_figures(untimed)}
    render_tables(untimed)
    assert "Nothing was timed" in (untimed / "tables" / "speed.md").read_text()
