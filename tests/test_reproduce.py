"""A run made again from its own record: what is equal, what differs and why, and when that confirms the original."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import yaml

from linconv.config import RunKey
from linconv.results import DataContent, RunResult, read_result
from linconv.results.data import PartContent
from linconv.results.integrity import sealed_text
from linconv.results.outcomes import Outcomes
from linconv.results.reproduction import compare_runs, settings_of
from tests.results.factory import make_config, make_run

KEY = RunKey("digits", "base", "Lr", 0)
CONFIG = {
    "experiment": "tiny",
    "datasets": ["synthetic"],
    "architectures": ["base"],
    "variants": ["mine"],
    "seeds": [7],
    "define": {"mine": {"extends": "LSr", "exclude": ["*conv1"]}},
    "device": "cpu",
    "channels_last": False,
    "recipe": {"overrides": [{"set": {"epochs": 2, "batch_size": 100}}]},
}


def process(*arguments, **options):
    command = [sys.executable, "-m", "linconv.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a finished run in it, and that run's result."""
    root = tmp_path_factory.mktemp("original")
    (root / "tiny.yaml").write_text(yaml.safe_dump(CONFIG))
    where = ("--dataset", "synthetic", "--architecture", "base", "--variant", "mine", "--seed", "7")
    assert process("train", "tiny.yaml", *where, cwd=root).returncode == 0
    (root / "tiny.yaml").unlink()  # a result is enough
    return root, root / "results" / "tiny" / "runs" / "synthetic" / "base" / "mine" / "seed7" / "result.json"


def test_a_run_is_made_again_from_its_result_alone(trained, tmp_path):
    root, file = trained
    done = process("reproduce", file, "--check", "--results", tmp_path / "again", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(": equal to the bit\n")
    again = tmp_path / "again" / file.relative_to(root / "results")
    before, now = read_result(file, RunResult), read_result(again.parent / "result.json", RunResult)
    assert before.model_dump(exclude={"provenance"}) == now.model_dump(exclude={"provenance"})
    assert before.provenance.numerics == now.provenance.numerics
    assert now.provenance.command.startswith("linconv reproduce result.json --check")


def test_a_false_result_is_not_confirmed(trained, tmp_path, train, capsys):
    _, file = trained
    values = read_result(file, RunResult).model_dump(mode="json")
    for holder in (values["metrics"], values["history"][-1]):
        holder["train_loss"] += 0.25
    values["outcomes"] = None
    (tmp_path / "result.json").write_text(sealed_text(values))
    command = ("reproduce", str(tmp_path / "result.json"), "--results", str(tmp_path / "again"))
    done = train.command(*command, "--check")
    told = capsys.readouterr().out
    assert done.code == 1, done.said
    assert "not reproduced: nothing that decides the bits has changed, and they differ" in told
    assert "differs: history: from epoch 2 on; the training loss by up to" in told
    assert "differs: metrics.train_loss: " in told
    without = train.command(*command)
    assert without.code == 0
    assert "already there" in without.said


@pytest.mark.slow
def test_another_instruction_set_is_named_and_tolerated(trained, tmp_path):
    _, file = trained
    if read_result(file, RunResult).provenance.hardware["instruction_set"] == "DEFAULT":
        pytest.skip("this processor has no other")
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "default"}
    done = process("reproduce", file, "--check", "--tolerance", "100", "--results", tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert "changed: instruction_set: " in done.stdout
    assert "equal to the bit" in done.stdout or "other bits, as something that decides them has changed" in done.stdout


def test_the_original_is_never_replaced(trained, train, capsys):
    root, file = trained
    before = file.read_bytes()
    done = train.command("reproduce", str(file), "--results", str(root / "results"))
    assert done.code == 2
    assert "the new result would replace the original" in capsys.readouterr().err
    assert file.read_bytes() == before


def run(**changes):
    """A synthetic run, with changes of its fields; those of provenance by their own names."""
    made = make_run(make_config(), KEY)
    origin = {name: changes.pop(name) for name in ("versions", "hardware", "numerics") if name in changes}
    return made.model_copy(update={"provenance": made.provenance.model_copy(update=origin), **changes})


def other_bits(top1=0.4, **changes):
    """The run with another end: a top-1 that many points higher."""
    made = run(**changes)
    last = made.history[-1].model_copy(update={"test_top1": made.metrics.top1 + top1, "train_loss": 0.5})
    metrics = made.metrics.model_copy(update={"top1": last.test_top1, "train_loss": 0.5})
    return made.model_copy(update={"history": [*made.history[:-1], last], "metrics": metrics})


def test_equal_runs_are_equal_whatever_the_machine():
    found = compare_runs(run(), run(versions={"python": "3.11.2", "torch": "2.15.0"}))
    assert (found.differences, found.verdict, found.holds()) == ([], "equal to the bit", True)
    assert [str(change) for change in found.changes] == ["versions.torch: 2.14.1 -> 2.15.0"]


def test_other_bits_need_a_reason():
    found = compare_runs(run(), other_bits())
    assert found.verdict == "not reproduced: nothing that decides the bits has changed, and they differ"
    assert not found.holds(tolerance=100)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"code_hash": "f" * 16}, ["code"]),
        ({"versions": {"python": "3.11.2", "torch": "2.15.0"}}, ["versions.torch"]),
        ({"hardware": {"cpu": "Other CPU", "cores": 2}}, ["cpu"]),
        ({"hardware": {"cpu": "Toy CPU & Co", "cores": 9, "gpu": "H100"}}, ["gpu"]),
        ({"numerics": {"deterministic": False}}, ["numerics.deterministic"]),
    ],
)
def test_with_a_reason_the_accuracy_decides(changes, named):
    found = compare_runs(run(), other_bits(**changes))
    assert [change.name for change in found.changes] == named
    assert found.verdict == "other bits, as something that decides them has changed"
    assert found.holds()
    assert not found.holds(tolerance=0.3)
    assert not compare_runs(run(), other_bits(top1=1.5, **changes)).holds()


def test_other_data_are_no_reason():
    part = PartContent(images=2, per_class=(1, 1), digest="0" * 64)
    content = DataContent(
        name="digits", container="embedded", decoder="x", known=None, classes=("a", "b"), train=part, test=part
    )
    other = content.model_copy(update={"test": part.model_copy(update={"digest": "1" * 64})})
    found = compare_runs(run(data=content), other_bits(data=other, code_hash="f" * 16))
    assert found.verdict == "not reproduced: the data are others"
    assert not found.holds(tolerance=100)
    assert compare_runs(run(), other_bits(data=other, code_hash="f" * 16)).holds()  # of unknown data


def test_images_are_counted():
    before = Outcomes(np.array([True, True, False, False]), np.zeros(4, np.float32))
    now = Outcomes(np.array([True, False, True, True]), np.full(4, -0.5, np.float32))
    found = compare_runs(run(), run(), before, now)
    assert found.differences == [
        "outcomes: 3 of 4 test images (1 right before, 2 now)",
        "outcomes: log-probabilities of the true class moved by 0.5 (median)",
    ]
    assert compare_runs(run(), run(), before, before).differences == []


def test_streamed_images_are_not_held_to_those_in_memory():
    part = PartContent(images=2, per_class=(1, 1), digest="0" * 64)
    content = DataContent(
        name="digits", container="image folder", decoder="x", known=None, classes=("a", "b"), train=part, test=part
    )
    streamed = content.model_copy(update=dict.fromkeys(("train", "test"), part.model_copy(update={"digest": None})))
    outcomes = [Outcomes(np.array(right), np.zeros(2, np.float32)) for right in ([True, False], [False, True])]
    assert compare_runs(run(data=content), run(data=streamed), *outcomes).differences == []
    for data in (content, streamed):
        (line,) = compare_runs(run(data=data), run(data=data), *outcomes).differences
        assert line == "outcomes: 2 of 2 test images (1 right before, 1 now)"


def test_the_settings_are_the_original_s():
    asked = {"threads": 2, "channels_last": False, "deterministic": False, "cuda_graph": True, "runs_per_gpu": 3}
    original = run(hardware={"cpu": "x", "gpu": "H100"}, numerics={"asked": asked | {"precision": "bf16"}})
    there = settings_of(original)
    assert (there.device, there.threads, there.channels_last, there.cuda_graph) == ("cuda", 2, False, True)
    here = settings_of(original, device="cpu", data_root="elsewhere")
    assert (here.device, here.cuda_graph, str(here.data_folder)) == ("cpu", False, "elsewhere")
