"""The regularizers of a variant as terms of the loss."""

from __future__ import annotations

from functools import partial

from linconv.config import Regularizer
from linconv.training.step import Term


def penalty_terms(regularizers: tuple[Regularizer, ...]) -> list[Term]:
    """The terms of the loss that a variant asks for."""
    terms = []
    for regularizer in regularizers:
        settings = {"mode": regularizer.mode, "on": regularizer.acts_on}
        arguments = {name: settings[name] for name in regularizer.entry.takes}
        terms.append(Term(partial(regularizer.entry.load(), **arguments), regularizer.weight, regularizer.period))
    return terms
