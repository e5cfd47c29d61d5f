"""Which layers of a model to replace, and by what, so that the model meets a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from linconv.config import Variant
from linconv.config.errors import UserError
from linconv.config.rules import check_size
from linconv.layers import method_class, replaceable
from linconv.layers.forms import Form
from linconv.layers.images import check_values
from linconv.layers.options import several_names
from linconv.layers.progress import watched
from linconv.layers.replacement import ConvReplacement
from linconv.layers.replacing import check_module
from linconv.layers.selection import Selection, blank, left_plain
from linconv.measure.budget_plan import BudgetPlan, Cost, LayerReplacement
from linconv.measure.complexity import complexity
from linconv.measure.latency import layer_seconds, ratio_to_plain
from linconv.measure.one_layer import Batches, Loss, as_variant, mean_loss, measure_layers, pairs
from linconv.measure.shapes import ConvShapes, conv_shapes
from linconv.measure.solve import Offer, cheapest_offers, fewest_offers

MAX_CORRECTIONS = 3  # of the target of a latency budget, after the whole model was timed


def _variant(layer: str, **options: Any) -> Variant:
    return Variant.model_validate({"layer": layer, "options": options})


# From mild to strong. Low rank is considered where data tell which method suits a layer.
LINEAR = (
    _variant("linear", primary_ratio=0.75),
    _variant("linear", primary_ratio=0.5),
    _variant("linear", primary_ratio=0.5, rank=0.25),
    _variant("linear", primary_ratio=0.25),
    _variant("linear", primary_ratio=0.25, rank=0.25),
    _variant("linear", primary_ratio=0.125, rank=0.5),
)
LOW_RANK = (_variant("lowrank", rank=0.5), _variant("lowrank", rank=0.25), _variant("lowrank", rank=0.125))


def plan(
    model: nn.Module,
    size: tuple[int, int, int],
    *,
    params: float | None = None,
    macs: float | None = None,
    latency: float | None = None,
    loss: Loss | None = None,
    batches: Batches | None = None,
    variants: Sequence[str | Variant] | None = None,
) -> BudgetPlan:
    """Find which convolutions to replace, by which method and rank, so that a model meets a budget.

    With `loss` and `batches`, every convolution is replaced by each variant alone and the loss is measured (see
    `linconv.sensitivity`); the plan has a small sum of increases. Without them, the mildest variant that can meet the
    budget replaces few layers, the largest savings first; smaller layers and milder variants at the end keep the plan
    near the budget. A share counts the whole model, layers that
    stay plain included. The model is left as it is.

    Args:
        model: trained or not, in which every `nn.Conv2d` may be replaced that `convert` replaces. The plan says which
            others there are, convolutions with hooks included, and why.
        size: of one image, (c, h, w).
        params, macs, latency: the budget, one of them: a share of the plain model's parameters, of its MACs per image
            in feature space, or of the time of one image, measured here and now, in (0, 1).
        loss, batches: as for `linconv.sensitivity`; both or none.
        variants: what to choose from, from mild to strong: a list of what `convert` takes. Default: LinearConv with
            several shares of primary filters and ranks, and with data low rank too. A method whose layers share
            parameters, such as "warehouse", is refused.

    Raises:
        ValueError: no budget or several, one outside (0, 1), a `size` of other than three numbers, `loss` without
            `batches`, a loss of several values, or an unknown variant.
        TypeError: `model` is no module, `loss` no function, a batch no pair, or `variants` is one string, or has
            something that is no variant.
        UserError: the budget cannot be met, the layers of a variant share parameters, there is no convolution to
            replace, or the model does not run on `size`, is lazy, or is on the meta device where a loss or a time is
            measured; what `linconv.sensitivity` raises.
    """
    check_module(model)
    check_size(size, "size")
    cost, budget = _budget(params=params, macs=macs, latency=latency)
    if (loss is None) != (batches is None):
        raise ValueError("plan: give `loss` and `batches` together, or neither")
    check_values(model, "plan", meta=loss is None and cost != "latency")
    given = several_names(variants or (), "variants: a list of variants", "L", (str, Variant))
    wanted = [as_variant(v) for v in given] or [*LINEAR, *(LOW_RANK if batches is not None else ())]
    _refuse_sharing(wanted)
    selections = [replaceable(model, variant) for variant in wanted]
    shapes = conv_shapes(model, size)
    offers, plain = _offers(model, cost, wanted, selections, shapes, size)
    left_out = _left_out(selections, shapes, offers)
    if not offers:
        why = "; ".join(["", *left_plain(left_out)])
        raise UserError(f"plan: the model calls no nn.Conv2d that can be replaced with a saving{why}")
    if loss is not None and batches is not None:
        offers = _with_increases(model, wanted, offers, loss, pairs(loss, batches))
    target, order = budget, [name for name, _ in model.named_modules()]
    reached = None
    for _ in range(MAX_CORRECTIONS if cost == "latency" else 1):
        chosen = (fewest_offers if loss is None else cheapest_offers)(offers, (1 - target) * plain)
        if chosen is None:
            break
        share = 1 - sum(o.saving for o in chosen) / plain
        made = BudgetPlan(cost, budget, share, plain, _choices(wanted, selections, chosen, order, plain), left_out)
        if cost != "latency":
            return made
        reached = ratio_to_plain(model, made.apply(model), size)
        made = replace(made, reached=reached)
        if reached <= budget:
            return made
        target *= budget / reached
    if reached is None:
        raise UserError(
            f"plan: {cost}={budget:g} cannot be met: these variants reach {_least(offers, plain):.3g} of the plain "
            "model at least; allow more, or give stronger `variants`"
        )
    raise UserError(
        f"plan: latency={budget:g} is not met: the last plan takes {reached:.2f} of the plain time; allow more"
    )


def _refuse_sharing(variants: Sequence[Variant]) -> None:
    nothing: Any = ConvReplacement.share_
    for variant in variants:
        share: Any = method_class(variant.layer).share_
        if share.__func__ is not nothing.__func__:
            raise UserError(
                f"plan: the layers of {variant.layer!r} share parameters, so none of them has a cost of its own; leave "
                "it out of `variants`, and use linconv.convert for it"
            )


def _budget(**given: float | None) -> tuple[Cost, float]:
    stated = [(name, value) for name, value in given.items() if value is not None]
    if len(stated) != 1:
        raise ValueError(f"plan: give one budget, params=, macs= or latency=, not {len(stated)}")
    ((name, value),) = stated
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise ValueError(f"plan: {name}={value!r}: a share of the plain model in (0, 1) is expected")
    return name, float(value)  # type: ignore[return-value]


def _offers(
    model: nn.Module,
    cost: Cost,
    variants: Sequence[Variant],
    selections: Sequence[Selection],
    shapes: ConvShapes,
    size: tuple[int, int, int],
) -> tuple[list[Offer], float]:
    """What every variant saves in every convolution, and the plain model's cost."""
    layers = {
        (name, number): _blank(variant, conv)
        for number, (variant, selection) in enumerate(zip(variants, selections, strict=True))
        for conv, name in selection.replaced.items()
        if name in shapes
    }
    convs = {name: conv for selection in selections for conv, name in selection.replaced.items()}
    savings: Mapping[tuple[str, int], float]
    if cost == "params":
        savings = {k: _params(convs[k[0]]) - layer.params_expected for k, layer in layers.items()}
        plain: float = sum(p.numel() for p in model.parameters())
    elif cost == "macs":
        savings = {k: _macs_saved(convs[k[0]], layer, shapes[k[0]]) for k, layer in layers.items()}
        plain = complexity(model, size).macs_feature
    else:
        seconds, plain = layer_seconds(model, variants, list(layers), size)
        savings = {k: seconds[k[0], None] - seconds[k] for k in layers}
    return [Offer(name, number, saving) for (name, number), saving in savings.items() if saving > 0], plain


def _left_out(selections: Sequence[Selection], shapes: ConvShapes, offers: Sequence[Offer]) -> dict[str, str]:
    """The convolutions for which there is no offer, and why: what the mildest variant that refuses them says."""
    reasons: dict[str, str] = {}
    for selection in selections:
        reasons = selection.refused | reasons
    for selection in selections:
        for name in selection.replaced.values():
            called = name in shapes
            reasons[name] = "no variant saves anything in it" if called else "the model does not call it for an image"
    offered = {offer.layer for offer in offers}
    return {name: reason for name, reason in reasons.items() if name not in offered}


def _blank(variant: Variant, conv: nn.Conv2d) -> ConvReplacement:
    return blank(method_class(variant.layer), conv, variant.layer_options)


def _params(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _macs_saved(
    conv: nn.Conv2d, layer: ConvReplacement, calls: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]
) -> int:
    form: Form = "feature" if "feature" in layer.forms else "folded"
    own = conv.weight[0].numel() * conv.out_channels
    return sum(own * math.prod(made) - layer.macs_at(form, made, read).per_image for read, made in calls)


def _with_increases(
    model: nn.Module, variants: Sequence[Variant], offers: Sequence[Offer], loss: Loss, batches: Sequence[Any]
) -> list[Offer]:
    if not batches:
        raise UserError("plan: there is no batch to measure on")
    measured = (
        (number, one)
        for number, variant in enumerate(variants)
        for one in measure_layers(
            model,
            variant,
            [offer.layer for offer in offers if offer.variant == number],
            lambda changed: mean_loss(changed, loss, batches),
        )
    )
    increases = {
        (one.layer, number): one.increase
        for number, one in watched(measured, "plan", len(offers), "replacements measured")
        if math.isfinite(one.increase)
    }
    return [
        offer._replace(increase=increases[offer.layer, offer.variant])
        for offer in offers
        if (offer.layer, offer.variant) in increases
    ]


def _least(offers: Sequence[Offer], plain: float) -> float:
    """The smallest share of the plain model's cost that offers reach."""
    best: dict[str, float] = {}
    for offer in offers:
        best[offer.layer] = max(best.get(offer.layer, 0.0), offer.saving)
    return 1 - sum(best.values()) / plain


def _choices(
    variants: Sequence[Variant],
    selections: Sequence[Selection],
    chosen: Sequence[Offer],
    order: Sequence[str],
    plain: float,
) -> list[LayerReplacement]:
    choices = []
    for offer in sorted(chosen, key=lambda offer: order.index(offer.layer)):
        variant = variants[offer.variant]
        conv = next(conv for conv, name in selections[offer.variant].replaced.items() if name == offer.layer)
        after = _blank(variant, conv).params_expected
        saved = offer.saving / plain
        choices.append(LayerReplacement(offer.layer, variant, _params(conv), after, saved, offer.increase))
    return choices
