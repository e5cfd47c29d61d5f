"""Chosen offers save enough, cost little, and save little more than enough."""

from __future__ import annotations

import itertools

import pytest
import torch

from linconv.measure.solve import Offer, cheapest_offers, fewest_offers


def test_cheapest_offers_are_near_the_best_of_all_choices():
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        table = torch.rand(4, 3, 2, generator=generator).tolist()
        offers = [Offer(str(i), j, 1 + s, c) for i, row in enumerate(table) for j, (s, c) in enumerate(row)]
        best = min(
            sum(c for _, c in pick)
            for pick in itertools.product(*[[(0.0, 0.0), *((1 + s, c) for s, c in row)] for row in table])
            if sum(s for s, _ in pick) >= 3
        )
        found = cheapest_offers(offers, 3)
        assert sum(o.saving for o in found) >= 3
        assert len({o.layer for o in found}) == len(found)
        assert best <= sum(o.increase for o in found) + 1e-9 <= 2 * best + 0.5
    assert cheapest_offers(offers, 100) is None
    assert cheapest_offers([Offer("a", 0, 1.0, -0.1)], 0) == [Offer("a", 0, 1.0, -0.1)]


def test_fewest_offers_take_the_mildest_variant_that_suffices():
    offers = [Offer("a", 0, 2.0), Offer("b", 0, 1.0), Offer("a", 1, 3.0), Offer("b", 1, 2.0), Offer("b", 2, 2.5)]
    assert fewest_offers(offers, 2) == [offers[0]]
    assert fewest_offers(offers, 2.5) == offers[:2]
    assert fewest_offers(offers, 5) == offers[2:4]
    assert fewest_offers(offers, 5.5) == [offers[2], offers[4]]
    assert fewest_offers(offers, 6) is None
    assert fewest_offers(offers, 0) == []


def test_what_is_saved_beyond_need_is_given_back():
    mixed = [Offer("a", 0, 2.0), Offer("b", 0, 2.0), Offer("a", 1, 4.0), Offer("b", 1, 4.0)]
    assert fewest_offers(mixed, 5) == [mixed[2], mixed[1]]  # both by variant 1 would save 8
    sizes = [Offer("a", 0, 5.0), Offer("b", 0, 5.0), Offer("c", 0, 1.0)]
    assert fewest_offers(sizes, 5.5) == [sizes[0], sizes[2]]  # the two largest would save 10
    several = [Offer(layer, 0, saving) for layer, saving in {"a": 9.0, "b": 9.0, "c": 3.0, "d": 1.0}.items()]
    assert fewest_offers(several, 13) == [several[0], *several[2:]]  # a and b would save 18
    steps = [Offer("a", 0, 1.0, 0.1), Offer("a", 1, 3.0, 0.2), Offer("b", 0, 2.0, 0.3), Offer("b", 1, 4.0, 0.35)]
    assert sum(o.increase for o in cheapest_offers(steps, 5)) == pytest.approx(0.5)


def test_small_offers_never_take_the_place_of_one_that_is_needed():
    offers = [Offer("a", 0, 1.0), Offer("b", 0, 1.0), Offer("a", 1, 10.0), Offer("b", 1, 10.0)]
    assert fewest_offers(offers, 15) == offers[2:]


def test_every_solution_is_enough_and_has_no_layer_in_vain():
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        table = (10 * torch.rand(5, 3, generator=generator)).sort(dim=1).values.tolist()
        offers = [Offer(str(i), j, saving) for i, row in enumerate(table) for j, saving in enumerate(row)]
        saving = float(torch.rand((), generator=generator)) * sum(row[-1] for row in table)
        found = fewest_offers(offers, saving)
        total = sum(o.saving for o in found)
        assert total >= saving > total - min(o.saving for o in found)
        assert len({o.layer for o in found}) == len(found)
