"""What each job of the pipeline asks of a machine or of a scheduler: decided by the configuration alone."""

from __future__ import annotations

from typing import NamedTuple

from linconv.catalogue.datasets import DATASETS
from linconv.catalogue.measurements import MEASUREMENTS
from linconv.config.names import check_known
from linconv.config.needs import REPORTING, RULES, TRAINING, NeedsOptions
from linconv.config.schema import Config

DRAWING = 4  # processes that draw figures side by side, as far as there are cores
DAY, HOUR = 1440, 60
TRAINED, BESIDE, MEASURED = 16_000, 4_000, 4_000  # MiB: of a training, of each beside it in one process, of the others


class Needs(NamedTuple):
    """What a job asks for. `alone`: nothing else may run on its machine; `queued`: it goes to the scheduler."""

    threads: int
    mem_mb: int
    runtime: int
    gpu: int
    alone: bool
    queued: bool


def needs_of(config: Config, rule: str, dataset: str | None = None) -> Needs:
    """What a job of a rule asks for, on every machine and from every machine.

    `device` decides on the GPU: `cpu` asks for none, `cuda` and `auto` ask for one wherever one can be used, unless
    `needs` of the rule says otherwise. A reporting rule runs beside Snakemake unless `needs` names it.

    Args:
        dataset: the data set of a training, whose images may need processes that decode them; all without it.
    """
    check_known([rule], RULES, "rule")
    options = config.needs.get(rule, NeedsOptions())
    measurement = MEASUREMENTS.get(rule)
    training = rule in TRAINING or (measurement is not None and measurement.trains)
    on_device = rule in TRAINING or (measurement is not None and measurement.on_device)
    gpu = int(on_device and config.device != "cpu") if options.gpu is None else options.gpu
    side_by_side = config.runs_per_gpu if rule == "work" and gpu else 1
    threads = config.threads
    if rule in TRAINING and _is_streamed(config, dataset):
        threads += side_by_side * config.loader_workers
    elif rule in REPORTING:
        threads = DRAWING if rule in ("render", "partial") else 1
    memory = TRAINED + (side_by_side - 1) * BESIDE if training else MEASURED
    return Needs(
        threads=options.threads or threads,
        mem_mb=options.mem_mb or memory,
        runtime=options.runtime or (DAY if training else HOUR),
        gpu=gpu,
        alone=measurement is not None and measurement.alone,
        queued=rule not in REPORTING or rule in config.needs,
    )


def _is_streamed(config: Config, dataset: str | None) -> bool:
    """Whether images are sure to be decoded while the network trains."""
    for name in config.datasets if dataset is None else (dataset,):
        folder = config.imagefolders.get(name)
        if folder.stream is True if folder else DATASETS[name].streamed:
            return True
    return False
