"""The rules of the pipeline, and what a configuration may say about the needs of their jobs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from linconv.catalogue.frozen import Frozen
from linconv.catalogue.measurements import MEASUREMENTS

TRAINING = {"train", "work"}  # `work` is the rule of `workers`, which train many runs each
REPORTING = ("collect", "render", "partial")
MEASURING = tuple(name for name in MEASUREMENTS if name != "run")
RULES = (*sorted(TRAINING), *MEASURING, *REPORTING)


class NeedsOptions(Frozen):
    """What replaces the default needs of one rule: memory in MiB, longest time in minutes, processor cores, GPUs."""

    mem_mb: Annotated[int, Field(ge=1)] | None = None
    runtime: Annotated[int, Field(ge=1)] | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    gpu: Literal[0, 1] | None = None
