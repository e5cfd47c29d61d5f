"""What decides the bits of a training, and what only a GPU can do: settings of torch, memory."""

import platform
import subprocess
import sys

import pytest
import torch

from linconv.config import Recipe, parse_config
from linconv.config.errors import UserError
from linconv.training.numerics import asked, check_device, compiled, numerics, set_numerics


@pytest.mark.parametrize(
    ("changes", "recipe", "message"),
    [
        ({"cuda_graph": True}, {}, "cuda_graph: true needs a GPU"),
        ({}, {"precision": "fp16"}, "precision 'fp16' needs a GPU, and this run is on the CPU; use 'bf16' or 'fp32'"),
    ],
)
def test_what_only_a_gpu_can_do_is_refused_on_a_cpu(changes, recipe, message):
    raw = {"experiment": "x", "datasets": ["digits"], "architectures": ["base"], "variants": ["conv"], "seeds": [0]}
    config = parse_config(raw | changes)
    with pytest.raises(UserError, match=message):
        check_device(config, Recipe(**recipe), "cpu")
    check_device(config, Recipe(**recipe), "cuda")
    check_device(parse_config(raw), Recipe(), "cpu")


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_what_decides_the_bits_is_set_and_recorded(deterministic, precision):
    set_numerics(1, precision=precision, deterministic=deterministic)
    found = numerics()
    assert isinstance(found["freed_memory_kept"], bool)
    assert found["tf32_matmul"] == found["tf32_cudnn"] == (precision == "tf32")
    assert found["deterministic_algorithms"] is deterministic
    assert found["cudnn_benchmark"] is not deterministic
    raw = {"experiment": "x", "datasets": ["digits"], "architectures": ["base"], "variants": ["conv"], "seeds": [0]}
    config = parse_config(raw | {"deterministic": deterministic})
    wanted = asked(config, Recipe(precision=precision))
    assert (wanted["precision"], wanted["deterministic"]) == (precision, deterministic)
    assert {"compile", "cuda_graph", "channels_last", "runs_per_gpu", "threads"} <= wanted.keys()


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_compiler_is_as_deterministic_as_the_process(monkeypatch, deterministic):
    from torch._inductor import config

    monkeypatch.setattr(torch, "compile", lambda model, **options: (model, options))
    set_numerics(1, deterministic=deterministic)
    model = torch.nn.Identity()
    assert compiled(model, dynamic=False) == (model, {"dynamic": False})
    assert config.deterministic is deterministic


FREED_MEMORY = """
import resource, sys, torch
from linconv.training.numerics import keep_freed_memory, numerics, set_numerics
if sys.argv[1] == "kept":
    assert keep_freed_memory()
assert numerics()["freed_memory_kept"] is (sys.argv[1] == "kept")
for _ in range(12):  # until the heap has grown to what is needed
    torch.ones(16 << 20)  # 64 MiB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(16 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
set_numerics(1)
assert "torch._dynamo" not in sys.modules  # two seconds for what few processes need
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc")
def test_freed_memory_is_used_again_without_the_kernel():
    faults = {}
    for how in ("kept", "returned"):
        run = subprocess.run([sys.executable, "-c", FREED_MEMORY, how], capture_output=True, text=True, check=True)
        faults[how] = int(run.stdout)
    assert faults["kept"] < 100
    assert faults["returned"] >= 20 * 32  # pages of 2 MiB at the most
