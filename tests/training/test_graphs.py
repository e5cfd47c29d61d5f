"""Graphed steps compute what eager ones do, to the bit. On the CPU a recorder takes the place of CUDA's graphs."""

import contextlib
import dataclasses
import functools
import gc
import math
import weakref

import pytest
import torch
from torch import nn

from linconv.config import Recipe, RunKey, parse_config, resolve_run
from linconv.config.errors import UserError
from linconv.data import load
from linconv.layers import SparseCoefficients
from linconv.training import engine, graphs
from linconv.training.callbacks import CheckpointCallback
from linconv.training.checkpoint import restore_checkpoint
from linconv.training.engine import Callback, Training, fit
from linconv.training.graphs import WARM_UP
from linconv.training.numerics import set_numerics
from linconv.training.run import prepare
from linconv.training.step import Term, make_optimizer
from tests.training.recording import CpuCapture

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(autouse=True)
def _numerics():
    set_numerics(1)


@pytest.fixture
def recorded(monkeypatch):
    """Graphs on the CPU, with the optimizer that CUDA uses: its state and its rate are tensors."""
    monkeypatch.setattr(graphs, "CudaCapture", CpuCapture)
    monkeypatch.setattr(engine, "make_optimizer", functools.partial(make_optimizer, fused=True))


class Net(nn.Module):
    """Batch statistics, dropout, a mask: everything that a step changes beside the parameters."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.body(x))


def make(cuda_graph, recipe, device="cpu", callbacks=(), terms=(), sizes=(8, 8, 8, 5)):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)

    def batches(epoch):
        for n in sizes:
            x, y = torch.randn(n, 6, generator=generator), torch.randint(3, (n,), generator=generator)
            yield x.to(device), y.to(device)

    def seeded(epoch):
        generator.manual_seed(epoch)
        return batches(epoch)

    model = Net().to(device)
    return Training(model, recipe, seeded, seeded, len(sizes), terms, callbacks, cuda_graph=cuda_graph)


def weight_norm(model):
    return model.head.weight.square().sum()


def bias_norm(model):
    return model.head.bias.abs().sum()


TERMS = (Term(weight_norm, 0.1, 3), Term(bias_norm, 0.1, 2))
RECIPES = {
    "adam": Recipe(epochs=8, learning_rate=0.01, schedule="cosine", warmup_epochs=1),
    "adam, steps, clipped": Recipe(
        epochs=8, learning_rate=0.01, schedule="multistep", milestones=(3, 6), clip_grad_norm=0.1, weight_decay=1e-3
    ),
    "sgd": Recipe(
        optimizer="sgd", momentum=0.9, nesterov=True, weight_decay=5e-4, epochs=8, schedule="cosine", learning_rate=0.1
    ),
    "bf16": Recipe(epochs=8, learning_rate=0.01, precision="bf16"),
    "fp16": Recipe(epochs=8, learning_rate=0.01, precision="fp16", clip_grad_norm=1.0),
}


def assert_same(a, b):
    assert a.history == b.history
    assert a.step == b.step
    pairs = list(zip(a.model.state_dict().items(), b.model.state_dict().values(), strict=True))
    assert all(torch.equal(x, y) for (_, x), y in pairs), [name for (name, x), y in pairs if not torch.equal(x, y)]


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_graphed_equals_eager_over_schedules_terms_and_ragged_batches(recipe, recorded):
    eager, graphed = (fit(make(on, recipe, terms=TERMS)) for on in (False, True))
    assert_same(graphed, eager)
    capture = graphed.stepper._device_side
    assert capture.warmed + capture.replayed == graphed.step == 8 * 4, "no batch is left out, the ragged ones neither"
    # kinds of step: 2 shapes x 4 sets of terms, of which those seen more than WARM_UP times are captured
    seen = {}
    for step in range(graphed.step):
        kind = step % 4 == 3, step % 3 == 0, step % 2 == 0
        seen[kind] = seen.get(kind, 0) + 1
    assert capture.captured == sum(n > WARM_UP for n in seen.values()) >= 4
    assert capture.replayed == sum(max(0, n - WARM_UP) for n in seen.values()) > 0
    assert graphed.stepper.in_force()["cuda_graphs"] == capture.captured
    rates = {epoch.learning_rate for epoch in graphed.history}
    assert len(rates) > 1 or recipe.schedule == "constant"


def test_a_rate_kept_as_a_number_would_be_frozen_into_the_graph(monkeypatch):
    """The recorder tells: without the optimizer's own rate on the device, graphed and eager differ or fail."""
    monkeypatch.setattr(graphs, "CudaCapture", CpuCapture)
    recipe = Recipe(optimizer="sgd", epochs=4, learning_rate=0.1, schedule="cosine")
    eager, graphed = (fit(make(on, recipe)) for on in (False, True))
    assert graphed.history[-1].train_loss != eager.history[-1].train_loss


def test_a_step_that_cannot_be_captured_is_one_message(recorded):
    def counts(model):
        return model.head.weight.sum() * model.head.bias.sum().item()

    with pytest.raises(UserError, match=r"cuda_graph: this training step cannot be captured \(.*\); use false"):
        fit(make(True, Recipe(epochs=4), terms=(Term(counts, 1.0, 1),)))


def test_running_out_of_memory_while_capturing_is_no_other_error(recorded, monkeypatch):
    def exhausted(self, function):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(CpuCapture, "capture", exhausted)
    with pytest.raises(torch.OutOfMemoryError):
        fit(make(True, Recipe(epochs=4)))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    synthetic = load("synthetic", tmp_path_factory.mktemp("data"), device="cpu")
    sizes = {"train_images": 50, "train_labels": 50, "test_images": 20, "test_labels": 20}
    return dataclasses.replace(synthetic, **{name: getattr(synthetic, name)[:size] for name, size in sizes.items()})


def sparse_run(**recipe):
    raw = {
        "experiment": "test",
        "datasets": ["synthetic"],
        "architectures": ["base"],
        "variants": ["LSr"],
        "seeds": [0],
        "recipe": {"overrides": [{"set": {"epochs": 5, "batch_size": 16, "schedule": "cosine", **recipe}}]},
        "define": {
            "LSr": {
                "extends": "LSr",
                "sparsity_schedule": {"period": 3, "step_size": 0.02},
                "regularizers": [{"name": "correlation", "period": 2}, {"name": "coefficient_l1", "period": 2}],
            }
        },
    }
    return resolve_run(parse_config(raw), RunKey("synthetic", "base", "LSr", 0))


class Masks(Callback):
    """The share of coefficients in use after every step."""

    def __init__(self):
        self.shares = []

    def on_step_end(self, training):
        masks = [m.mask for m in training.model.modules() if isinstance(m, SparseCoefficients)]
        self.shares.append(sum(int(m.sum()) for m in masks))


def test_the_sparse_schedule_changes_the_masks_that_the_graphs_read(small, recorded):
    run = sparse_run()
    eager, graphed = (fit(prepare(run, small, "cpu", [Masks()], cuda_graph=on)) for on in (False, True))
    assert_same(graphed, eager)
    shares = graphed.callbacks[0].shares
    assert shares == eager.callbacks[0].shares
    assert len(set(shares[-8:])) > 1, "the masks still change while graphs are replayed"
    assert graphed.stepper._device_side.replayed > 8


@pytest.mark.parametrize("first", [True, False], ids=["graphed first", "eager first"])
def test_a_graphed_training_continues_bit_for_bit_also_where_the_other_stopped(first, small, recorded, tmp_path):
    run = sparse_run()
    whole = fit(prepare(run, small, "cpu", cuda_graph=True))

    class Dies(CheckpointCallback):
        def on_epoch_end(self, training):
            super().on_epoch_end(training)
            if training.epoch == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(prepare(run, small, "cpu", [Dies(tmp_path, "x")], cuda_graph=first))
    torch.manual_seed(999)
    resumed = prepare(run, small, "cpu", [Callback()], cuda_graph=not first)
    assert restore_checkpoint(tmp_path, resumed, "x")
    assert resumed.epoch == 3
    assert_same(fit(resumed), whole)


def test_the_rate_in_the_history_is_the_schedules_own(recorded):
    """Not the single-precision number that the device holds."""
    recipe = RECIPES["adam"]
    last = fit(make(True, recipe)).history[-2].learning_rate
    assert last == recipe.learning_rate * (1 + math.cos(math.pi * (4 * 7 - 1 - 4) / (4 * 7))) / 2


@CUDA
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_on_a_gpu_graphs_equal_eager_steps(recipe):
    eager, graphed = (fit(make(on, recipe, device="cuda", terms=TERMS)) for on in (False, True))
    assert graphed.stepper.in_force()["cuda_graphs"] >= 4
    assert graphed.history == eager.history
    assert_same(graphed, eager)


@CUDA
def test_on_a_gpu_the_sparse_network_graphs_and_continues(tmp_path_factory, tmp_path):
    run = sparse_run()
    data = load("synthetic", tmp_path_factory.mktemp("gpu"), device="cuda")
    eager, graphed = (fit(prepare(run, data, "cuda", [Masks()], cuda_graph=on)) for on in (False, True))
    assert_same(graphed, eager)
    assert graphed.stepper.in_force()["cuda_graphs"] >= 2

    class Dies(CheckpointCallback):
        def on_epoch_end(self, training):
            super().on_epoch_end(training)
            if training.epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(prepare(run, data, "cuda", [Dies(tmp_path, "x")], cuda_graph=True))
    resumed = prepare(run, data, "cuda", [Callback()], cuda_graph=True)
    assert restore_checkpoint(tmp_path, resumed, "x")
    assert_same(fit(resumed), graphed)


def test_a_replay_keeps_what_its_graph_reads(monkeypatch):
    class Graph:
        replayed = 0

        def replay(self):
            self.replayed += 1

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda *_, **__: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "Stream", object)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    x = torch.ones(3)
    held = weakref.ref(x)
    replay = graphs.CudaCapture().capture(functools.partial(torch.add, x, 1))
    del x
    gc.collect()
    assert held() is not None
    replay()
    del replay
    gc.collect()
    assert held() is None
