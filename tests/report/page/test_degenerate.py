"""Results that are missing, damaged or stale have a page too; what cannot be reported is one message."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from linconv.config import plan_runs
from linconv.report.page import report_html
from linconv.results import write_result, write_text
from linconv.results.collect import collect
from tests.report.conftest import key
from tests.report.page.common import check, toy
from tests.results.factory import make_config, make_run, write_experiment


def nothing_run(tmp_path):
    config = make_config(seeds=[0])
    return write_experiment(tmp_path / "toy", config, skip=plan_runs(config)), "0 of 5 finished, 5 missing"


def only_a_configuration(tmp_path):
    root = nothing_run(tmp_path)[0]
    (root / "complexity.json").unlink()
    return root, "The complexity was not measured."


def one_seed(tmp_path):
    return toy(tmp_path, seeds=[4]), "3 of 3 finished"


def all_diverged(tmp_path):
    return toy(tmp_path, diverged=plan_runs(make_config(seeds=[0, 1]))), "0 of 6 finished, 6 diverged"


def variant_missing(tmp_path):
    return toy(tmp_path, skip=[key("L", 0), key("L", 1)]), "4 of 6 finished, 2 missing"


def baseline_missing(tmp_path):
    return toy(tmp_path, skip=[key("conv", 0), key("conv", 1)]), "4 of 6 finished, 2 missing"


def without_a_baseline(tmp_path):
    return toy(tmp_path, variants=["L", "Lr"]), "4 of 4 finished"


def damaged_json(tmp_path):
    root = toy(tmp_path)
    (root / key("L", 1).path / "result.json").write_text('{"kind": "run", "sta')
    (root / "complexity.json").write_text("")
    (root / key("conv", 0).path / "correlations.npz").write_text("no")
    return root, "5 of 6 finished"


def newer_schema(tmp_path):
    root = toy(tmp_path)
    file = root / key("L", 1).path / "result.json"
    file.write_text(file.read_text().replace('"schema_version": 2', '"schema_version": 3'))
    return root, "written by a newer linconv (schema 3"


def stale(tmp_path):
    root = toy(tmp_path)
    write_result(root / key("L", 1).path / "result.json", make_run(make_config(augment=False), key("L", 1)))
    return root, "5 of 6 finished, 1 stale"


SHOWN = [
    nothing_run,
    only_a_configuration,
    one_seed,
    all_diverged,
    variant_missing,
    baseline_missing,
    without_a_baseline,
    damaged_json,
    newer_schema,
    stale,
]


@pytest.mark.usefixtures("sketched")
@pytest.mark.parametrize("case", SHOWN, ids=lambda case: case.__name__)
def test_degenerate_results_have_a_report_too(case, tmp_path):
    root, words = case(tmp_path)
    assert words in " ".join(check(report_html(root)).text)


def unknown_network(tmp_path):
    root = toy(tmp_path)
    file = root / "config.yaml"
    file.write_text(file.read_text().replace("architectures:\n- base", "architectures:\n- bass", 1))
    return root, "unknown architecture 'bass'; did you mean 'base'?"


def no_folder(tmp_path):
    return tmp_path / "nowhere", "nowhere: no such folder"


def empty_folder(tmp_path):
    return tmp_path, "holds no experiment"


def damaged_data(tmp_path):
    root = tmp_path / "toy"
    write_text(root / "config.yaml", (toy(tmp_path, "other") / "config.yaml").read_text())
    collect(make_config(), write_experiment(tmp_path / "collected", make_config()))
    shutil.copytree(tmp_path / "collected" / "data", root / "data")
    write_text(root / "data" / "runs.csv", "a,b\n1\n")
    return root, "data/runs.csv: is not the file that was collected; collect the results again"


@pytest.mark.parametrize(
    "case", [unknown_network, no_folder, empty_folder, damaged_data], ids=lambda case: case.__name__
)
@pytest.mark.usefixtures("sketched")
def test_what_cannot_be_reported_is_one_message(case, tmp_path):
    root, words = case(tmp_path)
    code = "import sys; from linconv.cli import main; sys.argv[0] = 'linconv'; main()"
    done = subprocess.run([sys.executable, "-c", code, "report", root], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
