"""A session in a given time, its commands replaced by a program that is quicker."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

from linconv import cli, session
from linconv.config import parse_config, plan_runs
from linconv.results.correctness import Check, CorrectnessResult
from linconv.results.integrity import content_digest, sealed_text
from tests.results.factory import make_run

PROGRAM = """
import json, signal, sys, time
from pathlib import Path
words, script = sys.argv[1:], json.loads(Path(__file__).with_suffix(".json").read_text())
with Path(__file__).with_suffix(".calls").open("a") as file:
    file.write(" ".join(words) + "\\n")
what = " ".join(words)
at = dict(zip(words[2::2], words[3::2]))
seed = at.get("--seed", "")
act = next((script[key] for key in script if key in what), "work")
if act == "fail":
    Path(at["--log"]).parent.mkdir(parents=True, exist_ok=True)
    Path(at["--log"]).write_text("12:00:00 error: the disk is full\\n  delete something\\n")
    sys.exit(2)
if act == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if act in ("hang", "stubborn"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN if act == "stubborn" else lambda *_: sys.exit(75))
    time.sleep(60)
if "--output" in what:
    Path(words[-1]).write_text((Path(__file__).parent / "correctness.json").read_text())
if words[0] == "train":
    source = Path(__file__).parent / "prepared" / Path(words[1]).parent.name / f"{at['--variant']}{seed}.json"
    config = Path(words[1]).parent
    target = config / "runs" / at["--dataset"] / at["--architecture"] / at["--variant"] / f"seed{seed}" / "result.json"
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source.read_text())
"""
RAW = {
    "experiment": "toy",
    "datasets": ["synthetic"],
    "architectures": ["vgg11", "base"],
    "variants": ["conv", "L"],
    "seeds": [0],
    "recipe": {"overrides": [{"set": {"epochs": 1}}]},
}


def _correctness(device="cpu", error=0.0):
    check = Check(
        coefficients="full", geometry="3x3", form="weight", precision="fp32", channels_last=False, error=error,
        tolerance=1e-4,
    )  # fmt: skip
    config = parse_config(RAW)
    origin = make_run(config, plan_runs(config)[0]).provenance
    result = CorrectnessResult(device=device, checks=[check], code_hash="0" * 16, provenance=origin)
    return sealed_text(result.model_dump(mode="json"))


@pytest.fixture
def act(tmp_path, monkeypatch):
    """Runs a session in which the program does as the script says; returns outcomes by step, and the calls."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    (tmp_path / "correctness.json").write_text(_correctness())
    config = tmp_path / "toy.yaml"
    config.write_text(yaml.safe_dump(RAW))
    parsed = parse_config(RAW)
    for key in plan_runs(parsed):
        if key.architecture == "base":
            target = tmp_path / "prepared" / "toy" / f"{key.variant}{key.seed}.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(sealed_text(make_run(parsed, key).model_dump(mode="json")))
    monkeypatch.setattr(session, "PROGRAM", (sys.executable, str(program)))

    def run(script=None, *, budget=600.0, grace=0.5):
        monkeypatch.setattr(session, "GRACE_SECONDS", grace)
        program.with_suffix(".json").write_text(json.dumps(script or {}))
        program.with_suffix(".calls").unlink(missing_ok=True)
        report = session.run_session(config, tmp_path / "out", device="cpu", budget_seconds=budget)
        calls = program.with_suffix(".calls")
        written = json.loads((tmp_path / "out" / "session.json").read_text())
        assert written.pop("digest") == content_digest(written)
        assert written == report.model_dump()
        return {step.name: step for step in report.steps}, calls.read_text().splitlines() if calls.exists() else []

    return run


def test_the_most_telling_comes_first_and_the_cheapest_training_before_others(act):
    steps, calls = act()
    assert list(steps) == [
        "correctness",
        *(f"training smoke, {precision}" for precision in ("fp32", "tf32", "bf16")),
        *("synthetic/base/conv/seed0", "synthetic/base/L/seed0"),
        *("synthetic/vgg11/conv/seed0", "synthetic/vgg11/L/seed0"),
    ]
    assert {step.outcome for step in steps.values()} == {"done"}
    assert len(calls) == len(steps)
    assert calls[0].startswith("measure correctness --device cpu --output ")


def test_timings_get_a_share_of_the_time(act, tmp_path):
    raw = RAW | {"throughput": {"architectures": ["base"], "batches": [1]}}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(raw))
    steps, calls = act(budget=1000.0)
    assert list(steps).index("throughput") == 4
    (timing,) = [call for call in calls if "throughput" in call]
    share = int(timing.rpartition("--budget ")[2].removesuffix("s"))
    assert 400 < share < 500  # half of what the steps before it have left


def test_a_second_session_does_what_has_no_result(act):
    act()
    steps, calls = act()
    there = {name for name, step in steps.items() if step.outcome == "already there"}
    assert there == {"correctness", "synthetic/base/conv/seed0", "synthetic/base/L/seed0"}  # the rest left no file
    assert len(calls) == len(steps) - 3


@pytest.mark.parametrize("there", [{"device": "cuda"}, {"error": 1.0}])
def test_a_check_of_another_device_or_that_failed_is_made_again(act, tmp_path, there):
    act()
    (tmp_path / "out" / "correctness.json").write_text(_correctness(**there))
    steps, _ = act()
    assert steps["correctness"].outcome == "done"


def test_a_failure_is_reported_with_its_reason_and_leaves_the_others(act):
    steps, _ = act({"base --variant conv": "fail"})
    failed = steps["synthetic/base/conv/seed0"]
    assert failed.outcome == "failed"
    assert failed.detail == "12:00:00 error: the disk is full"
    assert steps["synthetic/base/L/seed0"].outcome == "done"


@pytest.mark.parametrize("how", ["hang", "stubborn"])
def test_when_the_time_is_over_what_runs_is_stopped_and_the_rest_not_begun(act, how):
    steps, calls = act({"base --variant conv": how}, budget=6.0)
    outcomes = [step.outcome for step in steps.values()]
    begun = [o for o in outcomes if o != "no time"]
    assert steps["synthetic/base/conv/seed0"].outcome in ("stopped", "no time")
    assert steps["synthetic/vgg11/L/seed0"].outcome == "no time"
    assert len(calls) == len(begun)


def test_without_a_gpu_the_command_says_so(monkeypatch, tmp_path, capsys, caplog):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(sys, "argv", ["linconv", "session", "config/gpu.yaml", "--output", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "no CUDA device is visible; run this on a machine with one" in caplog.text + capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_shipped_configuration_is_valid_and_times_before_it_trains():
    root = Path(__file__).parents[1]
    settings = session.load_config(root / "config" / "gpu.yaml")
    assert settings.throughput is not None
    keys = session._cheapest_first(settings)
    assert len(keys) == len(plan_runs(settings)) == 2 * 3 * (5 + 4 + 4)
    assert keys[0].architecture == "base"
