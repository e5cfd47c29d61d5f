"""The files of all figures: in every format, the same every time, by one process or several."""

from __future__ import annotations

import os
import signal
import sys
import warnings
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib import rc_context
from PIL import Image

from linconv.catalogue.figures import FIGURES
from linconv.config import plan_runs
from linconv.report import build_report, render_figures
from linconv.report.figures import draw_figure
from linconv.report.figures.drawing import STYLE, draw_all, usable_cores
from linconv.report.plan import plan_outputs
from linconv.report.source import load_experiment
from linconv.results import ResultError
from linconv.results.collect import collect
from linconv.results.files import temporary_name
from tests.report.conftest import key
from tests.results.factory import make_config


def made(root):
    """The figures that the catalogue and what was collected give, by name of the file."""
    return [figure.stem for figure in plan_outputs(load_experiment(root), FIGURES).made]


def test_all_kinds_in_every_format_are_the_same_from_one_process_and_from_two(collected):
    root = collected(figures={"formats": ["svg", "pdf", "png"]}, variants=["conv", "Lr"], seeds=[0, 1])
    paths = render_figures(root)
    stems = made(root)
    expected = [f"figures/{stem}.{s}" for stem in stems for s in ("svg", "pdf", "png")] + ["figures/index.json"]
    assert {f"{k}_digits" for k in ("pareto", "differences")} <= set(stems)
    assert {f"{k}_digits_base" for k in ("answer", "panels", "correlations", "curves", "redundancy", "filters")} <= {
        *stems
    }
    assert [p.relative_to(root).as_posix() for p in paths] == expected
    first = {path: path.read_bytes() for path in paths}
    for path in paths:
        path.unlink()
    assert render_figures(root, workers=2) == paths
    assert {path: path.read_bytes() for path in paths} == first
    for path in paths:
        if path.suffix == ".svg":
            text = path.read_text()
            ElementTree.fromstring(text)
            assert "<dc:date>" not in text
            assert "Digits: " in text or "_digits" not in path.stem  # the caption, in the metadata
        elif path.suffix == ".pdf":
            assert b"CreationDate" not in path.read_bytes()
        elif path.suffix == ".png":
            with Image.open(path) as image:
                assert "Software" not in image.info
                assert np.asarray(image.convert("L")).std() > 10


def test_one_seed_and_one_epoch(collected):
    root = collected(seeds=[4], recipe={"overrides": [{"set": {"epochs": 1}}]}, figures={"formats": ["svg"]})
    stems = made(root)
    assert len(stems) >= 8
    assert [path.stem for path in render_figures(root)] == [*stems, "index"]


def test_networks_without_runs_are_left_out_and_their_old_figures_removed(collected):
    config = make_config(architectures=["base", "vgg11"], seeds=[0], variants=["conv"])
    changes = {"architectures": ["base", "vgg11"], "seeds": [0], "variants": ["conv"]}
    root = collected(skip=[key("conv", 0, "vgg11")], **changes)
    assert {p.stem.rpartition("_")[2] for p in render_figures(root)} == {"base", "digits", "index"}
    (root / key("conv").path / "result.json").unlink()
    collect(config, root, partial=True)
    assert len(list((root / "figures").iterdir())) > 1
    (root / "figures" / temporary_name("panels_digits_base.svg", 2**31 - 1)).touch()  # of a process that was killed
    assert [p.name for p in render_figures(root)] == ["index.json"]
    assert [p.name for p in (root / "figures").iterdir()] == ["index.json"]


def test_planned_figures_are_those_of_what_has_runs(collected):
    root = collected(architectures=["base", "vgg11"], seeds=[0], skip=[key("conv", 0, "vgg11")], variants=["conv"])
    planned = plan_outputs(load_experiment(root), FIGURES)
    stems = [figure.stem for figure in planned.made]
    assert "pareto_digits" in stems
    assert "panels_digits_base" in stems
    assert not any("vgg11" in stem for stem in stems)
    reasons = {figure.why_not for figure in planned.left_out if "vgg11" in figure.stem}
    assert reasons == {
        "no run was collected",
        "no finished run of a variant beside one of the plain network",
        "no finished run with measured filters",
        "no finished run with filter correlations of figures.heatmap_variants",
    }


TINY = {"seeds": [0, 1], "variants": ["conv", "Lr"], "figures": {"formats": ["svg", "png"]}}


forked = pytest.mark.skipif(sys.platform != "linux", reason="workers of a test must inherit it")


def process(experiment, figure):
    return os.getpid(), figure


def fail(experiment, figure):
    raise ResultError(f"{figure}: cannot be drawn")


def die(experiment, figure):
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_page_is_the_same_too(collected, tmp_path):
    root = collected(seeds=[0], variants=["conv"])
    pages = [build_report(root, tmp_path / f"{n}.html", workers=n).read_bytes() for n in (1, 2)]
    assert pages[0] == pages[1]


@forked
def test_results_keep_their_order_and_come_from_other_processes(collected):
    experiment = load_experiment(collected(seeds=[0]))
    found = draw_all(process, experiment, range(6), workers=2)
    assert [figure for _, figure in found] == list(range(6))
    pids = {pid for pid, _ in found}
    assert os.getpid() not in pids
    assert len(pids) <= 2
    assert {pid for pid, _ in draw_all(process, experiment, range(6), workers=1)} == {os.getpid()}
    assert draw_all(process, experiment, [7], workers=4) == [(os.getpid(), 7)]  # one figure needs no second process


@forked
@pytest.mark.parametrize(("draw", "message"), [(fail, "a: cannot be drawn"), (die, "was killed, perhaps for lack of")])
def test_an_error_in_a_worker_is_one_message(collected, draw, message):
    experiment = load_experiment(collected(seeds=[0]))
    with pytest.raises(ResultError, match=message):
        draw_all(draw, experiment, "ab", workers=2)


def test_cores_are_those_this_process_may_use():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_nothing_is_warned_of(collected):
    """Neither of heat maps without a run nor of a layout that finds no room."""
    config = make_config(seeds=[0], variants=["conv", "L"])
    experiment = load_experiment(collected(seeds=[0], variants=["conv", "L"], diverged=plan_runs(config)))
    with warnings.catch_warnings(), rc_context(fname=STYLE):
        warnings.simplefilter("error")
        for planned in plan_outputs(experiment, FIGURES).made:
            draw_figure(experiment, planned)


def test_long_names_stay_inside(collected):
    """Of every figure: no title, label or legend reaches beyond its edges."""
    name = "rank_four_everywhere"
    define = {name: {"extends": "LRr", "options": {"rank": 4}}}
    experiment = load_experiment(collected(define=define, variants=["conv", "L", "Lr", "LRr", "LSr", name], seeds=[0]))
    with rc_context(fname=STYLE):
        for planned in plan_outputs(experiment, FIGURES).made:
            figure, _ = draw_figure(experiment, planned)
            figure.draw_without_rendering()  # labels of axes take their places when drawn
            texts = [*figure.texts, *(t for legend in figure.legends for t in legend.get_texts())]
            for axes in figure.axes:
                texts += [axes.xaxis.label, axes.yaxis.label, *axes.get_yticklabels()]
            for text in texts:
                box = text.get_window_extent()
                inside = figure.bbox.x0 <= box.x0 + 1 and box.x1 - 1 <= figure.bbox.x1
                assert inside or not text.get_text(), (planned.stem, text.get_text())
