"""One training step: its mathematics, run eagerly. `linconv.training.graphs` replays the same as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.config import Recipe
from linconv.layers import ConvReplacement, ParameterRule

AUTOCAST: dict[str, torch.dtype | None] = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Term(NamedTuple):
    """weight * penalty(model), added to the loss of every `period`-th step."""

    penalty: Callable[[nn.Module], Tensor]
    weight: float
    period: int


class Metrics(NamedTuple):
    """Mean cross-entropy per sample, accuracy in percent and mean penalty per step since the last reading."""

    loss: float
    top1: float
    penalty: float


def autocast(precision: str, device: str) -> torch.autocast:
    """The context in which a forward pass runs at a recipe's precision."""
    dtype = AUTOCAST[precision]
    return torch.autocast(device, dtype=dtype, enabled=dtype is not None)


def make_optimizer(
    model: nn.Module,
    recipe: Recipe,
    *,
    plain_params: int | None = None,
    fused: bool | None = None,
    capturable: bool = False,
) -> torch.optim.Optimizer:
    """The recipe's optimizer over the model's trainable parameters.

    Layers say which of their parameters have a learning rate or a weight decay of their own (`parameter_rules`); these
    are groups after the first.

    Args:
        plain_params: parameters of the plain network, by whose share the recipe may scale the weight decay.
        fused: all of its state and the learning rate on the device, so that a step never waits for the device and a
            replayed one sees a changed rate; None: on CUDA only.
        capturable: it may be captured in a CUDA graph; needs `fused`.

    Raises:
        ValueError: the recipe scales the weight decay and `plain_params` is not given.
    """
    groups = _groups(model)
    device = next(parameter.device for group in groups for parameter in group["params"])
    fused = device.type == "cuda" if fused is None else fused
    for group in groups:
        rate = recipe.learning_rate * group["rate"]
        # a fused kernel reads the rate from the device in single precision
        group["lr"] = torch.tensor(rate, device=device) if fused else rate
    decay = recipe.weight_decay
    if recipe.scale_weight_decay:
        if plain_params is None:
            raise ValueError("scale_weight_decay needs plain_params, the parameters of the plain network")
        decay *= sum(p.numel() for p in model.parameters()) / plain_params
    for group in groups:
        group["weight_decay"] = decay if group.pop("decays") else 0.0
    options: dict[str, Any] = {"fused": fused or None}
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, capturable=capturable, **options)
    return torch.optim.SGD(groups, momentum=recipe.momentum, nesterov=recipe.nesterov, **options)


def _groups(model: nn.Module) -> list[dict[str, Any]]:
    """The trainable parameters by the rule of their layer: those without a rule of their own first, and always."""
    rules: dict[nn.Parameter, ParameterRule] = {}
    for layer in replacements(model):
        for name, rule in layer.parameter_rules.items():
            rules.setdefault(layer.get_parameter(name), rule)
    found: dict[ParameterRule, list[nn.Parameter]] = {ParameterRule(): []}
    for parameter in model.parameters():
        if parameter.requires_grad:
            found.setdefault(rules.get(parameter, ParameterRule()), []).append(parameter)
    return [{"params": parameters, **rule._asdict()} for rule, parameters in found.items()]


def replacements(model: nn.Module) -> list[ConvReplacement]:
    """The layers of the model that took the place of a convolution."""
    return [module for module in model.modules() if isinstance(module, ConvReplacement)]


class EagerStep:
    """Forward, loss, backward, update. Metrics stay on the device until they are read.

    Args:
        model: whose penalties and parameters are meant.
        forward: what computes the logits: `model` itself, or `model` compiled.
        optimizer: over the parameters of `model`.
        recipe: decides the precision and the clipping.
    """

    capturable = False

    def __init__(
        self, model: nn.Module, forward: Callable[[Tensor], Tensor], optimizer: torch.optim.Optimizer, recipe: Recipe
    ) -> None:
        self.model, self.forward, self.optimizer, self.recipe = model, forward, optimizer, recipe
        self.device = next(model.parameters()).device
        self._projected = [m for m in replacements(model) if type(m).project_ is not ConvReplacement.project_]
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=recipe.precision == "fp16")
        # loss x samples, correct, samples, penalty, steps: one tensor, changed in place only
        self._sums = torch.zeros(5, dtype=torch.float64, device=self.device)

    def __call__(self, x: Tensor, y: Tensor, terms: Sequence[Term] = ()) -> None:
        """Train on one batch, x (n, c, h, w) and y (n,), with these terms added to the loss."""
        self._compute(x, y, terms)

    def set_learning_rate(self, rate: float) -> None:
        """The rate of the next steps."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate).mul_(group["rate"])
            else:
                group["lr"] = rate * group["rate"]

    def copy_learning_rate(self, rate: Tensor) -> None:
        """The rate of the next steps from a tensor (1,); where the optimizer holds its rate on the device, without
        waiting for the device."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].copy_(rate.squeeze(0)).mul_(group["rate"])
            else:
                group["lr"] = float(rate) * group["rate"]

    def read_metrics(self) -> Metrics:
        """The metrics of the steps since the last reading; waits for the device."""
        loss, right, samples, penalty, steps = self._read_sums()
        self._sums.zero_()
        return Metrics(loss / samples, 100 * right / samples, penalty / steps)

    def scale_is_lost(self) -> bool:
        """Whether the scaled loss has become 0, so that no step can change anything any more; waits for the device."""
        return self.scaler.is_enabled() and self.scaler.get_scale() == 0

    def in_force(self) -> dict[str, Any]:
        """What decides the bits of a step, as it is."""
        dtype = AUTOCAST[self.recipe.precision]
        return {
            "autocast_dtype": None if dtype is None else str(dtype).removeprefix("torch."),
            "loss_scale": self.scaler.get_scale() if self.scaler.is_enabled() else None,
            "fused_optimizer": bool(self.optimizer.param_groups[0]["fused"]),
            "weight_decay": self.optimizer.param_groups[0]["weight_decay"],
        }

    def _compute(self, x: Tensor, y: Tensor, terms: Sequence[Term]) -> None:
        """The mathematics of a step, and all of it. It changes tensors in place and waits for nothing."""
        with autocast(self.recipe.precision, self.device.type):
            logits = self.forward(x)  # (n, classes)
        loss, samples = self._mean_loss(logits.to(torch.promote_types(logits.dtype, torch.float32)), y)
        penalty = sum((term.weight * term.penalty(self.model) for term in terms), start=torch.zeros_like(loss))
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss + penalty if terms else loss).backward()
        if self.recipe.clip_grad_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        for layer in self._projected:
            layer.project_()
        with torch.no_grad():
            correct = (logits.argmax(1) == y).sum()
            one = torch.ones_like(loss)
            self._sums += torch.stack([loss * samples, correct, one * samples, penalty, one]).double()

    def _mean_loss(self, logits: Tensor, y: Tensor) -> tuple[Tensor, float]:
        """The mean cross-entropy of logits (n, classes), and the number of images of which it is the mean."""
        return F.cross_entropy(logits, y), len(y)

    def _read_sums(self) -> list[float]:
        sums: list[float] = self._sums.tolist()
        return sums
