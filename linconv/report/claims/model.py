"""What a claim is, and what its verdict may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["supported", "not supported", "undecided", "not measured"]
PAPER, OURS = "paper", "this project"  # whose claim it is
NOT_COUNTED = "No network with a variant was counted."  # evidence

# The paper's own words (abstract, arXiv 1907.11432v3), each beside the claims that are drawn from it.
HALF = "almost a 50% reduction in parameters on average"
ON_PAR = "LinearConv models achieve a performance on-par with their counterparts"
SAME_AT_INFERENCE = "the same computational requirement and speed at inference"
ORTHOGONAL = "learns a set of orthogonal filters"
CONTROLLED = "a set of coefficients that linearly combines them to introduce a controlled redundancy"
PLUG_AND_PLAY = (
    "a plug-and-play layer to conveniently replace a conventional convolutional layer, without any additional changes "
    "required in the network architecture or the hyperparameter settings"
)


@dataclass(frozen=True)
class Claim:
    """A claim with the verdict computed from measurements.

    Args:
        id: its name in links.
        statement: what the verdict is about.
        source: whose claim it is.
        verdict: computed from `evidence`.
        evidence: the numbers that the verdict rests on, and no others.
        runs: the cells that `evidence` is from, each as <data set>/<network>/<variant>.
        rule: how the verdict follows.
        quote: the paper's own sentence; "" where it has none in so few words, or the claim is ours.
        preliminary: numbers that the verdict does not rest on, such as those of short training.
    """

    id: str
    statement: str
    source: str
    verdict: Verdict
    evidence: str
    runs: tuple[str, ...] = ()
    rule: str = ""
    quote: str = ""
    preliminary: str = ""
