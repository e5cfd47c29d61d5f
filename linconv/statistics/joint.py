"""One model of several networks on one data set, each with a spread of its own.

A network's variants are fitted apart, so that a network that spreads more does not lend its spread to the others. What
a seed or a split does to all variants of one network, and not to those of the others, comes on top where networks are
compared: networks are whole plots, variants are the plots within them.

Source: Scheffe, The Analysis of Variance, 1959, ch. 4 and 5 (crossed and nested layouts).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from linconv.statistics.crossed import two_way
from linconv.statistics.fitting import beyond_seeds, fit, means_of, of_images
from linconv.statistics.model import CovariancePart, Model


def fit_networks(
    tables: Mapping[str, pd.DataFrame],
    correct: Mapping[tuple[str, int], np.ndarray] | None = None,
    images: int | None = None,
    tested: float | None = None,
) -> Model:
    """Fit one model to the accuracies of several networks on one data set.

    Args:
        tables: percent by network, each as `scores` of `fit`, with columns that no other network has.
        correct, images, tested: as for `fit`; the outcomes are of the same images for all networks.

    Raises:
        ValueError: several splits, and no share between 0 and 1.
    """
    models = [fit(table.dropna(how="all"), None, images, tested) for table in tables.values()]
    joined = pd.concat(list(tables.values()), axis=1).sort_index()
    by_split = joined.index.nlevels > 1
    rows = [(t.groupby(level=0).mean() if by_split else t) for t in tables.values()]
    index = pd.Index(sorted(set().union(*(t.index for t in rows))))
    values = [t.reindex(index).to_numpy(dtype=float) for t in rows]
    ends = np.cumsum([0, *(len(model.variants) for model in models)])
    own = [slice(a, b) for a, b in itertools.pairwise(ends)]
    parts = [
        part._replace(covariance=_placed(part.covariance, at, int(ends[-1])))
        for model, at in zip(models, own, strict=True)
        for part in model.parts
        if part.source in ("seeds", "splits")
    ]
    means = np.concatenate([model.means for model in models])
    shifts, between = _between(values, tested if by_split else None)
    of_network = np.repeat(np.eye(len(models)), np.diff(ends), axis=0)  # (k, networks)
    means = means + of_network @ shifts
    parts += [part._replace(covariance=of_network @ part.covariance @ of_network.T) for part in between]
    alone = tuple(np.concatenate([model.alone[i] for model in models]) for i in (0, 1))
    known, count = models[0].images, models[0].count
    if not by_split:
        seen = of_images(joined, means, correct, images)
        known, count = seen.known, seen.total
        parts += seen.parts
    freedom = sum(model.freedom for model in models)
    squares = sum(model.residual**2 * model.freedom for model in models if model.freedom > 0)
    return Model(
        tuple(v for model in models for v in model.variants),
        means,
        np.concatenate([model.runs for model in models]),
        tuple(parts),
        (alone[0], alone[1]),
        math.sqrt(squares / freedom) if freedom > 0 else math.nan,
        freedom,
        tuple(v for model in models for v in model.apart),
        known,
        count,
        ~np.isnan(np.concatenate(values, axis=1)) if by_split else None,
    )


def _placed(covariance: np.ndarray, at: slice, size: int) -> np.ndarray:
    """The covariance of one network's means among those of all."""
    whole = np.zeros((size, size))
    whole[at, at] = covariance
    return whole


def _between(tables: Sequence[np.ndarray], tested: float | None) -> tuple[np.ndarray, list[CovariancePart]]:
    """What a seed, or a split, does to one network alone.

    Args:
        tables: (rows, variants) of each network, of the same rows, NaN where there is no run.
        tested: the share of the images that each of several splits tests; None where rows are seeds.

    Returns:
        (networks,) what rows that a network lacks would have done to its means, and parts of the covariance (networks,
        networks) of what all variants of a network have in common.
    """
    if len(tables) < 2:
        return np.zeros(len(tables)), []
    effects, within, within_freedom = [], [], 0.0
    for table in tables:
        there = ~np.isnan(table)
        linear, pooled, freedom, _ = two_way(table, there)
        left = np.where(there, table - means_of(linear, table, there), 0.0)
        effects.append(np.where(there.any(1), left.sum(1) / np.maximum(there.sum(1), 1), np.nan))
        if math.isfinite(pooled):
            within.append(pooled / table.shape[1])
            within_freedom += freedom
    of_networks = np.column_stack(effects)
    there = ~np.isnan(of_networks)
    linear, variance, freedom, own = two_way(of_networks, there)
    shifts = linear @ np.where(there, of_networks, 0).T.ravel()
    of_rows = float(np.mean(within)) if within else 0.0
    more = 0.0 if tested is None else tested / (1 - tested)
    networks, count = len(tables), len(of_networks)
    parts = []
    pool = [g for g in range(networks) if g not in own]
    for members, (found, own_freedom) in [(pool, (variance, freedom)), *(([g], own[g]) for g in own)]:
        beyond, beyond_freedom = beyond_seeds(found, own_freedom, of_rows, within_freedom)
        columns = [g * count + s for g in members for s in range(count) if there[s, g]]
        weights = linear[:, columns]
        overlap = more * np.diag([float(g in members) for g in range(networks)])
        parts.append(
            CovariancePart(
                "seeds" if tested is None else "splits", beyond * (weights @ weights.T + overlap), beyond_freedom
            )
        )
    return shifts, parts
