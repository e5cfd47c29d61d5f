"""New splits: all images once, every class with its sizes, the same from any order of the images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from linconv.data import Arrays, DataError, Dataset, Origin, content, embedded, load
from linconv.data.content import image_hashes
from linconv.data.resplit import resplit
from linconv.data.sources import ImageFiles


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load("digits", tmp_path_factory.mktemp("data"))


def pairs(images: torch.Tensor, labels: torch.Tensor) -> list[bytes]:
    return sorted(row.tobytes() for row in image_hashes(images.numpy(), labels.numpy()))


def parts(data: Dataset) -> tuple[list[bytes], list[bytes]]:
    return pairs(data.train_images, data.train_labels), pairs(data.test_images, data.test_labels)


def test_split_0_is_the_data_sets_own(own, tmp_path):
    again = load("digits", tmp_path, split=0)
    assert torch.equal(again.train_images, own.train_images)
    assert torch.equal(again.test_images, own.test_images)
    assert again.content == own.content
    assert again.content.split == 0


def test_a_split_has_every_image_once_and_every_class_its_sizes(own, tmp_path):
    new = load("digits", tmp_path, split=1)
    train, test = parts(new)
    assert sorted(train + test) == sorted(parts(own)[0] + parts(own)[1])
    assert test != parts(own)[1]
    for part in ("train", "test"):
        assert getattr(new.content, part).per_class == getattr(own.content, part).per_class
    assert new.content.split == 1
    assert new.content.test.digest != own.content.test.digest
    assert new.content.known == own.content.known


def test_the_number_decides_and_nothing_else(tmp_path):
    one, again, other = (parts(load("digits", tmp_path, split=split)) for split in (1, 1, 2))
    assert one == again
    assert one != other
    # of 355 test images, two independent splits of 1,797 have about a fifth in common
    assert 40 <= len(set(one[1]) & set(other[1])) <= 105


def toy(order: np.ndarray) -> Arrays:
    """12 images of two classes, the first 8 of `order` for training, 2 of the last 4 of each class or so."""
    images = torch.arange(12 * 4, dtype=torch.uint8).reshape(12, 1, 2, 2)[order]
    labels = torch.tensor([0, 1] * 6)[order]
    return Arrays(images[:8], labels[:8], images[8:], labels[8:], Origin("generated", ("a", "b"), "none"))


def test_the_order_of_the_images_does_not_matter():
    rng = np.random.default_rng(0)
    tail = np.array([0, 1, 2, 3])  # the same images in the test part, in another place
    one = resplit("toy", toy(np.r_[np.arange(4, 12), tail]), 3)
    other = resplit("toy", toy(np.r_[rng.permutation(np.arange(4, 12)), tail[::-1]]), 3)
    for a, b in zip(one[:4], other[:4], strict=True):
        assert torch.equal(a, b)
    assert one.test_labels.bincount().tolist() == [2, 2]
    expected = image_hashes(one.test_images.numpy(), one.test_labels.numpy())
    assert np.array_equal(one.origin.hashes[1], expected)


def test_copies_that_a_split_puts_into_both_parts_are_warned_about(caplog, tmp_path, monkeypatch):
    """Every image twice inside the training part: the data set's own parts have nothing in common, the new ones do."""
    load("digits", tmp_path, split=1)
    assert "in the training part too" not in caplog.text
    loader = embedded.load_digits

    def doubled(*arguments):
        arrays = loader(*arguments)
        images, labels = arrays.train_images.repeat(2, 1, 1, 1), arrays.train_labels.repeat(2)
        return arrays._replace(train_images=images, train_labels=labels, origin=replace(arrays.origin, hashes=None))

    monkeypatch.setattr(embedded, "load_digits", doubled)
    monkeypatch.setitem(content.KNOWN, "digits", None)
    new = load("digits", tmp_path, split=1)
    train, test = (
        image_hashes(part.numpy(), np.zeros(len(part), np.int64)) for part in (new.train_images, new.test_images)
    )
    both = len({row.tobytes() for row in train} & {row.tobytes() for row in test})
    assert both > 50
    (message,) = (r.getMessage() for r in caplog.records if "in the training part too" in r.getMessage())
    count = int(message.split("split 1: ")[1].split()[0])
    assert both <= count <= len(test)
    assert f"of {len(test)} test images are in the training part too, 0 of them with another label" in message


def test_streamed_images_cannot_be_split():
    files = ImageFiles("pets", np.array([b"a.png"]), 32)
    label = torch.zeros(1, dtype=torch.int64)
    streamed = toy(np.arange(12))._replace(train_images=files, train_labels=label)
    with pytest.raises(DataError, match="data set 'pets': its images are streamed"):
        resplit("pets", streamed, 1)


def test_changed_images_of_a_known_data_set_are_refused_before_they_are_split(monkeypatch, tmp_path, own):
    wrong = content.PartDigests("0" * 64, own.content.test.digest)
    monkeypatch.setitem(content.KNOWN, "digits", wrong)
    with pytest.raises(DataError, match="training part"):
        load("digits", tmp_path, split=1)
    right = content.PartDigests(own.content.train.digest, own.content.test.digest)
    monkeypatch.setitem(content.KNOWN, "digits", right)
    assert load("digits", tmp_path, split=1).content.known is True
