"""Names, colors and shapes of variants and networks."""

from __future__ import annotations

import pytest
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from linconv.catalogue.figures import FIGURES
from linconv.report.figures.style import COLORS, legend_columns, network_markers, styles_of, variant_styles
from linconv.report.labels import variant_label, variant_of
from linconv.report.plan import plan_outputs
from tests.report.conftest import draw, written


def test_variants_keep_their_colors():
    assert styles_of(["Lr", "mine"])["Lr"] == styles_of(["conv", "L", "Lr"])["Lr"]
    many = styles_of([*COLORS, *(f"v{i}" for i in range(9))])
    assert len(set(many.values())) == len(many)


def test_what_figures_show_in_detail_differs_by_color_alone(tmp_path):
    """Also where the variants that are shown are the last of many."""
    names = [f"v{i}" for i in range(24)]
    shown = ("conv", "Lr", *names[-7:])
    experiment = written(
        tmp_path,
        variants=["conv", "Lr", *names],
        define={name: {"extends": "L"} for name in names},
        seeds=[0],
        figures={"formats": ["svg"], "variants": shown},
    )
    styles = variant_styles(experiment)
    assert len({styles[v].color for v in shown}) == len(shown)
    assert len(set(styles.values())) == len(styles)


def test_a_variant_has_one_color_in_all_figures(tmp_path):
    grid = {"architectures": ["base"], "variants": ["mine", "yours"], "batches": [1, 8], "rounds": 3}
    experiment = written(
        tmp_path,
        variants=["conv", "other", "mine", "yours"],
        define={name: {"extends": "L"} for name in ("other", "mine", "yours")},
        seeds=[0, 1],
        throughput=grid,
        ratios={"auto": 0.7, "weight": 1.1},
        memory={"plain": 1.0, "auto": 0.8},
    )
    color = variant_styles(experiment)["mine"].color
    for planned in plan_outputs(experiment, FIGURES).made:
        if planned.output.name not in ("correlations", "filters"):  # maps, whose colors are values
            figure, _ = draw(experiment, planned.output.load(), *planned.names)
            lines = figure.findobj(lambda artist: hasattr(artist, "get_color"))
            drawn = {to_hex(line.get_color()) for line in lines if isinstance(line.get_color(), str)}
            drawn |= {to_hex(line.get_markeredgecolor()) for line in figure.findobj(Line2D)}
            drawn |= {to_hex(p.get_facecolor()) for p in figure.findobj(Patch)}
            assert color.lower() in drawn, planned.stem


def test_networks_keep_their_shapes():
    assert network_markers(["vgg11"])["vgg11"] == network_markers(["base", "vgg11"])["vgg11"]


@pytest.mark.parametrize(
    ("name", "label", "network"),
    [
        ("conv", "Conv", "Base"),
        ("LRr", "LRr", "Base-LRr"),
        ("L_quarter", "L 1/4", "Base-L 1/4"),
        ("narrow_half", "narrow 1/2", "Base narrow 1/2"),
        ("lowrank_quarter", "low-rank 1/4", "Base low-rank 1/4"),
        ("bsconv_u", "BSConv-U", "Base BSConv-U"),
        ("conv_correlation", "Conv correlation", "Base Conv correlation"),
        ("conv_correlation_normalised", "Conv correlation normalized", "Base Conv correlation normalized"),
        ("my_own", "my own", "Base my own"),
    ],
)
def test_variants_read_well(name, label, network):
    assert variant_label(name) == label
    assert variant_of("base", name) == network


def test_what_is_only_defined_takes_no_color_from_what_is_shown():
    shown = ["conv", "LRr", "narrow_half", "lowrank_half", "tucker_half", "cp", "ghost", "spatial", "mine", "bsconv_u"]
    defined = ["basis_half", "l1_half", "narrow_quarter", *(f"v{i}" for i in range(50))]
    styles = styles_of(shown, [*shown, *defined])
    assert len({styles[v].color for v in shown}) == len(shown)
    assert {v: styles[v] for v in ("narrow_half", "tucker_half")} == styles_of(["narrow_half", "tucker_half"])
    assert styles_of(["conv"], ["mine", "narrow"])["narrow"] == styles_of(["narrow"])["narrow"]


def test_styles_of_many_variants_differ():
    assert len(set(styles_of(["conv", "L", "Lr", "LRr", "LSr", *(f"v{i}" for i in range(36))]).values())) == 41


def test_legends_fit_their_width():
    labels = ["a" * 10] * 3 + ["b" * 30]
    assert [legend_columns(labels, width) for width in (84, 83, 10)] == [4, 3, 1]  # 3 * 16 + 36; 2 * 16 + 36
