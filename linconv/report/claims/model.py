"""What a claim is, and what its verdict may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["supported", "not supported", "undecided", "not measured"]


@dataclass(frozen=True)
class Claim:
    """A claim with the verdict computed from measurements.

    `source` says whose claim it is, `rule` how the verdict follows from the evidence, `evidence` holds the numbers,
    and `runs` the cells they are from, as <data set>/<network>/<variant> ("" parts for what needs no training).
    """

    id: str
    statement: str
    source: str
    verdict: Verdict
    evidence: str
    runs: tuple[str, ...]
    rule: str = ""
