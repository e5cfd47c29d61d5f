"""One process, one run, one result file: trains, measures, and writes the result last."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from linconv.config import Config, ResolvedRun
from linconv.config.methods import method_version
from linconv.config.parts import run_parts
from linconv.measure.complexity import complexity
from linconv.measure.origin import COMMIT, DIRTY, machine
from linconv.measure.redundancy import correlation_matrix, filter_banks, redundancy
from linconv.measure.treatment import first_step, trained_macs
from linconv.results import Provenance, RunMetrics, RunResult, RunWarning, write_result
from linconv.results.arrays import write_npz
from linconv.results.code import code_hash
from linconv.results.files import check_writable
from linconv.results.outcomes import FILE
from linconv.results.provenance import now_utc, peak_memory_mib, versions
from linconv.results.run_folder import (
    CORRELATIONS,
    PREVIOUS,
    REPLACED,
    RESULT,
    WEIGHTS,
    begin_anew,
    finished,
    is_of_this_code,
    locked,
)
from linconv.stopping import listening
from linconv.training.callbacks import BestEpoch, ProcessLog
from linconv.training.checkpoint import write_torch
from linconv.training.distributed import Team, check_team, joined
from linconv.training.engine import Training
from linconv.training.memory import is_out_of_memory, not_enough_memory
from linconv.training.numerics import asked, check_device, numerics, set_numerics
from linconv.training.outcomes import write_image_outcomes
from linconv.training.pruning import PruningCallback
from linconv.training.run import count_parameters, final_layers, initial_network, train, where_never_orthogonal

log = logging.getLogger("linconv")


def perform_run(
    run: ResolvedRun,
    config: Config,
    folder: Path,
    device: str,
    *,
    command: str,
    progress: bool = False,
    force: bool = False,
) -> RunResult:
    """Train a run in `folder`, measure its filters, and write result.json and the files that belong to it there.

    A result of the same configuration and code that is there already is returned as it is. The last checkpoint stays:
    whoever loses the result of a process that was killed as it ended has it again in a moment.

    Args:
        device: "cpu" or "cuda", already reserved.
        command: the command line that reproduces the result.
        progress: show a bar where standard error is a terminal.
        force: train even so, from the start; where no result is there, an interrupted training goes on.

    Raises:
        linconv.data.DataError: the data set is missing or damaged.
        linconv.stopping.StopRequested: SIGTERM or SIGINT came.
        OSError: the folder cannot be written to, or the system does not give a file.
        linconv.training.memory.NotEnoughMemoryError: it needs more memory than there is.
        linconv.training.distributed.ProcessLostError: another process of the run has ended.
        UserError: it asks for what `device` cannot do.
    """
    check_device(config, run.recipe, device)
    try:
        with listening(), joined(device) as team:
            check_team(run, config, team.size)
            code = code_hash("run", run_parts(run))
            alike = {"configuration": run.hash, "code": code, "device": device, "version of torch": torch.__version__}
            team.require_same(alike)
            with team.in_first(lambda: locked(folder, wait=team.size == 1)):
                if (result := team.from_first(lambda: _begun(run, config, folder, force))) is not None:
                    log.info("%s: already there", run.key)
                    return result
                return _perform(run, config, folder, device, command, progress, team)
    except Exception as error:
        if is_out_of_memory(error):
            raise not_enough_memory(run, config, device, error) from error
        raise


def _begun(run: ResolvedRun, config: Config, folder: Path, force: bool) -> RunResult | None:
    """The result that is there; None, and a folder that is ready for a training."""
    if not force and (result := finished(folder, run, weights=config.keep_weights)) is not None:
        return result
    there = None if force else finished(folder, run, other_code=True)
    if there is not None and not is_of_this_code(there, run):
        log.info("%s: the result that is there is of other code; a new one will replace it", run.key)
    check_writable(folder, (RESULT, CORRELATIONS, WEIGHTS, FILE))  # which also removes leftovers
    if force:
        begin_anew(folder)
    return None


def _perform(
    run: ResolvedRun, config: Config, folder: Path, device: str, command: str, progress: bool, team: Team
) -> RunResult:
    set_numerics(config.threads, precision=run.recipe.precision, deterministic=config.deterministic)
    log.info("%s: %s, configuration %s, code %s", run.key, device, run.hash, code_hash("run", run_parts(run)))
    processes = ProcessLog(lambda training: describe_process(training, run, config, device))
    training = train(run, config, folder, device, process_log=processes, progress=progress, team=team)

    def finish() -> RunResult:
        result = finish_run(training, run, config, folder, device, command=command, processes=processes)
        (folder / PREVIOUS).unlink(missing_ok=True)
        return result

    return team.from_first(finish)


def finish_run(
    training: Training,
    run: ResolvedRun,
    config: Config,
    folder: Path,
    device: str,
    *,
    command: str,
    processes: ProcessLog,
    energy_joules: float | None = None,
) -> RunResult:
    """Measure a training that has ended, and write its files to `folder`, result.json last.

    Args:
        training: its `data` is the data set that it was trained on.
        processes: the log of processes that was among its callbacks.
        energy_joules: what the device took for it, where that was measured.
    """
    reported = take_reported_epoch(training)
    shape, classes = _sizes(training)
    initial = initial_network(run, classes, shape[0])
    before = filter_banks(initial, shape)
    warnings = run_warnings(run, final_layers(run, initial, classes, shape[0]))
    banks = [] if training.diverged else filter_banks(training.model, shape)
    kept = {
        f"layer{b.position}_{b.layer}": _quantised(b.filters) for b in banks if b.position in run.correlation_layers
    }
    metrics = _metrics(training, reported, shape)
    if training.data is not None:
        treatment = {
            "macs_trained": trained_macs(training, initial, shape),
            "first_step": _known(first_step(run, training, initial, shape)),
        }
        metrics = metrics.model_copy(update=treatment)
    for name in (RESULT, WEIGHTS):  # of an earlier training: no result may lie beside files of another
        (folder / name).unlink(missing_ok=True)
    write_npz(folder / CORRELATIONS, kept)
    outcomes, unstable = write_image_outcomes(training, run.recipe.precision, folder, metrics)
    weights = write_torch(folder / WEIGHTS, training.model.state_dict()) if config.keep_weights else None
    result = RunResult(
        status="diverged" if training.diverged else "ok",
        **run.key._asdict(),
        experiment=run.experiment,
        config_hash=run.hash,
        code_hash=code_hash("run", run_parts(run)),
        shared_code_hash=code_hash("run"),
        config=run.model_dump(mode="json"),
        data=None if training.data is None else training.data.content,
        metrics=metrics,
        rate_search=training.rate_search,
        outcomes=outcomes,
        weights_sha256=weights,
        history=training.history,
        layers=[redundancy(bank) for bank in banks],
        layers_before=[redundancy(bank) for bank in before],
        warnings=[*warnings, *unstable],
        provenance=_provenance(training, command, processes, energy_joules),
    )
    write_result(folder / RESULT, result)
    (folder / REPLACED).unlink(missing_ok=True)
    return result


def run_warnings(run: ResolvedRun, layers: nn.Module) -> list[RunWarning]:
    """What whoever reads the result should know of the run; `layers` is a network with the layers it ends with."""
    never = where_never_orthogonal(run.definition.regularizers, layers) or ()
    found = [RunWarning(**warning._asdict()) for warning in never]
    return found + [RunWarning(code="recipe_unreached", message=part) for part in run.recipe.unreached]


def _provenance(
    training: Training,
    command: str,
    processes: ProcessLog,
    energy_joules: float | None,
) -> Provenance:
    earlier, last = processes.earlier, processes.describe(training)
    return Provenance(
        command=command,
        processes=last["processes"],
        versions=last["versions"],
        hardware=last["hardware"],
        numerics=last["numerics"],
        git_commit=last["git_commit"],
        git_dirty=last["git_dirty"],
        finished_utc=now_utc(),
        seconds=round(sum(p.seconds for p in earlier) + processes.seconds, 3),
        peak_memory_mib=_highest(last["peak_memory_mib"], *(e.peak_memory_mib for e in earlier)),
        peak_gpu_memory_mib=_highest(last["peak_gpu_memory_mib"], *(e.peak_gpu_memory_mib for e in earlier)),
        images_per_second=round(training.images / training.seconds, 1) if training.images else None,
        energy_joules=energy_joules,
        earlier_processes=earlier or None,
    )


def describe_process(training: Training, run: ResolvedRun, config: Config, device: str) -> dict[str, Any]:
    """What and how this process computes, see `EarlierProcess`."""
    outside = method_version(run.definition.layer)
    on_gpu = device == "cuda"
    return {
        "device": device,
        "processes": training.team.size,
        "versions": versions()
        | ({run.definition.layer: outside} if outside else {})
        | ({"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())} if on_gpu else {}),
        "hardware": machine(device),
        "numerics": {
            **numerics(),
            **training.in_force(),
            "channels_last": config.channels_last,
            "asked": asked(config, run.recipe),
        },
        "git_commit": COMMIT,
        "git_dirty": DIRTY,
        "peak_memory_mib": peak_memory_mib(),
        "peak_gpu_memory_mib": round(torch.cuda.max_memory_allocated() / 2**20, 1) if on_gpu else None,
    }


@torch.no_grad()
def _sizes(training: Training) -> tuple[tuple[int, int, int], int]:
    """The shape of the images that the network takes, (c, h, w), and the number of its classes."""
    images = next(training.test_batches(0))[0][:1]
    channels, height, width = images.shape[1:]
    return (channels, height, width), training.model.eval()(images).shape[1]


def take_reported_epoch(training: Training) -> BestEpoch | None:
    """Give the model the weights of the epoch to report: the one chosen, which is returned, else those it has."""
    chosen = next((c for c in training.callbacks if isinstance(c, BestEpoch)), None)
    if chosen is None or training.diverged:
        return None
    training.model.load_state_dict(chosen.model)
    log.info("epoch %d is reported: validation top-1 %.2f %%", chosen.epoch, chosen.top1)
    return chosen


def _metrics(training: Training, chosen: BestEpoch | None, shape: tuple[int, int, int]) -> RunMetrics:
    reported = training.history[-1] if chosen is None else training.history[chosen.epoch - 1]
    params, in_use, sparsity = count_parameters(training.model)
    # one that diverged before the pruning step is still the plain network
    is_cut = any(isinstance(c, PruningCallback) and c.kept is not None for c in training.callbacks)
    return RunMetrics(
        top1=None if training.diverged else reported.test_top1,
        test_loss=reported.test_loss,
        epoch=reported.epoch,
        params=params,
        params_nonzero=in_use,
        train_loss=reported.train_loss,
        train_top1=reported.train_top1,
        coefficient_sparsity=sparsity,
        selection="last" if chosen is None else "best_validation",
        macs=complexity(training.model, shape).macs_folded if is_cut else None,
    )


def _known(value: float | None) -> float | None:
    """The value, None where it is not finite."""
    return value if value is not None and math.isfinite(value) else None


def _highest(*values: float | None) -> float | None:
    """The largest of the values that are known; None where none is."""
    return max((value for value in values if value is not None), default=None)


def _quantised(filters: torch.Tensor) -> np.ndarray:
    """Correlations in steps of 1/127, (N, N) int8: enough for a figure, an eighth of the space."""
    return (correlation_matrix(filters) * 127).round().to(torch.int8).numpy()
