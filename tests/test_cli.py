"""The commands, in the process and as a process."""

import csv
import json
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

from linconv import build_model
from linconv.cli.commands import app
from linconv.config import load_config
from linconv.measure.redundancy import filter_banks, redundancy
from linconv.results import RunResult, read_result
from linconv.results.run_folder import check_weights
from linconv.training import run as training_run
from linconv.training.callbacks import LogLines
from tests.damage import assert_refused

CONFIG = {
    "experiment": "tiny",
    "datasets": ["synthetic"],
    "architectures": ["base"],
    "variants": ["conv", "Lr"],
    "seeds": [7],
    "recipe": {"overrides": [{"set": {"epochs": 1, "batch_size": 100}}]},
    "device": "cpu",
    "correlation_layers": [2],
    "keep_weights": True,
    "complexity": {"architectures": ["base"]},
}
# the files of a finished run, before its result is collected
WHOLE = {"result.json", "correlations.npz", "outcomes.npz", "weights.pt", "checkpoint.pt"}


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    return path


@pytest.fixture
def linconv(train):
    """A command in this process: its code and what it says."""
    return lambda *arguments: train.command(*map(str, arguments))


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def process(*arguments, **options):
    command = [sys.executable, "-m", "linconv.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_config_prints_every_default_and_its_output_is_a_configuration(config, tmp_path):
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(run("config", config))
    assert "threads: 1" in resolved.read_text()
    assert load_config(resolved) == load_config(config)


def test_plan_lists_the_runs(config):
    assert run("plan", config).split() == ["synthetic/base/conv/seed7", "synthetic/base/Lr/seed7"]


def test_train_writes_one_whole_result_with_its_provenance(config, tmp_path, linconv):
    options = ["--dataset", "synthetic", "--architecture", "base", "--variant", "Lr", "--seed", "7"]
    log = tmp_path / "train.log"
    done = process("train", config, *options, "--results", tmp_path / "results", "--log", log, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "results" / "tiny" / "runs" / "synthetic" / "base" / "Lr" / "seed7"
    assert {p.name for p in folder.iterdir()} == WHOLE
    result = read_result(folder / "result.json", RunResult)
    assert (result.status, result.metrics.epoch, len(result.history)) == ("ok", 1, 1)
    # per layer P D + S P + N for 32, 64, 128, 256 filters; then batch normalization and the classifier
    layers = 16 * 27 + 16 * 16 + 32, 32 * 288 + 32 * 32 + 64, 64 * 576 + 64 * 64 + 128, 128 * 1152 + 128 * 128 + 256
    assert result.metrics.params == sum(layers) + 2 * 480 + 10 * 1025
    assert result.metrics.top1 == result.history[-1].test_top1
    assert [layer.primaries for layer in result.layers] == [16, 32, 64, 128]
    torch.manual_seed(7)  # what the seed draws, before any step
    drawn = filter_banks(build_model("base", "Lr"), (3, 32, 32))
    assert result.layers_before == [redundancy(bank) for bank in drawn]
    assert result.layers != result.layers_before
    assert result.provenance.numerics["threads"] == 1
    assert result.provenance.numerics["deterministic_algorithms"] is True
    assert result.provenance.numerics["asked"]["precision"] == "fp32"
    assert result.provenance.numerics["autocast_dtype"] is None
    assert 100 < result.provenance.peak_memory_mib < 2048
    assert result.provenance.peak_gpu_memory_mib is None
    assert {"python", "torch", "numpy"} <= result.provenance.versions.keys()
    assert result.provenance.command.endswith("--seed 7 --results results --log train.log")
    assert "epoch 1/1  train loss" in log.read_text()

    assert linconv("train", config, *options, "--results", tmp_path / "again").code == 0
    other = tmp_path / "again" / folder.relative_to(tmp_path / "results")
    twin = read_result(other / "result.json", RunResult)
    assert twin.model_dump(exclude={"provenance"}) == result.model_dump(exclude={"provenance"})
    for name in ("correlations.npz", "outcomes.npz", "weights.pt"):
        assert (other / name).read_bytes() == (folder / name).read_bytes()


def test_a_training_asked_to_stop_exits_with_75_and_the_same_command_finishes_it(config, tmp_path, linconv):
    raw = yaml.safe_load(config.read_text())
    raw["recipe"]["overrides"][0]["set"]["epochs"] = 3
    config.write_text(yaml.safe_dump(raw))
    log = tmp_path / "train.log"
    options = ["--dataset", "synthetic", "--architecture", "base", "--variant", "conv", "--seed", "7", "--log", log]
    command = [sys.executable, "-m", "linconv.cli", "train", config, *options]
    first = subprocess.Popen(list(map(str, command)), cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while first.poll() is None and not (log.exists() and "epoch 1/3" in log.read_text()):
        time.sleep(0.02)
    first.terminate()
    _, errors = first.communicate()
    assert (first.returncode, errors) == (75, "")
    folder = tmp_path / "results" / "tiny" / "runs" / "synthetic" / "base" / "conv" / "seed7"
    assert "checkpoint.pt" in {p.name for p in folder.iterdir()}
    assert not (folder / "result.json").exists()
    last = log.read_text().splitlines()[-1]
    assert "/3; the same command continues it" in last
    again = linconv("train", config, *options)
    assert again.code == 0
    assert "continuing after epoch" in again.said
    assert read_result(folder / "result.json", RunResult).metrics.epoch == 3
    assert {p.name for p in folder.iterdir()} == WHOLE


def test_a_forced_training_that_was_interrupted_goes_on_with_and_without_force(config, tmp_path, linconv, monkeypatch):
    raw = yaml.safe_load(config.read_text())
    raw["recipe"]["overrides"][0]["set"]["epochs"] = 3
    config.write_text(yaml.safe_dump(raw))
    command = ["train", config, "--dataset", "synthetic", "--architecture", "base", "--variant", "conv", "--seed", "7"]
    folder = tmp_path / "results" / "tiny" / "runs" / "synthetic" / "base" / "conv" / "seed7"
    assert linconv(*command).code == 0
    first = (folder / "result.json").read_bytes()

    class Die(LogLines):
        def on_epoch_end(self, training):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training_run, "LogLines", Die)
        assert "continuing" not in linconv(*command, "--force").said
        assert (folder / "result.previous.json").read_bytes() == first
        assert not (folder / "result.json").exists()
        assert "continuing after epoch 1" in linconv(*command, "--force").said
        assert (folder / "result.previous.json").read_bytes() == first
    assert "continuing after epoch 2" in linconv(*command).said
    assert {p.name for p in folder.iterdir()} == WHOLE
    result = read_result(folder / "result.json", RunResult)
    assert [process.epochs for process in result.provenance.earlier_processes] == [1, 2]


def test_a_folder_of_images_is_trained_on_and_described_in_the_result(tmp_path, linconv, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.RandomState(0)
    for k, name in enumerate(("dark", "bright")):
        for i in range(10):
            file = tmp_path / "pictures" / "own" / name / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.randint(128 * k, 128 * k + 128, (40, 40, 3), dtype=np.uint8)).save(file)
    config = tmp_path / "own.yaml"
    own = {"datasets": ["own"], "imagefolders": {"own": {"path": "own", "flip": True}}, "data_root": "pictures"}
    config.write_text(yaml.safe_dump(CONFIG | own))
    options = ["--dataset", "own", "--architecture", "base", "--variant", "Lr", "--seed", "7"]
    done = linconv("train", config, *options)
    assert done.code == 0, done.said
    result = read_result(tmp_path / "results/tiny/runs/own/base/Lr/seed7/result.json", RunResult)
    assert (result.status, result.dataset) == ("ok", "own")
    assert result.config["imagefolder"] == load_config(config).imagefolders["own"].model_dump(mode="json")
    assert result.metrics.top1 in (0, 25, 50, 75, 100)  # of four test images

    damaged = tmp_path / "pictures" / "own" / "dark" / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert_refused(linconv("train", config, *options, "--force"), "'own': pictures/own/dark/3.png cannot be decoded")


def test_a_diverged_run_is_a_result(config, tmp_path, linconv):
    raw = yaml.safe_load(config.read_text())
    raw["recipe"]["overrides"][0]["set"]["learning_rate"] = 1e30
    config.write_text(yaml.safe_dump(raw))
    options = ["--dataset", "synthetic", "--architecture", "base", "--variant", "Lr", "--seed", "7"]
    assert linconv("train", config, *options).code == 0
    folder = tmp_path / "results" / "tiny" / "runs" / "synthetic" / "base" / "Lr" / "seed7"
    result = read_result(folder / "result.json", RunResult)
    assert (result.status, result.metrics.top1, result.layers) == ("diverged", None, [])
    assert None in (result.history[-1].train_loss, result.history[-1].test_loss)
    assert result.outcomes is None
    assert not (folder / "outcomes.npz").exists()


def test_a_finished_run_is_already_there_until_it_is_forced_or_the_configuration_is_another(config, tmp_path, linconv):
    options = ["--dataset", "synthetic", "--architecture", "base", "--variant", "conv", "--seed", "7"]
    folder = tmp_path / "results" / "tiny" / "runs" / "synthetic" / "base" / "conv" / "seed7"
    times = []
    for more, said in (([], "epoch 1/1"), ([], "already there"), (["--force"], "epoch 1/1"), ([], "already there")):
        done = linconv("train", config, *options, *more)
        assert (done.code, said in done.said) == (0, True), done.said
        assert ("epoch 1/1" in done.said) == (said == "epoch 1/1")
        assert {p.name for p in folder.iterdir()} == WHOLE
        times.append((folder / "result.json").stat().st_mtime_ns)
    assert times[0] == times[1] < times[2] == times[3]
    raw = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(raw | {"augment": False, "keep_weights": False}))
    assert "epoch 1/1" in linconv("train", config, *options).said
    assert {p.name for p in folder.iterdir() if ".of-" not in p.name} == WHOLE - {"weights.pt"}
    config.write_text(yaml.safe_dump(raw | {"augment": False}))
    assert "continuing after epoch 1" in linconv("train", config, *options).said
    assert {p.name for p in folder.iterdir() if ".of-" not in p.name} == WHOLE
    check_weights(folder, read_result(folder / "result.json", RunResult))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["config", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (
            ["train", "CONFIG", "--variant", "L", "--seed", "7"],
            "synthetic/base/L/seed7 is not a run of experiment 'tiny'",
        ),
        (["collect", "CONFIG"], "synthetic/base/conv/seed7"),
        (["measure", "complexity"], "give either --config FILE or --architecture NAME"),
        (["measure", "profile", "--config", "CONFIG"], "profile: missing; `profile: {}` asks for it"),
        (["measure", "complexity", "--architecture", "vgg"], "did you mean 'vgg11'?"),
        (["measure", "complexity", "--architecture", "base", "--variant", "Q"], "unknown variant 'Q'"),
        (["measure", "complexity", "--architecture", "base", "--input", "32"], "complexity.input_shape"),
        (["measure", "complexity", "--architecture", "base", "--input", "axb"], "such as 3x32x32, not 'axb'"),
    ],
)
def test_what_a_user_can_mend_is_one_message_without_a_traceback(arguments, message, config, linconv):
    arguments = [config if a == "CONFIG" else a for a in arguments]
    if arguments[0] == "train":
        arguments += ["--dataset", "synthetic", "--architecture", "base"]
    done = linconv(*arguments)
    assert done.code == 2
    assert any(message in error for error in done.errors)


def test_cuda_without_a_device_is_refused(config, linconv, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    config.write_text(yaml.safe_dump({**CONFIG, "device": "cuda"}))
    options = ["--dataset", "synthetic", "--architecture", "base", "--variant", "Lr", "--seed", "7"]
    assert_refused(linconv("train", config, *options), "no CUDA device is visible; use 'auto' or 'cpu'")


def test_what_needs_a_gpu_is_refused_before_anything_is_written(config, tmp_path):
    config.write_text(yaml.safe_dump({**CONFIG, "cuda_graph": True}))
    options = ["--dataset", "synthetic", "--architecture", "base", "--variant", "Lr", "--seed", "7"]
    done = process("train", config, *options, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.endswith(
        "error: cuda_graph: true needs a GPU, and this run is on the CPU; use cuda_graph: false\n"
    )
    assert not (tmp_path / "results").exists()


def test_complexity_as_text_and_as_a_file(tmp_path):
    text = run("measure", "complexity", "--architecture", "vgg11", "--variant", "LRr", "--layers")
    assert "features.conv8" in text
    path = tmp_path / "complexity.json"
    run("measure", "complexity", "--architecture", "vgg11", "--variant", "LRr", "--batch-size", "8", "--output", path)
    (model,) = json.loads(path.read_text())["models"]
    assert model["params"] == 4649770
    rows = tmp_path / "layers.csv"
    run("measure", "complexity", "--architecture", "vgg11", "--variant", "LRr", "--layers", "--output", rows)
    found = list(csv.DictReader(rows.open()))
    assert [row["layer"] for row in found] == [layer["layer"] for layer in model["layers"]]
    assert [int(row["params"]) for row in found] == [layer["params"] for layer in model["layers"]]
    run("measure", "complexity", "--architecture", "vgg11", "--variant", "LRr", "--output", rows)
    assert [row["params_trainable"] for row in csv.DictReader(rows.open())] == ["4649770"]


def test_collect_leaves_the_configuration_that_its_data_are_of(tmp_path, linconv):
    """Rendered by the earlier file, the data of this one were shown with its margins and as runs that are missing."""
    written = yaml.safe_dump({**CONFIG, "seeds": [0, 1, 2]})
    config = tmp_path / "first.yaml"
    config.write_text(written)
    refused = linconv("collect", config, "--results", tmp_path, "--partial")
    assert_refused(refused, f"{tmp_path / 'tiny'}: no such folder; name with --results the folder that holds it")
    (tmp_path / "tiny").mkdir()
    assert linconv("collect", config, "--results", tmp_path, "--partial").code == 0
    kept = tmp_path / CONFIG["experiment"] / "config.yaml"
    before = kept.read_bytes()
    assert linconv("collect", config, "--results", tmp_path, "--partial").code == 0
    assert kept.read_bytes() == before
    config.write_text(yaml.safe_dump({**CONFIG, "seeds": [0], "statistics": {"margin": 3}}))
    assert linconv("collect", config, "--results", tmp_path, "--partial").code == 0
    found = yaml.safe_load(kept.read_text())
    assert (found["seeds"], found["statistics"]["margin"]) == ([0], 3)
