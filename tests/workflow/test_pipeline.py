"""One experiment from configuration to report, and what makes parts of it run again."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
import yaml

from linconv.catalogue.figures import FIGURES
from linconv.catalogue.tables import TABLES
from linconv.config import load_config, plan_runs, resolve_run
from linconv.report.plan import plan_outputs
from linconv.report.source import load_experiment
from linconv.report.tables import FORMATS
from linconv.results import RunResult, read_result
from tests.workflow.conftest import Project

DRAWING = {"render": 1}
RENDERING = {"collect": 1, **DRAWING}


def test_default_target_makes_everything(finished: Project) -> None:
    root = finished.results()
    made = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
    for variant in ("conv", "L"):
        folder = f"runs/synthetic/base/{variant}/seed0"
        assert {f"{folder}/result.json", f"{folder}/correlations.npz"} <= made
        assert read_result(root / folder / "result.json", RunResult).status == "ok"
    names = ("runs", "history", "layers", "complexity", "complexity_layers", "failures")
    assert {f"data/{name}.csv" for name in names} <= made
    experiment = load_experiment(root)
    for folder, outputs in (("tables", TABLES), ("figures", FIGURES)):
        written = {Path(path) for path in made if path.startswith(f"{folder}/")}
        own = {p for p in written if p.name not in ("index.json", ".snakemake_timestamp")}
        assert {p.stem for p in own} == {p.stem for p in plan_outputs(experiment, outputs).made}
        assert {p.suffix for p in own} == ({".svg"} if folder == "figures" else {f".{s}" for s in FORMATS})
        assert all((root / path).stat().st_size for path in own)
    assert "claims.md" in made
    page = (root / "report.html").read_text(encoding="utf-8")
    assert "fast-run-synthetic-base-L" in page
    assert "2 of 2 finished" in page


def test_added_seed_trains_only_that_seed(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    project.write_config(seeds=[0, 1])
    assert project.planned() == {"train": 2, **RENDERING}


@pytest.mark.slow
def test_what_is_planned_for_an_added_seed_is_what_runs(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    before = project.run_times()
    project.write_config(seeds=[0, 1])
    done = project.snakemake("--until", "train")
    assert done.returncode == 0, done.stdout
    after = project.run_times()
    added = {f"runs/synthetic/base/{variant}/seed1/result.json" for variant in ("conv", "L")}
    assert after.keys() - before.keys() == added
    assert {path: after[path] for path in before} == before


def test_changed_recipe_trains_again_what_it_concerns(finished: Project) -> None:
    override = 'recipe={"overrides": [{"set": {"epochs": 2}}]}'
    assert finished.planned("--config", override) == {"train": 2, **RENDERING}
    define = 'define={"L": {"extends": "L", "options": {"primary_ratio": 0.25}}}'
    assert finished.planned("--config", define) == {"train": 1, "complexity": 1, **RENDERING}


def test_options_that_change_no_outcome_train_nothing(finished: Project) -> None:
    machine = ("threads=2", "data_root=elsewhere", "keep_weights=true")
    assert not finished.planned("--config", *machine)
    assert finished.planned("--config", 'figures={"formats": ["png"]}', *machine) == RENDERING


def test_changed_code_reruns_its_own_stage(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    edited = project.root / "linconv"
    with (edited / "report" / "table.py").open("a") as file:
        file.write("# a comment decides nothing\n")
    assert not project.planned()
    with (edited / "report" / "table.py").open("a") as file:
        file.write("RESTYLED = True\n")
    assert project.planned() == DRAWING
    with (edited / "models" / "vgg.py").open("a") as file:
        file.write("CHANGED = True\n")
    assert project.planned() == {"train": 2, "complexity": 1, **RENDERING}


def test_going_back_to_an_earlier_configuration_collects_again(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    correlations = project.results() / "data" / "correlations.npz"
    before = correlations.read_bytes()
    for shown in (["conv"], ["conv", "L", "Lr"]):
        project.write_config(figures={"formats": ["svg"], "heatmap_variants": shown})
        assert project.snakemake("--until", "collect").returncode == 0
    assert correlations.read_bytes() == before
    assert len(list(correlations.parent.glob(".config-*"))) == 1


def test_the_written_configuration_is_the_last_one_even_where_nothing_is_to_be_done(finished: Project) -> None:
    path = finished.results() / "config.yaml"
    written = path.read_text()
    assert finished.snakemake("--list-rules", "--config", "seeds=[0, 1]").returncode == 0
    assert yaml.safe_load(path.read_text())["seeds"] == [0, 1]
    before = finished.run_times()
    again = finished.snakemake()
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout
    assert path.read_text() == written
    assert finished.run_times() == before


def test_stale_results_are_refused_without_snakemakes_records_whatever_the_times_of_the_files(
    finished: Project, tmp_path: Path
) -> None:
    project = finished.copy(tmp_path / "project")
    shutil.rmtree(project.root / ".snakemake")
    for path in project.results().rglob("*"):  # what a clone, an archive or a copy does to times
        os.utime(path, (1_700_000_000, 1_700_000_000))
    before = project.run_times()
    project.write_config(recipe={"overrides": [{"set": {"epochs": 2}}]})
    done = project.snakemake()
    assert done.returncode != 0
    log = (project.results() / "logs" / "collect.log").read_text()
    assert "runs/synthetic/base" in log
    assert "made with configuration" in log
    assert "Traceback" not in log
    assert log.count("error:") == 1
    assert project.run_times() == before


@pytest.mark.slow  # tests/report/test_plan.py has the case without Snakemake
def test_a_timing_of_a_precision_that_the_device_lacks_loses_no_figure(finished: Project, tmp_path: Path) -> None:
    """TF32 on a CPU: the timing says `not supported`, so that its figures are left out and all others are drawn."""
    project = finished.copy(tmp_path / "project")
    grid = {"architectures": ["base"], "variants": ["L"], "batches": [8], "precisions": ["tf32"], "rounds": 3}
    project.write_config(throughput=grid, ranking=None)
    drawing = ("results/fast/tables", "results/fast/figures")
    done = project.snakemake(*drawing)
    assert done.returncode == 0, done.stdout
    index = json.loads((project.results() / "figures" / "index.json").read_text())
    assert {entry["name"] for entry in index["left out"]} == {"speed", "memory", "throughput_base"}
    for entry in index["made"]:
        assert all((project.results() / "figures" / name).exists() for name in entry["files"])
    assert "not supported" in (project.results() / "tables" / "speed.md").read_text()
    assert "Nothing to be done" in project.snakemake(*drawing).stdout


def test_another_experiment_shares_no_file(finished: Project) -> None:
    dry = finished.snakemake("--dry-run", "--config", "experiment=other")
    assert dry.returncode == 0, dry.stdout
    written = [line.split(": ", 1)[1] for line in dry.stdout.splitlines() if line.lstrip().startswith("output: ")]
    paths = [path for line in written for path in line.split(", ")]
    assert all(path.startswith("results/other/") for path in paths)
    assert sum(path.endswith("/result.json") for path in paths) == 2
    assert len(paths) > 10


def test_report_needs_no_network(finished: Project) -> None:
    nowhere = "http://127.0.0.1:9"
    offline = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), nowhere)
    done = finished.snakemake("--report", "report.zip", **offline)
    assert done.returncode == 0, done.stdout
    with zipfile.ZipFile(finished.root / "report.zip") as archive:
        names = archive.namelist()
        page = archive.read("report/report.html").decode()
    assert FIGURES["curves"].caption in page
    assert TABLES["table1"].caption in page
    assert f'"title": "{TABLES["table1"].label}"' in page
    for figure in ("panels", "correlations", "curves"):
        assert any(name.endswith(f"{figure}_synthetic_base.svg") for name in names), names
    assert any(name.endswith("table1.md") for name in names), names
    assert any(name.endswith("/report.html") and "data" in name for name in names), names


def test_written_configuration_describes_the_same_runs(finished: Project) -> None:
    given = load_config(finished.root / "config" / "config.yaml")
    written = load_config(finished.results() / "config.yaml")
    assert plan_runs(written) == plan_runs(given)
    assert [resolve_run(written, key).hash for key in plan_runs(written)] == [
        resolve_run(given, key).hash for key in plan_runs(given)
    ]
    assert yaml.safe_load((finished.results() / "config.yaml").read_text())["seeds"] == [0]
