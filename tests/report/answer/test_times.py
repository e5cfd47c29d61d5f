"""What timings in engines say of a variant: its fastest form in every cell, from the shortest to the longest."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pandas as pd

from linconv.config import load_config
from linconv.report.answer.pages import experiment_markdown, experiments_markdown
from linconv.report.answer.times import engine_sentences
from linconv.report.source import load_experiment
from linconv.results.collect import collect

REFERENCE = Path(__file__).parents[3] / "results/reference/deployment"

COLUMNS = ["engine", "architecture", "batch_size", "precision", "variant", "form", "ratio", "hardware", "threads"]


def said(*arms: tuple[object, ...]) -> list[str]:
    frame = pd.DataFrame([(*arm, "AMD EPYC", 1) for arm in arms], columns=COLUMNS)
    return list(engine_sentences(SimpleNamespace(frames={"deployment": frame})))


def test_the_fastest_form_of_each_cell_makes_the_range() -> None:
    first, fp32, int8 = said(
        ("openvino", "vgg11", 1, "fp32", "conv", "plain", 1.0),
        ("openvino", "vgg11", 1, "fp32", "L", "folded", 1.0),
        ("openvino", "vgg11", 1, "fp32", "L", "feature", 0.5),
        ("torch", "vgg11", 50, "fp32", "L", "product", 0.7),
        ("torch", "vgg11", 50, "fp32", "L", "feature", None),
        ("torch", "vgg11", 50, "int8", "L", "feature", 4.0),
    )
    assert "(openvino, torch; VGG11; batches of 1 and 50; AMD EPYC, threads: 1)" in first
    assert "0.50 to 0.70 of its time" in fp32
    assert "4.00 to 4.00 of its time" in int8
    assert said(("openvino", "vgg11", 1, "fp32", "conv", "plain", 1.0)) == []


def test_an_experiment_that_only_measures_has_a_page_of_its_times(tmp_path: Path) -> None:
    root = tmp_path / "deployment"
    shutil.copytree(REFERENCE, root)
    collect(load_config(root / "config.yaml"), root, partial=True)
    experiment = load_experiment(root)
    page = experiment_markdown(experiment)
    assert "## Time in engines\n" in page
    assert "onnxruntime, openvino, torch" in page
    assert "Differences and verdicts" not in page
    assert "How accurate" not in page
    for sentence in engine_sentences(experiment):
        assert sentence in page
        assert sentence in experiments_markdown([experiment])
