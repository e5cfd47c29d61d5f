"""An epoch on the device computes what the loop over batches computes, to the bit.

On the CPU a recorder takes the place of CUDA's graphs: it replays the operations of a step on the same tensors.
"""

import dataclasses
import functools

import pytest
import torch

from linconv.config import RunKey, parse_config, resolve_run
from linconv.data import BatchSource
from linconv.training import device_loop, engine
from linconv.training.device_loop import DeviceLoop
from linconv.training.engine import Callback, fit
from linconv.training.numerics import set_numerics
from linconv.training.run import prepare
from linconv.training.step import make_optimizer
from tests.training.recording import CpuCapture
from tests.training.short import bits, few_images

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(autouse=True)
def _numerics():
    set_numerics(1)


@pytest.fixture
def fused(monkeypatch):
    """The optimizer that CUDA uses: its state and its rate are tensors."""
    monkeypatch.setattr(engine, "make_optimizer", functools.partial(make_optimizer, fused=True))


class NoDevice(device_loop.Host):
    """Counts how often a loop would wait."""

    waits = 0

    def wait(self):
        self.waits += 1


def data_with_crops(device="cpu"):
    data = few_images()
    tensors = {
        name: getattr(data, name).to(device) for name in ("train_images", "train_labels", "test_images", "test_labels")
    }
    return dataclasses.replace(data, **tensors, info=dataclasses.replace(data.info, crop_padding=4, flip=True))


def run_of(variant, period=2, **recipe):
    regularizer = [{"name": "correlation", "weight": 0.01, "period": period}]
    config = parse_config(
        {
            "experiment": "e",
            "datasets": ["synthetic"],
            "architectures": ["base"],
            "variants": [variant],
            "seeds": [3],
            "define": {"Lr2": {"layer": "linear", "regularizers": regularizer}, "dcls": {"layer": "dcls"}},
            "recipe": {"overrides": [{"set": {"epochs": 3, "batch_size": 8, **recipe}}]},
        },
        "test",
    )
    return resolve_run(config, RunKey("synthetic", "base", variant, 3))


def trained(run, loop, device="cpu", callbacks=(), cuda_graph=False):
    training = prepare(run, data_with_crops(device), device, list(callbacks), cuda_graph=cuda_graph)
    training.loop = loop
    return fit(training)


def assert_same(a, b):
    assert a.history == b.history
    assert len(bits(a)) == len(bits(b))
    assert all(map(torch.equal, bits(a), bits(b)))


@pytest.mark.parametrize(
    ("variant", "recipe"),
    [
        ("conv", {}),
        ("Lr2", {"schedule": "cosine", "learning_rate": 0.01}),
        ("LRr", {"precision": "bf16", "batch_norm": "recalibrated"}),
        ("dcls", {"schedule": "cosine"}),  # with a rate and a projection of its own
        ("Lr2", {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.01}),
    ],
)
@pytest.mark.parametrize("capture", [CpuCapture, device_loop.Rerun])
def test_it_trains_to_the_same_bits(fused, variant, recipe, capture):
    run = run_of(variant, **recipe)
    wanted = trained(run, engine.Loop())
    host = NoDevice()
    found = trained(run, DeviceLoop(host, capture))
    assert_same(wanted, found)
    assert host.waits == 2 * run.recipe.epochs  # one for the steps of an epoch, one for its evaluation


def test_steps_of_a_cycle_are_one_launch(fused, monkeypatch):
    captured = []
    original = DeviceLoop._steps
    monkeypatch.setattr(
        DeviceLoop, "_steps", lambda self, t, kinds: captured.append(len(kinds)) or original(self, t, kinds)
    )
    trained(run_of("Lr2"), DeviceLoop(NoDevice(), CpuCapture))
    assert max(captured) == 2  # the cycle of a term that comes with every second step
    assert len(captured) < 3 * 8, "24 steps, and fewer calls: the others were replayed"


def test_a_callback_that_acts_after_each_step_is_called_in_time(fused):
    class Doubles(Callback):
        steps = 0

        def on_step_end(self, training):
            Doubles.steps += 1
            with torch.no_grad():
                next(training.model.parameters()).mul_(1.01)

    run = run_of("Lr2")
    wanted = trained(run, engine.Loop(), callbacks=[Doubles()])
    found = trained(run, DeviceLoop(NoDevice(), CpuCapture), callbacks=[Doubles()])
    assert Doubles.steps == 2 * wanted.step
    assert_same(wanted, found)


def test_the_whole_epoch_holds_the_batches():
    data = data_with_crops()
    source = BatchSource(data.train_images, data.train_labels, 8, data.info, augment=True, shuffle=True, seed=5)
    images, labels = source.whole(2)
    normalize = device_loop.Normalize(data.info, images.device)
    for number, (x, y) in enumerate(source(2)):
        here = slice(8 * number, 8 * number + 8)
        assert torch.equal(x, normalize(images[here]))
        assert torch.equal(y, labels[here])


@CUDA
@pytest.mark.parametrize("variant", ["conv", "Lr2", "LRr"])
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_on_a_gpu(variant, precision):
    set_numerics(1, precision=precision)
    run = run_of(variant, precision=precision)
    wanted = trained(run, engine.Loop(), "cuda")
    assert_same(wanted, trained(run, DeviceLoop(), "cuda", cuda_graph=True))
