"""Variants: a named layer, its options and its regularisers. The paper's five are data here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from linconv.config.names import LATER, Frozen
from linconv.config.pruning import Pruning

Mode = Literal["weight", "feature", "auto"]
Init = Literal["paper", "variance_preserving"]


class LinearOptions(Frozen):
    """Options of `linconv.LinearConv2d`, see its documentation."""

    primary_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5
    rank: int | float | None = None
    sparsity: Annotated[float, Field(gt=0, lt=1)] | None = None
    mode: Mode = "auto"
    init: Init = "paper"

    @field_validator("rank")
    @classmethod
    def _rank(cls, rank: int | float | None) -> int | float | None:
        if isinstance(rank, int) and rank < 1:
            raise ValueError("a constant rank must be at least 1")
        if isinstance(rank, float) and not 0 < rank <= 1:
            raise ValueError("a rank written as a proportion of the primaries must lie in (0, 1]")
        return rank

    @model_validator(mode="after")
    def _one_kind(self) -> LinearOptions:
        if self.rank is not None and self.sparsity is not None:
            raise ValueError("rank and sparsity exclude each other: choose low-rank or sparse coefficients")
        return self


class Regularizer(Frozen):
    """A term weight * penalty(model) of the loss, added on every `period`-th batch.

    `correlation` acts on the primary filters (paper, section 3), `coefficient_l1` on sparse coefficients.
    """

    name: Literal["correlation", "coefficient_l1"]
    weight: Annotated[float, Field(gt=0)] = 0.01
    mode: Literal["paper", "normalised"] = "paper"
    period: Annotated[int, Field(ge=1)] = 1


class SparsityScheduleOptions(Frozen):
    """Options of `linconv.SparsitySchedule`; the defaults are the paper's."""

    period: Annotated[int, Field(ge=1)] = 500
    step_size: Annotated[float, Field(gt=0)] = 1e-5
    initial_threshold: Annotated[float, Field(ge=0)] = 0.0


class Variant(Frozen):
    """What replaces the convolutions of a network, and the terms added to its loss.

    `include`/`exclude` are patterns of module names (`fnmatch`), `skip_first` leaves the stem plain and
    `only_where_saves` leaves every convolution plain that would gain parameters. `pruning` takes channels from a plain
    network.
    """

    layer: Literal["conv", "linear"]
    options: LinearOptions | None = None
    regularizers: tuple[Regularizer, ...] = ()
    sparsity_schedule: SparsityScheduleOptions | None = None
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    skip_first: bool = False
    only_where_saves: bool = False
    pruning: Annotated[Pruning | None, LATER] = None

    @model_validator(mode="after")
    def _consistent(self) -> Variant:
        if self.layer == "conv":
            for name in ("only_where_saves", "options", "skip_first", "sparsity_schedule"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"layer 'conv' is the plain convolution and takes no {name}")
        if self.layer != "conv" and self.pruning is not None:
            raise ValueError(f"pruning cuts plain convolutions; layer '{self.layer}' takes none")
        if self.sparsity_schedule is not None and (self.options is None or self.options.sparsity is None):
            raise ValueError("a sparsity_schedule needs options.sparsity, the share of zeros to reach")
        return self


_CORRELATION = Regularizer(name="correlation", weight=0.01, mode="paper", period=10)

# Paper, section 3 and table 1: rank 10 is constant; the sparse variant's numbers were never published.
VARIANTS: dict[str, Variant] = {
    "conv": Variant(layer="conv"),
    "L": Variant(layer="linear", options=LinearOptions()),
    "Lr": Variant(layer="linear", options=LinearOptions(), regularizers=(_CORRELATION,)),
    "LRr": Variant(layer="linear", options=LinearOptions(rank=10), regularizers=(_CORRELATION,)),
    "LSr": Variant(
        layer="linear",
        options=LinearOptions(sparsity=0.5),
        regularizers=(_CORRELATION, Regularizer(name="coefficient_l1", weight=0.01, period=10)),
        sparsity_schedule=SparsityScheduleOptions(),
    ),
}
