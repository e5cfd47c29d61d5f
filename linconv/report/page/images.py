"""The figures of an experiment as images inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import matplotlib
import PIL.Image
from matplotlib.figure import Figure

from linconv.report.figures import draw_figure
from linconv.report.figures.answer import answer_figure
from linconv.report.figures.drawing import STYLE, draw_all, lay_out, write
from linconv.report.inference import Place
from linconv.report.plan import Planned
from linconv.report.source import Experiment

DPI = 120  # a page of many experiments stays below 5 MB; the figures beside it are sharper
PALETTE = 256  # colors of an image


class Image(NamedTuple):
    """A figure: its place on the page, what it shows, its caption, and the PNG with its size in CSS pixels."""

    id: str
    title: str
    caption: str
    data: str
    width: int
    height: int


def images(slug: str, experiment: Experiment, planned: Sequence[Planned], *, workers: int = 1) -> list[Image]:
    """Some figures of an experiment as PNGs of few colors, which are a third of the size and look the same."""
    return draw_all(partial(_image, slug), experiment, planned, workers)


def _image(slug: str, experiment: Experiment, planned: Planned) -> Image:
    figure, caption = draw_figure(experiment, planned)
    return Image(f"{slug}-figure-{planned.stem}", planned.title, caption, *_png(figure))


def tall_answer(experiment: Experiment, place: Place) -> tuple[str, int, int]:
    """The answer's picture for narrow screens: its PNG with its size in CSS pixels."""
    with matplotlib.rc_context(fname=STYLE):
        figure, _ = answer_figure(experiment, *place, tall=True)
        lay_out(figure)
        return _png(figure)


def _png(figure: Figure) -> tuple[str, int, int]:
    buffer = io.BytesIO()
    write(figure, buffer, "png", dpi=DPI, pil_kwargs={"compress_level": 1})
    picture = PIL.Image.open(buffer).convert("RGB")
    buffer = io.BytesIO()
    reduced = picture.quantize(PALETTE, method=PIL.Image.Quantize.MEDIANCUT, dither=PIL.Image.Dither.NONE)
    reduced.save(buffer, format="png", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    size = [round(side * 96 / DPI) for side in picture.size]
    return data, size[0], size[1]
