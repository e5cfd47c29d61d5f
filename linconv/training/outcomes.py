"""The outcome of every test image under a trained network, in the canonical order of `linconv.results.outcomes`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from linconv.data import Dataset
from linconv.data.sources import Images, fetch
from linconv.results.data import Container, DataContent, PartContent
from linconv.results.outcomes import Outcomes
from linconv.training.step import autocast

CHUNK = 1000  # images that are hashed at a time


def image_outcomes(
    forward: nn.Module, batches: Iterator[tuple[Tensor, Tensor]], order: np.ndarray, precision: str = "fp32"
) -> Outcomes:
    """What `forward`, in eval mode, makes of every image: the same pass as `linconv.training.engine.evaluate`.

    Args:
        batches: of the test set, unshuffled.
        order: the canonical order, int (n,), see `canonical_order`.
        precision: the recipe's, at which the forward pass runs.
    """
    forward.eval()
    correct, log_prob = [], []
    for x, y in batches:
        with torch.inference_mode():
            with autocast(precision, x.device.type):
                logits = forward(x)
            correct.append(logits.argmax(1) == y)
            log_prob.append(F.log_softmax(logits.float(), 1).gather(1, y.unsqueeze(1)).squeeze(1))
    return Outcomes(torch.cat(correct).cpu().numpy()[order], torch.cat(log_prob).cpu().numpy()[order])


def image_hashes(images: Images, labels: Tensor, border: int = 0) -> np.ndarray:
    """SHA-256 of every labelled image, uint8 (n, 32): its label as 2 bytes, big-endian, then its pixels (h, w, c).

    Args:
        images: uint8 (n, c, h, w), or streamed.
        labels: int64 (n,).
        border: zero pixels around each image that are no part of it.
    """
    hashes = np.empty((len(labels), 32), np.uint8)
    codes = labels.cpu().numpy().astype(">u2")
    index = torch.arange(len(labels), device=images.device if isinstance(images, Tensor) else "cpu")
    parts = index.split(CHUNK)
    for part, found in zip(parts, fetch(images, parts), strict=True):
        inner = found[..., border : found.shape[-2] - border, border : found.shape[-1] - border]
        pixels = inner.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        for i, image in zip(part.tolist(), pixels, strict=True):
            hashes[i] = np.frombuffer(hashlib.sha256(codes[i].tobytes() + image.tobytes()).digest(), np.uint8)
    return hashes


def canonical_order(data: Dataset) -> np.ndarray:
    """The indices of the test images, sorted by their hashes; equal images keep their order."""
    hashes = image_hashes(data.test_images, data.test_labels, data.info.border)
    return np.lexsort(hashes.T[::-1])


def describe_data(name: str, data: Dataset, *, container: Container, decoder: str) -> DataContent:
    """The content of a data set as it is in memory; the validation part counts as training images."""
    border = data.info.border
    train = [(data.train_images, data.train_labels)]
    if data.validation_images is not None and data.validation_labels is not None:
        train.append((data.validation_images, data.validation_labels))
    parts = []
    for images_and_labels in (train, [(data.test_images, data.test_labels)]):
        labels = torch.cat([labels for _, labels in images_and_labels])
        hashes = [image_hashes(images, own, border) for images, own in images_and_labels]
        counts = labels.bincount(minlength=data.info.classes).tolist()
        digest = _sum(np.concatenate(hashes))
        parts.append(PartContent(images=len(labels), per_class=tuple(counts), digest=digest))
    return DataContent(
        name=name,
        container=container,
        decoder=decoder,
        known=None,
        classes=tuple(map(str, range(data.info.classes))),
        train=parts[0],
        test=parts[1],
    )


def _sum(hashes: np.ndarray) -> str:
    """The sum modulo 2^256 of hashes, 64 hexadecimal digits."""
    return f"{sum(int.from_bytes(h.tobytes(), 'big') for h in hashes) % 2**256:064x}"
