"""The answer's picture, and what holds in every figure: no dodge on a cost axis, few colors, no line of two points."""

from __future__ import annotations

import pytest
from matplotlib.colors import to_hex

from linconv.report.costs import deployed_time_cost, latency_cost, timed_form
from linconv.report.figures.answer import answer_figure
from linconv.report.figures.curves import curves_figure
from linconv.report.figures.differences import differences_figure
from linconv.report.figures.panels import panels_figure
from linconv.report.figures.style import OTHER, styles_of, variant_styles
from linconv.report.source import IN_DETAIL
from tests.report.conftest import draw, texts, written

TIMED = {"architectures": ["base"], "variants": ["Lr"], "forms": ["weight", "folded"], "batches": [50], "rounds": 3}


def places(axes):
    """The places of the points."""
    return [tuple(float(v[0]) for v in line.get_data()) for line in axes.lines if line.get_marker() == "o"]


def test_points_stand_at_their_costs_and_differences(tmp_path):
    costs = {"conv": (1000, 2000), "L": (570, 1000), "Lr": (570, 1000), "LRr": (530, 900)}
    experiment = written(tmp_path, costs=costs, variants=list(costs))
    figure, caption = draw(experiment, answer_figure, "digits", "base")
    assert [axes.get_title("left") for axes in figure.axes] == ["Parameters", "Multiply-accumulates"]
    means = {v: experiment.comparisons["digits", "base", v].mean for v in costs if v != "conv"} | {"conv": 0.0}
    for axes, number in zip(figure.axes, (0, 1), strict=True):
        expected = [(100 * pair[number] / costs["conv"][number], means[v]) for v, pair in costs.items()]
        assert places(axes) == [pytest.approx(place) for place in expected]
    assert "intervals for other seeds and other test images" in caption
    tall, _ = draw(experiment, lambda *names: answer_figure(*names, tall=True), "digits", "base")
    assert tall.get_figheight() > figure.get_figheight()
    assert {"Conv", "L", "Lr", "LRr"} <= set(texts(tall))


def test_the_time_is_that_of_the_folded_network_where_auto_was_not_timed(tmp_path):
    changes = {"variants": ["conv", "Lr"], "throughput": TIMED, "ratios": {"weight": 1.2, "folded": 0.9}}
    experiment = written(tmp_path, **changes)
    cell = ("digits", "base", "Lr")
    assert timed_form(experiment, cell) == "folded"
    assert deployed_time_cost(experiment, cell).ratio == pytest.approx(0.9)
    assert latency_cost(experiment, cell).ratio != latency_cost(experiment, cell).ratio  # rankings are of auto alone
    figure, caption = draw(experiment, answer_figure, "digits", "base")
    assert figure.axes[2].get_title("left") == "Time of 50 images"
    assert (90.0, pytest.approx(experiment.comparisons[cell].mean)) in places(figure.axes[2])
    assert "in the form folded" in caption


def test_controls_look_the_same_in_every_experiment():
    one = styles_of(["conv", "LRr", "LRr_preserving", "narrow", "lowrank"])
    other = styles_of(["conv", "Lr", "mine", "lowrank_half", "narrow_half", "narrow_quarter"])
    assert one["narrow"] == other["narrow_half"] != other["narrow_quarter"]
    assert one["lowrank"] == other["lowrank_half"]
    assert len(set(other.values())) == len(other)


def test_the_forest_of_many_variants_has_nine_colors(many):
    figure, _ = draw(many, differences_figure, "digits")
    points = [line for axes in figure.axes for line in axes.lines if line.get_markersize() == 5]
    drawn = {to_hex(line.get_markeredgecolor()) for line in points if line.get_marker() in ("o", "D")}
    shown = {variant_styles(many)[v].color.lower() for v in many.config.variants[1:IN_DETAIL]}
    assert drawn == shown | {OTHER.lower()}


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_two_epochs_are_no_curve(epochs, tmp_path):
    experiment = written(tmp_path, recipe={"overrides": [{"set": {"epochs": epochs}}]}, variants=["conv", "Lr"])
    figure, caption = draw(experiment, curves_figure, "digits", "base")
    lined = any(line.get_linestyle() != "None" and len(line.get_xdata()) > 1 for line in figure.axes[0].lines)
    assert lined == (epochs == 3)
    assert ("make no curve" in caption) == (epochs < 3)
    assert list(figure.axes[0].get_xticks())[-1] <= epochs + 1


@pytest.mark.parametrize(("epochs", "title"), [(6, "Multiply-accumulates (M)"), (250, "FLOPs, paper's rule (B)")])
def test_flops_are_shown_where_the_paper_is_reproduced(epochs, title, tmp_path):
    experiment = written(
        tmp_path, recipe={"overrides": [{"set": {"epochs": epochs}}]}, variants=["conv", "Lr"], seeds=[0]
    )
    figure, caption = draw(experiment, panels_figure, "digits", "base")
    assert figure.axes[2].get_title("left") == title
    assert ("the paper's rule" in caption) == (epochs == 250)
