"""Processes of one run, and a run that was interrupted, find out that they have other data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from linconv.config import ValidationOptions
from linconv.data import Arrays, DataError, Dataset, ImageFiles, Origin, StreamedImages, data_facts, hold_out, load
from linconv.data.fingerprint import data_digest
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


def files(root: Path, content: dict[str, bytes]) -> Arrays:
    """A data set of files with this content, whose training and test part are the same; nothing is decoded."""
    for name, written in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(written)
    images = ImageFiles("x", np.array([str(root / name).encode() for name in content]), 8)
    labels = torch.zeros(len(content), dtype=torch.int64)
    return Arrays(images, labels, images, labels, Origin("image folder", ("a",), "none"))


def test_files_have_a_digest_of_names_sizes_and_contents_wherever_they_lie(tmp_path: Path) -> None:
    content = {"a/1.png": b"1", "a/2.png": b"22", "b/1.png": b"3"}
    kinds = [
        content,
        content | {"b/1.png": b"4"},
        {"a/1.png": b"1", "a/2.png": b"22", "b/2.png": b"3"},
        dict(reversed(content.items())),
    ]
    digests = [data_digest("x", files(tmp_path / str(i), kind)) for i, kind in enumerate(kinds)]
    assert len(set(digests)) == 4
    assert data_digest("x", files(tmp_path / "elsewhere" / "deeper", content)) == digests[0]
    other_labels = files(tmp_path / "0", content)
    other_labels.train_labels[1] = 1
    assert data_digest("x", other_labels) not in digests


def test_of_many_files_the_sizes_and_a_thousand_contents_count(tmp_path: Path) -> None:
    content = {f"a/{i:04}.png": b"0" for i in range(2000)}
    known = data_digest("x", files(tmp_path, content))
    assert data_digest("x", files(tmp_path, content | {"a/0003.png": b"1"})) == known
    assert data_digest("x", files(tmp_path, content | {"a/0003.png": b"00"})) != known
    assert data_digest("x", files(tmp_path, dict.fromkeys(content, b"1"))) != known


def test_a_file_that_is_gone_is_one_message(tmp_path: Path) -> None:
    arrays = files(tmp_path, {"a/1.png": b"1", "a/2.png": b"2"})
    (tmp_path / "a/2.png").unlink()
    with pytest.raises(DataError, match=r"data set 'x': .*a/2\.png cannot be read"):
        data_digest("x", arrays)


def test_images_in_memory_have_a_digest_of_pixels_labels_and_order() -> None:
    data = few_images()

    def digest(change: Callable[[Dataset], Dataset]) -> str:
        found = change(data)
        origin = Origin("generated", (), "none")
        return data_digest(
            "x",
            Arrays(found.train_images, found.train_labels, found.test_images, found.test_labels, origin),  # type: ignore[arg-type]
        )

    changes: list[Callable[[Dataset], Dataset]] = [lambda d: d, two_of_a_class_exchanged, other_pixel]
    assert len({digest(change) for change in changes}) == 3
    assert load("synthetic", "data").digest == load("synthetic", "elsewhere").digest != load("digits", "data").digest


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
