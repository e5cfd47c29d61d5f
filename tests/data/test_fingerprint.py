"""Processes of one run find out that they have other data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from linconv.config import ValidationOptions
from linconv.data import Dataset, ImageFiles, StreamedImages, data_facts, hold_out
from tests.training.short import few_images


def streamed(names: list[str]) -> Dataset:
    files = ImageFiles("x", np.array([name.encode() for name in names]), 8)
    data = few_images()
    return dataclasses.replace(
        data, train_images=StreamedImages(files, "cpu", 0), train_labels=torch.zeros(len(names), dtype=torch.int64)
    )


def with_order(data: Dataset, order: torch.Tensor) -> Dataset:
    return dataclasses.replace(data, train_images=data.train_images[order], train_labels=data.train_labels[order])


def two_of_a_class_exchanged(data: Dataset) -> Dataset:
    order = torch.arange(60)
    first, second = (data.train_labels == data.train_labels[0]).nonzero().squeeze(1)[:2]
    order[first], order[second] = second, first
    return with_order(data, order)


def other_pixel(data: Dataset) -> Dataset:
    images = data.test_images.clone()
    images[3, 0, 0, 0] ^= 1
    return dataclasses.replace(data, test_images=images)


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (two_of_a_class_exchanged, {"data (digest)"}),
        (other_pixel, {"data (digest)"}),
        (lambda data: with_order(data, torch.arange(59)), {"training images", "data (digest)"}),
        (
            lambda data: hold_out(data, ValidationOptions(share=0.2)),
            {"training images", "validation images", "data (digest)"},
        ),
    ],
)
def test_other_data_have_other_facts(change: Callable[[Dataset], Dataset], differs: set[str]) -> None:
    data = few_images()
    facts, others = data_facts(data), data_facts(change(data))
    assert facts == data_facts(few_images())
    assert facts.keys() == others.keys()
    assert {name for name in facts if facts[name] != others[name]} == differs


def test_streamed_images_may_lie_in_another_folder_but_have_the_same_names_and_order() -> None:
    names = ["a/1.png", "a/12.png", "b/1.png"]
    here, there, other, turned = (
        data_facts(streamed(found))
        for found in (
            [f"/x/{name}" for name in names],
            [f"/yy/zz/{name}" for name in names],
            [f"/x/{name}" for name in [*names[:2], "b/2.png"]],
            [f"/x/{name}" for name in reversed(names)],
        )
    )
    assert here == there
    assert len({facts["data (digest)"] for facts in (here, other, turned)}) == 3
