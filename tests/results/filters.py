"""Layers of synthetic runs: the redundancy of their filters, and correlations as runs store them."""

from __future__ import annotations

import numpy as np

from linconv.results import (
    LayerRedundancy,
)

LAYERS = {1: ("features.conv1", 32, 27), 2: ("features.conv2", 64, 288), 3: ("features.conv3", 128, 576)}


def make_redundancy(position: int, variant: str, *, trained: bool = True) -> LayerRedundancy:
    name, filters, size = LAYERS[position]
    primary = 0.01 if trained and variant in ("Lr", "LRr", "LSr") else 0.1
    return LayerRedundancy(
        layer=name,
        position=position,
        filters=filters,
        filter_size=size,
        mean_abs_correlation=0.2,
        share_above_0_5=0.1,
        effective_rank=20.0,
        primaries=None if variant == "conv" else filters // 2,
        primary_mean_abs_correlation=None if variant == "conv" else primary,
        share_above_0_3=0.3 if trained else 0.05,
        share_above_0_7=0.02 if trained else 0.0,
        share_above_0_9=0.01 if trained else 0.0,
        variance_entropy=0.8 if trained else 0.95,
        kernel_sparsity=0.04 if trained else 0.0,
        kernel_variance_entropy=0.7 if trained else 0.9,
        orthogonality=0.85 if trained else 0.95,
    )


def make_correlations(variant: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Filter correlations as runs store them: int8, 127 times Pearson's r, one array per layer."""
    rng = np.random.default_rng([seed, *variant.encode()])
    arrays = {}
    for position, (name, n, size) in LAYERS.items():
        filters = rng.standard_normal((n, size)) + 0.5 * rng.standard_normal(size)
        if variant != "conv":
            primary = filters[: n // 2]
            if variant == "Lr" and n // 2 < size:
                primary = np.linalg.qr((primary - primary.mean(1, keepdims=True)).T)[0].T
            filters = np.concatenate([primary, rng.standard_normal((n - n // 2, n // 2)) @ primary])
        arrays[f"layer{position}_{name}"] = np.rint(127 * np.corrcoef(filters)).astype(np.int8)
    return arrays
