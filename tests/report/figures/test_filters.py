"""Maps of the metrics of filters: what they show, and that it can be read."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest

from linconv.report.figures.filters import filters_figure
from linconv.report.labels import variant_label
from linconv.results.collect import collect
from linconv.results.integrity import sealed_text
from linconv.results.manifest import write_manifest
from tests.report.conftest import MANY, draw, key, maps
from tests.results.factory import make_config


def test_maps_of_the_filters_show_all_layers_and_variants_after_training(collected):
    root = collected(skip=[key("L", k) for k in range(3)], diverged=[key("Lr", 1)])
    path = root / key("LRr").path / "result.json"
    record = json.loads(path.read_text())
    record["layers"][1]["orthogonality"] = 0.55  # of the three runs' 0.85: a mean of 0.75
    for seed in range(3):  # a layer of 1 x 1 kernels, in all runs of the plain network
        plain = root / key("conv", seed).path / "result.json"
        layers = json.loads(plain.read_text())
        layers["layers"][2]["kernel_variance_entropy"] = None
        plain.write_text(sealed_text(layers))
    path.write_text(sealed_text(record))
    collect(make_config(), root, partial=True)
    figure, _ = draw(root, filters_figure, "digits", "base")
    shown = maps(figure)
    none = [np.nan] * 3
    wanted = {
        "Mean |corr|": [[0.2] * 3, none, *[[0.2] * 3] * 3],
        "Rank / min(N, D)": [[20 / 27, 20 / 64, 20 / 128], none, *[[20 / 27, 20 / 64, 20 / 128]] * 3],
        "Variance entropy": [[0.8] * 3, none, *[[0.8] * 3] * 3],
        "Kernel sparsity": [[0.04] * 3, none, *[[0.04] * 3] * 3],
        "Kernel entropy": [[0.7, 0.7, np.nan], none, *[[0.7] * 3] * 3],
        "Orthogonality": [[0.85] * 3, none, [0.85] * 3, [0.85, 0.75, 0.85], [0.85] * 3],
    }
    assert list(shown) == list(wanted)
    for title, values in wanted.items():
        np.testing.assert_allclose(shown[title], values, err_msg=title)
    first, *_, last = figure.axes[:6]
    names = ["Conv", "L (0 of 3 runs)", "Lr (2 of 3 runs)", "LRr", "LSr"]
    assert [t.get_text() for t in first.get_yticklabels()] == names
    assert [t.get_text() for t in first.get_xticklabels()] == ["1", "2", "3"]
    assert [t.get_text() for t in last.texts] == ["0.85"] * 7 + ["0.75"] + ["0.85"] * 4
    lightness = last.collections[0].cmap(last.collections[0].norm([0.75, 0.85]))[:, :3].mean(axis=1)
    assert lightness[0] < lightness[1]  # less orthogonal, darker
    assert all(axes.patches[0].get_hatch() for axes in figure.axes[:6])


@pytest.mark.parametrize(("layers", "panels_across"), [(1, 6), (5, 6), (10, 3), (15, 2), (40, 1), (90, 1)])
def test_numbers_on_maps_of_the_filters_fit_their_cells(layers, panels_across, collected):
    root = collected(seeds=[0], variants=["conv", "L"])
    frame = pd.read_csv(root / "data" / "layers.csv")
    first = frame[frame["position"] == 1]
    pd.concat([first.assign(position=i + 1) for i in range(layers)]).to_csv(root / "data" / "layers.csv", index=False)
    write_manifest(root / "data")
    figure, _ = draw(root, filters_figure, "digits", "base")
    panels = figure.axes[:6]
    assert len({round(axes.get_position().x0, 3) for axes in panels}) == panels_across
    for axes in panels:
        assert len(axes.texts) == (0 if layers == 90 else 2 * layers)
        width = axes.get_window_extent().width / layers
        assert all(text.get_window_extent().width < width for text in axes.texts)
        ticks = [t.get_window_extent() for t in axes.get_xticklabels()]
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(ticks))


def test_maps_of_the_filters_have_a_row_for_each_of_many_variants(many):
    figure, _ = draw(many, filters_figure, "digits", "base")
    labels = figure.axes[0].get_yticklabels()
    assert [t.get_text() for t in labels] == [variant_label(v) for v in MANY]
    boxes = [label.get_window_extent() for label in labels]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
