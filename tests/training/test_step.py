"""One step at every precision, clipped or not, compiled or not."""

import functools

import pytest
import torch
from torch import nn

from linconv.config import Recipe, RunKey, parse_config, resolve_run
from linconv.config.errors import UserError
from linconv.data import load
from linconv.training.callbacks import CheckpointCallback
from linconv.training.checkpoint import restore_checkpoint
from linconv.training.engine import Training, evaluate, fit
from linconv.training.numerics import set_numerics
from linconv.training.run import prepare
from linconv.training.step import EagerStep, Term, make_optimizer
from tests.training.short import part_of


@pytest.fixture(autouse=True)
def _numerics():
    set_numerics(1)


class Seen(nn.Module):
    """A linear network that notes the type of its output."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 3)
        self.dtypes = set()

    def forward(self, x):
        out = self.linear(x)
        self.dtypes.add(out.dtype)
        return out


def data(*sizes, scale=1.0):
    generator = torch.Generator().manual_seed(0)
    return [
        (scale * torch.randn(n, 4, generator=generator), torch.randint(3, (n,), generator=generator)) for n in sizes
    ]


def training(recipe, batches, terms=(), callbacks=(), model=None):
    model = model or Seen()
    return Training(model, recipe, lambda e: iter(batches), lambda e: iter(batches), len(batches), terms, callbacks)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp32", torch.float32), ("tf32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_the_forward_pass_runs_at_the_recipes_precision_and_penalties_never_do(precision, dtype):
    penalties = set()

    def penalty(model):
        product = model.linear.weight @ model.linear.weight.T
        penalties.add(product.dtype)
        return product.sum()

    done = fit(training(Recipe(epochs=1, precision=precision), data(4, 3), [Term(penalty, 0.1, 1)]))
    assert done.model.dtypes == {dtype}, "in training and in evaluation"
    assert penalties == {torch.float32}
    assert done.model.linear.weight.dtype == done.model.linear.weight.grad.dtype == torch.float32
    name = None if dtype is torch.float32 else str(dtype).removeprefix("torch.")
    assert done.in_force()["autocast_dtype"] == name
    assert (done.in_force()["loss_scale"] is not None) == (precision == "fp16")


def test_evaluation_at_another_precision_gives_other_numbers():
    model, batches = Seen(), data(50)
    exact, rough = (evaluate(model, iter(batches), precision)[0] for precision in ("fp32", "bf16"))
    assert exact != rough
    assert rough == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_gradients_are_clipped_by_their_common_norm_after_unscaling(precision):
    recipe = Recipe(optimizer="sgd", learning_rate=1.0, epochs=1, clip_grad_norm=1e-3, precision=precision)
    clipped = training(recipe, data(8, scale=0.1))  # at 1 and above, scaled gradients are out of fp16's range
    before = [p.detach().clone() for p in clipped.model.parameters()]
    fit(clipped)
    moved = torch.cat([(a - b).detach().flatten() for a, b in zip(before, clipped.model.parameters(), strict=True)])
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-2)

    free = training(recipe.model_copy(update={"clip_grad_norm": None}), data(8, scale=0.1))
    fit(free)
    assert (free.model.linear.weight - before[0]).norm() > 0.01


class Overflowing(torch.autograd.Function):
    """The identity, whose gradient overflows as long as the loss is scaled by more than `limit`."""

    @staticmethod
    def forward(ctx, x, limit):
        ctx.limit = limit
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return (torch.where(grad.abs().sum() > ctx.limit, torch.inf, 1.0) * grad), None


class OverflowingNet(Seen):
    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def forward(self, x):
        return Overflowing.apply(super().forward(x).float(), self.limit)


@pytest.mark.parametrize("fused", [False, True])
def test_steps_skipped_by_the_scaler_are_no_divergence(fused, monkeypatch):
    from linconv.training import engine

    monkeypatch.setattr(engine, "make_optimizer", functools.partial(make_optimizer, fused=fused))
    recipe = Recipe(optimizer="sgd", learning_rate=0.1, epochs=2, precision="fp16")
    run = training(recipe, data(4, 4, 4, 4, 4), model=OverflowingNet(2.0**13))
    weights = []
    run.callbacks = [
        type(
            "Keep",
            (CheckpointCallback,),
            {
                "__init__": lambda self: None,
                "on_epoch_end": lambda self, t: None,
                "on_step_end": lambda self, t: weights.append(t.model.linear.weight.detach().clone()),
            },
        )()
    ]
    start = run.model.linear.weight.detach().clone()
    fit(run)
    assert torch.equal(weights[0], start), "the first step, at the full scale, is skipped"
    assert not torch.equal(weights[-1], start), "a later one, at a smaller scale, is not"
    assert run.stepper.scaler.get_scale() < 2.0**16
    assert not run.diverged
    assert run.epoch == 2


def test_a_scale_that_has_become_0_is_a_divergence():
    """Every step would be skipped from then on, without a word and at a finite loss."""
    run = training(Recipe(epochs=3, precision="fp16"), data(*[4] * 200), model=OverflowingNet(-1.0))
    fit(run)
    assert run.diverged
    assert run.epoch == 1
    assert run.history[0].train_loss is not None


def test_a_loss_that_is_not_finite_is_a_divergence_at_fp16_too():
    assert fit(training(Recipe(epochs=3, precision="fp16"), data(4, scale=1e30))).diverged


def test_the_scaler_continues_with_the_checkpoint(tmp_path):
    recipe = Recipe(epochs=4, precision="fp16", learning_rate=0.05)

    def run(epochs, folder):
        net = OverflowingNet(2.0**13)
        return training(
            recipe.model_copy(update={"epochs": epochs}), data(4, 4, 3), (), [CheckpointCallback(folder, "x")], net
        )

    whole = fit(run(4, tmp_path / "whole"))
    fit(run(2, tmp_path / "parts"))
    resumed = run(4, tmp_path / "parts")
    assert resumed.stepper.scaler.get_scale() == 2.0**16
    assert restore_checkpoint(tmp_path / "parts", resumed, "x")
    assert resumed.stepper.scaler.get_scale() < 2.0**16
    fit(resumed)
    assert resumed.history == whole.history
    assert torch.equal(resumed.model.linear.weight, whole.model.linear.weight)
    assert resumed.stepper.scaler.state_dict() == whole.stepper.scaler.state_dict()


def test_a_fused_optimizers_checkpoint_continues_an_ordinary_one(tmp_path, monkeypatch):
    """As when a run moves from a GPU to a CPU: how the optimizer works is not taken over with its state."""
    from linconv.training import engine

    with monkeypatch.context() as patch:
        patch.setattr(engine, "make_optimizer", functools.partial(make_optimizer, fused=True))
        fit(training(Recipe(epochs=1), data(4, 3), (), [CheckpointCallback(tmp_path, "x")]))
    resumed = training(Recipe(epochs=3), data(4, 3), (), [CheckpointCallback(tmp_path, "x")])
    assert restore_checkpoint(tmp_path, resumed, "x")
    (group,) = resumed.optimizer.param_groups
    assert not group["fused"]
    assert isinstance(group["lr"], float)
    assert fit(resumed).epoch == 3


def resolved(variant="LSr", **recipe):
    raw = {
        "experiment": "test",
        "datasets": ["synthetic"],
        "architectures": ["base"],
        "variants": [variant],
        "seeds": [0],
        "recipe": {"overrides": [{"set": {"epochs": 2, "batch_size": 30, **recipe}}]},
    }
    return resolve_run(parse_config(raw), RunKey("synthetic", "base", variant, 0))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    synthetic = load("synthetic", tmp_path_factory.mktemp("data"), device="cpu")
    return part_of(synthetic, train=80, test=40)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_seed_gives_the_same_bits(precision, small):
    one, two = (fit(prepare(resolved(precision=precision), small, "cpu")) for _ in range(2))
    assert one.history == two.history
    states = one.model.state_dict(), two.model.state_dict()
    assert all(torch.equal(a, b) for a, b in zip(*(s.values() for s in states), strict=True))


def test_precisions_differ_where_they_should(small):
    losses = [
        fit(prepare(resolved(precision=p, epochs=1), small, "cpu")).history[0].train_loss
        for p in ("fp32", "tf32", "bf16")
    ]
    assert losses[0] == losses[1] != losses[2], "TF32 is a matter of GPUs"
    assert losses[2] == pytest.approx(losses[0], rel=0.05)


def test_a_compiled_forward_pass_is_traced_whole_and_computes_the_same(small, monkeypatch):
    """Tracing is this code's part, so the compiler's own, slow and tested elsewhere, is left out."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    plain, traced = (fit(prepare(resolved(), small, "cpu", compile=on)) for on in (False, True))
    assert traced.forward is not traced.model
    assert traced.history == plain.history
    assert traced.model.state_dict().keys() == plain.model.state_dict().keys()
    assert traced.in_force()["compile"] is True


class Breaking(Seen):
    def forward(self, x):
        torch._dynamo.graph_break()
        return super().forward(x)


def test_a_network_that_cannot_be_compiled_whole_is_one_message(monkeypatch):
    batches = data(4)
    with pytest.raises(UserError, match=r"compile: this network cannot be compiled \(.*\); use false"):
        fit(Training(Breaking(), Recipe(epochs=1), lambda e: iter(batches), lambda e: iter(batches), 1, compile=True))


def test_the_fused_optimizer_takes_the_recipes_values():
    model = Seen()
    rate = make_optimizer(model, Recipe(learning_rate=0.5), fused=True).param_groups[0]["lr"]
    assert isinstance(rate, torch.Tensor)
    assert rate.item() == 0.5
    options = make_optimizer(
        model, Recipe(optimizer="sgd", momentum=0.9, nesterov=True, weight_decay=0.1), fused=True
    ).param_groups[0]
    assert (options["momentum"], options["nesterov"], options["weight_decay"]) == (0.9, True, 0.1)
    step = EagerStep(model, model, make_optimizer(model, Recipe(), fused=True), Recipe())
    step.set_learning_rate(0.25)
    assert step.optimizer.param_groups[0]["lr"].item() == 0.25
