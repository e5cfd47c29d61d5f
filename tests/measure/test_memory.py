"""Peak memory of calls whose tensors are known to the byte."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from linconv.measure.memory import earlier_objects_kept, held_memory, peak_memory
from linconv.measure.timing import Part

MIB = 2**18  # numbers in fp32


def test_held_memory_counts_storages_and_gradients_once():
    before = held_memory("cpu")
    weight = nn.Parameter(torch.ones(MIB))
    views = [weight.detach(), weight.detach()[1:], weight.detach().view(2, -1)]
    assert held_memory("cpu") - before == 2**20
    weight.grad = torch.ones(MIB)
    assert held_memory("cpu") - before == 2 * 2**20
    del weight, views
    assert held_memory("cpu") == before


def test_the_peak_is_what_the_arm_holds_and_what_the_call_makes():
    others = torch.ones(5 * MIB)
    held = held_memory("cpu")
    own = torch.ones(MIB)

    def call():
        first = own + 1  # 1 MiB
        second = torch.cat([first, first])  # 2 MiB
        del first
        return second.sum() + others[0]

    assert peak_memory([Part(call)], "cpu", held) == {"peak_allocated_mib": 4.0}
    assert peak_memory([Part(lambda: None), Part(call)], "cpu", held) == {"peak_allocated_mib": 4.0}


def test_without_a_search_of_what_there_was_the_peak_is_the_same():
    def peak() -> dict[str, float]:
        held = held_memory("cpu")
        own = torch.ones(MIB)
        return peak_memory([Part(lambda: own + 1)], "cpu", held)

    others = nn.Parameter(torch.ones(5 * MIB))
    before = gc.get_freeze_count()
    with earlier_objects_kept():
        assert gc.get_freeze_count() > before
        assert held_memory("cpu") < others.numel()
        assert peak() == {"peak_allocated_mib": 2.0}
    assert gc.get_freeze_count() == 0
    assert peak() == {"peak_allocated_mib": 2.0}


def test_the_profiler_keeps_quiet():
    code = "from linconv.measure.memory import peak_memory; peak_memory([], 'cpu', 0)"
    environment = {name: value for name, value in os.environ.items() if name != "KINETO_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("steps", [1, 3])
def test_backward_counts_and_gradients_of_the_step_before_do_not_count_twice(steps):
    held = held_memory("cpu")
    weight = nn.Parameter(torch.ones(MIB))

    def step():
        weight.grad = None
        (hidden := weight * 2.0).sum().backward()  # hidden and the gradient: 1 MiB each
        assert hidden.shape == weight.grad.shape

    found = peak_memory([Part(step)] * steps, "cpu", held)
    assert found["peak_allocated_mib"] == pytest.approx(3.0, abs=0.001)  # a few scalars besides


def test_what_a_call_leaves_behind_counts():
    held, kept = held_memory("cpu"), []

    def grow():
        kept.append(torch.ones(MIB))

    assert peak_memory([Part(grow)], "cpu", held) == {"peak_allocated_mib": 2.0}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_peak_on_a_gpu():
    held = held_memory("cuda")
    own = torch.ones(MIB, device="cuda")
    found = peak_memory([Part(lambda: torch.cat([own + 1, own]))], "cuda", held)
    assert found["peak_allocated_mib"] == 4.0
    assert found["peak_reserved_mib"] >= 4.0
