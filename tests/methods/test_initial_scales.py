"""The scale of new filters: one for all methods, or with `init: source` that of the authors' code (docs/methods.md)."""

from pathlib import Path

import pytest
import torch
from torch import nn

from linconv.config import Variant
from linconv.layers import convert, method_class

ROOT = Path(__file__).parents[2]
CHANNELS, FILTERS, SIDE = 64, 128, 3
UNIT = (3 * CHANNELS * SIDE**2) ** -0.5  # of the filters of nn.Conv2d
# root mean squares of filters that the sources' own layers draw, nn.Conv2d = 1, and how the page names the row
DRAWN = [
    ("bsconv_u", {}, 0.58, "| `bsconv_u` | 0.58 | 1 |"),
    ("bsconv_s", {}, 0.33, "| `bsconv_s` | 0.33 | 1 |"),
    ("basis_linear", {"slice_channels": 32, "filters": 64}, 3.47, "| `basis_linear`, 64 filters on 32 inputs | 3.47 |"),
    ("lowrank", {"rank": 64}, 2.45, "| `lowrank`, r = N/2, LowRankVGG's own start | 2.45 | 1 |"),
    ("wconv", {}, 1.32, "| `wconv`, density 0.8 | 1.32 | 1 |"),
]


def scale(layer):
    return float(layer.weight.detach().square().mean().sqrt()) / UNIT


@pytest.mark.parametrize(("name", "options", "source", "row"), DRAWN)
def test_a_layer_starts_at_the_common_scale_or_at_its_sources(name, options, source, row):
    torch.manual_seed(0)
    assert scale(method_class(name)(CHANNELS, FILTERS, SIDE, **options)) == pytest.approx(1, rel=0.06)
    published = method_class(name)(CHANNELS, FILTERS, SIDE, init="source", **options)
    assert scale(published) == pytest.approx(source, rel=0.06)
    conv = nn.Conv2d(CHANNELS, FILTERS, SIDE)
    conv.weight.data *= 5  # which the common start follows, and the source's does not
    matched = convert(nn.Sequential(conv), Variant(layer=name, options=options))[0]
    assert scale(matched) == pytest.approx(5, rel=0.06)
    conv = nn.Conv2d(CHANNELS, FILTERS, SIDE)
    conv.weight.data *= 5
    kept = convert(nn.Sequential(conv), Variant(layer=name, options={**options, "init": "source"}))[0]
    assert scale(kept) == pytest.approx(source, rel=0.06)
    assert row in (ROOT / "docs/methods.md").read_text(encoding="utf-8")


def test_dcls_starts_with_the_variance_of_outputs_or_as_its_source():
    def energy(layer):
        return float(layer.weight.detach().square().sum()) / FILTERS

    torch.manual_seed(0)
    options = {"kernel_count": 3, "padding": 1}
    assert energy(method_class("dcls")(CHANNELS, FILTERS, SIDE, **options)) == pytest.approx(1 / 3, rel=0.01)
    assert energy(method_class("dcls")(CHANNELS, FILTERS, SIDE, init="source", **options)) == pytest.approx(
        0.15, rel=0.04
    )


def test_bias_and_seed_do_not_depend_on_the_option():
    for name in ("bsconv_u", "wconv", "lowrank"):
        torch.manual_seed(3)
        layer = method_class(name)(8, 8, 3, init="source")
        assert layer.bias.abs().max() <= (8 * 9) ** -0.5
