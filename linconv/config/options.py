"""Options of an experiment's parts: what is counted, shown, compared and left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from linconv.catalogue.frozen import Frozen, Name, Names
from linconv.catalogue.networks import NETWORKS

Points = Annotated[float, Field(gt=0, le=100)]
# by its kind, so that a wrong number is not told as a wrong mapping too
MarginOption = Annotated[
    Annotated[Points, Tag("float")] | Annotated[dict[Name, Points], Tag("Margins")],
    Discriminator(lambda value: "Margins" if isinstance(value, Mapping) else "float"),
]

LEAST_MARGIN = 0.1  # percentage points; of a margin that the configuration does not give


class ComplexityOptions(Frozen):
    """The grid of networks whose parameters and multiply-accumulates are counted (nothing is trained).

    Without `architectures` the paper's networks and those of the experiment are counted.
    """

    architectures: Names = tuple(name for name, network in NETWORKS.items() if network.in_paper)
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

    `margin` is the largest difference that does not matter, in percentage points: one for all data sets, or one per
    data set. Where there is none it is the share `margin_share` of the plain network's error, at least
    `LEAST_MARGIN` points. `last_epochs`: the mean accuracy of so many last epochs of every run is shown beside the
    reported one, in the table of treatments.
    """

    margin: MarginOption | None = None
    margin_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    last_epochs: Annotated[int, Field(ge=1)] | None = None

    @field_validator("margin", mode="before")
    @classmethod
    def _numbers(cls, margin: Any) -> Any:
        """pydantic would read true as 1."""
        for name, points in margin.items() if isinstance(margin, Mapping) else ():
            if isinstance(points, bool):
                raise ValueError(f"a number is expected for {name}, but this is {str(points).lower()}")
        return margin

    def points_on(self, dataset: str) -> float | None:
        """The margin that is given for a data set, None where it is a share of the error."""
        return self.margin.get(dataset) if isinstance(self.margin, dict) else self.margin

    def margin_of(self, dataset: str, error: float) -> float:
        """The margin on a data set in points; `error` is the plain network's, in percent, NaN without one."""
        points = self.points_on(dataset)
        if points is not None:
            return points
        return LEAST_MARGIN if math.isnan(error) else max(LEAST_MARGIN, self.margin_share * error)


class Exclusion(Frozen):
    """Cells left out of the grid: those that match every list given."""

    datasets: Names | None = None
    architectures: Names | None = None
    variants: Names | None = None

    @model_validator(mode="after")
    def _something(self) -> Exclusion:
        if not self.model_fields_set:
            raise ValueError("an exclusion needs at least one of datasets, architectures, variants")
        return self

    def covers(self, dataset: str, architecture: str, variant: str) -> bool:
        """Whether the cell is left out."""
        pairs = ((self.datasets, dataset), (self.architectures, architecture), (self.variants, variant))
        return all(names is None or name in names for names, name in pairs)
