"""What every measurement declares: its entry, and options that several measurements have."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from linconv.catalogue._entry import NO_OUTCOME, Entry
from linconv.catalogue.frozen import Frozen, Names
from linconv.catalogue.outputs import Output

Activity = Literal["inference", "training"]
BatchSizes = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class MeasurementEntry(Entry):
    """A kind of result.

    `target` makes one result: `measure(config, key, *, device, threads, command)`. The code that decides a result is
    what the module of `target` imports.

    Args:
        kind: the class that plans, reads and tabulates the results, a `linconv.results.kinds.Kind`.
        alone: nothing else may run on the machine meanwhile.
        on_device: uses the GPU where there is one.
        trains: trains networks on data sets, so a job of it needs the memory and the time of a training.
        limited: its command takes `--budget`; one result in one file is made whatever time is left.
        tables: that show its results, in the order of the page.
        figures: that show its results, in the order of the page.
        claims: functions that judge its results, in the order of the page; see `linconv.catalogue.claims`.
    """

    kind: str = field(metadata=NO_OUTCOME)
    alone: bool = field(default=False, metadata=NO_OUTCOME)
    on_device: bool = field(default=True, metadata=NO_OUTCOME)
    trains: bool = field(default=False, metadata=NO_OUTCOME)
    limited: bool = field(default=True, metadata=NO_OUTCOME)
    tables: tuple[Output, ...] = field(default=(), metadata=NO_OUTCOME)
    figures: tuple[Output, ...] = field(default=(), metadata=NO_OUTCOME)
    claims: tuple[Entry, ...] = field(default=(), metadata=NO_OUTCOME)

    def load_kind(self) -> Any:
        """The kind: imports its module, which needs no torch."""
        return replace(self, target=self.kind).load()()


class OnRandomImages(Frozen):
    """Networks measured beside the plain ones, on random images of one shape.

    A sample is a block of calls of at least `block_seconds`; each of `rounds` rounds takes a sample of every arm.
    """

    architectures: Names = ("vgg11", "resnet18")
    variants: Names = ("Lr",)
    batches: BatchSizes = (50,)
    channels_last: bool = False
    input_shape: Annotated[tuple[int, int, int], Field(description="channels, height, width")] = (3, 32, 32)
    classes: Annotated[int, Field(ge=1)] = 10
