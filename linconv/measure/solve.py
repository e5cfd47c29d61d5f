"""Choosing offers: at most one for each layer, so that together they save enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

TOLERATED = 0.05  # of the saving that is asked for: no further layer is replaced to come nearer to it


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

    Where no single variant saves enough, each layer takes the variant that saves it most. Then what is saved beyond
    need is given back: smaller layers or milder variants take the place of the last layer, and the others take milder
    variants as far as the budget allows. None: nothing saves enough.
    """
    for number in sorted({offer.variant for offer in offers}):
        if (found := _largest_first([o for o in offers if o.variant == number], saving)) is not None:
            return _given_back(found, [o for o in offers if o.variant <= number], saving)
    best: dict[str, Offer] = {}
    for offer in offers:
        if offer.layer not in best or offer.saving > best[offer.layer].saving:
            best[offer.layer] = offer
    found = _largest_first(best.values(), saving)
    return None if found is None else _given_back(found, offers, saving)


def _largest_first(offers: Iterable[Offer], saving: float) -> list[Offer] | None:
    chosen: list[Offer] = []
    for offer in sorted(offers, key=lambda o: -o.saving):
        if _saved(chosen) >= saving:
            break
        chosen.append(offer)
    return chosen if _saved(chosen) >= saving else None


def _given_back(chosen: Sequence[Offer], milder: Sequence[Offer], saving: float) -> list[Offer]:
    """Other offers than the last one, of the `milder` ones, so that little more than enough is saved."""
    found = _nearest({offer.layer: offer for offer in chosen[:-1]}, milder, saving) if chosen else {}
    for offer in sorted(found.values(), key=lambda o: -o.saving):
        if _saved(found.values()) - offer.saving >= saving:
            del found[offer.layer]
    for offer in reversed(list(found.values())):
        needed = offer.saving - (_saved(found.values()) - saving)
        own = [o for o in milder if o.layer == offer.layer and o.variant < offer.variant and o.saving >= needed]
        found[offer.layer] = min((offer, *own), key=lambda o: o.saving)
    return list(found.values())


def _nearest(first: Mapping[str, Offer], offers: Iterable[Offer], saving: float) -> dict[str, Offer]:
    """Some offers and further layers that together save enough: one layer, or several where one saves far too much."""
    found, solutions = dict(first), []
    while True:
        needed = saving - _saved(found.values())
        others = sorted((o for o in offers if o.layer not in found), key=lambda o: o.saving)
        smaller = [o for o in others if o.saving < needed]
        if len(smaller) < len(others):
            closing = others[len(smaller)]
            solutions.append({**found, closing.layer: closing})
            if closing.saving - needed <= TOLERATED * saving:
                break
        if not smaller:
            break
        found[smaller[-1].layer] = smaller[-1]
    return min(solutions, key=lambda solution: _saved(solution.values()))


def _saved(offers: Iterable[Offer]) -> float:
    return sum(offer.saving for offer in offers)


def cheapest_offers(offers: Sequence[Offer], saving: float) -> list[Offer] | None:
    """Offers with a small sum of increases in loss that save enough; None where nothing does.

    Greedy along the lower convex hull of every layer's (saving, increase): the step with the least increase per
    saving comes next, until the saving is reached; then whole layers are given back, or parts by an offer that saves
    less, the largest increase first, without which it still is. Steps that lower the loss are always taken.
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
    for offer in sorted(chosen.values(), key=lambda o: -(o.increase or 0.0)):
        enough = [o for o in offers if o.layer == offer.layer and saved - offer.saving + o.saving >= saving]
        chosen[offer.layer] = min((*enough, offer), key=lambda o: o.increase or 0.0)
        saved += chosen[offer.layer].saving - offer.saving
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
