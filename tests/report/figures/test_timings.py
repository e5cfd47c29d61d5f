"""The figures of timings, and the measured time on the axis of the Pareto plots."""

from __future__ import annotations

import json

import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from linconv.catalogue.figures import FIGURES
from linconv.report import build_report, render_figures
from linconv.report.figures.drawing import batch_axis
from linconv.report.figures.memory import memory_figure
from linconv.report.figures.pareto import pareto_figure
from linconv.report.figures.speed import speed_figure
from linconv.report.figures.style import COLORS
from linconv.report.figures.throughput import throughput_figure
from linconv.report.plan import plan_outputs
from linconv.report.source import load_experiment
from linconv.results.collect import collect
from linconv.results.integrity import sealed_text
from tests.report.conftest import draw
from tests.results.factory import make_config, write_experiment, write_timings

GRID = {"architectures": ["base"], "variants": ["Lr", "LRr"], "batches": [50, 1, 8], "rounds": 3}


RATIOS = {"auto": 0.5, "weight": 1.25, "folded": 1.0}


SHARES = {"plain": 1.0, "auto": 0.6, "weight": 1.1}


@pytest.fixture
def timed(tmp_path):
    """A function that writes and collects an experiment of one seed with timings, and reads it."""

    def make(*, ratios=RATIOS, memory=SHARES, skip=(), grid=GRID, change=None, **changes):
        config = make_config(throughput=grid, **({"seeds": [0]} | changes))
        write_experiment(tmp_path, config)
        write_timings(tmp_path, config, ratios, memory=memory, skip=skip)
        for path in (tmp_path / "throughput").iterdir() if change else ():
            record = json.loads(path.read_text())
            change(record)
            path.write_text(sealed_text(record))
        collect(config, tmp_path, partial=True)
        return load_experiment(tmp_path)

    return make


def lines(axes):
    """(color, style) and points of every line with markers."""
    return {
        (line.get_color(), line.get_linestyle()): [tuple(map(float, xy)) for xy in zip(*line.get_data(), strict=True)]
        for line in axes.lines
        if line.get_marker() == "o"
    }


def kinds(experiment):
    made = plan_outputs(experiment, FIGURES).made
    return {planned.stem for planned in made if planned.output.name in ("throughput", "memory")}


def test_images_per_second_against_the_batch(timed):
    experiment = timed(ratios=RATIOS | {"optimized": 0.4})
    figure, caption = draw(experiment, throughput_figure, "base")
    inference, training = figure.axes
    assert [axes.get_title("left") for axes in figure.axes] == ["Inference, fp32", "Training, fp32"]
    assert (inference.get_xscale(), inference.get_yscale()) == ("log", "log")
    shown = lines(inference)
    # an image takes the plain network 1, 2 and 3 seconds in the three rounds
    assert shown[COLORS["conv"], "-"] == [(1, 0.5), (8, 0.5), (50, 0.5)]
    assert shown[COLORS["Lr"], "-"] == [(1, 1.0), (8, 1.0), (50, 1.0)]
    assert shown[COLORS["LRr"], "--"] == [(1, 1.25), (8, 1.25), (50, 1.25)]
    assert len(shown) == 5  # plain, two variants in two forms
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["Conv", "Lr", "LRr", "optimized"]
    assert "Dashed and hollow: optimized" in caption
    assert "left out" not in caption
    assert len(training.lines) == len(inference.lines)


def test_no_two_samples_of_the_legend_look_alike(timed):
    legend = draw(timed(), speed_figure)[0].legends[0]
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["Lr", "LRr", "Base", "filled: inference", "hollow: training"]
    looks = [
        (sample.get_marker(), sample.get_color(), sample.get_markerfacecolor())
        if isinstance(sample, Line2D)
        else ("bar", sample.get_facecolor(), sample.get_edgecolor())
        for sample in legend.legend_handles
    ]
    assert len(set(looks)) == len(looks)
    shapes = [look[0] for look in looks]
    assert shapes == ["bar", "bar", "o", "bar", "bar"]  # points of this shape are a network, and nothing else


def test_every_precision_has_a_row(timed):
    figure, _ = draw(timed(grid=GRID | {"precisions": ["fp32", "bf16"]}), throughput_figure, "base")
    assert [axes.get_title("left").split(", ")[1] for axes in figure.axes] == ["fp32", "fp32", "bf16", "bf16"]


def test_what_did_not_fit_is_left_out_and_said(timed):
    def fail(record):
        if record["activity"] == "training" or record["batch_size"] == 50:
            for arm in record["arms"]:
                arm.update(status="out of memory", seconds_per_call=[], peak_allocated_mib=None)

    experiment = timed(change=fail)
    figure, caption = draw(experiment, throughput_figure, "base")
    assert lines(figure.axes[0])[COLORS["Lr"], "None"] == [(1, 1.0), (8, 1.0)]  # no line joins two points
    assert [t.get_text() for t in figure.axes[1].texts] == ["not timed"]
    assert "What does not fit the memory or the device is left out." in caption
    figure, _ = draw(experiment, memory_figure)
    assert [axes.get_title("left") for axes in figure.axes] == ["Base, inference", "Base, inference, auto"]


def test_many_variants_are_nine_at_most(timed):
    names = [f"v{i}" for i in range(12)]
    define = {name: {"extends": "L"} for name in names}
    experiment = timed(grid=GRID | {"variants": names}, define=define, variants=["conv", *names])
    for figure, caption in (draw(experiment, throughput_figure, "base"), draw(experiment, memory_figure)):
        assert sum(t.get_text().startswith("v") for t in figure.legends[0].get_texts()) == 9
        assert "Shown are 9 of 12 variants" in caption
    assert len(lines(draw(experiment, throughput_figure, "base")[0].axes[0])) == 10


def test_memory_relative_to_the_plain_network(timed):
    experiment = timed()
    figure, caption = draw(experiment, memory_figure)
    inference, training, over_batch, _ = figure.axes
    # the plain network takes 100 MiB and one per image
    assert inference.get_xlabel() == "plain: 150 MiB"
    assert [t.get_text() for t in inference.get_xticklabels()] == ["auto", "weight"]
    points = {line.get_color(): line.get_ydata().tolist() for line in inference.lines if line.get_marker() == "o"}
    assert points == {COLORS[v]: pytest.approx([0.6, 1.1]) for v in ("Lr", "LRr")}
    assert lines(over_batch)[COLORS["Lr"], "-"] == [pytest.approx((b, 0.6)) for b in (1, 8, 50)]
    assert training.get_title("left") == "Base, training"
    assert "at batch 50, fp32" in caption
    assert "buffers of libraries" in caption


def test_figures_are_planned_where_there_is_something_to_show(timed):
    assert kinds(timed()) == {"memory", "throughput_base"}
    assert kinds(timed(memory={})) == {"throughput_base"}
    two = [f"base_{activity}_b{batch}_fp32_eager" for activity in ("inference", "training") for batch in (1, 8)]
    experiment = timed(grid=GRID | {"architectures": ["base", "vgg11"]})
    assert kinds(experiment) == {"memory", "throughput_base", "throughput_vgg11"}
    for name in two:
        (experiment.root / "throughput" / f"{name}.json").unlink()
    collect(experiment.config, experiment.root, partial=True)
    experiment = load_experiment(experiment.root)
    assert kinds(experiment) == {"memory", "throughput_vgg11"}


@pytest.mark.usefixtures("sketched")
def test_files_and_page_have_them(timed):
    experiment = timed()
    first = {path.name: path.read_bytes() for path in render_figures(experiment.root)}
    assert {"memory.svg", "throughput_base.svg"} <= first.keys()
    assert {path.name: path.read_bytes() for path in render_figures(experiment.root)} == first
    page = build_report(experiment.root).read_text()
    assert page.count('-figure-throughput_base"') == page.count('-figure-memory"') == 1
    assert "Images per second: Base" in page


def test_the_batch_axis_leaves_numbers_out_that_do_not_fit():
    axes = Figure().subplots()
    batch_axis(axes, [50, 1, 512, 1024, 8])
    assert axes.get_xticks().tolist() == [1, 8, 50, 512, 1024]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "8", "50", "", "1024"]


def pareto_of(experiment):
    figure, caption = draw(experiment, pareto_figure, "digits")
    return [axes.get_xlabel() for axes in figure.axes], caption


def test_the_measured_time_is_shown_without_a_ranking(timed):
    labels, caption = pareto_of(timed(grid=GRID | {"input_shape": [1, 28, 28]}))
    assert labels[2:] == ["Time of 50 images (ms)"]
    assert "of 50 images of 1x28x28 numbers in the form auto (fp32)" in caption
    assert "Timed on Toy CPU & Co, 1 thread, torch 2.14.1." in caption


def test_the_first_batch_and_precision_that_were_timed_are_taken(timed):
    experiment = timed(grid=GRID | {"precisions": ["tf32", "fp32"]}, skip=("base_inference_b50_tf32_eager",))
    labels, caption = pareto_of(experiment)
    assert labels[2] == "Time of 50 images (ms)"
    assert "(fp32)" in caption
    (experiment.root / "throughput" / "base_inference_b50_fp32_eager.json").unlink()
    collect(experiment.config, experiment.root, partial=True)
    labels, caption = pareto_of(load_experiment(experiment.root))
    assert labels[2] == "Time of 1 images (ms)"
    assert "(tf32)" in caption


def test_timings_of_other_networks_are_no_cost(timed):
    assert len(pareto_of(timed(grid=GRID | {"architectures": ["vgg11"]}))[0]) == 2
