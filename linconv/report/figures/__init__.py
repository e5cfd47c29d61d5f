"""Figures of an experiment, made of the collected data alone; the same data give the same bytes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from matplotlib.figure import Figure

from linconv.catalogue.figures import FIGURES
from linconv.report.figures.drawing import draw_all, lay_out, save_figure
from linconv.report.plan import Planned, plan_outputs, write_index
from linconv.report.source import Experiment, load_experiment

_T = TypeVar("_T")


def draw_figure(experiment: Experiment, planned: Planned) -> tuple[Figure, str]:
    """A figure, laid out, and its caption."""
    figure, caption = planned.output.load()(experiment, *planned.names)
    lay_out(figure)
    return figure, caption


def render_figures(root: str | Path, *, workers: int = 1) -> list[Path]:
    """Write the figures of an experiment to its folder figures/ and return their paths.

    They are named <figure>_<data set>_<network> as far as they are made for one, in the formats of the configuration;
    the caption is in the file's metadata. index.json beside them lists what was drawn and why the rest was not; what
    earlier calls drew of the rest is removed.

    Args:
        root: the experiment's folder, results/<experiment>, with config.yaml and data/.
        workers: processes that draw side by side; the files are the same whatever their number.

    Raises:
        ResultError: the collected data or the configuration is missing or damaged.
    """
    return write_figures(load_experiment(root), _nothing, workers=workers)[0]


def write_figures(
    experiment: Experiment, shown: Callable[[Figure], _T], *, workers: int = 1
) -> tuple[list[Path], dict[str, tuple[str, _T]]]:
    """What `render_figures` writes of an experiment that is loaded; and by stem the caption and what `shown` returns.

    A figure is drawn once for its files and for what `shown` makes of it.
    """
    planned = plan_outputs(experiment, FIGURES)
    drawn = draw_all(partial(_write, shown), experiment, planned.made, workers)
    stems = [figure.stem for figure in planned.made]
    files = {stem: paths for stem, (paths, *_) in zip(stems, drawn, strict=True)}
    index = write_index(experiment.root / "figures", planned, FIGURES, files)
    kept = {stem: (caption, made) for stem, (_, caption, made) in zip(stems, drawn, strict=True)}
    return [*itertools.chain.from_iterable(files.values()), index], kept


def _nothing(figure: Figure) -> None:
    return None


def _write(shown: Callable[[Figure], _T], experiment: Experiment, planned: Planned) -> tuple[list[Path], str, _T]:
    figure, caption = draw_figure(experiment, planned)
    stem = experiment.root / "figures" / planned.stem
    paths = [save_figure(figure, caption, stem, suffix) for suffix in experiment.config.figures.formats]
    return paths, caption, shown(figure)
