"""Which variants are evidence for a claim: the paper's layer, not what a user's configuration makes of it."""

from __future__ import annotations

from linconv.config import Config, LinearOptions, Variant

PRIMARY_RATIO = LinearOptions().primary_ratio  # half of the filters


def is_published(variant: Variant) -> bool:
    """Whether every convolution is a LinearConv with half of its filters primary (paper, section 3)."""
    if variant.skip_first or variant.only_where_saves:
        return False
    everywhere = variant.include is None and not variant.exclude
    return everywhere and variant.linear is not None and variant.linear.primary_ratio == PRIMARY_RATIO


def evidence(config: Config) -> set[str]:
    """Names of the variants that claims about LinearConv may rest on."""
    return {name for name, variant in config.known_variants.items() if is_published(variant)}
