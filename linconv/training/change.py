"""A network that becomes another one in the middle of its training: what pruning and a warm start have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from linconv.config.errors import UserError
from linconv.training.engine import Callback, Training

# What becomes of a parameter's moment, by the name that the parameter has in the plain network.
Adapt = Callable[[str, Tensor], Tensor]


def epochs_before(share: float, epochs: int, event: str) -> int:
    """That share of the epochs, rounded; at least one, and all but one at most.

    Raises:
        UserError: there are not two epochs; `event` names what needs them.
    """
    if epochs < 2:
        raise UserError(f"{event}: {epochs} epoch leaves none after it; train for 2 or more")
    return min(epochs - 1, max(1, round(share * epochs)))


class NetworkChange(Callback):
    """Gives a training another network, once, when `after` epochs are finished.

    A subclass writes `choose`, what is to be done with the network as it is then, and `changed`, which does it. The
    moments of the optimizer follow the parameters that stay; the others start with none. A checkpoint written after
    the change holds the new network and the choice that leads to its shapes.

    Attributes:
        choice: what `choose` returned; None until then.
    """

    def __init__(self, after: int) -> None:
        self.after = after
        self.choice: Any = None

    def choose(self, training: Training) -> Any:
        """What is to be done, as tensors and plain values that a checkpoint can hold; not None."""
        raise NotImplementedError

    def changed(self, model: nn.Module, choice: Any) -> tuple[nn.Module, Adapt]:
        """A new network made of `model`, which stays as it is, and what becomes of the moments of its parameters."""
        raise NotImplementedError

    def reshaped(self, model: nn.Module, choice: Any) -> nn.Module:
        """A network of the same shapes, whose values do not matter."""
        return self.changed(model, choice)[0]

    def after_change(self, training: Training, before: int) -> None:
        """The change is done; the network had `before` parameters."""

    def on_epoch_start(self, training: Training) -> None:
        if self.choice is None and training.epoch >= self.after:
            self._change(training)

    def on_train_end(self, training: Training) -> None:
        if self.choice is None and training.epoch == self.after and not (training.diverged or training.stop):
            self._change(training)

    def on_model_replaced(self, training: Training) -> None:
        self.choice = None  # whoever replaces the network says next what it is; one set back is the first again

    def state_dict(self) -> dict[str, Any]:
        return {"choice": self.choice}

    def before_load(self, training: Training, state: dict[str, Any]) -> None:
        if state["choice"] is not None:
            training.replace_model(self.reshaped(training.model, state["choice"]))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.choice = state["choice"]

    def _change(self, training: Training) -> None:
        choice = training.team.from_first(lambda: self.choose(training))
        before = sum(p.numel() for p in training.model.parameters())
        model, adapt = self.changed(training.model, choice)
        _go_on_with(training, model, adapt)
        self.choice = choice
        self.after_change(training, before)


def _go_on_with(training: Training, model: nn.Module, adapt: Adapt) -> None:
    """Replace the model, but neither the loss scale nor the moments of parameters whose name and shape stay."""
    state = training.optimizer.state
    moments = {_plain_name(name): state[p] for name, p in training.model.named_parameters() if p in state}
    scaler = training.stepper.scaler.state_dict()
    training.replace_model(model)
    training.stepper.scaler.load_state_dict(scaler)
    for name, parameter in model.named_parameters():
        kept = {
            key: adapt(name, value).clone() if isinstance(value, Tensor) and value.dim() else value
            for key, value in moments.get(name, {}).items()
        }
        if kept and all(v.shape == parameter.shape for v in kept.values() if isinstance(v, Tensor) and v.dim()):
            training.optimizer.state[parameter] = kept


def _plain_name(name: str) -> str:
    """`conv1.parametrizations.weight.original` is the parameter `conv1.weight`."""
    return name.replace("parametrizations.", "").removesuffix(".original")
