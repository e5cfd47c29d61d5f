"""The loop: what it computes, what it leaves alone, and that it continues bit for bit."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from linconv import LinearConv2d, correlation_penalty
from linconv.config import VARIANTS, Recipe, Regularizer, RunKey, parse_config, resolve_run
from linconv.config.errors import UserError
from linconv.data import load
from linconv.layers import SparseCoefficients
from linconv.training.checkpoint import restore_checkpoint, save_checkpoint
from linconv.training.engine import Callback, Term, Training, evaluate, fit, make_optimizer
from linconv.training.numerics import numerics, set_numerics
from linconv.training.penalties import penalty_terms
from linconv.training.run import count_parameters, prepare
from linconv.training.schedules import learning_rate
from tests.training.short import part_of


@pytest.fixture(autouse=True)
def _numerics():
    set_numerics(1)


def resolved(variant="conv", architecture="base", dataset="synthetic", **recipe):
    raw = {
        "experiment": "test",
        "datasets": [dataset],
        "architectures": [architecture],
        "variants": [variant],
        "seeds": [0],
        "recipe": {"overrides": [{"set": {"epochs": 2, **recipe}}]},
    }
    if variant == "LSr":
        raw["define"] = {"LSr": {"extends": "LSr", "sparsity_schedule": {"period": 3, "step_size": 0.02}}}
    return resolve_run(parse_config(raw), RunKey(dataset, architecture, variant, 0))


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return load("synthetic", tmp_path_factory.mktemp("data"), device="cpu")


def tiny(recipe, batches, terms=(), callbacks=(), model=None):
    model = model or nn.Linear(4, 3)
    return Training(model, recipe, lambda e: iter(batches), lambda e: iter(batches), len(batches), terms, callbacks)


def data(*sizes):
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(n, 4, generator=generator), torch.randint(3, (n,), generator=generator)) for n in sizes]


def test_metrics_are_means_per_sample_with_a_ragged_last_batch():
    batches = data(5, 5, 2)
    recipe = Recipe(optimizer="sgd", learning_rate=1e-12, epochs=1)  # the model stays where it is
    training = fit(tiny(recipe, batches))
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    logits = training.model(x)
    (epoch,) = training.history
    loss = nn.functional.cross_entropy(logits, y).item()
    top1 = 100 * (logits.argmax(1) == y).double().mean().item()
    assert epoch.train_loss == pytest.approx(loss, rel=1e-5)
    assert epoch.test_loss == pytest.approx(loss, rel=1e-5)
    assert epoch.train_top1 == epoch.test_top1 == pytest.approx(top1)
    assert (training.step, training.epoch, epoch.penalty) == (3, 1, 0)


def test_a_term_joins_the_loss_on_every_period_th_step_only():
    calls = []

    def penalty(model):
        calls.append(model)
        return model.weight.sum()

    recipe = Recipe(optimizer="sgd", learning_rate=0.1, epochs=2)
    batches = [(torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64))] * 5  # x = 0: only the term moves the weight
    training = tiny(recipe, batches, [Term(penalty, 0.5, 3)])
    before = training.model.weight.detach().clone()
    fit(training)
    assert len(calls) == 4, "steps 0, 3, 6, 9"
    torch.testing.assert_close(training.model.weight.detach(), before - 4 * 0.1 * 0.5)
    assert training.history[0].penalty is not None
    assert training.history[0].penalty != 0


def test_an_epoch_equals_hand_written_steps():
    batches = data(4, 4, 3)
    recipe = Recipe(learning_rate=0.01, epochs=2)
    torch.manual_seed(0)
    training = fit(tiny(recipe, batches))
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for x, y in batches * 2:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert torch.equal(training.model.weight, model.weight)


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ({"schedule": "constant"}, [1, 1, 1, 1, 1, 1]),
        ({"schedule": "multistep", "milestones": (1, 2)}, [1, 1, 0.1, 0.1, 0.01, 0.01]),
        ({"schedule": "cosine"}, [(1 + math.cos(math.pi * s / 6)) / 2 for s in range(6)]),
        ({"schedule": "constant", "warmup_epochs": 1}, [0.5, 1, 1, 1, 1, 1]),
        (
            {"schedule": "cosine", "warmup_epochs": 1},
            [0.5, 1, *((1 + math.cos(math.pi * s / 4)) / 2 for s in range(4))],
        ),
    ],
)
def test_learning_rates(recipe, expected):
    recipe = Recipe(learning_rate=1, epochs=3, **recipe)
    rates = [learning_rate(recipe, epoch, batch, 2) for epoch in range(3) for batch in range(2)]
    assert rates == pytest.approx(expected)


def test_a_loss_that_is_not_finite_ends_the_training_as_diverged():
    batches = [(torch.full((2, 4), math.inf), torch.zeros(2, dtype=torch.int64))]
    training = fit(tiny(Recipe(epochs=5), batches))
    assert training.diverged
    assert training.epoch == len(training.history) == 1
    assert training.history[0].train_loss is None


def test_evaluation_advances_neither_the_sparse_schedule_nor_any_parameter(synthetic):
    run = resolved("LSr")
    training = prepare(run, synthetic, "cpu")
    (callback,) = training.callbacks
    per_epoch = -(-len(synthetic.train_labels) // 50)
    fit(training)
    assert callback.schedule.steps == training.step == 2 * per_epoch
    sparse = [m for m in training.model.modules() if isinstance(m, SparseCoefficients)]
    assert sum(m.params_nonzero for m in sparse) < sum(m.weight.numel() for m in sparse)
    total, in_use, sparsity = count_parameters(training.model)
    masked = sum(int((~m.mask).sum()) for m in sparse)
    assert total - in_use == masked
    assert sparsity == masked / sum(m.mask.numel() for m in sparse)
    before = {k: v.clone() for k, v in training.model.state_dict().items()}
    evaluate(training.model, training.test_batches(0))
    assert not training.model.training
    assert all(torch.equal(v, before[k]) for k, v in training.model.state_dict().items()), "running statistics too"


def test_the_variants_schedule_and_regularizer_options_reach_the_training(synthetic):
    training = prepare(resolved("LSr"), synthetic, "cpu")
    schedule = training.callbacks[0].schedule
    assert (schedule.period, schedule.step_size) == (3, 0.02)
    layer = LinearConv2d(3, 8, 3)
    (mean,) = penalty_terms((Regularizer(name="correlation", mode="normalized", weight=0.5, period=2),))
    assert (mean.weight, mean.period) == (0.5, 2)
    assert mean.penalty(layer) == correlation_penalty(layer, "normalized") != correlation_penalty(layer)


def test_weight_decay_scaled_by_the_parameters_kept(synthetic):
    sizes = {}
    for variant in ("conv", "LRr"):
        for scaled in (False, True):
            run = resolved(variant, scale_weight_decay=scaled, weight_decay=0.01)
            training = prepare(run, synthetic, "cpu")
            sizes[variant] = count_parameters(training.model)[0]
            expected = 0.01 * (sizes[variant] / sizes["conv"] if scaled else 1)
            assert training.optimizer.param_groups[0]["weight_decay"] == pytest.approx(expected)
            assert training.in_force()["weight_decay"] == pytest.approx(expected)
    assert sizes["LRr"] < 0.7 * sizes["conv"]
    with pytest.raises(ValueError, match="scale_weight_decay needs plain_params"):
        make_optimizer(nn.Linear(2, 2), Recipe(weight_decay=0.1, scale_weight_decay=True))


def test_augmentation_follows_the_configuration(synthetic):
    info = dataclasses.replace(synthetic.info, crop_padding=4, flip=True)
    data = dataclasses.replace(synthetic, info=info)
    run = resolved()
    on, off = (prepare(run.model_copy(update={"augment": a}), data, "cpu") for a in (True, False))
    (x, y), (plain, same_y) = next(on.train_batches(0)), next(off.train_batches(0))
    assert torch.equal(y, same_y)
    assert not torch.equal(x, plain)
    assert torch.equal(next(on.test_batches(0))[0], next(off.test_batches(0))[0])


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ({"optimizer": "adam", "weight_decay": 0.1}, {"weight_decay": 0.1}),
        (
            {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
            {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
        ),
    ],
)
def test_the_optimizer_is_the_recipes(recipe, expected):
    optimizer = make_optimizer(nn.Linear(2, 2), Recipe(learning_rate=0.5, **recipe))
    assert type(optimizer).__name__.lower() == recipe["optimizer"]
    assert expected.items() <= optimizer.param_groups[0].items()
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_what_decides_the_bits_is_set_and_recorded():
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    set_numerics(1)
    found = numerics()
    assert (found["tf32_matmul"], found["tf32_cudnn"], found["deterministic_algorithms"]) == (False, False, True)


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_memory_layout_is_the_configurations(channels_last, synthetic):
    training = prepare(resolved(), synthetic, "cpu", channels_last=channels_last)
    tensors = [training.model.features.conv2.weight, next(training.train_batches(0))[0]]
    assert all(t.is_contiguous(memory_format=torch.channels_last) == channels_last for t in tensors)


def test_dropout_draws_are_shared_by_the_variants_of_a_seed(synthetic):
    draws = []
    for variant in ("conv", "LRr"):
        prepare(resolved(variant, "allconv"), synthetic, "cpu")
        draws.append(torch.rand(4))
    assert torch.equal(*draws)


def test_a_variant_that_replaces_nothing_is_refused(synthetic):
    run = resolved("L")
    definition = run.definition.model_copy(update={"include": ("feature.*",)})
    with pytest.raises(UserError, match="variant 'L' replaces no convolution of base"):
        prepare(run.model_copy(update={"definition": definition}), synthetic, "cpu")


class StopAfter(Callback):
    """Simulates a process that dies after an epoch, its checkpoint written."""

    def __init__(self, epoch, folder, identity):
        self.epoch, self.folder, self.identity = epoch, folder, identity

    def on_epoch_end(self, training):
        save_checkpoint(self.folder, training, self.identity)
        if training.epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("variant", "architecture"), [("LSr", "base"), ("LRr", "allconv")])  # allconv: dropout
def test_an_interrupted_training_continues_bit_for_bit(variant, architecture, synthetic, tmp_path):
    run = resolved(variant, architecture, epochs=2, batch_size=25, schedule="cosine")
    small = part_of(synthetic, train=50, test=20)
    whole = fit(prepare(run, small, "cpu"))

    with pytest.raises(KeyboardInterrupt):
        fit(prepare(run, small, "cpu", [StopAfter(1, tmp_path, run.hash)]))
    torch.manual_seed(12345)  # a new process starts with another random state
    resumed = prepare(run, small, "cpu", [Callback()])
    assert restore_checkpoint(tmp_path, resumed, run.hash)
    assert resumed.epoch == 1
    fit(resumed)
    assert resumed.history == whole.history
    for (name, a), b in zip(resumed.model.state_dict().items(), whole.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_variants_of_a_seed_share_batches_and_everything_but_the_convolutions(synthetic):
    plain, linear = (prepare(resolved(v), synthetic, "cpu") for v in ("conv", "Lr"))
    for (xa, ya), (xb, yb) in zip(plain.train_batches(3), linear.train_batches(3), strict=True):
        assert torch.equal(xa, xb)
        assert torch.equal(ya, yb)
    a, b = plain.model.state_dict(), linear.model.state_dict()
    shared = [k for k in a.keys() & b.keys() if "conv" not in k]
    assert any("classifier" in k for k in shared)
    assert all(torch.equal(a[k], b[k]) for k in shared)
    assert len(linear.terms) == len(VARIANTS["Lr"].regularizers) == 1
    assert linear.terms[0].period == 10
