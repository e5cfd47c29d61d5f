"""What the replacement of one convolution at a time does to the loss of a model: any model, any loss, any batches."""

from __future__ import annotations

import glob
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from linconv.config import VARIANTS, Variant
from linconv.config.errors import UserError, first_line
from linconv.config.methods import known_methods
from linconv.config.names import check_known
from linconv.layers import conversion, fitting_init, replaceable
from linconv.layers.copies import copied
from linconv.layers.images import check_values, inputs_of_batch, running_on
from linconv.layers.progress import watched
from linconv.layers.replacement import ConvReplacement
from linconv.layers.replacing import check_module
from linconv.layers.selection import Choice, left_plain

log = logging.getLogger("linconv")

Loss = Callable[[Any, Any], Tensor]
Batches = Iterable[tuple[Any, Any]]


class LayerLoss(NamedTuple):
    """One convolution replaced by itself, all others plain.

    `params` are the plain convolution's, `loss_plain` and `loss` the model's with the plain one and with the new one;
    infinite where not finite.
    """

    layer: str
    params: int
    params_saved: int
    loss_plain: float
    loss: float

    @property
    def increase(self) -> float:
        """What the replacement adds to the loss; infinite where a loss is not finite."""
        return self.loss - self.loss_plain if math.isfinite(self.loss) and math.isfinite(self.loss_plain) else math.inf


@dataclass(frozen=True)
class Sensitivity:
    """The layers of a model that a variant can replace, the least sensitive per parameter saved first.

    `loss` is the plain model's. That the increases of several layers add up is an assumption: each was measured with
    all others plain. `left_out` has the convolutions that `convert` cannot replace, and why.
    """

    loss: float
    layers: list[LayerLoss] = field(repr=False)
    left_out: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        width = max(len("layer"), *(len(layer.layer) for layer in self.layers))
        lines = [f"{'layer':<{width}}  {'parameters':>10}  {'saved':>10}  {'loss':>9}  {'increase':>9}"]
        lines += [
            f"{la.layer:<{width}}  {la.params:>10,}  {la.params_saved:>10,}  {la.loss:>9.4f}  {la.increase:>+9.4f}"
            for la in self.layers
        ]
        return "\n".join([*lines, *left_plain(self.left_out), f"the loss of the plain model is {self.loss:.4f}"])


def sensitivity(model: nn.Module, loss: Loss, batches: Batches, variant: str | Variant = "L") -> Sensitivity:
    """How much each convolution of a trained model suffers from being replaced, with no training after it.

    A layer starts from the trained filters where its method can (least squares, truncated SVD), from new ones where
    not. The model is left as it is.

    Args:
        model: any model; it is evaluated in evaluation mode, on its own device.
        loss: of the output and the target of a batch, a tensor of one value, such as `F.cross_entropy`.
        batches: pairs of an input and a target, on the model's device; they are read once and kept. A few hundred
            images that the model was not trained on tell enough.
        variant: what `convert` takes, a name (`L`, `Lr`, `LRr`, `LSr`, `tucker`, ...) or a `Variant`: the layer whose
            effect is measured. Convolutions that `convert` leaves plain, or refuses, are left out.

    Raises:
        UserError: there is no batch, the variant can replace no convolution of the model, the model does not run on the
            inputs or has no values (it is lazy, or on the meta device), or the loss fails on its outputs.
        TypeError, ValueError: `variant` or the model is what `convert` refuses; `loss` is no function or gives several
            values; a batch is no pair.
    """
    check_module(model)
    check_values(model, "sensitivity")
    variant = as_variant(variant)
    selection = replaceable(model, variant)
    kept = pairs(loss, batches)
    if not kept:
        raise UserError("sensitivity: there is no batch to measure on")
    names = list(selection.replaced.values())
    if not names:
        why = "; ".join(["", *left_plain(selection.refused)])
        raise UserError(f"sensitivity: {variant.layer!r} can replace no convolution of the model{why}")
    measured = measure_layers(model, variant, names, lambda network: mean_loss(network, loss, kept))
    found = list(watched(measured, "sensitivity", len(names)))
    ranked = sorted(found, key=lambda la: la.increase / la.params_saved if la.params_saved > 0 else math.inf)
    return Sensitivity(found[0].loss_plain, ranked, selection.refused)


def measure_layers(
    model: nn.Module,
    variant: Variant,
    names: Sequence[str],
    evaluate: Callable[[nn.Module], float],
    *,
    replace: Callable[..., nn.Module] | None = None,
    tune: Callable[[nn.Module, str], nn.Module] | None = None,
    seed: int = 0,
) -> Iterator[LayerLoss]:
    """Measure layers one after another; the model and the generator of random numbers are left as they are.

    Args:
        evaluate: gives the loss of a model.
        replace: replaces convolutions of a model in place; None as `convert` does.
        tune: trains one layer of a model alone, before it is evaluated; the plain layer is trained as much.
        seed: of new filters, so that no layer's values depend on which came before it.
    """
    init = fitting_init(variant)
    plain = evaluate(copied(model))  # a copy, as a pass may change what a model holds
    devices = list({p.device for p in model.parameters() if p.is_cuda})
    for name in names:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            options = {"init": init} if init else {}
            replaced = (replace or _replaced)(copied(model), variant, include=[glob.escape(name)], **options)
            conv, layer = model.get_submodule(name), replaced.get_submodule(name)
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(layer, ConvReplacement)
            params = sum(p.numel() for p in conv.parameters())
            if tune is not None:
                loss, plain = evaluate(tune(replaced, name)), evaluate(tune(copied(model), name))
            else:
                loss = evaluate(replaced)
        found = LayerLoss(name, params, params - layer.params_expected, plain, loss)
        log.info("%s: loss %.4f, plain %.4f, %d parameters saved", name, loss, plain, found.params_saved)
        yield found


def as_variant(variant: str | Variant) -> Variant:
    """A variant, by its name or the name of its method, as `convert` takes it.

    Raises:
        TypeError: it is neither a name nor a variant.
        ValueError: an unknown name.
    """
    if isinstance(variant, Variant):
        return variant
    if not isinstance(variant, str):
        raise TypeError(f"variant must be a name, such as 'L' or 'tucker', or a linconv.Variant, not {variant!r}")
    check_known([variant], [*VARIANTS, *known_methods()], "variant")
    return VARIANTS.get(variant) or Variant(layer=variant)


def pairs(loss: Loss, batches: Batches) -> list[tuple[Any, Any]]:
    """The batches, read once.

    Raises:
        TypeError: `loss` is no function, or a batch no pair.
    """
    if not callable(loss):
        raise TypeError(f"loss: a function of outputs and targets is expected, such as F.cross_entropy, not {loss!r}")
    kept = list(batches)
    for batch in kept:
        if not (isinstance(batch, tuple | list) and len(batch) == 2):
            size = f" of {len(batch)}" if isinstance(batch, tuple | list | dict) else ""
            raise TypeError(f"batches: pairs of inputs and targets are expected, not a {type(batch).__name__}{size}")
    return kept


def _replaced(model: nn.Module, variant: Variant, *, include: Sequence[str], **options: Any) -> nn.Module:
    """What `convert` does, without a word in the log: a layer is replaced many times here."""
    return conversion(model, variant, Choice(include=include), **options).model


@torch.no_grad()
def mean_loss(model: nn.Module, loss: Loss, batches: Sequence[tuple[Any, Any]]) -> float:
    """The loss of a model, which is put into evaluation mode, averaged over batches."""
    model.eval()
    values = [_value(_loss(loss, _outputs(model, x), y)) for x, y in batches]
    return math.fsum(values) / len(values)


def _outputs(model: nn.Module, x: Any) -> Any:
    with running_on(inputs_of_batch(x)):
        return model(x)


def _loss(loss: Loss, outputs: Any, targets: Any) -> Tensor:
    try:
        return loss(outputs, targets)
    except Exception as error:  # a function of the user's
        raise UserError(
            f"loss: it fails on the outputs of the model ({type(outputs).__name__}) and the targets of a batch "
            f"({type(targets).__name__}): {first_line(error)}; give a function of these two"
        ) from error


def _value(loss: Tensor | float) -> float:
    if isinstance(loss, Tensor) and loss.numel() != 1:
        raise ValueError(f"loss: one value for a batch is expected, not {tuple(loss.shape)}")
    return float(loss)
