"""The figures of a network on a data set: panels, correlations, curves, redundancy."""

from __future__ import annotations

import json

import numpy as np
import pytest

from linconv.config import plan_runs
from linconv.report import render_tables
from linconv.report.figures.correlations import correlations_figure
from linconv.report.figures.curves import curves_figure
from linconv.report.figures.filters import filters_figure
from linconv.report.figures.panels import panels_figure
from linconv.report.figures.redundancy import redundancy_figure
from linconv.report.figures.style import COLORS
from linconv.report.labels import shortened
from linconv.report.source import IN_DETAIL, load_experiment
from linconv.results.collect import collect
from linconv.results.integrity import sealed_text
from tests.report.conftest import draw, key, maps, texts
from tests.results.factory import make_config, read_rows
from tests.results.filters import LAYERS, make_correlations


def test_panels_show_the_numbers(collected):
    accuracies = {key("conv", k): x for k, x in enumerate((90.0, 92.0, 94.0))}
    experiment = load_experiment(collected(top1=accuracies, diverged=[key("LRr", 2)]))
    figure = draw(experiment, panels_figure, "digits", "base")[0]
    shown = texts(figure)
    macs = f"{experiment.model('base', 'conv')['macs_auto'] / 1e6:.1f}"
    assert {"Conv", "L", "Lr", "LRr", "LSr", "0.40", macs, "2 of 3\nruns"} <= set(shown)
    left, middle, _ = figure.axes
    means = [line.get_ydata() for line in left.lines if line.get_color() == COLORS["conv"]]
    assert any(np.array_equal(y, [92.0]) for y in means)
    assert any(np.array_equal(y, [90.0, 92.0, 94.0]) for y in means)
    assert middle.patches[0].get_height() == pytest.approx(0.401234)


def test_heat_maps_show_the_stored_correlations(collected):
    figure = draw(collected(), correlations_figure, "digits", "base")[0]
    maps = [axes for axes in figure.axes if axes.images]
    assert len(maps) == 9
    for axes, name in zip(maps[:3], make_correlations("conv"), strict=True):
        expected = make_correlations("conv")[name] / 127
        np.testing.assert_allclose(axes.images[0].get_array(), expected, atol=1e-6)
        assert not axes.patches
    for axes, (_, n, _) in zip(maps[6:], LAYERS.values(), strict=True):
        (outline,) = axes.patches
        assert outline.get_width() == n // 2
        assert axes.images[0].get_clim() == (-1, 1)


def test_curves_are_means_over_the_finished_runs(collected):
    root = collected(diverged=[key("L", 1)])
    figure = draw(root, curves_figure, "digits", "base")[0]
    left = figure.axes[0]
    lines = {line.get_label(): line for line in left.lines}
    assert list(lines) == ["Conv", "L (2 of 3 runs)", "Lr", "LRr", "LSr"]
    rows = [r for r in read_rows(root / "data" / "history.csv") if r["variant"] == "L" and r["seed"] != "1"]
    mean = [np.mean([float(r["test_top1"]) for r in rows if int(r["epoch"]) == e]) for e in range(1, 7)]
    np.testing.assert_allclose(lines["L (2 of 3 runs)"].get_ydata(), mean)


def test_no_labels_overlap(collected):
    """Tick labels of one axis and the legend's entries keep apart, with long names of variants too."""
    define = {"rank_four_everywhere": {"extends": "LRr", "options": {"rank": 4}}}
    root = collected(define=define, variants=["conv", "L", "Lr", "LRr", "LSr", "rank_four_everywhere"], seeds=[0])
    figure = draw(root, curves_figure, "digits", "base")[0]
    figure.draw_without_rendering()
    boxes = [t.get_window_extent() for t in figure.legends[0].get_texts()]
    inside = figure.bbox
    assert all(inside.x0 <= b.x0 and b.x1 <= inside.x1 and inside.y0 <= b.y0 for b in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    for axes in figure.axes:
        ticks = [t.get_window_extent() for t in axes.get_yticklabels() if t.get_text() and t.get_visible()]
        assert not any(a.overlaps(b) for i, a in enumerate(ticks) for b in ticks[:i])


def test_all_diverged(collected):
    config = make_config(seeds=[0], variants=["conv", "L"])
    root = collected(seeds=[0], variants=["conv", "L"], diverged=plan_runs(config))
    assert "no finished run" in texts(draw(root, curves_figure, "digits", "base")[0])
    assert texts(draw(root, panels_figure, "digits", "base")[0]).count("0 of 1\nruns") == 2


def test_a_missing_variant_leaves_its_place_empty(collected):
    root = collected(skip=[key("L", k) for k in range(3)])
    assert "0 of 3\nruns" in texts(draw(root, panels_figure, "digits", "base")[0])
    assert "L (0 of 3 runs)" in texts(draw(root, curves_figure, "digits", "base")[0])
    assert len([axes for axes in draw(root, correlations_figure, "digits", "base")[0].axes if axes.images]) == 6


def test_uncounted_complexity_is_said(collected):
    root = collected(complexity={"architectures": ["vgg11"]}, seeds=[0])
    assert texts(draw(root, panels_figure, "digits", "base")[0]).count("not counted") == 2


KERNELS = ("kernel_sparsity", "kernel_variance_entropy", "orthogonality")


def test_redundancy_before_and_after_training(collected):
    figure = draw(collected(), redundancy_figure, "digits", "base")[0]
    first = figure.axes[0]
    lines = {line.get_linestyle(): line.get_ydata() for line in first.lines if line.get_color() == COLORS["L"]}
    assert {style: pytest.approx(y) for style, y in lines.items()} == {"--": [5.0] * 3, "-": [30.0] * 3}
    assert list(first.lines[0].get_xdata()) == [1, 2, 3]
    rank = figure.axes[4].lines[1].get_ydata()
    np.testing.assert_allclose(rank, [20 / 27, 20 / 64, 20 / 128])
    assert "before training" in texts(figure)
    sparse, entropy, orthogonality = figure.axes[6:]
    for panel, before, after in ((sparse, 0, 4), (entropy, 0.9, 0.7), (orthogonality, 0.95, 0.85)):
        np.testing.assert_allclose([line.get_ydata() for line in panel.lines[:2]], [[before] * 3, [after] * 3])
    assert "near zero (%)" in sparse.get_title("left")


def test_panels_that_are_zero_in_every_layer_are_left_out_and_named(collected):
    root = collected(variants=["conv", "L"], seeds=[0])
    for variant in ("conv", "L"):
        path = root / key(variant).path / "result.json"
        record = json.loads(path.read_text())
        for layer in (*record["layers"], *record["layers_before"]):
            layer.update(share_above_0_7=0.0, kernel_sparsity=0.0)
        path.write_text(sealed_text(record))
    collect(make_config(variants=["conv", "L"], seeds=[0]), root)
    figure, caption = draw(root, redundancy_figure, "digits", "base")
    assert len(figure.axes) == 7
    assert not {"Pairs with |corr| > 0.7 (%)", "Kernels near zero (%)"} & {a.get_title("left") for a in figure.axes}
    assert "Not drawn, since they are 0 in every layer: Pairs with |corr| > 0.7, Kernels near zero." in caption


def test_what_older_runs_did_not_measure_is_said(collected):
    root = collected(variants=["conv", "L"], seeds=[0])
    for variant in ("conv", "L"):
        path = root / key(variant).path / "result.json"
        record = json.loads(path.read_text())
        del record["layers_before"]
        for layer in record["layers"]:
            for name in ("share_above_0_3", "share_above_0_7", "share_above_0_9", "variance_entropy", *KERNELS):
                del layer[name]
        path.write_text(sealed_text(record))
    collect(make_config(variants=["conv", "L"], seeds=[0]), root)
    figure = draw(root, redundancy_figure, "digits", "base")[0]
    assert texts(figure).count("not measured in\nthese runs") == 3
    assert len(figure.axes) == 6  # the row of kernel metrics is left out
    assert "before training" not in texts(figure)
    assert list(maps(draw(root, filters_figure, "digits", "base")[0])) == ["Mean |corr|", "Rank / min(N, D)"]
    render_tables(root)
    assert "* Not measured when these runs were made." in (root / "tables" / "filter_quality.md").read_text()
    text = (root / "tables" / "redundancy.md").read_text()
    assert "not measured when these runs were made" in text
    assert "→ -" not in text


def test_long_names_are_shortened_from_their_front():
    assert shortened("features.conv1") == "features.conv1"
    assert shortened("stages.3.blocks.1.convolution2") == "…ocks.1.convolution2"


def test_a_curve_without_runs_has_no_ticks(collected):
    config = make_config(seeds=[0], variants=["conv"])
    experiment = load_experiment(collected(seeds=[0], variants=["conv"], diverged=plan_runs(config)))
    figure, _ = draw(experiment, curves_figure, "digits", "base")
    assert all(len(axes.get_xticks()) == 0 for axes in figure.axes)


def test_figures_of_a_network_show_nine_variants_or_those_named(many, collected):
    figure, caption = draw(many, panels_figure, "digits", "base")
    assert len(figure.axes[1].patches) == IN_DETAIL
    assert "Shown are 9 of 16 variants, the first in the configuration." in caption
    assert len(draw(many, curves_figure, "digits", "base")[0].legends[0].get_texts()) == IN_DETAIL
    named = load_experiment(collected(figures={"formats": ["svg"], "variants": ["Lr", "conv"]}))
    figure, caption = draw(named, curves_figure, "digits", "base")
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["Conv", "Lr"]
    assert "Shown are 2 of 5 variants, those of figures.variants." in caption
