"""The registry, and the two data sets that need no files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from linconv.data import DATASETS, Arrays, DataError, Origin, embedded, load

ORIGIN = Origin("embedded", tuple("0123456789"), "none")


@pytest.mark.parametrize("name", ["digits", "synthetic"])
def test_statistics_in_the_table_are_those_of_the_training_part(name: str, tmp_path: Path) -> None:
    data = load(name, tmp_path)
    pixels = data.train_images.double() / 255
    mean, std = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3), correction=0)
    assert [f"{v:.4f}" for v in mean.tolist()] == [f"{v:.4f}" for v in data.info.mean]
    assert [f"{v:.4f}" for v in std.tolist()] == [f"{v:.4f}" for v in data.info.std]


@pytest.mark.parametrize(("name", "train", "test"), [("digits", 1442, 355), ("synthetic", 500, 200)])
def test_embedded_data_sets_have_the_stated_form(name: str, train: int, test: int, tmp_path: Path) -> None:
    data = load(name, tmp_path)
    for n, images, labels in (
        (train, data.train_images, data.train_labels),
        (test, data.test_images, data.test_labels),
    ):
        assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
        assert images.shape == (n, data.info.channels, 32, 32)
        assert labels.shape == (n,)
        assert labels.unique().tolist() == list(range(data.info.classes))


def test_digits_keep_their_values_and_split_every_class_alike(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    bunch, data = load_digits(), load("digits", tmp_path)
    assert int(data.train_images.max()) == 255
    for label in range(10):
        originals = bunch.images[bunch.target == label]
        held_out = torch.from_numpy(originals[4::5])
        ours = data.test_images[data.test_labels == label, 0].double()
        assert len(ours) == len(held_out)
        assert len(originals) == len(ours) + int((data.train_labels == label).sum())
        # Averaging 4x4 blocks undoes the enlargement up to smoothing: enough to tell one digit from another.
        shrunk = torch.nn.functional.avg_pool2d(ours.unsqueeze(1), 4).squeeze(1) * 16 / 255
        assert float((shrunk - held_out).abs().mean()) < 1.6


def test_digits_are_the_same_where_scikit_learn_keeps_them_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = load("digits", tmp_path)
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    asked = load("digits", tmp_path)
    assert torch.equal(read.train_images, asked.train_images)
    assert torch.equal(read.train_labels, asked.train_labels)
    assert read.info == asked.info


def test_digits_are_resized_bilinearly(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    first = torch.from_numpy(load_digits().images[0])  # of class 0, not its fifth: the first training image
    ours = load("digits", tmp_path).train_images[0, 0]
    # Output pixel 4 i + 2 lies 1/8 of an input pixel beyond the center of input pixel i, in both directions.
    for i, j in ((3, 2), (1, 4), (5, 5)):
        weights = torch.tensor([7 / 8, 1 / 8], dtype=torch.float64)
        expected = weights @ first[i : i + 2, j : j + 2] @ weights * 255 / 16
        assert int(ours[4 * i + 2, 4 * j + 2]) == round(float(expected))


def test_synthetic_is_the_same_every_time_and_can_be_learned(tmp_path: Path) -> None:
    data, again = load("synthetic", tmp_path), load("synthetic", tmp_path)
    assert torch.equal(data.train_images, again.train_images)
    assert torch.equal(data.test_images, again.test_images)
    means = torch.stack([data.train_images[data.train_labels == k].float().mean(0) for k in range(10)])
    nearest = torch.cdist(data.test_images.float().flatten(1), means.flatten(1)).argmin(1)
    assert float((nearest == data.test_labels).float().mean()) > 0.95
    assert not torch.equal(data.train_images[0], data.train_images[10])  # the same class, other noise


def test_every_data_set_of_the_catalogue_can_be_loaded() -> None:
    assert all(callable(entry.load()) for entry in DATASETS.values())


def test_unknown_name_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'cifar10'"):
        load("cifar-10", tmp_path)


@pytest.mark.parametrize(
    ("shape", "labels", "message"),
    [
        ((4, 3, 32, 32), [0, 1, 2, 3], r"training part: images of shape \(4, 3, 32, 32\), not \(4, 1, 32, 32\)"),
        ((4, 1, 28, 28), [0, 1, 2, 3], r"not \(4, 1, 32, 32\)"),
        ((3, 1, 32, 32), [0, 1, 2, 3], r"not \(4, 1, 32, 32\)"),
        ((4, 1, 32, 32), [0, 1, 2, 10], "labels 0 to 10, not 0 to 9"),
        ((0, 1, 32, 32), [], "training part"),
    ],
)
def test_tensors_that_do_not_fit_the_table_are_refused(
    shape: tuple[int, ...], labels: list[int], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    part = (torch.zeros(shape, dtype=torch.uint8), torch.tensor(labels, dtype=torch.int64))
    monkeypatch.setattr(embedded, "load_digits", lambda root: Arrays(*part, *part, ORIGIN))
    with pytest.raises(DataError, match=message):
        load("digits", tmp_path)
