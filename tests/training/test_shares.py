"""The share of every batch that one of several processes takes, and how a process learns which it is."""

from __future__ import annotations

import dataclasses
import itertools
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from linconv.config import Recipe
from linconv.config.errors import UserError
from linconv.data import BatchSource, Share
from linconv.launch import Launch, launch
from linconv.training.distributed import SeveralProcesses, Team
from linconv.training.shared_step import Part, SharedStep
from tests.training.several import INFO


@pytest.mark.parametrize(("images", "of"), [*itertools.product((1, 2, 7, 64), (2, 3, 5))])
def test_the_shares_of_a_batch_are_the_batch(images, of):
    shares = [Share(rank, of) for rank in range(of)]
    counted = [share.counted(images) for share in shares]
    assert sum(counted) == images
    assert max(counted) - min(counted) <= 1
    places = [share.of_batch(images, 100) for share in shares]
    taken = [i for place, n in zip(places, counted, strict=True) if n for i in range(place.start, place.stop)]
    assert taken == list(range(100, 100 + images))
    assert all(100 <= place.start < place.stop <= 100 + images for place in places)


def test_shares_have_the_order_crops_and_flips_of_whole_batches():
    images = torch.randint(256, (10, 3, 8, 8), dtype=torch.uint8)
    source = BatchSource(images, torch.arange(10), 4, INFO, augment=True, shuffle=True, seed=2)
    shares = [dataclasses.replace(source, share=Share(rank, 3))(1) for rank in range(3)]
    for whole, *parts in zip(source(1), *shares, strict=True):
        counted = [(x, y) for rank, (x, y) in enumerate(parts) if Share(rank, 3).counted(len(whole[1]))]
        assert torch.equal(torch.cat([x for x, _ in counted]), whole[0])
        assert torch.equal(torch.cat([y for _, y in counted]), whole[1])


def test_three_processes_that_are_right_about_all_images_are_right_about_100_percent(monkeypatch):
    """A third of 50 images is no number that a float holds: summed up, it made more than 100 percent of them."""
    model = nn.Linear(2, 2)
    recipe = Recipe(learning_rate=1e-3, epochs=1, batch_size=50)
    steps = []
    for share in (Share(rank, 3) for rank in range(3)):
        here = share.of_batch(50)
        team = SimpleNamespace(size=3, part=Part(here.start, here.stop, share.counted(50), 50))
        step = SharedStep(team, model, model, torch.optim.SGD(model.parameters(), lr=1e-3), recipe)
        step._parallel = model  # in place of the one that talks to the others
        x = torch.randn(here.stop - here.start, 2)
        for _ in range(10):
            step(x, model(x).argmax(1))
        steps.append(step)
    total = sum(step._sums for step in steps)
    monkeypatch.setattr("torch.distributed.all_reduce", lambda sums: sums.copy_(total))
    assert [step.read_metrics().top1 for step in steps] == [100.0] * 3


def test_pieces_are_the_shares_of_all_processes_one_after_the_other():
    images = torch.randint(256, (10, 3, 8, 8), dtype=torch.uint8)
    source = BatchSource(images, torch.arange(10), 4, INFO, torch.channels_last)  # the last batch has two images
    assert Team().pieces(source) is source
    group: Any = None
    several = [SeveralProcesses(rank, 3, group, group) for rank in range(3)]
    taken = [list(team.shares(source, evaluates=True)(0)) for team in several]
    found = list(several[0].pieces(source)(0))
    assert [y.tolist() for _, y in found] == [[0], [1], [2, 3], [4], [5], [6, 7], [8], [9]]
    assert sum(map(len, taken)) == len(found)
    for x, y in found:
        same = next(other for shares in taken for other, labels in shares if torch.equal(labels, y))
        assert torch.equal(x, same)
        assert x.stride() == same.stride()


PLACES = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1"}


@pytest.mark.parametrize(
    ("places", "found"),
    [
        ({}, Launch()),
        ({"WORLD_SIZE": "4"}, Launch()),  # of something else
        (PLACES | {"WORLD_SIZE": "1", "RANK": "0"}, Launch()),
        (PLACES, Launch(1, 4, 0)),
    ],
)
def test_the_environment_says_which_of_several_a_process_is(places, found, monkeypatch):
    for name in PLACES:
        monkeypatch.delenv(name, raising=False)
    for name, value in places.items():
        monkeypatch.setenv(name, value)
    assert launch() == found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"MASTER_PORT": None, "LOCAL_RANK": None}, "without LOCAL_RANK, MASTER_PORT; start it by torchrun"),
        ({"RANK": "4"}, "no places among several processes: RANK=4, WORLD_SIZE=4"),
        ({"WORLD_SIZE": "many"}, "WORLD_SIZE=many"),
        ({"LOCAL_RANK": "2"}, "LOCAL_RANK=2"),
        ({"MASTER_PORT": "65536"}, "MASTER_PORT=65536"),
    ],
)
def test_places_that_cannot_be_are_refused(changes, message, monkeypatch):
    for name, value in (PLACES | changes).items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        launch()
