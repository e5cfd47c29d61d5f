"""The figures of an experiment as images inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import PIL.Image
from matplotlib.figure import Figure

from linconv.report.figures import draw_figure
from linconv.report.figures.answer import write_answer
from linconv.report.figures.drawing import draw_all, write
from linconv.report.inference import Place
from linconv.report.plan import Planned
from linconv.report.source import Experiment

DPI = 120  # a page of many experiments stays below 5 MB; the figures beside it are sharper
PALETTE = 256  # colors of an image
_FAST = {"compress_level": 1}  # it is compressed again with fewer colors


class Image(NamedTuple):
    """A figure: its place on the page, what it shows, its caption, and the PNG with its size in CSS pixels."""

    id: str
    title: str
    caption: str
    data: str
    width: int
    height: int


Png = tuple[str, int, int]  # base64, width and height in CSS pixels
Drawn = Mapping[str, tuple[str, Png]]  # captions and images of figures by their stem


def images(
    slug: str, experiment: Experiment, planned: Sequence[Planned], drawn: Drawn | None = None, *, workers: int = 1
) -> list[Image]:
    """Some figures of an experiment as images of the page; they are drawn here unless they are `drawn`."""
    if drawn is None:
        drawn = dict(zip([p.stem for p in planned], draw_all(_captioned, experiment, planned, workers), strict=True))
    found = ((p, *drawn[p.stem]) for p in planned)
    return [Image(f"{slug}-figure-{p.stem}", p.title, caption, *image) for p, caption, image in found]


def _captioned(experiment: Experiment, planned: Planned) -> tuple[str, Png]:
    figure, caption = draw_figure(experiment, planned)
    return caption, page_png(figure)


def tall_answer(experiment: Experiment, place: Place) -> Png:
    """The answer's picture for narrow screens."""
    buffer = io.BytesIO()
    write_answer(experiment, place, buffer, tall=True, dpi=DPI, pil_kwargs=_FAST)
    return _reduced(buffer)


def page_png(figure: Figure) -> Png:
    """A figure that is laid out as a PNG of few colors, which is a third of the size and looks the same."""
    buffer = io.BytesIO()
    write(figure, buffer, "png", dpi=DPI, pil_kwargs=_FAST)
    return _reduced(buffer)


def _reduced(buffer: io.BytesIO) -> Png:
    picture = PIL.Image.open(buffer).convert("RGB")
    buffer = io.BytesIO()
    reduced = picture.quantize(PALETTE, method=PIL.Image.Quantize.MEDIANCUT, dither=PIL.Image.Dither.NONE)
    reduced.save(buffer, format="png", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    size = [round(side * 96 / DPI) for side in picture.size]
    return data, size[0], size[1]
