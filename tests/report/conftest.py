"""Collected synthetic experiments, and what tests read from tables and figures."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import rc_context

from linconv.config import RunKey
from linconv.report import render_tables
from linconv.report.figures.drawing import STYLE, lay_out
from linconv.report.source import Experiment, load_experiment
from linconv.results.collect import collect
from tests.results.factory import make_config, write_experiment, write_timings

MANY = ["conv", "L", "Lr", "LRr", *(f"method{i}_half" for i in range(12))]


@pytest.fixture
def collected(tmp_path):
    """A function that writes and collects an experiment (keys of the configuration, then what went wrong)."""

    def make(skip=(), diverged=(), top1=None, costs=None, **changes):
        config = make_config(**changes)
        write_experiment(tmp_path, config, skip=skip, diverged=diverged, top1=top1, costs=costs)
        collect(config, tmp_path, partial=True)
        return tmp_path

    return make


@pytest.fixture(scope="package")
def many(tmp_path_factory):
    """Sixteen variants of two networks, crowded into two costs; one fails."""
    top1 = {
        key(v, s, a): 60.0 if v == "method3_half" else 96.0 + 0.05 * (i % 5) + 0.01 * s
        for i, v in enumerate(MANY)
        for s in range(2)
        for a in ("base", "vgg11")
    }
    costs = {v: (500_000 + 1000 * i, 5_000_000) for i, v in enumerate(MANY[1:])} | {"conv": (10**6, 10**7)}
    changes = {"define": {v: {"extends": "L"} for v in MANY[4:]}, "architectures": ["base", "vgg11"], "seeds": [0, 1]}
    return written(tmp_path_factory.mktemp("many"), top1=top1, costs=costs, variants=MANY, **changes)


def key(variant: str, seed: int = 0, architecture: str = "base", dataset: str = "digits") -> RunKey:
    return RunKey(dataset, architecture, variant, seed)


def written(root, *, top1=None, costs=None, ratios=None, memory=None, diverged=(), **changes):
    """A collected experiment, read; its accuracies, costs, relative times and memory are as given."""
    config = make_config(**changes)
    write_experiment(root, config, top1=top1, costs=costs, diverged=diverged)
    if ratios is not None:
        write_timings(root, config, ratios, memory=memory or {})
    collect(config, root)
    return load_experiment(root)


@pytest.fixture
def sketched(monkeypatch):
    """Figures are computed and stay blank, in a third of the time, where a test is about which there are."""
    monkeypatch.setattr("linconv.report.figures.lay_out", lambda figure: figure.clear())


def three_faces(collected):
    """The rendered tables of three variants on two data sets: one worse, one equivalent to the plain network."""
    accuracies = {key("conv", k, dataset="cifar10"): x for k, x in enumerate((87.0, 87.5, 88.0))}
    accuracies |= {key("Lr", k, dataset="cifar10"): x for k, x in enumerate((86.0, 87.0, 88.0))}
    accuracies |= {key("L", k, dataset="cifar10"): x for k, x in enumerate((87.1, 87.6, 88.12))}
    root = collected(datasets=["cifar10", "digits"], variants=["conv", "L", "Lr"], top1=accuracies)
    render_tables(root)
    return root


def draw(experiment, figure, *names):
    """A figure of an experiment or of its folder and its caption, drawn in the project's style."""
    if not isinstance(experiment, Experiment):
        experiment = load_experiment(experiment)
    with rc_context(fname=STYLE):
        drawn, caption = figure(experiment, *names)
        lay_out(drawn)
        drawn.draw_without_rendering()
    return drawn, caption


def texts(figure):
    return [t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")) if t.get_text()]


def maps(figure):
    """The values of each map of filters, NaN where it is hatched, by the map's title."""
    meshes = ((axes.get_title("left"), axes.collections[0]) for axes in figure.axes if axes.get_title("left"))
    return {title: mesh.get_array().filled(np.nan) for title, mesh in meshes}


def markdown_rows(path):
    """Cells by network and variant (the first two columns) of a Markdown table."""
    lines = [line for line in path.read_text().splitlines() if line.startswith("|")]
    cells = [[c.strip().removeprefix("**").removesuffix("**") for c in line.strip("|").split(" | ")] for line in lines]
    return cells[0], {(row[0], row[1]): row for row in cells[2:]}
