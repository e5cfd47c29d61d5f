"""The arithmetic of a search for a learning rate: how long its trials are, at which rates, and which one is best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self, TypeVar


class _Recipe(Protocol):
    @property
    def learning_rate(self) -> float: ...
    @property
    def epochs(self) -> int: ...
    @property
    def milestones(self) -> tuple[int, ...]: ...
    @property
    def warmup_epochs(self) -> int: ...
    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> Self: ...


class _Trial(Protocol):
    @property
    def val_top1(self) -> float | None: ...
    @property
    def val_loss(self) -> float | None: ...


R = TypeVar("R", bound=_Recipe)
T = TypeVar("T", bound=_Trial)


def scaled(recipe: R, factor: float) -> R:
    """The same recipe with that many times the epochs (at least one), milestones and warm-up, rounded."""
    milestones = {m for m in (round(factor * m) for m in recipe.milestones) if m >= 1}
    return recipe.model_copy(
        update={
            "epochs": max(1, round(factor * recipe.epochs)),
            "milestones": tuple(sorted(milestones)),
            "warmup_epochs": round(factor * recipe.warmup_epochs),
        }
    )


def trial_recipes(recipe: R, factors: Sequence[float], share: float) -> tuple[R, ...]:
    """The recipes that are tried; two epochs at least, where the recipe has them: a network may change between.

    Args:
        factors: of the recipe's learning rate.
        share: of the recipe's epochs that a trial takes.
    """
    short = scaled(recipe, max(share, min(1.0, 2 / recipe.epochs)))
    return tuple(short.model_copy(update={"learning_rate": factor * recipe.learning_rate}) for factor in factors)


def best_trial(trials: Sequence[T]) -> T:
    """The one of the highest accuracy on the validation part, of equal ones that of the lowest loss.

    One that diverged has neither.
    """
    return max(trials, key=lambda t: (-1.0 if t.val_top1 is None else t.val_top1, -(t.val_loss or 0.0)))
