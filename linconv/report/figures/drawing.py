"""How figures become files: laid out once, drawn in every format, by one process or by several."""

from __future__ import annotations

import gc
import math
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from linconv.report.figures.style import MISSING_COLOR
from linconv.report.source import Experiment
from linconv.results import ResultError
from linconv.results.files import atomic_path

STYLE = Path(__file__).with_name("linconv.mplstyle")
# Omit the creation date and the program: they would make the bytes differ between runs.
_SILENT = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
_CAPTION_KEY = {"svg": "Description", "pdf": "Subject", "png": "Description"}
_P = TypeVar("_P")
_T = TypeVar("_T")
_CANVASES: dict[str, Any] = {"svg": FigureCanvasSVG, "pdf": FigureCanvasPdf, "png": FigureCanvasAgg}


def usable_cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def lay_out(figure: Figure) -> None:
    """Place everything in a figure once, so that no file drawn of it does so again."""
    for axes in figure.axes:  # a spine lies on the edge of its axes: it takes no room, and measuring it takes time
        for spine in axes.spines.values():
            spine.set_in_layout(False)
    engine = figure.get_layout_engine()
    if engine is not None and figure.axes:
        engine.execute(figure)
    figure.set_layout_engine("none")


def say_instead(axes: Axes, text: str) -> None:
    """Why there is nothing to draw in these axes, in place of it and of the ticks."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=MISSING_COLOR)
    axes.set(xticks=[], yticks=[])


def log_ticks(axis: Axis, values: Iterable[float]) -> None:
    """Ticks around some values on a logarithmic axis: 1, 2 and 5 times the powers of ten, or even ones if near."""
    values = list(values)
    low, high = min(values), max(values)
    if high <= 8 * low:
        axis.set_major_locator(MaxNLocator(5))
    else:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        axis.set_major_locator(FixedLocator([m * 10**e for e in powers for m in (1, 2, 5)]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def batch_axis(axes: Axes, batches: Iterable[int]) -> None:
    """A logarithmic x axis with a tick at every batch, and its number where there is room."""
    ticks = sorted(set(batches))
    room = (ticks[-1] / ticks[0]) ** 0.12  # 512 and 1024 do not fit beside each other on an axis from 1
    labelled = ticks[-1:]
    for batch in reversed(ticks):
        if labelled[-1] >= room * batch:
            labelled.append(batch)
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(batch) if batch in labelled else "" for batch in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


def save_figure(figure: Figure, caption: str, stem: Path, suffix: str) -> Path:
    """Write a figure that is laid out to `stem`.`suffix` and return the path; the caption is in its metadata."""
    path = stem.with_name(f"{stem.name}.{suffix}")
    with atomic_path(path) as temporary:
        write(figure, temporary, suffix, metadata=_SILENT[suffix] | {_CAPTION_KEY[suffix]: caption})
    return path


def write(
    figure: Figure, target: str | Path | IO[bytes], suffix: str, *, dpi: float | None = None, **options: Any
) -> None:
    """Draw a figure that is laid out.

    `Figure.savefig` would go through the whole figure once more beforehand, to find out where everything is.
    """
    figure.dpi = matplotlib.rcParams["savefig.dpi"] if dpi is None else dpi
    getattr(_CANVASES[suffix](figure), f"print_{suffix}")(target, **options)


def draw_all(
    draw: Callable[[Experiment, _P], _T], experiment: Experiment, figures: Iterable[_P], workers: int = 1
) -> list[_T]:
    """What `draw` returns for each of some figures, in their order, in the style of this project.

    Args:
        draw: a function (of a module, where there are several workers) of the experiment and one of `figures`.
        experiment: read once; workers inherit it.
        figures: what is to be drawn.
        workers: processes that draw side by side; 1 draws in this one.

    Raises:
        ResultError: a worker was killed. An error in `draw` is raised as it is.
    """
    figures = list(figures)
    workers = min(workers, len(figures))
    if workers <= 1:
        with matplotlib.rc_context(fname=STYLE):
            return [draw(experiment, figure) for figure in figures]
    _ = experiment.comparisons  # computed here, once for all workers
    # A fork has everything that this process has imported and read; elsewhere than on Linux it is not safe.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    with ProcessPoolExecutor(workers, context, _start, (experiment,)) as pool:
        try:
            return list(pool.map(partial(_draw, draw), figures))
        except BrokenProcessPool:
            raise ResultError(
                f"{experiment.root}: a process that drew figures was killed, perhaps for lack of memory; "
                f"draw with fewer than {workers}: --workers 1"
            ) from None


_own: list[Experiment] = []  # what a worker draws from


def _start(experiment: Experiment) -> None:
    matplotlib.rc_file(STYLE)
    gc.freeze()  # what is inherited stays: no search through it for garbage, and its memory remains shared
    _own[:] = [experiment]


def _draw(draw: Callable[[Experiment, Any], Any], figure: Any) -> Any:
    return draw(_own[0], figure)
