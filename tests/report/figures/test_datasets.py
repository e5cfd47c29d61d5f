"""The figures of a data set: differences to the plain network, and accuracy over cost."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import rc_context

from linconv.report.figures.differences import differences_figure
from linconv.report.figures.drawing import STYLE
from linconv.report.figures.pareto import pareto_figure
from linconv.report.figures.style import COLORS
from linconv.report.labels import variant_label
from linconv.report.source import load_experiment
from linconv.results.collect import collect
from tests.report.conftest import MANY, draw, key
from tests.results.factory import make_config, write_experiment, write_timings


def test_the_forest_shows_differences_intervals_and_outcomes(collected):
    changes = {"datasets": ["mnist"], "statistics": {"margin": 1.0}}  # 10,000 images leave 0.25 points
    same = {key("conv", k, dataset="mnist"): 97.0 + 0.1 * k for k in range(3)}
    near = {key("L", k, dataset="mnist"): 97.0 + 0.1 * k + x for k, x in enumerate((-0.01, 0.0, 0.01))}
    far = {key("Lr", k, dataset="mnist"): 94.0 + 0.1 * k + x for k, x in enumerate((-0.01, 0.0, 0.01))}
    open_ = {key("LRr", k, dataset="mnist"): 97.8 + 0.1 * k for k in range(3)}
    skip = [key("LSr", k, dataset="mnist") for k in range(3)]
    root = collected(top1=same | near | far | open_, skip=skip, **changes)
    axes = draw(root, differences_figure, "mnist")[0].axes[0]

    shown = [(line.get_xdata()[0], line.get_marker(), line.get_markerfacecolor()) for line in axes.lines]
    means = {round(x, 6): (marker, face) for x, marker, face in shown if marker in ("o", "D")}
    assert means == {0.0: ("o", COLORS["L"]), -3.0: ("D", "white"), 0.8: ("D", "white")}

    ends = [line.get_xdata() for line in axes.lines if line.get_linewidth() == 1.4]
    found = load_experiment(root).comparisons["mnist", "base", "L"]
    assert ends[0] == pytest.approx([found.low, found.high])
    text = [t.get_text() for t in axes.texts]
    assert text == ["no run"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["Base", "L (3)", "Lr (3)", "LRr (3)", "LSr (0)"]
    low, high = axes.get_xlim()
    assert low < -3 < 1 < high


def test_each_network_has_its_margin(collected):
    top1 = {key("conv", k, a): x for k in range(3) for a, x in (("base", 98.0 + 0.01 * k), ("vgg11", 90.0))}
    axes = draw(collected(top1=top1, architectures=["base", "vgg11"]), differences_figure, "digits")[0].axes[0]
    ends = [area.get_paths()[0].get_extents().x1 for area in axes.collections]
    assert ends == [pytest.approx(0.2 * 1.99), pytest.approx(0.2 * 10)]


def test_pareto_plots_accuracy_over_both_costs(collected):
    accuracies = {key("conv", k): x for k, x in enumerate((90.0, 92.0, 94.0))}
    root = collected(top1=accuracies, architectures=["base", "vgg11"], skip=[key("Lr", k) for k in range(3)])
    figure = draw(root, pareto_figure, "digits")[0]
    spread = next(c.value for c in load_experiment(root).cells if c[:3] == ("digits", "base", "conv"))
    for axes in figure.axes:
        points = [c for c in axes.containers if hasattr(c, "has_yerr")]
        assert len(points) == 9  # two networks, five variants, one cell without runs
        first = points[0].lines[0]
        assert first.get_ydata() == [92.0]
        (bar,) = points[0].lines[2]
        assert bar.get_segments()[0][:, 1] == pytest.approx([spread.low, spread.high], abs=1e-5)
        assert axes.get_ylim()[1] <= 100.5
    assert figure.axes[0].containers[0].lines[0].get_xdata() == [pytest.approx(0.401234)]
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert labels == ["Conv", "L", "Lr", "LRr", "LSr", "Base", "VGG11"]


@pytest.mark.parametrize(("conv", "joined"), [(97.0, True), (95.2, False)])
def test_the_front_joins_what_a_test_shows_to_gain_by_its_cost(collected, conv, joined):
    """Base has 0.40, 0.23 (Lr) and 0.21 (LRr) million parameters: Lr costs more than LRr and is worse."""
    means = (("conv", conv), ("Lr", 91.0), ("LRr", 95.0))
    top1 = {key(v, k, dataset="mnist"): x + 0.01 * k * (v == "Lr") for v, x in means for k in range(3)}
    root = collected(datasets=["mnist"], variants=["conv", "Lr", "LRr"], top1=top1)
    fronts = [x for x in draw(root, pareto_figure, "mnist")[0].axes[0].lines if x.get_color() == "#999999"]
    assert len(fronts) == joined
    if joined:
        np.testing.assert_allclose(np.transpose(fronts[0].get_data()), [(0.211234, 95), (0.401234, 97)])


def test_long_names_widen_the_forest(collected):
    define = {"rank_four_everywhere": {"extends": "LRr", "options": {"rank": 4}}}
    plain = load_experiment(collected(seeds=[0]))
    with rc_context(fname=STYLE):
        assert differences_figure(plain, "digits")[0].get_figwidth() == 3.5
    long = load_experiment(collected(define=define, variants=["conv", "rank_four_everywhere"], seeds=[0]))
    with rc_context(fname=STYLE):
        assert differences_figure(long, "digits")[0].get_figwidth() > 4


TIMED = {"architectures": ["base"], "activities": ["inference"], "rounds": 3, "optimized": False}


def test_points_of_many_variants_are_numbered_without_overlap(many):
    figure, caption = draw(many, pareto_figure, "digits")
    assert "numbers are variants" in caption
    key_texts = [t.get_text() for t in figure.legends[0].get_texts()]
    assert key_texts[:2] == ["1  Conv", "2  L"]
    assert key_texts[-1] == "16  method11 1/2"
    assert len(figure.axes) == 4
    for axes in figure.axes:
        assert sorted(int(t.get_text().partition(":")[0]) for t in axes.texts) == list(range(1, 17))
        assert "8: 60.0 %" in {t.get_text() for t in axes.texts}
        assert axes.get_ylim()[0] > 90  # the failed one does not flatten the rest
        boxes = [t.get_window_extent().padded(-1) for t in axes.texts]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
        edges = axes.get_window_extent()
        assert all(edges.x0 <= b.x0 and b.x1 <= edges.x1 and edges.y0 <= b.y0 and b.y1 <= edges.y1 for b in boxes)


def test_a_forest_of_many_variants_has_a_row_each_and_a_panel_per_network(many):
    figure, _ = draw(many, differences_figure, "digits")
    left, right = figure.axes
    assert [t.get_text() for t in left.get_yticklabels()] == [variant_label(v) for v in MANY[1:]]
    assert [axes.get_title(loc="left") for axes in (left, right)] == ["Base", "VGG11"]
    assert [t.get_text() for t in left.texts] == ["← -36.0"]
    heights = [label.get_window_extent() for label in left.get_yticklabels()]
    assert not any(a.overlaps(b) for i, a in enumerate(heights) for b in heights[:i])


def test_accuracy_is_plotted_over_time_where_it_was_measured(tmp_path):
    config = make_config(throughput=TIMED | {"variants": ["L", "Lr"], "batches": [50]})
    write_experiment(tmp_path, config)
    write_timings(tmp_path, config, {"auto": 0.5})
    collect(config, tmp_path)
    figure, caption = draw(load_experiment(tmp_path), pareto_figure, "digits")
    _, _, time = figure.axes
    assert time.get_xlabel() == "Time of 50 images (ms)"
    shown = [float(c.lines[0].get_xdata()[0]) for c in time.containers]
    assert shown == pytest.approx([100_000, 50_000, 50_000])
    assert "measured time" in caption
