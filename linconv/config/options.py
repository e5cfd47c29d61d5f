"""Options of an experiment's parts: what is counted, shown, compared and left out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from linconv.catalogue.networks import NETWORKS
from linconv.config.names import Frozen

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=64)]
Names = Annotated[tuple[Name, ...], Field(min_length=1)]


class ComplexityOptions(Frozen):
    """The grid of networks whose parameters and multiply-accumulates are counted (nothing is trained)."""

    architectures: Names = tuple(NETWORKS)
    input_shape: Annotated[tuple[int, int, int], Field(description="channels, height, width")] = (3, 32, 32)
    classes: Annotated[int, Field(ge=1)] = 10
    batch_size: Annotated[int, Field(ge=1)] = 50

    @field_validator("input_shape")
    @classmethod
    def _positive(cls, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        if min(shape) < 1:
            raise ValueError("channels, height and width must be at least 1")
        return shape


class FigureOptions(Frozen):
    """What the figures show. Changing these values retrains nothing.

    `variants` limits the figures of a single network; without it they show the first nine.
    """

    formats: Annotated[tuple[Literal["svg", "pdf", "png"], ...], Field(min_length=1)] = ("svg", "png")
    heatmap_variants: Names = ("conv", "L", "Lr")
    variants: Names | None = None


class StatisticsOptions(Frozen):
    """How accuracies are compared with the plain convolution's. Changing these values retrains nothing.

    `last_epochs`: the mean accuracy of so many last epochs of every run is shown beside the reported one, in the table
    of treatments.
    """

    margin: Annotated[float, Field(gt=0, le=100)] = 1.0  # percentage points
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    last_epochs: Annotated[int, Field(ge=1)] | None = None


class Hole(Frozen):
    """Cells left out of the grid: those that match every list given."""

    datasets: Names | None = None
    architectures: Names | None = None
    variants: Names | None = None

    @model_validator(mode="after")
    def _something(self) -> Hole:
        if not self.model_fields_set:
            raise ValueError("an exclusion needs at least one of datasets, architectures, variants")
        return self

    def covers(self, dataset: str, architecture: str, variant: str) -> bool:
        """Whether the cell is left out."""
        pairs = ((self.datasets, dataset), (self.architectures, architecture), (self.variants, variant))
        return all(names is None or name in names for names, name in pairs)
