"""The figures of an experiment as images inside the page."""

from __future__ import annotations

import base64
import io
from typing import NamedTuple

import matplotlib
import PIL.Image

from linconv.report.figures import FIGURES, STYLE, planned_figures
from linconv.report.labels import architecture_label, dataset_label
from linconv.report.source import Experiment

DPI = 150  # sharp on a screen of two pixels per CSS pixel at column width
COLOURS = 256


class Image(NamedTuple):
    """A figure: its place on the page, what it shows, its caption, and the PNG with its size in CSS pixels."""

    id: str
    title: str
    caption: str
    data: str
    width: int
    height: int


def images(slug: str, experiment: Experiment) -> list[Image]:
    """Every figure of an experiment as a PNG of few colours, which is a third of the size and looks the same."""
    found = []
    with matplotlib.rc_context(fname=STYLE):
        for planned in planned_figures(experiment):
            figure, caption = FIGURES[planned.kind].draw(experiment, *planned.where)
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=DPI, facecolor="white")
            picture = PIL.Image.open(buffer).convert("RGB")
            buffer = io.BytesIO()
            reduced = picture.quantize(COLOURS, method=PIL.Image.Quantize.MEDIANCUT, dither=PIL.Image.Dither.NONE)
            reduced.save(buffer, format="png", optimize=True)
            data = base64.b64encode(buffer.getvalue()).decode("ascii")
            size = [round(side * 96 / DPI) for side in picture.size]
            found.append(Image(f"{slug}-figure-{planned.stem}", _title(*planned), caption, data, size[0], size[1]))
    return found


def _title(kind: str, where: tuple[str, ...]) -> str:
    title = kind.replace("_", " ").capitalize()
    labels = [label(name) for label, name in zip((dataset_label, architecture_label), where, strict=False)]
    return f"{title}: {' on '.join(reversed(labels))}" if labels else title
