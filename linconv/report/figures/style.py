"""Colors, markers and legends: one meaning each, the same in every figure of an experiment."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from linconv.catalogue.networks import NETWORKS
from linconv.report.labels import architecture_label, variant_label
from linconv.report.source import Experiment

# Okabe and Ito's palette: distinguishable with any kind of color vision.
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
COLORS = {"conv": "#555555", "L": BLUE, "Lr": VERMILLION, "LRr": GREEN, "LSr": PURPLE}
ORANGE, SKY, BLACK = "#E69F00", "#56B4E9", "#000000"
# Of the first variant that a figure shows of a kind, so that the controls look the same in every experiment.
_OF_KIND = {
    "narrow": SKY,
    "lowrank": BLACK,
    "basis": "#882255",
    "tucker": "#999933",
    "ghost": "#332288",
    "l1": "#44AA99",
}
_SPARE = (ORANGE, "#A6761D", "#AA4499", *_OF_KIND.values())
_DASHES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h")

LEAST_CURVE = 3  # points that a line may join
MISSING_COLOR = "#B00000"  # notes on what is missing
MARGIN = BLUE  # the margin of equivalence
SIGN = "#555555"  # samples in a legend that stand for a shape or a line, not for a variant
FAINT = "#777777"  # lines of minor importance
GUIDE = "#999999"  # lines to compare with: equality, the best points
OTHER = "#A0A0A0"  # methods that are not in the foreground
HATCH = "#BBBBBB"  # where there is no value
BAND = "#DDDDDD"  # the A/A band
STRIPE = "#F5F5F5"  # every other row
NO_VALUE = "#F4F4F4"  # below the hatching


class Style(NamedTuple):
    """How a variant is drawn: its color, and the line style that tells variants of one color apart."""

    color: str
    dashes: str


_STYLES = [Style(color, dashes) for dashes in _DASHES for color in _SPARE]


def variant_styles(experiment: Experiment) -> dict[str, Style]:
    """The style of each variant that the configuration plans or defines.

    The paper's variants always look the same, and so does the first one of a kind such as narrow or low rank. Others
    take the spare colors, those that figures show in detail first, so that these differ by color alone; then dashes
    tell variants of one color apart.
    """
    config = experiment.config
    return styles_of([*experiment.shown_in_detail(config.variants), *config.variants], config.known_variants)


def styles_of(variants: Sequence[str], defined: Iterable[str] = ()) -> dict[str, Style]:
    """The styles of some variants, in the order in which they take the spare colors.

    Args:
        variants: that figures show. They share no color as long as there are enough.
        defined: others, which keep the color of their kind where it is left.
    """
    names = list(dict.fromkeys([*variants, *defined]))
    own = {v: Style(color, "-") for v, color in COLORS.items()}
    kinds: dict[str, str] = {}
    for name in (v for v in names if v not in COLORS):
        kinds.setdefault(name.partition("_")[0], name)
    own |= {name: Style(_OF_KIND[kind], "-") for kind, name in kinds.items() if kind in _OF_KIND}
    styles = {v: own[v] for v in variants if v in own}
    # what is only defined gives its color up before dashes are needed
    _add_spare(styles, variants, sorted(_STYLES, key=lambda style: (style.dashes != "-", style in own.values())))
    styles |= {v: style for v, style in own.items() if v in names and style not in styles.values()}
    _add_spare(styles, names, _STYLES)
    return {v: styles[v] for v in names}


def _add_spare(styles: dict[str, Style], names: Iterable[str], spare: Sequence[Style]) -> None:
    """Give each of these variants without a style the next of the spare ones that no other has; again, once all do."""
    free = itertools.cycle([style for style in spare if style not in styles.values()] or _STYLES)
    styles |= {name: next(free) for name in dict.fromkeys(names) if name not in styles}


def detail_colors(experiment: Experiment, variants: Sequence[str]) -> dict[str, str]:
    """The colors of many variants: their own for those that figures show in detail, gray for the rest."""
    shown, styles = experiment.shown_in_detail(experiment.config.variants), variant_styles(experiment)
    return {v: styles[v].color if v in shown else OTHER for v in variants}


def joined(points: int) -> str:
    """The line through some points: none through two, which would look like a course that nobody measured."""
    return "-" if points >= LEAST_CURVE else ""


def network_markers(architectures: Sequence[str]) -> dict[str, str]:
    """The shape of each network's points; the known networks always look the same."""
    known = list(NETWORKS)
    places = {name: known.index(name) if name in known else len(known) + i for i, name in enumerate(architectures)}
    return {name: _MARKERS[place % len(_MARKERS)] for name, place in places.items()}


def legend_columns(labels: Sequence[str], width: int) -> int:
    """The most columns in which a legend of these labels fits into `width` characters, line samples counted as six."""
    for columns in range(len(labels), 1, -1):
        small, larger = divmod(len(labels), columns)  # columns are filled from above; the first take the remainder
        starts = [i * small + min(i, larger) for i in range(columns + 1)]
        if sum(6 + max(map(len, labels[a:b])) for a, b in itertools.pairwise(starts)) <= width:
            return columns
    return 1


def legend_below(figure: Figure, handles: Sequence[Artist]) -> None:
    """A legend below the figure in as many columns as fit; nothing without a handle."""
    if not handles:
        return
    labels = [str(handle.get_label()) for handle in handles]
    columns = legend_columns(labels, int(15 * figure.get_figwidth()))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def variant_dots(variants: Sequence[str], styles: Mapping[str, Style]) -> list[Line2D]:
    """A sample of each variant's color for a legend."""
    return [Line2D([], [], ls="", marker="o", color=styles[v].color, label=variant_label(v)) for v in variants]


def variant_bars(variants: Sequence[str], styles: Mapping[str, Style]) -> list[Patch]:
    """A sample of each variant's color for a legend, without the shape of a point: shapes are networks there."""
    return [Patch(color=styles[v].color, label=variant_label(v)) for v in variants]


def network_shapes(architectures: Sequence[str], markers: Mapping[str, str]) -> list[Line2D]:
    """A sample of each network's shape for a legend, in gray."""
    return [
        Line2D([], [], ls="", marker=markers[a], ms=5, color=SIGN, label=architecture_label(a)) for a in architectures
    ]
