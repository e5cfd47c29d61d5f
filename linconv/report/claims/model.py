"""What a claim is, and what its verdict may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["supported", "not supported", "undecided", "not measured"]
PAPER, OURS = "paper", "this project"  # whose claim it is
NOT_COUNTED = "No network with a variant was counted."  # evidence


@dataclass(frozen=True)
class Claim:
    """A claim with the verdict computed from measurements.

    `source` says whose claim it is, `evidence` holds the numbers, `runs` the cells that they are from, each as
    <data set>/<network>/<variant>, and `rule` says how the verdict follows from the evidence.
    """

    id: str
    statement: str
    source: str
    verdict: Verdict
    evidence: str
    runs: tuple[str, ...] = ()
    rule: str = ""
