"""The figures of an experiment as images inside the page."""

from __future__ import annotations

import base64
import io
from functools import partial
from typing import NamedTuple

import PIL.Image

from linconv.report.drawing import draw_all, write
from linconv.report.figures import FIGURES, Planned, draw_figure, planned_figures
from linconv.report.labels import architecture_label, dataset_label
from linconv.report.source import Experiment

DPI = 120  # a page of many experiments stays below 5 MB; the figures beside it are sharper
COLOURS = 256


class Image(NamedTuple):
    """A figure: its place on the page, what it shows, its caption, and the PNG with its size in CSS pixels."""

    id: str
    title: str
    caption: str
    data: str
    width: int
    height: int


def images(slug: str, experiment: Experiment, *, workers: int = 1) -> list[Image]:
    """Every figure of an experiment as a PNG of few colours, which is a third of the size and looks the same."""
    return draw_all(partial(_image, slug), experiment, planned_figures(experiment), workers)


def _image(slug: str, experiment: Experiment, planned: Planned) -> Image:
    figure, caption = draw_figure(experiment, planned)
    buffer = io.BytesIO()
    write(figure, buffer, "png", dpi=DPI, pil_kwargs={"compress_level": 1})
    picture = PIL.Image.open(buffer).convert("RGB")
    buffer = io.BytesIO()
    reduced = picture.quantize(COLOURS, method=PIL.Image.Quantize.MEDIANCUT, dither=PIL.Image.Dither.NONE)
    reduced.save(buffer, format="png", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    size = [round(side * 96 / DPI) for side in picture.size]
    return Image(f"{slug}-figure-{planned.stem}", _title(*planned), caption, data, size[0], size[1])


def _title(kind: str, where: tuple[str, ...]) -> str:
    title = kind.replace("_", " ").capitalize()
    of = (architecture_label,) if FIGURES[kind].per == "batches" else (dataset_label, architecture_label)
    labels = [label(name) for label, name in zip(of, where, strict=False)]
    return f"{title}: {' on '.join(reversed(labels))}" if labels else title
