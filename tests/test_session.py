"""A session in a given time, its commands replaced by a program that is quicker."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

from linconv import cli, session
from linconv.config import parse_config, plan_runs
from linconv.results.integrity import record_digest, sealed_text
from linconv.results.kinds.correctness import CorrectnessResult, FormCheck
from tests.results.factory import make_run

PROGRAM = """
import json, signal, sys, time
from pathlib import Path
words, script = sys.argv[1:], json.loads(Path(__file__).with_suffix(".json").read_text())
with Path(__file__).with_suffix(".calls").open("a") as file:
    file.write(" ".join(words) + "\\n")
what = " ".join(words)
act = next((script[key] for key in script if key in what), "work")
if act == "fail":
    print("12:00:00 error: the disk is full\\n  delete something")
    sys.exit(2)
if act == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if act in ("hang", "stubborn"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN if act == "stubborn" else lambda *_: sys.exit(75))
    time.sleep(60)
if "--output" in what:
    Path(words[-1]).write_text((Path(__file__).parent / "correctness.json").read_text())
"""
RAW = {
    "experiment": "toy",
    "datasets": ["synthetic"],
    "architectures": ["vgg11", "base"],
    "variants": ["conv", "L"],
    "seeds": [0],
    "recipe": {"overrides": [{"set": {"epochs": 1}}]},
    "throughput": {"architectures": ["base"], "batches": [1]},
}


def _correctness(device="cpu", error=0.0):
    check = FormCheck(
        coefficients="full",
        geometry="3x3",
        form="weight",
        precision="fp32",
        channels_last=False,
        error=error,
        tolerance=1e-4,
    )
    config = parse_config(RAW)
    origin = make_run(config, plan_runs(config)[0]).provenance
    result = CorrectnessResult(device=device, checks=[check], grid_hash="0" * 16, code_hash="0" * 16, provenance=origin)
    return sealed_text(result.model_dump(mode="json"))


@pytest.fixture
def act(tmp_path, monkeypatch):
    """Runs a session in which the program does as the script says; returns outcomes by step, and the calls."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    (tmp_path / "correctness.json").write_text(_correctness())
    config = tmp_path / "toy.yaml"
    config.write_text(yaml.safe_dump(RAW))
    monkeypatch.setattr(session, "PROGRAM", (sys.executable, str(program)))

    def run(script=None, *, budget=600.0, grace=0.5):
        monkeypatch.setattr(session, "GRACE_SECONDS", grace)
        program.with_suffix(".json").write_text(json.dumps(script or {}))
        program.with_suffix(".calls").unlink(missing_ok=True)
        report = session.run_session(config, [config], tmp_path / "out", device="cpu", budget_seconds=budget)
        calls = program.with_suffix(".calls")
        written = json.loads((tmp_path / "out" / "session.json").read_text())
        assert written.pop("digest") == record_digest(written)
        assert written == report.model_dump()
        return {step.name: step for step in report.steps}, calls.read_text().splitlines() if calls.exists() else []

    return run


def test_checks_come_first_then_timings_then_one_worker_with_the_rest_of_the_time(act):
    steps, calls = act(budget=1000.0)
    assert list(steps) == ["correctness", "throughput", "trainings"]
    assert {step.outcome for step in steps.values()} == {"done"}
    assert calls[0].startswith("measure correctness --device cpu --output ")
    timing, training = calls[1:]
    assert 250 < int(timing.rpartition("--budget ")[2].removesuffix("s")) <= 300
    assert training.startswith("work ")
    assert " --side-by-side 1 " in training, "on a CPU"
    assert 900 < int(training.rpartition("--budget ")[2].removesuffix("s")) < 1000


def test_a_gpu_trains_side_by_side(tmp_path):
    steps = session.plan_session(parse_config(RAW), [tmp_path / "a.yaml"], tmp_path, "cuda", 600, side_by_side=4)
    assert "--side-by-side" in steps[-1].arguments
    assert steps[-1].arguments[-1] == "4"


def test_a_second_session_does_what_has_no_result(act):
    act()
    steps, calls = act()
    assert steps["correctness"].outcome == "already there"
    assert [step.outcome for step in steps.values()].count("done") == len(calls) == 2  # the program leaves no timings


@pytest.mark.parametrize("there", [{"device": "cuda"}, {"error": 1.0}])
def test_a_check_of_another_device_or_that_failed_is_made_again(act, tmp_path, there):
    act()
    (tmp_path / "out" / "correctness.json").write_text(_correctness(**there))
    steps, _ = act()
    assert steps["correctness"].outcome == "done"


def test_a_failure_is_reported_with_its_reason_and_leaves_the_others(act):
    steps, _ = act({"throughput": "fail"})
    assert steps["throughput"].outcome == "failed"
    assert steps["throughput"].detail == "12:00:00 error: the disk is full"
    assert steps["trainings"].outcome == "done"


@pytest.mark.parametrize("how", ["hang", "stubborn"])
def test_when_the_time_is_over_what_runs_is_stopped_and_the_rest_not_begun(act, how):
    steps, calls = act({"correctness": how}, budget=4.0)
    assert steps["correctness"].outcome == "stopped"
    assert steps["trainings"].outcome == "no time"
    assert len(calls) == sum(step.outcome != "no time" for step in steps.values())


def test_the_plan_is_printed_and_nothing_done(monkeypatch, tmp_path, capsys):
    words = ["session", "config/gpu.yaml", "--train", "config/cifar10-paper.yaml", "--budget", "10m", "--plan"]
    monkeypatch.setattr(sys, "argv", ["linconv", *words, "--output", str(tmp_path / "out")])
    monkeypatch.chdir(Path(__file__).parents[1])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["correctness", "throughput", "trainings"]
    assert "at most 180 s" in " ".join(lines[1].split()) or "at most 185 s" in lines[1]
    assert "work config/cifar10-paper.yaml" in lines[2]


@pytest.mark.parametrize(
    ("script", "budget", "code"),
    [({}, "600s", 0), ({"work": "fail"}, "600s", 1), ({"work": "hang"}, "3s", 75), ({}, "0s", 75)],
    ids=["done", "failed", "stopped", "no time"],
)
def test_the_exit_code_says_whether_the_runs_were_trained(act, tmp_path, monkeypatch, script, budget, code):
    """Also without --train: then those of the configuration itself."""
    program = tmp_path / "program.py"
    program.with_suffix(".json").write_text(json.dumps(script))
    monkeypatch.setattr(session, "GRACE_SECONDS", 0.5)
    words = ["session", str(tmp_path / "toy.yaml"), "--device", "cpu", "--budget", budget]
    monkeypatch.setattr(sys, "argv", ["linconv", *words, "--output", str(tmp_path / "out")])
    ended = 0
    try:
        cli.main()
    except SystemExit as exit:
        ended = exit.code
    assert ended == code
    calls = program.with_suffix(".calls")
    asked = calls.read_text() if calls.exists() else ""
    assert (f"work {tmp_path / 'toy.yaml'}" in asked) == (budget != "0s")


def test_without_a_gpu_the_command_says_so(monkeypatch, tmp_path, capsys, caplog):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(sys, "argv", ["linconv", "session", "config/gpu.yaml", "--output", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "no CUDA device is visible; run this on a machine with one" in caplog.text + capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_shipped_configuration_times_a_narrower_network_beside_the_forms():
    settings = session.load_config(Path(__file__).parents[1] / "config" / "gpu.yaml")
    assert settings.throughput is not None
    assert settings.throughput.variants == ("Lr", "LRr", "narrow")
