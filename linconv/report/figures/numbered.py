"""Points with numbers beside them and a key: for figures with more variants than colors can tell apart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from linconv.report.figures.style import FAINT, detail_colors
from linconv.report.labels import variant_label
from linconv.report.source import Experiment

_SIZE = 5.6  # of the numbers, in points, as all lengths here
_DISTANCES = (4.5, 7, 10, 14, 19, 25, 32)
_ANGLES = (0, 180, 90, 270, 45, 135, 225, 315, 22, 158, 202, 338)

Box = tuple[float, float, float, float]  # left, bottom, right, top
Vector = tuple[float, float]


def numbered_key(figure: Figure, experiment: Experiment, variants: Sequence[str]) -> Mapping[str, str]:
    """Number the variants in a key below the figure; returns their colors."""
    colors = detail_colors(experiment, variants)
    handles = [
        Line2D([], [], ls="", marker="o", ms=3.6, mew=0, color=colors[v], label=f"{i}  {variant_label(v)}")
        for i, v in enumerate(variants, 1)
    ]
    longest = max(len(str(h.get_label())) for h in handles)
    columns = max(1, int(19 * figure.get_figwidth() / (longest + 4)))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(columns, len(handles)),
        fontsize=6.5,
        handletextpad=0.1,
        columnspacing=1.0,
        labelspacing=0.25,
    )
    return colors


def number_points(axes: Axes, places: Sequence[Vector], labels: Sequence[str]) -> None:
    """Write each label beside its point where it covers neither a point nor another label, with a line if far.

    The figure must have been laid out: what is free is known in its points only.
    """
    scale = 72 / axes.figure.dpi
    points = [(scale * x, scale * y) for x, y in axes.transData.transform(list(places))]
    frame = (scale * np.asarray(axes.get_window_extent().extents)).tolist()
    taken: list[Box] = [_box(x, y, (4, 4)) for x, y in points]
    for i in sorted(range(len(points)), key=lambda i: -points[i][1]):
        size = (0.62 * _SIZE * len(labels[i]) + 0.6, 0.85 * _SIZE)
        dx, dy = _free_place(points[i], size, taken, frame)
        taken.append(_box(points[i][0] + dx, points[i][1] + dy, size))
        far = math.hypot(dx, dy) > _DISTANCES[1] + size[0] / 2
        axes.annotate(
            labels[i],
            places[i],
            (dx, dy),
            textcoords="offset points",
            ha="center",
            va="center_baseline",
            fontsize=_SIZE,
            zorder=4,
            arrowprops={"arrowstyle": "-", "lw": 0.35, "color": FAINT, "shrinkA": 0, "shrinkB": 1.5} if far else None,
        )


def _free_place(point: Vector, size: Vector, taken: Sequence[Box], frame: Sequence[float]) -> Vector:
    """The offset of a label's middle: the nearest that covers nothing, inside the frame; else that which covers
    least."""
    best, least = (0.0, _DISTANCES[0]), math.inf
    others = np.array(taken)
    for distance, angle in itertools.product(_DISTANCES, np.radians(_ANGLES)):
        dx, dy = math.cos(angle) * (distance + size[0] / 2 - 1), math.sin(angle) * distance
        left, bottom, right, top = _box(point[0] + dx, point[1] + dy, size)
        outside = left < frame[0] or bottom < frame[1] or right > frame[2] or top > frame[3]
        across = np.minimum(right, others[:, 2]) - np.maximum(left, others[:, 0])
        up = np.minimum(top, others[:, 3]) - np.maximum(bottom, others[:, 1])
        covered = float((np.maximum(across, 0) * np.maximum(up, 0)).sum()) + 1e3 * outside
        if covered < least:
            best, least = (dx, dy), covered
        if not covered:
            break
    return best


def _box(x: float, y: float, size: Vector) -> Box:
    return (x - size[0] / 2, y - size[1] / 2, x + size[0] / 2, y + size[1] / 2)
