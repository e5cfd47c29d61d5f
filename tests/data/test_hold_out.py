"""The part held out for choosing: stratified, seeded, disjoint, the same from memory and from files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from linconv.config import ImageFolderOptions, ValidationOptions
from linconv.data import DataError, Dataset, hold_out, load


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load("synthetic", tmp_path_factory.mktemp("data"))


def rows(images: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def test_every_class_gives_its_share_and_no_image_is_in_both(synthetic: Dataset) -> None:
    held = hold_out(synthetic, ValidationOptions(share=0.1, seed=0))
    assert held.validation_labels.bincount().tolist() == [5] * 10
    assert held.train_labels.bincount().tolist() == [45] * 10
    inside, outside = rows(held.train_images), rows(held.validation_images)
    assert inside | outside == rows(synthetic.train_images)
    assert not inside & outside
    assert torch.equal(held.test_images, synthetic.test_images)
    pairs = {image.numpy().tobytes(): int(y) for image, y in zip(synthetic.train_images, synthetic.train_labels)}  # noqa: B905
    for images, labels in (
        (held.train_images, held.train_labels),
        (held.validation_images, held.validation_labels),
    ):
        assert [pairs[image.numpy().tobytes()] for image in images] == labels.tolist()


def test_the_seed_decides_which_and_the_same_ones_everywhere(synthetic: Dataset) -> None:
    def chosen(**options: float) -> set[bytes]:
        return rows(hold_out(synthetic, ValidationOptions(**options)).validation_images)

    assert chosen() == chosen(share=0.1, seed=0)
    assert chosen() != chosen(seed=1)
    expected = []
    for label in range(10):  # numpy's frozen stream, written out
        order = np.random.RandomState([0, label]).permutation(50)[:5]
        expected += [synthetic.train_images[10 * i + label].numpy().tobytes() for i in order]
    assert chosen() == set(expected)


def test_both_parts_keep_an_image_of_every_class(synthetic: Dataset) -> None:
    for share, count in ((0.001, 1), (0.999, 49)):
        held = hold_out(synthetic, ValidationOptions(share=share))
        assert held.validation_labels.bincount().tolist() == [count] * 10
    single = replace(synthetic, train_images=synthetic.train_images[:15], train_labels=synthetic.train_labels[:15])
    with pytest.raises(DataError, match="class 5 has one training image, and the validation part needs one too"):
        hold_out(single, ValidationOptions())


def test_streamed_images_are_held_out_alike(tmp_path: Path) -> None:
    random = np.random.RandomState(0)
    for k in range(2):
        for i in range(10):
            file = tmp_path / "own" / "ab"[k] / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.randint(0, 256, (32, 32, 3), dtype=np.uint8)).save(file)
    parts = []
    for stream in (True, False):
        options = ImageFolderOptions.model_validate({"path": "own", "stream": stream})
        parts.append(hold_out(load("own", tmp_path, imagefolder=options), ValidationOptions(share=0.25)))
    streamed, resident = parts
    for name in ("train", "validation"):
        images = getattr(streamed, f"{name}_images")
        (whole,) = images.batches([torch.arange(len(images))])
        assert torch.equal(whole, getattr(resident, f"{name}_images"))
        assert torch.equal(getattr(streamed, f"{name}_labels"), getattr(resident, f"{name}_labels"))
