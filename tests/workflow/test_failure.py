"""A run that crashes costs only itself, and what exists can be rendered without it."""

from __future__ import annotations

import csv

import pytest

from tests.workflow.conftest import Project


@pytest.fixture(scope="module")
def crashed(project: Project) -> tuple[Project, str]:
    """mnist's files are missing where LINCONV_DATA says, so that its run crashes; synthetic data needs none.

    The run on digits is killed, as the system does where memory runs out.
    """
    kills = 'import os, sys\nif "digits" in sys.orig_argv:\n    os.kill(os.getpid(), 9)\n'
    (project.root / "sitecustomize.py").write_text(kills)
    project.write_config(datasets=["mnist", "digits", "synthetic"], variants=["conv"], ranking=None)
    done = project.snakemake(LINCONV_DATA="no-such-folder")
    assert done.returncode != 0, done.stdout
    return project, done.stdout


def test_others_finish_and_the_log_says_why(crashed: tuple[Project, str]) -> None:
    project, output = crashed
    assert set(project.run_times()) == {"runs/synthetic/base/conv/seed0/result.json"}
    log = (project.results() / "logs/train/mnist/base/conv/seed0.log").read_text()
    assert "no-such-folder" in log
    assert "no-such-folder" in output
    assert "snakemake partial" in output


@pytest.fixture(scope="module")
def partial(crashed: tuple[Project, str]) -> Project:
    project, _ = crashed
    before = project.run_times()
    done = project.snakemake("partial")
    assert done.returncode == 0, done.stdout
    assert project.run_times() == before
    return project


def test_partial_renders_the_rest_and_lists_the_missing(partial: Project) -> None:
    with (partial.results() / "data/failures.csv").open(newline="") as file:
        failures = list(csv.DictReader(file))
    assert [(row["dataset"], row["reason"]) for row in failures] == [("mnist", "missing"), ("digits", "missing")]
    assert "error: MNIST: missing in no-such-folder" in failures[0]["detail"]
    assert "error: ended by SIGKILL; if memory ran out, ask for more than 16000 MB" in failures[1]["detail"]
    assert failures[0]["log"] == "logs/train/mnist/base/conv/seed0.log"
    assert "synthetic" in (partial.results() / "tables/table1.md").read_text().lower()
    assert (partial.results() / "figures/curves_synthetic_base.svg").stat().st_size


def test_partial_runs_again_whenever_it_is_asked_for(partial: Project) -> None:
    assert partial.planned("partial") == {"partial": 1}


def test_failed_run_is_tried_again_even_after_partial(partial: Project) -> None:
    planned = partial.planned()
    assert planned["train"] == 2
    assert planned["collect"] == 1
