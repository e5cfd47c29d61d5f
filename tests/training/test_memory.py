"""Out of memory: one line that says what ran and what to change, exit code 1, and nothing changed silently."""

import logging
import sys

import pytest
import torch
import yaml

from linconv import cli
from linconv.config import RunKey, parse_config, resolve_run
from linconv.training.memory import is_out_of_memory, not_enough_memory

CONFIG = {
    "experiment": "memory",
    "datasets": ["synthetic"],
    "architectures": ["base"],
    "variants": ["conv"],
    "seeds": [0],
    "device": "cpu",
    "recipe": {"overrides": [{"set": {"epochs": 1, "batch_size": 125}}]},
    "complexity": {"architectures": ["base"]},
}


def raising(error):
    def forward(*_):
        raise error

    return forward


def absurd(self, x):
    return torch.empty(2**60, device=x.device)


FAILURES = {
    "CUDA": (
        raising(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nSee")),
        "20.00 GiB. See",
    ),
    "Python": (raising(MemoryError()), "MemoryError"),
    "cuBLAS": (raising(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")), "CUBLAS"),
    "a real allocation": (absurd, "tried to allocate 4611686018427387904 bytes"),
}


@pytest.fixture
def train(tmp_path, monkeypatch):
    def run():
        path = tmp_path / "memory.yaml"
        path.write_text(yaml.safe_dump(CONFIG))
        options = ["--dataset", "synthetic", "--architecture", "base", "--variant", "conv", "--seed", "0"]
        words = ["linconv", "train", path, *options, "--results", tmp_path / "results", "--log", tmp_path / "log"]
        monkeypatch.setattr(sys, "argv", [str(word) for word in words])
        logging.getLogger().handlers.clear()
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code, tmp_path / "results/memory/runs/synthetic/base/conv/seed0"

    handlers = logging.getLogger().handlers[:]
    yield run
    logging.getLogger().handlers[:] = handlers
    logging.captureWarnings(False)


@pytest.mark.parametrize(("forward", "reason"), FAILURES.values(), ids=FAILURES)
def test_out_of_memory_is_one_line_and_exit_code_1(forward, reason, train, tmp_path, monkeypatch):
    monkeypatch.setattr("linconv.models.vgg.ConvStack.forward", forward)
    code, folder = train()
    assert code == 1
    errors = [line for line in (tmp_path / "log").read_text().splitlines() if "error" in line]
    assert len(errors) == 1
    assert "out of memory on the CPU: synthetic/base/conv/seed0 with batch size 125, precision fp32 (" in errors[0]
    assert reason in errors[0]
    assert errors[0].endswith("set a smaller batch_size or precision: bf16 in recipe.overrides")
    assert not list(folder.iterdir())


def test_out_of_memory_in_evaluation_advises_no_smaller_batch(train, tmp_path, monkeypatch):
    monkeypatch.setattr("linconv.training.engine.evaluation_sums", raising(MemoryError()))
    assert train()[0] == 1
    (error,) = [line for line in (tmp_path / "log").read_text().splitlines() if "error" in line]
    assert "synthetic/base/conv/seed0 with the network in evaluation, precision fp32 (MemoryError)" in error
    assert error.endswith("; set precision: bf16 in recipe.overrides")


def test_other_errors_stay_what_they_are(train, monkeypatch):
    monkeypatch.setattr("linconv.models.vgg.ConvStack.forward", raising(RuntimeError("shapes do not match")))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train()
    assert not is_out_of_memory(RuntimeError("mat1 and mat2"))
    assert not is_out_of_memory(ValueError("DefaultCPUAllocator"))


def test_the_message_names_what_can_be_changed_on_a_gpu():
    raw = CONFIG | {"device": "cuda", "runs_per_gpu": 3, "cuda_graph": True}
    raw["recipe"] = {"overrides": [{"set": {"precision": "bf16", "batch_size": 4096}}]}
    config = parse_config(raw)
    run = resolve_run(config, RunKey("synthetic", "base", "conv", 0))
    text = str(not_enough_memory(run, config, "cuda", torch.OutOfMemoryError("CUDA out of memory")))
    assert text == (
        "out of memory on the GPU: synthetic/base/conv/seed0 with batch size 4096, precision bf16 "
        "(CUDA out of memory); set a smaller batch_size in recipe.overrides, or lower runs_per_gpu, now 3, "
        "or cuda_graph: false"
    )
