"""Pruning: how a plain network loses channels while it is trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from linconv.config.names import Frozen

# The share of the epochs after which channels are cut where the configuration does not say. DCFF trains the compact
# network from the first epoch on (Lin et al., 2023), so nothing is left to fine-tune.
_CUT_AFTER = {"dcff": 1.0}  # else 0.5
# Options that one criterion alone reads.
_OWN = {"scale_penalty": "masksparsity", "mask_at": "masksparsity", "temperatures": "dcff"}


class Pruning(Frozen):
    """Training starts with the plain network and ends with one that has `params` of its parameters.

    Every group of channels keeps the same share. The cut comes after `at` of the epochs; the rest trains what is left.
    `at: 1`, for dcff only, cuts after the last epoch, since its network already computes what the cut leaves.

    `scale_penalty` is the weight of the L1 norm of the masked scales of masksparsity, whose mask is chosen after
    `mask_at` of the epochs; `temperatures` are dcff's first and last.
    """

    criterion: Literal["l1", "betarank", "masksparsity", "dcff"]
    params: Annotated[float, Field(gt=0, le=1)] = 0.5
    at: Annotated[float, Field(gt=0, le=1)]
    scale_penalty: Annotated[float, Field(gt=0)] = 5e-4
    mask_at: Annotated[float, Field(ge=0, lt=1)] = 0.25
    temperatures: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (1.0, 1e4)

    @model_validator(mode="before")
    @classmethod
    def _cut_after(cls, raw: Any) -> Any:
        return {"at": _CUT_AFTER.get(str(raw.get("criterion")), 0.5)} | raw if isinstance(raw, dict) else raw

    @model_validator(mode="after")
    def _consistent(self) -> Pruning:
        for name, criterion in _OWN.items():
            if self.criterion != criterion and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} belongs to criterion '{criterion}', not to '{self.criterion}'")
        if self.criterion != "dcff" and self.at == 1:
            raise ValueError(
                f"at: 1 leaves '{self.criterion}' no epoch to train what the cut leaves; choose less, such as 0.5"
            )
        if self.criterion == "masksparsity" and self.mask_at >= self.at:
            raise ValueError(f"mask_at ({self.mask_at}) must lie before the cut, at ({self.at})")
        return self
