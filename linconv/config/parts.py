"""The entries of the catalogue that a result uses: the code behind them is a part of its code hash."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from linconv.catalogue._entry import Entry
from linconv.catalogue.criteria import CRITERIA
from linconv.catalogue.datasets import DATASETS
from linconv.catalogue.networks import NETWORKS
from linconv.config.methods import PLAIN, known_methods
from linconv.config.runs import ResolvedRun
from linconv.config.variants import Variant


def variant_parts(variant: Variant) -> frozenset[Entry]:
    """Method, pruning criterion and regularizers of a variant, and those of the variant that it is as small as."""
    found: set[Entry] = {known_methods()[layer] for layer in variant.layers if layer != PLAIN}
    found |= {regularizer.entry for regularizer in variant.regularizers}
    if variant.pruning is not None:
        found.add(CRITERIA[variant.pruning.criterion])
    return frozenset(found)


def grid_parts(architectures: Iterable[str], variants: Iterable[Variant]) -> frozenset[Entry]:
    """The networks, and the parts of every variant."""
    return frozenset(
        itertools.chain((NETWORKS[name] for name in architectures), *(variant_parts(variant) for variant in variants))
    )


def run_parts(run: ResolvedRun) -> frozenset[Entry]:
    """Network, data set (unless it is an image folder) and the parts of the variant."""
    data = {DATASETS[run.dataset]} if run.imagefolder is None else set()
    return grid_parts([run.architecture], [run.definition]) | data
