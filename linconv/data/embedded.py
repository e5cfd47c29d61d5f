"""Data sets that need no files: scikit-learn's handwritten digits, and a synthetic one."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from linconv.data.dataset import Arrays, Origin

SIZE = 32
CLASSES = 10
DIGITS = tuple(str(digit) for digit in range(CLASSES))


def load_digits(root: Path) -> Arrays:
    """The 1797 handwritten digits (8x8, values 0 to 16) of scikit-learn, bilinearly resized to 32x32.

    Every fifth sample of each class, in the original order, is a test sample: 1442 to train, 355 to test.
    """
    pixels, target = _digits_of_scikit_learn()
    small = torch.from_numpy(pixels).float().unsqueeze(1)  # (1797, 1, 8, 8)
    # The interpolation weights are multiples of 1/64, so nothing is rounded but the last step: the same bytes
    # on every machine.
    images = F.interpolate(small, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    images = (images * (255 / 16)).round().to(torch.uint8)
    labels = torch.from_numpy(target).long()
    test = torch.zeros(len(labels), dtype=torch.bool, device="cpu")
    for label in range(CLASSES):
        test[(labels == label).nonzero().squeeze(1)[4::5]] = True
    origin = Origin("embedded", DIGITS, f"scikit-learn {version('scikit-learn')}")
    return Arrays(images[~test], labels[~test], images[test], labels[test], origin)


def _digits_of_scikit_learn() -> tuple[np.ndarray, np.ndarray]:
    """Pixels (1797, 8, 8), 0 to 16, and labels (1797,); from the file, for to import scikit-learn takes two seconds."""
    spec = find_spec("sklearn")
    folders = (spec.submodule_search_locations if spec else None) or ()
    for file in (Path(folder, "datasets", "data", "digits.csv.gz") for folder in folders):
        if file.is_file():
            table = np.loadtxt(file, delimiter=",")  # a row per image: its pixels, then its label
            return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(int)
    from sklearn.datasets import load_digits  # another version may keep the file elsewhere

    bunch = load_digits()
    return bunch.images, bunch.target


def load_synthetic(root: Path) -> Arrays:
    """Ten random 4x4 color patterns, enlarged to 32x32, under noise: 500 to train, 200 to test."""
    # RandomState's stream is frozen by numpy, unlike default_rng's: every machine makes the same images.
    random = np.random.RandomState(0)
    coarse = random.uniform(64, 192, size=(CLASSES, 3, 4, 4))
    templates = coarse.repeat(SIZE // 4, axis=2).repeat(SIZE // 4, axis=3)  # (10, 3, 32, 32)
    parts = []
    for samples in (500, 200):
        labels = np.arange(samples) % CLASSES
        noise = random.normal(scale=40, size=(samples, 3, SIZE, SIZE))
        images = np.clip(np.rint(templates[labels] + noise), 0, 255).astype(np.uint8)
        parts.append((torch.from_numpy(images), torch.from_numpy(labels).long()))
    (train_images, train_labels), (test_images, test_labels) = parts
    names = tuple(f"pattern {label}" for label in range(CLASSES))
    origin = Origin("generated", names, f"numpy {np.__version__}")
    return Arrays(train_images, train_labels, test_images, test_labels, origin)
