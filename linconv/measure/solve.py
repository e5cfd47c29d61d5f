"""Choosing offers: at most one for each layer, so that together they save enough."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Offer(NamedTuple):
    """One convolution replaced by one variant, named by its place in a list from mild to strong.

    `saving` is in the unit of the budget, above 0; `increase` is what the loss gains, None where it is not known.
    """

    layer: str
    variant: int
    saving: float
    increase: float | None = None


def fewest_offers(offers: Sequence[Offer], saving: float) -> list[Offer] | None:
    """The mildest variant with which all layers together save enough, in as few layers as suffice, the largest first.

    Where no single variant saves enough, each layer takes the variant that saves it most. None: nothing saves enough.
    """
    for number in sorted({offer.variant for offer in offers}):
        if (found := _largest_first([o for o in offers if o.variant == number], saving)) is not None:
            return found
    best: dict[str, Offer] = {}
    for offer in offers:
        if offer.layer not in best or offer.saving > best[offer.layer].saving:
            best[offer.layer] = offer
    return _largest_first(best.values(), saving)


def _largest_first(offers: Iterable[Offer], saving: float) -> list[Offer] | None:
    chosen: list[Offer] = []
    for offer in sorted(offers, key=lambda o: -o.saving):
        if sum(o.saving for o in chosen) >= saving:
            break
        chosen.append(offer)
    return chosen if sum(o.saving for o in chosen) >= saving else None


def cheapest_offers(offers: Sequence[Offer], saving: float) -> list[Offer] | None:
    """Offers with a small sum of increases in loss that save enough; None where nothing does.

    Greedy along the lower convex hull of every layer's (saving, increase): the step with the least increase per
    saving comes next, until the saving is reached; then whole layers are given back, the largest increase first,
    without which it still is. Steps that lower the loss are always taken.
    """
    steps = []
    for layer in dict.fromkeys(offer.layer for offer in offers):
        before = Offer(layer, -1, 0.0, 0.0)
        for offer in _hull([o for o in offers if o.layer == layer]):
            steps.append((_slope(before, offer), offer))
            before = offer
    chosen: dict[str, Offer] = {}
    saved = 0.0
    for slope, offer in sorted(steps, key=lambda step: step[0]):  # along a hull, slopes rise: steps stay in order
        if slope > 0 and saved >= saving:
            break
        saved += offer.saving - (chosen[offer.layer].saving if offer.layer in chosen else 0.0)
        chosen[offer.layer] = offer
    if saved < saving:
        return None
    for offer in sorted(chosen.values(), key=lambda o: -(o.increase or 0.0)):
        if (offer.increase or 0.0) > 0 and saved - offer.saving >= saving:
            saved -= offer.saving
            del chosen[offer.layer]
    return list(chosen.values())


def _hull(offers: Iterable[Offer]) -> list[Offer]:
    """The offers on the lower convex hull from (0, 0), by rising saving."""
    hull = [Offer("", -1, 0.0, 0.0)]
    for offer in sorted(offers, key=lambda o: (o.saving, o.increase or 0.0)):
        if offer.saving == hull[-1].saving:
            continue
        while len(hull) > 1 and _slope(hull[-2], offer) <= _slope(hull[-2], hull[-1]):
            hull.pop()
        hull.append(offer)
    return hull[1:]


def _slope(before: Offer, after: Offer) -> float:
    return ((after.increase or 0.0) - (before.increase or 0.0)) / (after.saving - before.saving)
