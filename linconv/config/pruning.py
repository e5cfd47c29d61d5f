"""Pruning: how a plain network loses channels while it is trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from linconv.catalogue.criteria import CRITERIA
from linconv.catalogue.frozen import Frozen, OmitDefaultFromHash
from linconv.config.names import check_known


class Pruning(Frozen):
    """Training starts with the plain network and ends with one that has `params` of its parameters.

    Every group of channels keeps the same share. The pruning step comes after `at` of the epochs; the rest trains what
    is left. `at: 1` prunes after the last epoch, for a criterion whose network in training already computes what
    pruning leaves.

    `criterion` is a name of `linconv.catalogue.criteria`, where the other fields that one criterion alone reads stand.

    `scale_penalty` is the weight of the L1 norm of the masked scales of masksparsity, whose mask is chosen after
    `mask_at` of the epochs; `temperatures` are dcff's first and last, and `schedule` is the way between them.
    """

    criterion: str
    params: Annotated[float, Field(gt=0, le=1)] = 0.5
    at: Annotated[float, Field(gt=0, le=1)]
    scale_penalty: Annotated[float, Field(gt=0)] = 5e-4
    mask_at: Annotated[float, Field(ge=0, lt=1)] = 0.25
    temperatures: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (1.0, 1e4)
    # "sigmoid" for a configuration of dcff; "geometric" is what results without the key were trained with
    schedule: Annotated[Literal["sigmoid", "geometric"], OmitDefaultFromHash] = "geometric"

    @model_validator(mode="before")
    @classmethod
    def _by_criterion(cls, raw: Any) -> Any:
        """The criterion says when channels are cut, and how dcff's temperature rises, where the configuration does not.

        A configuration leaves out what other criteria read; only a result states every key.
        """
        if not isinstance(raw, dict):
            return raw
        entry = CRITERIA.get(str(raw.get("criterion")))
        chosen: dict[str, Any] = {"at": entry.cut_after if entry else 0.5}
        if entry and "schedule" in entry.options and "scale_penalty" not in raw:
            chosen["schedule"] = "sigmoid"
        return chosen | raw

    @field_validator("criterion")
    @classmethod
    def _known(cls, criterion: str) -> str:
        check_known([criterion], CRITERIA, "criterion")
        return criterion

    @model_validator(mode="after")
    def _consistent(self) -> Pruning:
        own = CRITERIA[self.criterion]
        for entry in CRITERIA.values():
            for name in entry.options:
                if name not in own.options and getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} belongs to criterion '{entry.name}', not to '{self.criterion}'")
        if self.at == 1 and not own.trains_cut_network:
            raise ValueError(
                f"at: 1 leaves '{self.criterion}' no epoch to train what pruning leaves; choose less, such as 0.5"
            )
        if "mask_at" in own.options and self.mask_at >= self.at:
            raise ValueError(f"mask_at ({self.mask_at}) must lie before the pruning step, at ({self.at})")
        return self
