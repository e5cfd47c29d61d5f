"""One training run, from its description to the trained network."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from linconv.config import VARIANTS, Config, Regularizer, ResolvedRun
from linconv.config.errors import UserError
from linconv.config.methods import PLAIN
from linconv.config.parts import run_parts
from linconv.data import (
    BatchSource,
    Dataset,
    Images,
    LoaderError,
    data_facts,
    hold_out,
    input_size,
    load,
    loader_failures,
)
from linconv.layers import (
    LayerWarning,
    SparseCoefficients,
    network_warnings,
    replaced_layers,
    set_mode,
)
from linconv.models import build_model
from linconv.results.code import code_hash
from linconv.stopping import deferred
from linconv.training.callbacks import (
    BestEpoch,
    CheckpointCallback,
    LogLines,
    ProcessLog,
    ProgressBar,
    SparsityCallback,
    TrainingStoppedError,
)
from linconv.training.checkpoint import restore_team
from linconv.training.device_loop import DeviceLoop
from linconv.training.distributed import Team
from linconv.training.engine import Callback, Loop, Training, fit
from linconv.training.penalties import penalty_terms
from linconv.training.pruning import PruningCallback
from linconv.training.rates import choose_rate
from linconv.training.warm_start import WarmStart

log = logging.getLogger("linconv")
EVALUATION_BATCH = 500


def count_plain_parameters(run: ResolvedRun, classes: int, channels: int) -> int:
    """The parameters of the run's network with plain convolutions; nothing is drawn for it."""
    with torch.device("meta"):
        plain = build_model(run.architecture, VARIANTS["conv"], num_classes=classes, in_channels=channels)
    return sum(p.numel() for p in plain.parameters())


def where_never_orthogonal(regularizers: tuple[Regularizer, ...], model: nn.Module) -> list[LayerWarning] | None:
    """The layers that no filters make an orthogonal convolution; None where no regularizer asks for one."""
    asked = any(regularizer.name == "conv_orthogonal" for regularizer in regularizers)
    return network_warnings(model, regularizers) if asked else None


def warn_where_never_orthogonal(regularizers: tuple[Regularizer, ...], model: nn.Module) -> None:
    """A line in the log for every layer of `where_never_orthogonal`."""
    for _, layer, reason in where_never_orthogonal(regularizers, model) or ():
        log.warning("conv_orthogonal: no filters make layer %s orthogonal: %s", layer or "(the model)", reason)


def initial_network(run: ResolvedRun, classes: int, channels: int) -> nn.Module:
    """The network of a run as its seed draws it, on the CPU; before a warm start, the plain one."""
    torch.manual_seed(run.seed)
    definition = run.definition if run.definition.warm_start is None else VARIANTS["conv"]
    return build_model(run.architecture, definition, num_classes=classes, in_channels=channels)


def final_layers(run: ResolvedRun, initial: nn.Module, classes: int, channels: int) -> nn.Module:
    """A network with the layers that a run ends with, to look at their shapes; `initial` is the one it begins with."""
    if run.definition.warm_start is None:
        return initial
    with torch.device("meta"):
        return build_model(run.architecture, run.definition, num_classes=classes, in_channels=channels)


def prepare(
    run: ResolvedRun,
    data: Dataset,
    device: str,
    callbacks: list[Callback] | None = None,
    *,
    channels_last: bool = True,
    compile: bool = False,
    cuda_graph: bool = False,
    team: Team | None = None,
) -> Training:
    """The training of a run at its start. The seed decides the initial parameters, dropout, and every batch.

    The plain network is drawn first and its convolutions are replaced afterwards, so that variants of one seed share
    the initial values of all else; the seed is set again after that, so that they share dropout's draws too.
    """
    sizes = data.info.classes, data.info.channels
    model = initial_network(run, *sizes)
    if run.definition.layer != PLAIN and not replaced_layers(final_layers(run, model, *sizes)):
        raise UserError(
            f"variant '{run.variant}' replaces no convolution of {run.architecture}; see its include, exclude"
        )
    callbacks = list(callbacks or ())
    terms = penalty_terms(run.definition.regularizers)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    if run.definition.changed_by and (compile or cuda_graph):
        raise UserError(
            f"variant '{run.variant}': {run.definition.changed_by} changes the network while it is trained; use "
            "compile: false and cuda_graph: false"
        )
    if run.definition.pruning is not None:
        shape = (data.info.channels, input_size(data.info), input_size(data.info))
        pruning = PruningCallback(model, shape, run.definition.pruning, run.recipe.epochs)
        callbacks.append(pruning)
        terms += pruning.terms
    if run.definition.warm_start is not None:
        callbacks.append(WarmStart(run, layout))
    model = model.to(device).to(memory_format=layout)
    torch.manual_seed(run.seed)

    # larger images by the batch: what trains in memory is evaluated in it
    evaluation_batch = EVALUATION_BATCH if input_size(data.info) <= 32 else run.recipe.batch_size

    def source(images: Images, labels: Tensor, batch_size: int = evaluation_batch, **options: Any) -> BatchSource:
        return BatchSource(images, labels, batch_size, data.info, layout, **options)

    validation_batches = None
    if data.validation_images is not None and data.validation_labels is not None:
        validation_batches = source(data.validation_images, data.validation_labels)
    if run.definition.sparsity_schedule is not None:
        callbacks.append(SparsityCallback(run.definition.sparsity_schedule))
    return Training(
        model=model,
        recipe=run.recipe,
        train_batches=source(
            data.train_images,
            data.train_labels,
            run.recipe.batch_size,
            augment=run.augment,
            shuffle=True,
            seed=run.seed,
        ),
        test_batches=source(data.test_images, data.test_labels),
        batches_per_epoch=-(-len(data.train_labels) // run.recipe.batch_size),
        terms=terms,
        callbacks=callbacks,
        compile=compile,
        cuda_graph=cuda_graph,
        plain_params=count_plain_parameters(run, *sizes) if run.recipe.scale_weight_decay else None,
        validation_batches=validation_batches,
        data=data,
        team=team or Team(),
    )


def load_data(run: ResolvedRun, config: Config, device: str) -> Dataset:
    """The data set of a run on the device, its validation part held out where the run has one.

    Raises:
        linconv.data.DataError: the data set is missing or damaged.
    """
    data = load(
        run.dataset,
        config.data_folder,
        device=device,
        imagefolder=run.imagefolder,
        workers=config.loader_workers,
        split=run.split,
    )
    return data if run.validation is None else hold_out(data, run.validation)


def train(
    run: ResolvedRun,
    config: Config,
    folder: Path,
    device: str,
    *,
    callbacks: Sequence[Callback] = (),
    process_log: ProcessLog,
    progress: bool = False,
    data: Dataset | None = None,
    loop: Loop | None = None,
    show: Callback | None = None,
    checkpoint_seconds: float = 0.0,
    form: str = "auto",
    signals: bool = True,
    team: Team | None = None,
) -> Training:
    """Train one run, resuming from a checkpoint in `folder` where one belongs to it: same configuration, code and data.

    Of `config` only what leaves the run's identity alone is used: where the data lie, the memory layout.

    Args:
        callbacks: come first; also in the trials of a search for the learning rate.
        process_log: goes into the checkpoints.
        progress: show a bar where standard error is a terminal.
        data: the data set on the device, from `load_data`; None loads it.
        loop: brings the batches to the network; None takes the one that fits the device and the data.
        show: shows the progress in place of the bar or the log's lines.
        checkpoint_seconds: the least time between two checkpoints.
        form: the exact form that LinearConv layers of mode "auto" train in: "auto", "weight" or "feature".
        signals: a request of `linconv.stopping` ends it after the step in progress, or after an evaluation, whose
            epoch is then finished; needs the main thread.
        team: the processes that train it; None: this one alone.

    Raises:
        linconv.data.DataError: the data set is missing or damaged, or a process that decodes images died.
        UserError: the variant's patterns leave every convolution of the network plain, or the processes of the team
            have other data each.
        TrainingStoppedError: a signal or a callback stopped it.
    """
    data = load_data(run, config, device) if data is None else data
    if team is not None and team.size > 1:
        team.require_same(data_facts(data))
    if show is None:
        show = ProgressBar(str(run.key), Console(stderr=True)) if progress and sys.stderr.isatty() else LogLines()
    identity = f"configuration {run.hash}, code {code_hash('run', run_parts(run))}, data {data.digest}"
    # Saved before it is shown: an epoch that the log reports is never trained again.
    chosen = [BestEpoch()] if run.report_epoch == "best_validation" else []
    checkpoints = CheckpointCallback(folder, identity, checkpoint_seconds)

    def start(described: ResolvedRun, seen: Dataset, *more: Callback) -> Training:
        training = prepare(
            described,
            seen,
            device,
            [*callbacks, *more],
            channels_last=config.channels_last,
            compile=config.compile,
            cuda_graph=config.cuda_graph,
            team=team,
        )
        if form != "auto" and run.definition.linear is not None and run.definition.linear.mode == "auto":
            set_mode(training.model, form)
        in_memory = isinstance(seen.train_images, Tensor) and isinstance(seen.test_images, Tensor)
        training.loop = loop or (DeviceLoop() if config.cuda_graph and in_memory else Loop())
        return training

    choice = None
    if run.rate_search is not None:
        choice = choose_rate(run, data, lambda trial, seen: _to_the_end(start(trial, seen)), folder, identity, team)
        run = run.model_copy(update={"recipe": run.recipe.model_copy(update={"learning_rate": choice.chosen})})
    training = start(run, data, *chosen, process_log, checkpoints, show)
    training.rate_search = choice
    last = final_layers(run, training.model, data.info.classes, data.info.channels)
    warn_where_never_orthogonal(run.definition.regularizers, last)
    for part in run.recipe.unreached:
        log.warning("recipe: %s; shorten a preset by epochs_factor, which scales both", part)
    if name := restore_team(folder, training, identity):
        log.info("continuing after epoch %d from %s", training.epoch, name)

    def stop() -> None:
        training.stop = True

    with deferred(lambda: training.team.request(stop)) if signals else nullcontext():
        if _to_the_end(training).stop:
            raise TrainingStoppedError(
                f"interrupted after epoch {training.epoch}/{run.recipe.epochs}; the same command continues it"
            )
    return training


def _to_the_end(training: Training) -> Training:
    """Train until the last epoch, or until a callback stops it."""
    try:
        with loader_failures():
            return fit(training)
    except LoaderError:
        if not (training.stop or training.team.asked):  # the signal that stops it may have reached its workers too
            raise
        training.stop = True
        return training


def count_parameters(model: nn.Module) -> tuple[int, int, float | None]:
    """All parameters; those in use, masked coefficients being zero; the share of sparse coefficients that is zero."""
    total = sum(p.numel() for p in model.parameters())
    sparse = [m for m in model.modules() if isinstance(m, SparseCoefficients)]
    coefficients = sum(m.weight.numel() for m in sparse)
    masked = coefficients - sum(m.params_nonzero for m in sparse)
    return total, total - masked, masked / coefficients if sparse else None
