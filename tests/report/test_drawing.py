"""Figures drawn by several processes: the same files, the same errors, no more work than they need."""

from __future__ import annotations

import os
import signal
import sys
import warnings

import pytest
from matplotlib import rc_context

from linconv.config import plan_runs
from linconv.report import build_report, render_figures
from linconv.report.drawing import STYLE, draw_all, usable_cores
from linconv.report.figures import draw_figure, planned_figures
from linconv.report.forest import differences
from linconv.report.labels import shortened
from linconv.report.source import load_experiment
from linconv.results import ResultError
from tests.results.factory import make_config

TINY = {"seeds": [0, 1], "variants": ["conv", "Lr"], "figures": {"formats": ["svg", "png"]}}
forked = pytest.mark.skipif(sys.platform != "linux", reason="workers of a test must inherit it")


def process(experiment, figure):
    return os.getpid(), figure


def fail(experiment, figure):
    raise ResultError(f"{figure}: cannot be drawn")


def die(experiment, figure):
    os.kill(os.getpid(), signal.SIGKILL)


def test_several_processes_draw_the_same_bytes(collected):
    root = collected(**TINY)
    alone = {path: path.read_bytes() for path in render_figures(root)}
    for path in alone:
        path.unlink()
    together = render_figures(root, workers=2)
    assert together == list(alone)
    assert {path: path.read_bytes() for path in together} == alone


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
        for planned in planned_figures(experiment):
            draw_figure(experiment, planned)


def test_long_names_stay_inside(collected):
    """Of every figure: no title, label or legend reaches beyond its edges."""
    name = "rank_four_everywhere"
    define = {name: {"extends": "LRr", "options": {"rank": 4}}}
    experiment = load_experiment(collected(define=define, variants=["conv", "L", "Lr", "LRr", "LSr", name], seeds=[0]))
    with rc_context(fname=STYLE):
        for planned in planned_figures(experiment):
            figure, _ = draw_figure(experiment, planned)
            figure.draw_without_rendering()  # labels of axes take their places when drawn
            texts = [*figure.texts, *(t for legend in figure.legends for t in legend.get_texts())]
            for axes in figure.axes:
                texts += [axes.xaxis.label, axes.yaxis.label, *axes.get_yticklabels()]
            for text in texts:
                box = text.get_window_extent()
                inside = figure.bbox.x0 <= box.x0 + 1 and box.x1 - 1 <= figure.bbox.x1
                assert inside or not text.get_text(), (planned.stem, text.get_text())


def test_long_names_widen_the_forest(collected):
    define = {"rank_four_everywhere": {"extends": "LRr", "options": {"rank": 4}}}
    plain = load_experiment(collected(seeds=[0]))
    with rc_context(fname=STYLE):
        assert differences(plain, "digits")[0].get_figwidth() == 3.5
    long = load_experiment(collected(define=define, variants=["conv", "rank_four_everywhere"], seeds=[0]))
    with rc_context(fname=STYLE):
        assert differences(long, "digits")[0].get_figwidth() > 4


def test_long_names_are_shortened_from_their_front():
    assert shortened("features.conv1") == "features.conv1"
    assert shortened("stages.3.blocks.1.convolution2") == "…ocks.1.convolution2"


def test_a_curve_without_runs_has_no_ticks(collected):
    config = make_config(seeds=[0], variants=["conv"])
    experiment = load_experiment(collected(seeds=[0], variants=["conv"], diverged=plan_runs(config)))
    curves = next(p for p in planned_figures(experiment) if p.kind == "curves")
    with rc_context(fname=STYLE):
        figure, _ = draw_figure(experiment, curves)
    assert all(len(axes.get_xticks()) == 0 for axes in figure.axes)
