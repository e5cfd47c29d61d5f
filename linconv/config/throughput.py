"""What is timed: the grid of cells, and how each is sampled."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from linconv.catalogue.networks import NETWORKS
from linconv.config.frozen import Formerly, Frozen
from linconv.config.names import check_known
from linconv.config.variants import Mode

TimedForm = Mode | Literal["folded"]
Activity = Literal["inference", "training"]
Precision = Literal["fp32", "tf32", "bf16"]
Backend = Literal["eager", "compile", "cuda_graph"]


class ThroughputOptions(Frozen):
    """Which networks are timed at which batches, and how long.

    A sample is a block of calls of at least `block_seconds`; every one of `rounds` rounds takes one sample of every
    arm, in an order drawn anew, after one round that is dropped. A cell that would take longer than `cell_seconds`
    gets fewer rounds, at least 3, and says so.
    """

    architectures: Annotated[tuple[str, ...], Field(min_length=1)] = ("vgg11", "resnet18")
    variants: Annotated[tuple[str, ...], Field(min_length=1)] = ("Lr", "LRr")
    forms: Annotated[tuple[TimedForm, ...], Field(min_length=1)] = ("auto", "weight", "folded")
    activities: Annotated[tuple[Activity, ...], Field(min_length=1)] = ("inference", "training")
    batches: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (50, 1, 8, 128, 512, 1024)
    precisions: Annotated[tuple[Precision, ...], Field(min_length=1)] = ("fp32",)
    backends: Annotated[tuple[Backend, ...], Field(min_length=1)] = ("eager",)
    optimized: Annotated[bool, Formerly(key="optimised")] = True
    channels_last: bool = False
    input_shape: Annotated[tuple[int, int, int], Field(description="channels, height, width")] = (3, 32, 32)
    classes: Annotated[int, Field(ge=1)] = 10
    rounds: Annotated[int, Field(ge=3)] = 15
    block_seconds: Annotated[float, Field(gt=0)] = 0.05
    cell_seconds: Annotated[float, Field(gt=0)] = 120.0

    @model_validator(mode="after")
    def _names(self) -> ThroughputOptions:
        check_known(self.architectures, NETWORKS, "architecture")
        return self
