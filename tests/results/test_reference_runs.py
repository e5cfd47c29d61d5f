"""The committed results: what the documentation says of them, and what is committed of what is rendered from them."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from linconv.config import load_config
from linconv.results import read_result
from linconv.results.collect import collect
from linconv.results.kinds import KINDS
from linconv.results.kinds.throughput import ThroughputResult
from tests.results.factory import make_config, write_experiment
from tests.scripts import load_script

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference"
RUNS = sorted(REFERENCE.glob("*/runs/mnist/base/*/*/result.json"))
render_reference = load_script("docs/render_reference.py")


def test_there_are_runs_of_base_on_mnist():
    assert len(RUNS) >= 15


@pytest.mark.parametrize("path", RUNS, ids=lambda path: "-".join(path.parts[-6:-1]))
def test_base_on_mnist_trains_in_less_than_two_gibibytes(path):
    """docs/engine.md; the resident set of the whole process, with torch and the data."""
    peak = json.loads(path.read_text())["provenance"]["peak_memory_mib"]
    assert 200 < peak < 2048


def committed(folder: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", folder], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a clone")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_the_committed_files_are_small():
    """In bytes: the reference results, and all files of the repository."""
    assert sum(file.stat().st_size for file in committed("results/reference")) < 8e6
    assert sum(file.stat().st_size for file in committed(".")) < 12e6


def test_every_experiment_has_what_rendering_reads_and_nothing_is_damaged():
    experiments = sorted(path.parent for path in REFERENCE.glob("*/config.yaml"))
    assert experiments == sorted(path for path in REFERENCE.iterdir() if path.is_dir())
    for root in experiments:
        assert (root / "data" / "runs.csv").is_file()
        assert list(root.glob("runs/*/*/*/seed*/result.json"))


def test_the_timings_belong_to_their_configurations():
    for root in sorted(path.parent for path in REFERENCE.glob("*/throughput")):
        config = load_config(root / "config.yaml")
        kind = KINDS["throughput"]
        found = [read_result(file, ThroughputResult) for file in sorted((root / "throughput").glob("*.json"))]
        assert {kind.hash(config, kind.key_of(result)) for result in found} == {result.grid_hash for result in found}


@pytest.fixture
def small(tmp_path):
    """A reference folder with one golden file of each kind, and the same files rendered."""
    reference, rendered = tmp_path / "reference", tmp_path / "rendered"
    for file in ("claims.md", "digits/tables/table1.md", "digits/figures/panels_digits_base.png"):
        (reference / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REFERENCE / file, reference / file)
    shutil.copytree(reference, rendered)
    (rendered / "report.html").write_text("<!doctype html>")
    return reference, rendered


def test_equal_files_have_no_differences(small):
    assert render_reference.differences(*small) == []


def test_a_table_that_differs_in_one_byte_is_named(small):
    table = small[1] / "digits" / "tables" / "table1.md"
    table.write_bytes(table.read_bytes() + b"\n")
    assert render_reference.differences(*small) == ["digits/tables/table1.md: differs from what is made of the results"]


def test_a_table_that_is_no_longer_made_is_named(small):
    (small[1] / "claims.md").unlink()
    assert render_reference.differences(*small) == ["claims.md: no longer made"]


def test_a_page_of_an_experiment_and_its_picture_must_be_committed(small):
    (small[1] / "digits" / "experiment.md").write_text("# digits\n\n![the answer](figures/answer.png)\n")
    expected = ["digits/experiment.md: missing", "digits/figures/answer.png: missing"]
    assert render_reference.differences(*small) == expected


@pytest.mark.parametrize("change", ["size", "content"])
def test_another_picture_is_named(small, change):
    file = small[1] / "digits" / "figures" / "panels_digits_base.png"
    with Image.open(file) as picture:
        other = picture.convert("RGB")
    width, height = other.size
    if change == "size":
        other = other.resize((width + 1, height))
    else:
        other.paste((0, 0, 0), (width // 4, height // 4, width // 2, height // 2))
    other.save(file)
    name = "digits/figures/panels_digits_base.png"
    assert render_reference.differences(*small) == [f"{name}: the picture differs from what is rendered"]


@pytest.mark.parametrize("report", ["missing", "large"])
def test_a_report_that_is_missing_or_large_is_named(small, report, monkeypatch):
    if report == "missing":
        (small[1] / "report.html").unlink()
    else:
        monkeypatch.setattr(render_reference, "REPORT_BYTES", 3)
    assert [line.partition(":")[0] for line in render_reference.differences(*small)] == ["report.html"]


def test_golden_files_are_not_copied(small, tmp_path):
    reference, _ = small
    (reference / "digits" / "config.yaml").write_text("experiment: digits\n")
    render_reference.copy_results(reference, tmp_path / "copy")
    assert [path.name for path in (tmp_path / "copy").rglob("*") if path.is_file()] == ["config.yaml"]


def test_an_experiment_is_added_with_what_is_needed_to_render_it(tmp_path):
    """Of the correlations only those that a figure shows; no log, no weights, nothing rendered."""
    config = make_config(seeds=[0, 1], variants=["conv", "L"], figures={"heatmap_variants": ["conv"]})
    experiment = write_experiment(tmp_path / config.experiment, config)
    collect(config, experiment)
    run = experiment / "runs" / "digits" / "base" / "conv" / "seed0"
    for file in (run / "weights.pt", run / "checkpoint.pt", experiment / "tables" / "table1.md"):
        file.parent.mkdir(exist_ok=True)
        file.write_text("x")
    render_reference.add(experiment, tmp_path / "reference")
    added = tmp_path / "reference" / experiment.name
    kept = {path.relative_to(added).as_posix() for path in added.rglob("*") if path.is_file()}
    runs = [f"runs/digits/base/{variant}/seed{seed}" for variant in ("conv", "L") for seed in (0, 1)]
    assert {name for name in kept if name.startswith("runs")} == {
        *(f"{run}/result.json" for run in runs),
        "runs/digits/base/conv/seed0/correlations.npz",
    }
    assert kept >= {"config.yaml", "complexity.json", "data/runs.csv"}
    assert not any(
        name.startswith(("tables", "logs")) or name.endswith((".pt", "data/correlations.npz")) for name in kept
    )
    render_reference.copy_results(tmp_path / "reference", tmp_path / "copy")
    assert collect(config, tmp_path / "copy" / experiment.name).collected == 4


def test_importing_torch_while_rendering_fails():
    finder = render_reference.WithoutTorch()
    for name in ("torch", "torch.nn", "torchvision"):
        with pytest.raises(ImportError, match="rendering needs no torch"):
            finder.find_spec(name)
    assert finder.find_spec("numpy") is None
