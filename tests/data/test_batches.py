"""Batches: the crop against a loop, the distribution of the draws, and that seeds alone decide them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torchvision.transforms.functional as TF
from torch import Tensor

from linconv.data import DATASETS, DatasetInfo, batches, crop

CIFAR = DATASETS["cifar10"]
PIXELS = replace(CIFAR, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))  # normalization that leaves value / 255


def images_and_labels(n: int, channels: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (n, channels, 32, 32), generator=generator, dtype=torch.uint8)
    return images, torch.arange(n)


def whole(images: Tensor, labels: Tensor, info: DatasetInfo, batch_size: int = 64, **kwargs) -> tuple[Tensor, Tensor]:
    xs, ys = zip(*batches(images, labels, batch_size=batch_size, info=info, **kwargs), strict=True)
    return torch.cat(xs), torch.cat(ys)


def naive_crop(image: Tensor, top: int, left: int, padding: int) -> Tensor:
    c, h, w = image.shape
    padded = torch.zeros(c, h + 2 * padding, w + 2 * padding, dtype=image.dtype)
    padded[:, padding : padding + h, padding : padding + w] = image
    return padded[:, top : top + h, left : left + w]


@pytest.mark.parametrize("padding", [1, 4])
@pytest.mark.parametrize("size", [(32, 32), (8, 12)])
def test_crop_equals_a_loop_over_the_images(padding: int, size: tuple[int, int]) -> None:
    offsets = torch.cartesian_prod(torch.arange(2 * padding + 1), torch.arange(2 * padding + 1))
    images = torch.randint(1, 256, (len(offsets), 3, *size), dtype=torch.uint8)
    cropped = crop(images, *offsets.T, padding)
    expected = [naive_crop(i, int(r), int(c), padding) for i, (r, c) in zip(images, offsets, strict=True)]
    assert torch.equal(cropped, torch.stack(expected))


def test_crop_in_the_middle_gives_the_image_back() -> None:
    images, _ = images_and_labels(3)
    middle = torch.full((3,), 4)
    assert torch.equal(crop(images, middle, middle, 4), images)


def test_augmented_images_are_crops_and_flips_of_the_originals_before_normalization() -> None:
    images, labels = images_and_labels(20)
    x, y = whole(images, labels, CIFAR, augment=True, shuffle=True, generator_seed=(0, 0))
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (CIFAR.mean, CIFAR.std))
    pixels = ((x * std + mean) * 255).round().to(torch.uint8)
    for image, label in zip(pixels, y.tolist(), strict=True):
        candidates = [naive_crop(images[label], r, c, 4) for r in range(9) for c in range(9)]
        candidates += [c.flip(-1) for c in candidates]
        assert any(torch.equal(image, c) for c in candidates)


def draws(n: int) -> tuple[Tensor, Tensor]:
    """Offsets (n, 2) and flips (n,) read off from images with one bright pixel each, away from the center line."""
    images = torch.zeros(n, 3, 32, 32, dtype=torch.uint8)
    images[:, :, 16, 10] = 255
    x, _ = whole(images, torch.arange(n), PIXELS, batch_size=1000, augment=True, generator_seed=(3, 1))
    assert torch.equal(x.sum((1, 2, 3)), torch.full((n,), 3.0))
    place = x[:, 0].flatten(1).argmax(1)
    rows, columns = place // 32, place % 32
    flipped = columns > 16  # column 10 moves by at most 4, its mirror image is 21
    columns = torch.where(flipped, 31 - columns, columns)
    return torch.stack([20 - rows, 14 - columns], dim=1), flipped


def test_all_offsets_occur_alike_and_half_the_images_are_flipped() -> None:
    n = 8100
    offsets, flipped = draws(n)
    counts = torch.bincount(offsets[:, 0] * 9 + offsets[:, 1], minlength=81)
    assert len(counts) == 81
    chi_squared = float(((counts - n / 81) ** 2 / (n / 81)).sum())
    assert chi_squared < 124.8  # the 99.9 % quantile for 80 degrees of freedom
    assert abs(float(flipped.float().mean()) - 0.5) < 3.3 * 0.5 / n**0.5
    corner = (offsets == 0).all(1) | (offsets == 8).all(1)
    assert 0 < int(flipped[corner].sum()) < int(corner.sum())


def test_only_the_augmentation_of_the_data_set_is_applied() -> None:
    images, labels = images_and_labels(64)
    for info in (DATASETS["mnist"], DATASETS["digits"]):
        gray = images[:, :1]
        plain, _ = whole(gray, labels, info)
        assert torch.equal(whole(gray, labels, info, augment=True, generator_seed=(0, 0))[0], plain)
    flips, _ = whole(images, labels, replace(PIXELS, crop_padding=0), augment=True, generator_seed=(0, 0))
    plain, _ = whole(images, labels, PIXELS)
    is_plain, is_flip = ((flips == other).flatten(1).all(1) for other in (plain, plain.flip(-1)))
    assert bool((is_plain | is_flip).all())
    assert 0 < int(is_flip.sum()) < 64


def test_evaluation_sees_the_images_in_order_and_normalised_as_torchvision_does() -> None:
    images, labels = images_and_labels(10)
    x, y = whole(images, labels, CIFAR, batch_size=4)
    expected = torch.stack([TF.normalize(i.float() / 255, CIFAR.mean, CIFAR.std) for i in images])
    assert torch.equal(x, expected)
    assert torch.equal(y, labels)
    assert x.dtype == torch.float32


def test_padding_is_black_not_the_mean() -> None:
    white = torch.full((81, 3, 32, 32), 255, dtype=torch.uint8)
    x, _ = whole(white, torch.zeros(81), CIFAR, augment=True, generator_seed=(0, 0))
    black = TF.normalize(torch.zeros(3, 1, 1), CIFAR.mean, CIFAR.std)
    assert torch.equal(x.amin((0, 2, 3)), black.flatten())


def test_last_smaller_batch_is_kept() -> None:
    images, labels = images_and_labels(10)
    found = list(batches(images, labels, batch_size=4, info=CIFAR, shuffle=True, generator_seed=(0, 0)))
    assert [len(y) for _, y in found] == [4, 4, 2]
    assert sorted(torch.cat([y for _, y in found]).tolist()) == list(range(10))


def test_same_seed_same_batches_other_seed_or_epoch_others() -> None:
    images, labels = images_and_labels(200)

    def run(seed: int, epoch: int) -> tuple[Tensor, Tensor]:
        torch.rand(1)  # the global generator, which moves on, must not matter
        return whole(images, labels, CIFAR, augment=True, shuffle=True, generator_seed=(seed, epoch))

    first = run(1, 2)
    assert all(torch.equal(a, b) for a, b in zip(first, run(1, 2), strict=True))
    for seed, epoch in ((2, 1), (1, 3), (2, 2), (1, 2 + 2**32), (1 + 2**32, 2)):
        assert not torch.equal(first[1], run(seed, epoch)[1]), (seed, epoch)


def test_batch_size_does_not_change_order_or_augmentation() -> None:
    images, labels = images_and_labels(100)
    kwargs = {"augment": True, "shuffle": True, "generator_seed": (5, 0)}
    for a, b in zip(whole(images, labels, CIFAR, 7, **kwargs), whole(images, labels, CIFAR, 50, **kwargs), strict=True):
        assert torch.equal(a, b)


def test_the_images_themselves_are_never_changed() -> None:
    images, labels = images_and_labels(30)
    before = images.clone()
    whole(images, labels, CIFAR, augment=True, shuffle=True, generator_seed=(0, 0))
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"shuffle": True}, "generator_seed"),
        ({"augment": True}, "generator_seed"),
        ({"labels": torch.zeros(3)}, "not 10 of torch.uint8 and 3"),
        ({"images": torch.zeros(10, 3, 32, 32)}, "torch.float32"),
    ],
)
def test_wrong_arguments_are_refused_before_the_first_batch(changed: dict, message: str) -> None:
    images, labels = images_and_labels(10)
    arguments = {"images": images, "labels": labels, "batch_size": 2} | changed
    with pytest.raises(ValueError, match=message):
        batches(arguments.pop("images"), arguments.pop("labels"), info=CIFAR, **arguments)
