"""The paper's claims and ours, each with evidence and a verdict computed from results."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from linconv.report.claims.model import Claim, Verdict
from linconv.report.claims.page import claims_markdown
from linconv.report.claims.paper import parameters_halved
from linconv.report.source import Experiment

CLAIMS: tuple[Callable[[Sequence[Experiment]], Claim], ...] = (parameters_halved,)

__all__ = ["CLAIMS", "Claim", "Verdict", "claims", "claims_markdown"]


def claims(experiments: Sequence[Experiment]) -> list[Claim]:
    """Every claim with the verdict that the results of some experiments together allow."""
    return [decide(experiments) for decide in CLAIMS]
