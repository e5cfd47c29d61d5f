"""Which variants are evidence for a claim: the paper's layer, not what a user's configuration makes of it."""

from __future__ import annotations

from linconv.config import PRESETS, Config, LinearOptions, Variant
from linconv.report.source import Experiment

PAPER_REGULARIZERS = (("correlation", "primaries"), ("coefficient_l1", "primaries"))
COMPLETE = 0.9  # share of the paper's epochs from which on a cell counts as trained by its protocol
PRIMARY_RATIO = LinearOptions().primary_ratio  # half of the filters


def is_published(variant: Variant) -> bool:
    """Whether every convolution is a LinearConv with half of its filters primary, trained as one from the first step.

    Paper, section 3. Of regularizers only the paper's own: of correlation on the primaries, and of sparse coefficients.
    Any rank counts, and any `init`, which the claim about hyperparameters looks at.
    """
    if variant.skip_first or variant.skip_last or variant.only_where_saves or variant.warm_start is not None:
        return False
    if any((r.name, r.acts_on) not in PAPER_REGULARIZERS for r in variant.regularizers):
        return False
    everywhere = variant.include is None and not variant.exclude
    return everywhere and variant.linear is not None and variant.linear.primary_ratio == PRIMARY_RATIO


def evidence(config: Config) -> set[str]:
    """Names of the variants that claims about LinearConv may rest on."""
    return {name for name, variant in config.known_variants.items() if is_published(variant)}


def share_of_epochs(experiment: Experiment, dataset: str, architecture: str) -> float:
    """How many of the paper's epochs the runs of a network on a data set have, as a share."""
    ours = experiment.config.recipe.resolve(architecture, dataset)
    return ours.epochs / PRESETS["paper"][architecture].epochs
