"""`linconv run`: its commands, replaced by a program that is quicker, and its exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from linconv import pipeline
from linconv.config import Config, parse_config, plan_runs
from linconv.pipeline import find_missing
from linconv.results import RunOutcomes, RunResult, read_result, write_result
from tests.results.factory import make_run

RAW = {
    "experiment": "toy",
    "datasets": ["synthetic"],
    "architectures": ["base"],
    "variants": ["conv", "L"],
    "seeds": [0],
    "recipe": {"overrides": [{"set": {"epochs": 1}}]},
    "throughput": {"architectures": ["base"], "variants": ["L"], "batches": [1]},
    "device": "cpu",
}
PROGRAM = """
import json, os, sys, time
from pathlib import Path
here = Path(__file__).parent
words = sys.argv[1:]
with (here / "calls").open("a") as file:
    file.write(" ".join(words) + "\\n")
(here / "data_folder").write_text(os.environ.get("LINCONV_DATA", ""))
script = json.loads((here / "script.json").read_text())
if script.get("train") and words[0] == "work":
    for path, text in script["train"].items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
if script.get("hang") and words[0] == "work":
    import signal
    signal.signal(signal.SIGTERM, lambda *_: (Path(here / "asked").touch(), sys.exit(75)))
    (here / "hangs").touch()
    time.sleep(60)
sys.exit(script.get("codes", {}).get(words[0], 0))
"""


@pytest.fixture
def act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, list[str]]]:
    """Runs the pipeline in which the program does as the script says; returns the exit code and the calls."""
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.setattr(pipeline, "PROGRAM", (sys.executable, str(tmp_path / "program.py")))

    def run(settings: Config | None = None, **script: object) -> tuple[int, list[str]]:
        options = {key: script.pop(key) for key in ("jobs", "budget_seconds") if key in script}
        (tmp_path / "script.json").write_text(json.dumps(script))
        (tmp_path / "calls").unlink(missing_ok=True)
        code = pipeline.run_pipeline(settings or parse_config(RAW), tmp_path / "results", **options)  # type: ignore[arg-type]
        calls = tmp_path / "calls"
        return code, calls.read_text().splitlines() if calls.exists() else []

    return run


def results_of_every_run(tmp_path: Path) -> dict[str, str]:
    config = parse_config(RAW)
    files = {}
    for key in plan_runs(config):
        write_result(tmp_path / "made.json", make_run(config, key))
        folder = tmp_path / "results" / "toy" / key.path
        files[str(folder / "result.json")] = (tmp_path / "made.json").read_text()
        files[str(folder / "correlations.npz")] = "PK\5\6" + 18 * "\0"  # without an array
    return files


def test_workers_then_measurements_then_everything_collected_and_rendered(act, tmp_path):
    code, calls = act(train=results_of_every_run(tmp_path), jobs=2)
    config = str(tmp_path / "results" / "toy" / "config.yaml")
    where = f"--results {tmp_path / 'results'}"
    assert calls[:2] == [f"work {config} {where} --device cpu"] * 2
    assert calls[2:4] == [f"measure {name} --config {config} {where}" for name in ("complexity", "throughput")]
    assert calls[4:] == [f"collect {config} {where} --partial", f"render all {tmp_path / 'results' / 'toy'}"]
    assert code == 1, "the program measured nothing"
    assert yaml.safe_load(Path(config).read_text())["experiment"] == "toy"


def test_the_folder_of_the_data_reaches_the_commands_but_not_the_copy_of_the_configuration(act, tmp_path, monkeypatch):
    monkeypatch.setenv("LINCONV_DATA", "elsewhere")  # so that it is put back after the test
    act(parse_config(RAW | {"data_root": str(tmp_path / "data")}), codes={"work": 1, "measure": 1}, jobs=1)
    assert "data_root" not in yaml.safe_load((tmp_path / "results" / "toy" / "config.yaml").read_text())
    assert (tmp_path / "data_folder").read_text() == str(tmp_path / "data")


def test_a_second_call_repeats_no_run_and_renders_only_what_is_new(act, tmp_path):
    act(train=results_of_every_run(tmp_path))
    _, calls = act()
    assert [call.split()[0] for call in calls] == ["measure", "measure"]
    path = next(iter(results_of_every_run(tmp_path)))
    os.utime(path)
    _, calls = act()
    assert [call.split()[0] for call in calls] == ["measure", "measure", "collect", "render"]


@pytest.mark.parametrize("file", ["report.html", "tables/table1.md", "figures/index.json", "data/runs.csv"])
def test_what_was_rendered_and_is_gone_is_rendered_again(act, tmp_path, file):
    made = {str(tmp_path / "results" / "toy" / name): "x" for name in ("report.html", file)}
    act(train=results_of_every_run(tmp_path) | made)
    assert [call.split()[0] for call in act()[1]] == ["measure", "measure"]
    for change in (Path.unlink, Path.touch):
        change(tmp_path / "results" / "toy" / file)
        assert [call.split()[0] for call in act()[1]] == ["measure", "measure", "collect", "render"]


@pytest.mark.parametrize("name", ["outcomes.npz", "correlations.npz"])
def test_a_run_whose_other_files_are_gone_is_trained_again(act, tmp_path, name):
    """Of the filters, those that are shown count."""
    every = results_of_every_run(tmp_path)
    act(train=every)
    config = parse_config(RAW)
    folder = tmp_path / "results" / "toy" / plan_runs(config)[1].path
    if name == "outcomes.npz":
        run = read_result(folder / "result.json", RunResult)
        record = RunOutcomes(file=name, count=10, correct=9, sha256="0" * 64)
        metrics = run.metrics.model_copy(update={"top1": 90.0})
        history = [*run.history[:-1], run.history[-1].model_copy(update={"test_top1": 90.0})]
        changes = {"outcomes": record, "metrics": metrics, "history": history}
        write_result(folder / "result.json", run.model_copy(update=changes))
    else:
        (folder / name).unlink()
    code, calls = act(jobs=1)
    assert [call.split()[0] for call in calls] == ["work", "measure", "measure", "collect", "render"]
    assert code == 1
    assert find_missing(config, tmp_path / "results" / "toy").runs == 1


def test_a_run_that_was_stopped_meanwhile_is_rendered_as_such(act, tmp_path):
    act(codes={"work": 75, "measure": 1}, jobs=1)
    folder = tmp_path / "results" / "toy" / plan_runs(parse_config(RAW))[0].path
    folder.mkdir(parents=True)
    (folder / "checkpoint.pt").touch()
    _, calls = act(codes={"work": 75, "measure": 1}, jobs=1)
    assert [call.split()[0] for call in calls[-2:]] == ["collect", "render"]


def test_a_failed_run_leaves_a_partial_report_and_exit_code_1(act):
    code, calls = act(codes={"work": 1, "measure": 1}, jobs=1)
    assert code == 1
    assert calls[-1].startswith("render all")
    assert "--partial" in calls[-2]


def test_what_cannot_be_rendered_gives_its_exit_code(act):
    assert act(codes={"collect": 2}, jobs=1)[0] == 2


def test_a_stopped_worker_begins_no_measurement(act):
    code, calls = act(codes={"work": 75}, jobs=1)
    assert code == 75
    assert [call.split()[0] for call in calls] == ["work", "collect", "render"]


def test_a_budget_goes_to_what_takes_one(act):
    code, calls = act(jobs=1, budget_seconds=1000.0)
    budgets = [call.partition(" --budget ")[2] for call in calls]
    assert 900 < int(budgets[0].removesuffix("s")) <= 1000
    assert [bool(budget) for budget in budgets] == [True, False, True, False, False]
    code, calls = act(jobs=1, budget_seconds=0.0)
    assert (code, [call.split()[0] for call in calls]) == (75, [])


def test_a_measurement_of_many_files_gets_a_budget(act):
    grid = {"architectures": ["base"], "variants": ["L"], "batches": [1]}
    _, calls = act(parse_config(RAW | {"deployment": grid, "correctness": {}}), jobs=1, budget_seconds=1000.0)
    limited = {call.split()[1] for call in calls if call.startswith("measure") and "--budget" in call}
    assert limited == {"throughput", "deployment"}


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_signal_is_passed_on_once_and_waited_for(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "script.json").write_text(json.dumps({"hang": True}))
    code = f"""
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
from pathlib import Path
from linconv import pipeline
from linconv.config import parse_config
pipeline.PROGRAM = (sys.executable, {str(tmp_path / "program.py")!r})
pipeline.run_pipeline(parse_config({RAW!r}), Path({str(tmp_path / "results")!r}), jobs=1)
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    while not (tmp_path / "hangs").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 75
    assert (tmp_path / "asked").exists()
