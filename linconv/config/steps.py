"""Kinds of training steps: runs of one kind train the same network on images of one shape, in batches of one size."""

from __future__ import annotations

from typing import NamedTuple

from linconv.catalogue.datasets import DATASETS
from linconv.config.methods import PLAIN
from linconv.config.runs import ResolvedRun
from linconv.config.variants import Variant


class StepKind(NamedTuple):
    """What the time of a training step depends on, without its loss terms and the drawing of its batch.

    `side` is that of the images as the network sees them, in pixels; classes are too few to matter.
    """

    architecture: str
    definition: Variant
    channels: int
    side: int
    batch_size: int
    precision: str
    optimizer: str
    momentum: bool
    clips: bool


def step_kinds(run: ResolvedRun) -> list[StepKind]:
    """The kind of a run's steps; two kinds where it begins with the plain network: before the change, and after."""
    return [_kind(run, definition) for definition in definitions(run.definition)]


def definitions(variant: Variant) -> list[Variant]:
    """What a variant trains, one after the other: two where it begins with the plain network."""
    if variant.warm_start is None:
        return [variant]
    plain = Variant(layer=PLAIN).model_copy(update={"regularizers": variant.regularizers})
    return [plain, variant.model_copy(update={"warm_start": None})]


def _kind(run: ResolvedRun, definition: Variant) -> StepKind:
    recipe = run.recipe
    return StepKind(
        run.architecture,
        definition.model_copy(update={"regularizers": (), "sparsity_schedule": None}),
        *_channels_and_side(run),
        recipe.batch_size,
        recipe.precision,
        recipe.optimizer,
        bool(recipe.momentum),
        recipe.clip_grad_norm is not None,
    )


def _channels_and_side(run: ResolvedRun) -> tuple[int, int]:
    if run.imagefolder is not None:
        return 3, run.imagefolder.image_size
    known = DATASETS[run.dataset]
    return known.channels, known.crop_size or known.image_size
