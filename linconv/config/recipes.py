"""Training recipes: presets are data; an experiment picks one and overrides what it likes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from linconv.catalogue.frozen import Frozen, OmitDefaultFromHash
from linconv.catalogue.networks import NETWORKS
from linconv.config.names import check_known
from linconv.config.trials import scaled


class Recipe(Frozen):
    """Everything the training loop needs to know, fully resolved for one network and data set.

    `milestones` are epochs after which the learning rate is multiplied by `gamma`; `warmup_epochs` raise it
    linearly from 0 step by step. `precision`: "fp32" (no TF32), "tf32" (TF32 on GPUs), "bf16", "fp16" (autocast of the
    forward pass; fp16 scales the loss and needs a GPU). `clip_grad_norm` bounds the norm of all gradients together.
    `scale_weight_decay` multiplies the weight decay by a variant's share of the plain network's parameters.
    `batch_norm`: the statistics by which batch normalization evaluates, "running" averages of the training steps, or
    "recalibrated" ones, measured on training images with the network as it is (`linconv.training.recalibration`).
    """

    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    epochs: Annotated[int, Field(ge=1)] = 250
    batch_size: Annotated[int, Field(ge=1)] = 50
    schedule: Literal["constant", "multistep", "cosine"] = "constant"
    milestones: tuple[Annotated[int, Field(ge=1)], ...] = ()
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    precision: Annotated[Literal["fp32", "tf32", "bf16", "fp16"], OmitDefaultFromHash] = "fp32"
    clip_grad_norm: Annotated[Annotated[float, Field(gt=0)] | None, OmitDefaultFromHash] = None
    scale_weight_decay: Annotated[bool, OmitDefaultFromHash] = False
    batch_norm: Annotated[Literal["running", "recalibrated"], OmitDefaultFromHash] = "running"

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        if self.optimizer == "adam" and self.momentum:
            raise ValueError("momentum belongs to sgd; adam has its own")
        if self.scale_weight_decay and self.weight_decay == 0:
            raise ValueError("scale_weight_decay needs a weight_decay above 0")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must increase, not {list(self.milestones)}")
        return self

    @property
    def unreached(self) -> tuple[str, ...]:
        """What of the schedule lies beyond the last epoch, in words."""
        found = []
        if self.schedule == "multistep" and (late := [m for m in self.milestones if m >= self.epochs]):
            found.append(f"milestones {', '.join(map(str, late))} lie beyond the last of {self.epochs} epochs")
        if self.warmup_epochs >= self.epochs:
            found.append(f"warmup_epochs {self.warmup_epochs} leave nothing of {self.epochs} epochs")
        return tuple(found)


# The usual CIFAR recipe by which ResNet-18 reaches about 95 %; not the paper's.
_MODERN = Recipe(
    optimizer="sgd",
    learning_rate=0.1,
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    epochs=200,
    batch_size=128,
    schedule="cosine",
    warmup_epochs=5,
)


def _short(paper: Recipe, epochs: int) -> Recipe:
    """Optimizer, rate and batch of the paper's recipe, with the rate annealed to zero within `epochs`."""
    return paper.model_copy(update={"epochs": epochs, "schedule": "cosine", "milestones": ()})


_PAPER = {name: Recipe.model_validate(dict(network.paper_recipe)) for name, network in NETWORKS.items()}

# The recipe of every network under every preset.
PRESETS: dict[str, dict[str, Recipe]] = {
    "paper": _PAPER,
    "short": {name: _short(recipe, NETWORKS[name].short_epochs) for name, recipe in _PAPER.items()},
    "modern": dict.fromkeys(NETWORKS, _MODERN),
}


class Override(Frozen):
    """Values of the recipe replaced for some networks and data sets (all of them where none is named).

    `Config` checks the data sets: it alone knows those that the configuration defines.
    """

    architectures: tuple[str, ...] | None = None
    datasets: tuple[str, ...] | None = None
    set: dict[str, Any]

    @model_validator(mode="after")
    def _names(self) -> Override:
        check_known(self.architectures or (), NETWORKS, "architecture")
        check_known(self.set, Recipe.model_fields, "recipe key")
        return self

    def applies_to(self, architecture: str, dataset: str) -> bool:
        return (self.architectures is None or architecture in self.architectures) and (
            self.datasets is None or dataset in self.datasets
        )


class RateSearch(Frozen):
    """Several learning rates, of which every run takes the one that does best on its validation part.

    `factors` multiply the recipe's rate. Each rate is tried for `share` of the epochs, the whole schedule shortened to
    them; the training itself then starts anew. The same factors are tried for every variant.
    """

    factors: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=2)] = (0.3, 1.0, 3.0)
    share: Annotated[float, Field(gt=0, le=1)] = 0.2

    @field_validator("factors")
    @classmethod
    def _increasing(cls, factors: tuple[float, ...]) -> tuple[float, ...]:
        if list(factors) != sorted(set(factors)):
            raise ValueError(f"factors must increase, not {list(factors)}")
        return factors


class RecipeChoice(Frozen):
    """A preset, a factor on its epochs and milestones (0.1: a tenth of the training), and overrides in order.

    With `rate_search`, every run chooses its learning rate first.
    """

    preset: str = "paper"
    epochs_factor: Annotated[float, Field(gt=0, le=10)] = 1.0
    overrides: tuple[Override, ...] = ()
    rate_search: RateSearch | None = None

    @field_validator("preset")
    @classmethod
    def _known(cls, preset: str) -> str:
        check_known([preset], PRESETS, "preset")
        return preset

    def resolve(self, architecture: str, dataset: str) -> Recipe:
        """The recipe of one network on one data set.

        Raises:
            ValueError: an override gives a value the recipe does not admit.
        """
        recipe = scaled(PRESETS[self.preset][architecture], self.epochs_factor).model_dump()
        for override in self.overrides:
            if override.applies_to(architecture, dataset):
                recipe |= override.set
        return Recipe.model_validate(recipe)
