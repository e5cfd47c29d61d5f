"""How variants are ranked at equal cost."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from linconv.catalogue.frozen import Frozen

Budgets = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
Several = Annotated[tuple[str, ...], Field(min_length=1)]


class RankingOptions(Frozen):
    """Accuracy ranked at equal parameters, multiply-accumulates and measured latency. Changing it retrains nothing.

    `budgets` (of parameters and multiply-accumulates) and `latency_budgets` are shares of the plain network's cost; a
    variant belongs to the nearest one if its cost lies within `tolerance` (of latency `latency_tolerance`), a share of
    the budget; the plain network belongs to that of 1. `references` are what the others are compared with, by the
    heading of the columns: one variant for all budgets, or a list, of which each budget takes the one that belongs to
    it. `batch` is that of the latency: images per call.
    """

    budgets: Budgets = (0.5, 0.25)
    latency_budgets: Budgets = (1.2, 1.0, 0.8, 0.65, 0.5, 0.4)
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.1
    latency_tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.1
    references: dict[str, str | Several] = Field(default={})
    batch: Annotated[int, Field(ge=1)] = 50

    @field_validator("budgets", "latency_budgets")
    @classmethod
    def _descending(cls, budgets: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(budgets)) < len(budgets):
            raise ValueError("a budget is listed twice")
        return tuple(sorted(budgets, reverse=True))

    @staticmethod
    def budget_of(ratio: float, budgets: tuple[float, ...], tolerance: float) -> float | None:
        """The budget that a cost, as a share of the plain network's, belongs to; None for none."""
        nearest = min(budgets, key=lambda budget: abs(ratio / budget - 1))
        return nearest if abs(ratio / nearest - 1) <= tolerance + 1e-9 else None  # 0.55 / 0.5 - 1 > 0.1 in binary

    def variants_of(self, reference: str) -> tuple[str, ...]:
        """The variants behind a reference."""
        names = self.references[reference]
        return (names,) if isinstance(names, str) else names
