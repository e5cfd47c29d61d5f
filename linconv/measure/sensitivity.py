"""How much a network suffers where one of its convolutions is replaced: a short probe, layer by layer.

The plain network is trained for a few epochs; then each convolution by itself is replaced, from its trained filters
where the method can, and trained alone for a few steps. Losses are those of a part of the training images that
neither saw; test images are never looked at.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from linconv.config import Config, ResolvedRun, ValidationOptions, Variant
from linconv.config.errors import UserError
from linconv.config.methods import method_version
from linconv.data import Dataset, hold_out, load, loader_failures
from linconv.layers import fitting_init, replaced_layers
from linconv.measure.one_layer import measure_layers
from linconv.measure.origin import COMMIT, DIRTY, machine
from linconv.models import build_model, replace_convolutions
from linconv.results import Provenance
from linconv.results.kinds.sensitivity import (
    LayerSensitivity,
    Sensitivities,
    SensitivityKey,
    SensitivityResult,
    probe_run,
)
from linconv.results.provenance import now_utc, versions
from linconv.training.engine import Training, evaluate, fit
from linconv.training.memory import is_out_of_memory, not_enough_memory
from linconv.training.numerics import asked, check_device, numerics, set_numerics
from linconv.training.run import prepare
from linconv.training.step import EagerStep, make_optimizer


def measure_sensitivity(
    config: Config, key: SensitivityKey, *, device: str, threads: int | None = None, command: str
) -> SensitivityResult:
    """The increase in validation loss, and the parameters saved, for each layer that a variant replaces.

    Args:
        config: an experiment with `sensitivity`; without `validation` a tenth of the training images is held out.
        device: "cpu" or "cuda", already reserved.
        threads: CPU threads; None takes those of the configuration.
        command: the command line that repeats this.

    Raises:
        linconv.data.DataError: the data set is missing or damaged.
        linconv.training.memory.NotEnoughMemoryError: it needs more memory than there is.
        UserError: the variant replaces nothing, the probe diverged, or `device` cannot do what is asked.
    """
    started = time.perf_counter()
    assert config.sensitivity is not None
    steps = config.sensitivity.steps
    run = probe_run(config, key)
    check_device(config, run.recipe, device)
    set_numerics(threads or config.threads, precision=run.recipe.precision, deterministic=config.deterministic)
    definition = config.known_variants[key.variant]
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    try:
        with loader_failures():
            data = _without_test_part(run, config, device)
            names = _names(key, definition, data)
            training = _trained(run, config, data, device)
            val_loss, val_top1 = _evaluate(training, training.model)
            layers = _measure(training, run, definition, names, steps, layout)
    except Exception as error:
        if is_out_of_memory(error):
            raise not_enough_memory(run, config, device, error) from error
        raise
    outside = method_version(definition.layer)
    return SensitivityResult(
        **key._asdict(),
        definition=definition.model_dump(mode="json"),
        start=fitting_init(definition),
        steps=steps,
        params=sum(p.numel() for p in training.model.parameters()),
        val_loss=val_loss,
        val_top1=val_top1,
        layers=layers,
        config=run.model_dump(mode="json"),
        config_hash=run.hash,
        **Sensitivities().identity(config, key),
        provenance=Provenance(
            command=command,
            versions=versions() | ({definition.layer: outside} if outside else {}),
            hardware=machine(device),
            numerics={**numerics(), "channels_last": config.channels_last, "asked": asked(config, run.recipe)},
            git_commit=COMMIT,
            git_dirty=DIRTY,
            finished_utc=now_utc(),
            seconds=round(time.perf_counter() - started, 3),
        ),
    )


def train_alone(training: Training, model: nn.Module, layer: str, steps: int) -> nn.Module:
    """Train one layer of a network in place for some steps at the recipe's first rate; all else is as in evaluation.

    Args:
        training: a finished one, whose recipe counts and whose batches go on with the epochs after its last.
        model: like the one it trained; running means of batch normalization stay, dropout is off.
        layer: name of the layer.
    """
    own = {p for p in model.get_submodule(layer).parameters() if p.requires_grad}
    for parameter in model.parameters():
        parameter.requires_grad_(parameter in own)
    if not (own and steps):
        return model
    optimizer = make_optimizer(model, training.recipe, plain_params=training.plain_params)
    step = EagerStep(model, model, optimizer, training.recipe)
    step.set_learning_rate(training.recipe.learning_rate)
    model.eval().get_submodule(layer).train()
    for x, y in itertools.islice(_further_batches(training), steps):
        step(x, y)
    return model


def _without_test_part(run: ResolvedRun, config: Config, device: str) -> Dataset:
    """The training images, a part of them held out in the place where a training looks for test images."""
    data = load(
        run.dataset, config.data_folder, device=device, imagefolder=run.imagefolder, workers=config.loader_workers
    )
    data = hold_out(data, run.validation or ValidationOptions())
    assert data.validation_images is not None
    assert data.validation_labels is not None
    return replace(
        data,
        test_images=data.validation_images,
        test_labels=data.validation_labels,
        validation_images=None,
        validation_labels=None,
    )


def _names(key: SensitivityKey, definition: Variant, data: Dataset) -> list[str]:
    with torch.device("meta"):
        model = build_model(key.architecture, definition, num_classes=data.info.classes, in_channels=data.info.channels)
    names = replaced_layers(model)
    if not names:
        raise UserError(f"variant '{key.variant}' replaces no convolution of {key.architecture}; nothing to measure")
    return names


def _trained(run: ResolvedRun, config: Config, data: Dataset, device: str) -> Training:
    training = fit(prepare(run, data, device, channels_last=config.channels_last))
    if training.diverged:
        raise UserError(
            f"the plain network diverged in epoch {training.epoch} of the probe; set a smaller learning_rate in "
            "recipe.overrides"
        )
    return training


def _measure(
    training: Training,
    run: ResolvedRun,
    definition: Variant,
    names: Sequence[str],
    steps: int,
    layout: torch.memory_format,
) -> list[LayerSensitivity]:
    def replace(model: nn.Module, variant: Variant, **options: Any) -> nn.Module:
        return replace_convolutions(run.architecture, model, variant, **options).to(memory_format=layout)

    measured = measure_layers(
        training.model,
        definition,
        names,
        lambda model: _evaluate(training, model)[0],
        replace=replace,
        tune=lambda model, name: train_alone(training, model, name, steps),
        seed=run.seed,
    )
    return [
        LayerSensitivity(
            layer=found.layer,
            params=found.params,
            params_saved=found.params_saved,
            val_loss_plain=_finite(found.loss_plain),
            val_loss=_finite(found.loss),
        )
        for found in measured
    ]


def _finite(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None


def _further_batches(training: Training) -> Iterator[tuple[Tensor, Tensor]]:
    return itertools.chain.from_iterable(training.train_batches(epoch) for epoch in itertools.count(training.epoch))


def _evaluate(training: Training, model: nn.Module) -> tuple[float, float]:
    """Loss and accuracy on the validation part, which `_without_test_part` put there."""
    return evaluate(model, training.test_batches(0), training.recipe.precision)
