"""What each job of the pipeline asks of a machine or of a scheduler: decided by the configuration alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field

from linconv.catalogue.datasets import DATASETS
from linconv.catalogue.measurements import MEASUREMENTS
from linconv.config.frozen import Frozen
from linconv.config.names import check_known

if TYPE_CHECKING:
    from linconv.config.schema import Config

TRAINING = {"train", "work"}  # `work` is the rule of `workers`, which train many runs each
REPORTING = ("collect", "tables", "figures", "claims", "page", "partial")
MEASURING = tuple(name for name in MEASUREMENTS if name != "run")
RULES = (*sorted(TRAINING), *MEASURING, *REPORTING)
DRAWING = 4  # processes that draw figures side by side, as far as there are cores
DAY, HOUR = 1440, 60


class NeedsOptions(Frozen):
    """What replaces the default needs of one rule: memory in MiB, the longest time in minutes, processor cores."""

    mem_mb: Annotated[int, Field(ge=1)] | None = None
    runtime: Annotated[int, Field(ge=1)] | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None


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

    `device` decides on the GPU: `cpu` asks for none, `cuda` and `auto` ask for one wherever one can be used. A
    reporting rule runs beside Snakemake unless `needs` names it.

    Args:
        dataset: the data set of a training, whose images may need processes that decode them; all without it.
    """
    check_known([rule], RULES, "rule")
    options = config.needs.get(rule, NeedsOptions())
    training = rule in TRAINING or (rule in MEASURING and MEASUREMENTS[rule].trains)
    threads = config.threads
    if rule in TRAINING and _is_streamed(config, dataset):
        threads += config.loader_workers
    elif rule in REPORTING:
        threads = DRAWING if rule in ("figures", "page", "partial") else 1
    on_device = rule in TRAINING or (rule in MEASURING and MEASUREMENTS[rule].on_device)
    return Needs(
        threads=options.threads or threads,
        mem_mb=options.mem_mb or (16_000 if training else 4_000),
        runtime=options.runtime or (DAY if training else HOUR),
        gpu=int(on_device and config.device != "cpu"),
        alone=rule in MEASURING and MEASUREMENTS[rule].alone,
        queued=rule not in REPORTING or rule in config.needs,
    )


def _is_streamed(config: Config, dataset: str | None) -> bool:
    """Whether images are sure to be decoded while the network trains."""
    for name in config.datasets if dataset is None else (dataset,):
        folder = config.imagefolders.get(name)
        if folder.stream is True if folder else DATASETS[name].streamed:
            return True
    return False
