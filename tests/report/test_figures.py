"""The rendered figures of synthetic experiments."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context
from PIL import Image

from linconv.config import plan_runs
from linconv.report import render_figures, render_tables
from linconv.report.curves import curves
from linconv.report.drawing import STYLE
from linconv.report.figures import FIGURES, planned_figures
from linconv.report.filter_maps import filter_maps
from linconv.report.forest import differences
from linconv.report.heatmaps import correlations
from linconv.report.labels import COLOURS, network_markers, variant_styles
from linconv.report.layers import redundancy_layers
from linconv.report.panels import panels
from linconv.report.pareto import pareto
from linconv.report.source import load_experiment
from linconv.results.collect import collect
from linconv.results.integrity import sealed_text
from tests.report.conftest import UNTIMED, key
from tests.report.test_filter_maps import maps
from tests.results.factory import LAYERS, make_config, make_correlations, read_rows

SVG = {"figures": {"formats": ["svg"]}}


def draw(root, kind, *network):
    with rc_context(fname=STYLE):
        return kind(load_experiment(root), "digits", *(network or ("base",)))[0]


def draw_all(root, kind):
    """A figure of a whole data set."""
    with rc_context(fname=STYLE):
        return kind(load_experiment(root), "digits")[0]


def texts(figure):
    figure.draw_without_rendering()
    return [t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")) if t.get_text()]


def test_all_kinds_in_every_format_twice_the_same(collected):
    root = collected(figures={"formats": ["svg", "pdf", "png"]}, variants=["conv", "Lr"], seeds=[0, 1])
    paths = render_figures(root)
    stems = [f"{k}_digits" for k in ("pareto", "differences")]
    stems += [f"{k}_digits_base" for k in ("panels", "correlations", "curves", "redundancy", "filters")]
    expected = [f"figures/{stem}.{s}" for stem in stems for s in ("svg", "pdf", "png")]
    assert [p.relative_to(root).as_posix() for p in paths] == expected
    first = {path: path.read_bytes() for path in paths}
    assert {path: path.read_bytes() for path in render_figures(root)} == first
    for path in paths:
        if path.suffix == ".svg":
            text = path.read_text()
            ElementTree.fromstring(text)
            assert "<dc:date>" not in text
            assert "Digits: " in text  # the caption, in the metadata
        elif path.suffix == ".pdf":
            assert b"CreationDate" not in path.read_bytes()
        else:
            with Image.open(path) as image:
                assert "Software" not in image.info
                assert np.asarray(image.convert("L")).std() > 10


def test_panels_show_the_numbers(collected):
    accuracies = {key("conv", k): x for k, x in enumerate((90.0, 92.0, 94.0))}
    figure = draw(collected(top1=accuracies, diverged=[key("LRr", 2)]), panels)
    shown = texts(figure)
    assert {"Conv", "-L", "-Lr", "-LRr", "-LSr", "0.40", "0.017", "2 of 3\nruns"} <= set(shown)
    left, middle, _ = figure.axes
    means = [line.get_ydata() for line in left.lines if line.get_color() == COLOURS["conv"]]
    assert any(np.array_equal(y, [92.0]) for y in means)
    assert any(np.array_equal(y, [90.0, 92.0, 94.0]) for y in means)
    assert middle.patches[0].get_height() == pytest.approx(0.401234)


def test_heat_maps_show_the_stored_correlations(collected):
    figure = draw(collected(), correlations)
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
    figure = draw(root, curves)
    left = figure.axes[0]
    lines = {line.get_label(): line for line in left.lines}
    assert list(lines) == ["Conv", "-L (2 of 3 runs)", "-Lr", "-LRr", "-LSr"]
    rows = [r for r in read_rows(root / "data" / "history.csv") if r["variant"] == "L" and r["seed"] != "1"]
    mean = [np.mean([float(r["test_top1"]) for r in rows if int(r["epoch"]) == e]) for e in range(1, 7)]
    np.testing.assert_allclose(lines["-L (2 of 3 runs)"].get_ydata(), mean)


def test_no_labels_overlap(collected):
    """Tick labels of one axis and the legend's entries keep apart, with long names of variants too."""
    define = {"rank_four_everywhere": {"extends": "LRr", "options": {"rank": 4}}}
    root = collected(define=define, variants=["conv", "L", "Lr", "LRr", "LSr", "rank_four_everywhere"], seeds=[0])
    figure = draw(root, curves)
    figure.draw_without_rendering()
    boxes = [t.get_window_extent() for t in figure.legends[0].get_texts()]
    inside = figure.bbox
    assert all(inside.x0 <= b.x0 and b.x1 <= inside.x1 and inside.y0 <= b.y0 for b in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    for axes in figure.axes:
        ticks = [t.get_window_extent() for t in axes.get_yticklabels() if t.get_text() and t.get_visible()]
        assert not any(a.overlaps(b) for i, a in enumerate(ticks) for b in ticks[:i])


def test_variants_keep_their_colours():
    assert variant_styles(["Lr", "mine"])["Lr"] == variant_styles(["conv", "L", "Lr"])["Lr"]
    many = variant_styles([*COLOURS, *(f"v{i}" for i in range(9))])
    assert len(set(many.values())) == len(many)


def test_one_seed_and_one_epoch(collected):
    root = collected(seeds=[4], recipe={"overrides": [{"set": {"epochs": 1}}]}, **SVG)
    assert len(render_figures(root)) == sum(kind.per in UNTIMED for kind in FIGURES.values())


def test_all_diverged(collected):
    config = make_config(seeds=[0], variants=["conv", "L"])
    root = collected(seeds=[0], variants=["conv", "L"], diverged=plan_runs(config))
    assert len(render_figures(root)) == sum(kind.per in UNTIMED for kind in FIGURES.values())
    assert "no finished run" in texts(draw(root, curves))
    assert texts(draw(root, panels)).count("0 of 1\nruns") == 2
    assert any("no finished run with filter correlations" in t for t in texts(draw(root, correlations)))
    assert any("no finished run with measured filters" in t for t in texts(draw(root, filter_maps)))


def test_a_missing_variant_leaves_its_place_empty(collected):
    root = collected(skip=[key("L", k) for k in range(3)])
    assert "0 of 3\nruns" in texts(draw(root, panels))
    assert "-L (0 of 3 runs)" in texts(draw(root, curves))
    assert len([axes for axes in draw(root, correlations).axes if axes.images]) == 6


def test_networks_without_runs_are_left_out_and_their_old_figures_removed(collected):
    config = make_config(architectures=["base", "vgg11"], seeds=[0], variants=["conv"])
    changes = {"architectures": ["base", "vgg11"], "seeds": [0], "variants": ["conv"]}
    root = collected(skip=[key("conv", 0, "vgg11")], **changes)
    assert {p.stem.rsplit("_", 1)[1] for p in render_figures(root)} == {"base", "digits"}
    (root / key("conv").path / "result.json").unlink()
    collect(config, root, partial=True)
    assert list((root / "figures").iterdir())
    assert render_figures(root) == []
    assert not list((root / "figures").iterdir())


def test_uncounted_complexity_is_said(collected):
    root = collected(complexity={"architectures": ["vgg11"]}, seeds=[0])
    assert texts(draw(root, panels)).count("not counted") == 2


def test_the_forest_shows_differences_intervals_and_outcomes(collected):
    same = {key("conv", k): 97.0 + 0.1 * k for k in range(3)}
    near = {key("L", k): 97.0 + 0.1 * k + x for k, x in enumerate((-0.01, 0.0, 0.01))}
    far = {key("Lr", k): 94.0 + 0.1 * k + x for k, x in enumerate((-0.01, 0.0, 0.01))}
    flat = {key("LRr", k): 97.5 + 0.1 * k for k in range(3)}
    root = collected(top1=same | near | far | flat, skip=[key("LSr", k) for k in range(3)])
    axes = draw_all(root, differences).axes[0]

    shown = [(line.get_xdata()[0], line.get_marker(), line.get_markerfacecolor()) for line in axes.lines]
    means = {round(x, 6): (marker, face) for x, marker, face in shown if marker in ("o", "D")}
    assert means == {0.0: ("o", COLOURS["L"]), -3.0: ("D", "white"), 0.5: ("o", "white")}

    # t(0.975, 2) = 4.302653: half width 4.302653 * 0.01 / sqrt(3)
    ends = [line.get_xdata() for line in axes.lines if line.get_linewidth() == 0.9]
    assert ends[0] == pytest.approx([-0.024841, 0.024841], abs=1e-5)
    text = [t.get_text() for t in axes.texts]
    assert text == ["all equal", "no pair of runs"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["Base", "-L (3)", "-Lr (3)", "-LRr (3)", "-LSr (0)"]
    low, high = axes.get_xlim()
    assert low < -3 < 1 < high


def test_pareto_plots_accuracy_over_both_costs(collected):
    accuracies = {key("conv", k): x for k, x in enumerate((90.0, 92.0, 94.0))}
    root = collected(top1=accuracies, architectures=["base", "vgg11"], skip=[key("Lr", k) for k in range(3)])
    figure = draw_all(root, pareto)
    for axes in figure.axes:
        points = [c for c in axes.containers if hasattr(c, "has_yerr")]
        assert len(points) == 9  # two networks, five variants, one cell without runs
        first = points[0].lines[0]
        assert first.get_ydata() == [92.0]
        (bar,) = points[0].lines[2]
        # t(0.975, 2) * 2 / sqrt(3) = 4.968276
        assert bar.get_segments()[0][:, 1] == pytest.approx([92 - 4.968276, 92 + 4.968276], abs=1e-5)
    assert figure.axes[0].containers[0].lines[0].get_xdata() == [pytest.approx(0.401234)]
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert labels == ["Conv", "-L", "-Lr", "-LRr", "-LSr", "Base", "VGG11"]


def test_the_front_joins_what_nothing_beats(collected):
    # base has 0.40, 0.23 (Lr) and 0.21 (LRr) million parameters: Lr is both worse and dearer than LRr
    top1 = {key(v, k): x for v, x in (("conv", 97.0), ("Lr", 91.0), ("LRr", 95.0)) for k in range(3)}
    figure = draw_all(collected(variants=["conv", "Lr", "LRr"], top1=top1), pareto)
    (front,) = [line for line in figure.axes[0].lines if line.get_color() == "#999999"]
    np.testing.assert_allclose(np.transpose(front.get_data()), [(0.211234, 95), (0.401234, 97)])


KERNELS = ("kernel_sparsity", "kernel_variance_entropy", "orthogonality")


def test_redundancy_before_and_after_training(collected):
    figure = draw(collected(), redundancy_layers)
    first = figure.axes[0]
    lines = {line.get_linestyle(): line.get_ydata() for line in first.lines if line.get_color() == COLOURS["L"]}
    assert {style: pytest.approx(y) for style, y in lines.items()} == {"--": [5.0] * 3, "-": [30.0] * 3}
    assert list(first.lines[0].get_xdata()) == [1, 2, 3]
    rank = figure.axes[4].lines[1].get_ydata()
    np.testing.assert_allclose(rank, [20 / 27, 20 / 64, 20 / 128])
    assert "before training" in texts(figure)
    sparse, entropy, orthogonality = figure.axes[6:]
    for panel, before, after in ((sparse, 0, 4), (entropy, 0.9, 0.7), (orthogonality, 0.95, 0.85)):
        np.testing.assert_allclose([line.get_ydata() for line in panel.lines[:2]], [[before] * 3, [after] * 3])
    assert "near zero (%)" in sparse.get_title("left")


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
    figure = draw(root, redundancy_layers)
    assert texts(figure).count("not measured in\nthese runs") == 3
    assert len(figure.axes) == 6  # the row of kernel metrics is left out
    layers = pd.read_csv(root / "data" / "layers.csv").drop(columns=[*KERNELS])  # as collected before there were any
    layers.to_csv(root / "data" / "layers.csv", index=False)
    assert len(draw(root, redundancy_layers).axes) == 6
    assert "before training" not in texts(figure)
    assert list(maps(draw(root, filter_maps))) == ["Mean |corr|", "Rank / min(N, D)"]
    render_tables(root)
    assert "* Not measured when these runs were made." in (root / "tables" / "filter_quality.md").read_text()
    text = (root / "tables" / "redundancy.md").read_text()
    assert "not measured when these runs were made" in text
    assert "→ -" not in text


def test_networks_keep_their_shapes():
    assert network_markers(["vgg11"])["vgg11"] == network_markers(["base", "vgg11"])["vgg11"]


def test_planned_figures_are_those_of_what_has_runs(collected):
    root = collected(architectures=["base", "vgg11"], seeds=[0], skip=[key("conv", 0, "vgg11")], variants=["conv"])
    stems = [planned.stem for planned in planned_figures(load_experiment(root))]
    assert "pareto_digits" in stems
    assert "panels_digits_base" in stems
    assert not any("vgg11" in stem for stem in stems)
