"""What `linconv.plan` finds: a table of replacements, which can be applied to the model."""

from __future__ import annotations

import glob
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from linconv.config import Variant
from linconv.layers import conversion, fitting_init
from linconv.layers.copies import copied
from linconv.layers.replacing import check_module
from linconv.layers.selection import Choice, left_plain

log = logging.getLogger("linconv")

Cost = Literal["params", "macs", "latency"]


@dataclass(frozen=True)
class LayerReplacement:
    """One convolution to replace: by which variant, and its parameters before and after.

    `saved` is what it saves of the plain model's cost, as a share, in the unit of the budget; `increase` is what the
    loss gains, None without data.
    """

    layer: str
    variant: Variant
    params_before: int
    params_after: int
    saved: float
    increase: float | None = None

    @property
    def method(self) -> str:
        """The layer and its options, as one reads them."""
        stated = {} if self.variant.options is None else self.variant.options.model_dump(exclude_unset=True)
        options = ", ".join(f"{name}={value}" for name, value in stated.items())
        return f"{self.variant.layer}({options})" if options else self.variant.layer


@dataclass(frozen=True)
class BudgetPlan:
    """What to replace in a model to meet a budget.

    Attributes:
        cost: "params", "macs" (per image, in feature space) or "latency".
        budget: the share of the plain model's cost that was asked for.
        reached: the share that the plan takes: counted; for latency the median ratio of measured times.
        plain: the plain model's cost: parameters, MACs, or seconds of one image.
        choices: the convolutions to replace, in order of registration; all others stay plain.
        left_out: the names of those that no variant could replace or make smaller, and why.
    """

    cost: Cost
    budget: float
    reached: float
    plain: float
    choices: list[LayerReplacement] = field(repr=False)
    left_out: Mapping[str, str] = field(default_factory=dict, repr=False)

    def apply(self, model: nn.Module) -> nn.Module:
        """A converted copy of a model: layers start from its filters where their method can. Train it further."""
        check_module(model)
        changed = copied(model)
        for variant, names in self._by_variant():
            init = fitting_init(variant)
            options: dict[str, Any] = {"init": init} if init else {}
            wanted = Choice(include=[glob.escape(name) for name in names])
            done = conversion(changed, variant.layer, wanted, **(variant.layer_options | options))
            if done.redrawn:
                log.warning("plan: %s", done)
            changed = done.model
        return changed

    def _by_variant(self) -> list[tuple[Variant, list[str]]]:
        grouped: dict[str, tuple[Variant, list[str]]] = {}
        for choice in self.choices:
            grouped.setdefault(choice.method, (choice.variant, []))[1].append(choice.layer)
        return list(grouped.values())

    def __str__(self) -> str:
        width = max(len("layer"), *(len(choice.layer) for choice in self.choices))
        method = max(len("method"), *(len(choice.method) for choice in self.choices))
        unit = {"params": "parameters", "macs": "MACs", "latency": "time"}[self.cost]
        saved = f"{unit} saved"
        measured = any(c.increase is not None for c in self.choices)
        heading = f"{'layer':<{width}}  {'method':<{method}}  {'parameters':>10}  {'after':>10}  {saved}"
        lines = [heading + ("  increase of the loss" if measured else "")]
        for c in self.choices:
            numbers = f"{c.params_before:>10,}  {c.params_after:>10,}  {c.saved:>{len(saved)}.1%}"
            increase = "" if c.increase is None else f"  {c.increase:>+20.4f}"
            lines.append(f"{c.layer:<{width}}  {c.method:<{method}}  {numbers}{increase}")
        lines += left_plain(self.left_out)
        return "\n".join([*lines, f"{self.reached:.1%} of the {unit} of the plain model; asked for {self.budget:.1%}"])
