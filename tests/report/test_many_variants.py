"""Names, figures and claims of experiments with many methods."""

from __future__ import annotations

import math

import pytest
from matplotlib import rc_context

from linconv.report.claims.accuracy import on_par
from linconv.report.curves import curves
from linconv.report.drawing import STYLE
from linconv.report.filter_maps import filter_maps
from linconv.report.forest import differences
from linconv.report.labels import legend_columns, variant_label, variant_of, variant_styles
from linconv.report.panels import panels
from linconv.report.pareto import pareto
from linconv.report.source import IN_DETAIL, load_experiment
from linconv.results.collect import collect
from tests.report.conftest import key, written
from tests.results.factory import make_config, write_experiment, write_timings

TIMED = {"architectures": ["base"], "activities": ["inference"], "rounds": 3, "optimised": False}


@pytest.mark.parametrize(
    ("name", "label", "network"),
    [
        ("conv", "Conv", "Base"),
        ("LRr", "-LRr", "Base-LRr"),
        ("L_quarter", "-L 1/4", "Base-L 1/4"),
        ("narrow_half", "narrow 1/2", "Base narrow 1/2"),
        ("lowrank_quarter", "low-rank 1/4", "Base low-rank 1/4"),
        ("bsconv_u", "BSConv-U", "Base BSConv-U"),
        ("conv_correlation", "Conv correlation", "Base Conv correlation"),
        ("my_own", "my own", "Base my own"),
    ],
)
def test_variants_read_well(name, label, network):
    assert variant_label(name) == label
    assert variant_of("base", name) == network


def test_styles_of_many_variants_differ():
    assert len(set(variant_styles(["conv", "L", "Lr", "LRr", "LSr", *(f"v{i}" for i in range(36))]).values())) == 41


def test_legends_fit_their_width():
    labels = ["a" * 10] * 3 + ["b" * 30]
    assert [legend_columns(labels, width) for width in (84, 83, 10)] == [4, 3, 1]  # 3 * 16 + 36; 2 * 16 + 36


MANY = ["conv", "L", "Lr", "LRr", *(f"method{i}_half" for i in range(12))]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Sixteen variants of two networks, crowded into two costs; one fails."""
    top1 = {
        key(v, s, a): 60.0 if v == "method3_half" else 96.0 + 0.05 * (i % 5) + 0.01 * s
        for i, v in enumerate(MANY)
        for s in range(2)
        for a in ("base", "vgg11")
    }
    costs = {v: (500_000 + 1000 * i, 5_000_000) for i, v in enumerate(MANY[1:])} | {"conv": (10**6, 10**7)}
    changes = {"define": {v: {"extends": "L"} for v in MANY[4:]}, "architectures": ["base", "vgg11"], "seeds": [0, 1]}
    return written(tmp_path_factory.mktemp("many"), top1=top1, costs=costs, variants=MANY, **changes)


def drawn(experiment, kind, *where):
    with rc_context(fname=STYLE):
        figure, caption = kind(experiment, "digits", *where)
        figure.draw_without_rendering()
    return figure, caption


def test_points_of_many_variants_are_numbered_without_overlap(many):
    figure, caption = drawn(many, pareto)
    assert "numbers are variants" in caption
    key_texts = [t.get_text() for t in figure.legends[0].get_texts()]
    assert key_texts[:2] == ["1  Conv", "2  -L"]
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
    figure, _ = drawn(many, differences)
    left, right = figure.axes
    assert [t.get_text() for t in left.get_yticklabels()] == [variant_label(v) for v in MANY[1:]]
    assert [axes.get_title(loc="left") for axes in (left, right)] == ["Base", "VGG11"]
    assert [t.get_text() for t in left.texts] == ["← -36.0"]
    heights = [label.get_window_extent() for label in left.get_yticklabels()]
    assert not any(a.overlaps(b) for i, a in enumerate(heights) for b in heights[:i])


def test_maps_of_the_filters_have_a_row_for_each_of_many_variants(many):
    figure, _ = drawn(many, filter_maps, "base")
    labels = figure.axes[0].get_yticklabels()
    assert [t.get_text() for t in labels] == [variant_label(v) for v in MANY]
    boxes = [label.get_window_extent() for label in labels]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_figures_of_a_network_show_nine_variants_or_those_named(many, collected):
    figure, caption = drawn(many, panels, "base")
    assert len(figure.axes[1].patches) == IN_DETAIL
    assert "Shown are 9 of 16 variants, the first in the configuration." in caption
    assert len(drawn(many, curves, "base")[0].legends[0].get_texts()) == IN_DETAIL
    named = load_experiment(collected(figures={"formats": ["svg"], "variants": ["Lr", "conv"]}))
    figure, caption = drawn(named, curves, "base")
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["Conv", "-Lr"]
    assert "Shown are 2 of 5 variants, those of figures.variants." in caption


def test_accuracy_is_plotted_over_time_where_it_was_measured(tmp_path):
    config = make_config(throughput=TIMED | {"variants": ["L", "Lr"], "batches": [50]})
    write_experiment(tmp_path, config)
    write_timings(tmp_path, config, {"auto": 0.5})
    collect(config, tmp_path)
    figure, caption = drawn(load_experiment(tmp_path), pareto)
    _, _, time = figure.axes
    assert time.get_xlabel() == "Time of 50 images (ms)"
    shown = [float(c.lines[0].get_xdata()[0]) for c in time.containers]
    assert shown == pytest.approx([100_000, 50_000, 50_000])
    assert "measured time" in caption


def test_claims_are_about_linear_convolutions(collected):
    regularised = {"layer": "conv", "regularizers": [{"name": "correlation", "acts_on": "filters"}]}
    worse = {key("conv_reg", k): 90.0 + 0.01 * k for k in range(3)}
    root = collected(variants=["conv", "L", "conv_reg"], define={"conv_reg": regularised}, top1=worse)
    experiment = load_experiment(root)
    assert experiment.comparisons["digits", "base", "conv_reg"].outcome == "different"
    (claim,) = on_par([experiment])
    assert claim.runs == ("digits/base/L",)
    assert claim.verdict != "not supported"
    assert math.isfinite(experiment.comparisons["digits", "base", "L"].p_difference)
