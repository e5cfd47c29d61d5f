"""Golden cases: what the code of the methods' authors gives for stated inputs. README.md says how they were made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent
TOLERANCE = 1e-10  # the largest difference, relative to the largest value
MODULUS, MULTIPLIER, LEFT_OUT = 2**31 - 1, 48271, 20

Outputs = dict[str, Tensor]


class Stream:
    """The minimal standard generator, whose values are exact in every language: x -> 48271 x mod (2^31 - 1)."""

    def __init__(self, seed: int) -> None:
        self._state = seed
        for _ in range(LEFT_OUT):
            self._step()

    def _step(self) -> int:
        self._state = MULTIPLIER * self._state % MODULUS
        return self._state

    def tensor(self, shape: list[int], low: float = -1.0, high: float = 1.0) -> Tensor:
        """Values low + (high - low) x / (2^31 - 1), in the order of the last dimension first."""
        count = int(np.prod(shape))
        values = np.array([self._step() for _ in range(count)], dtype=np.float64) / MODULUS
        return torch.from_numpy(low + (high - low) * values).reshape(shape)


@dataclass(frozen=True)
class Case:
    """One golden case.

    Attributes:
        method: the name of the file.
        check: what distinguishes the case, in words.
        seed: of the stream from which the inputs are drawn, in order, and then the cotangents of the outputs.
        inputs: shape and range of every tensor that the source was given.
        fixed: the inputs to which no gradient belongs; "*" for all.
        arguments: of the convolution.
        options: of the method here.
        more: what else the case needs to say.
        expected: what the source gave: outputs, and "d NAME" for the gradient of an input.
        tolerance: the largest relative difference; larger than `TOLERANCE` only where `deviation` says why.
    """

    method: str
    check: str
    seed: int
    inputs: dict[str, dict[str, Any]]
    fixed: tuple[str, ...]
    arguments: dict[str, Any]
    options: dict[str, Any]
    more: dict[str, Any]
    expected: dict[str, Tensor]
    tolerance: float = TOLERANCE
    deviation: str = ""

    def __str__(self) -> str:
        return f"{self.method}-{self.check}".replace(" ", "_")

    def results(self, compute: Callable[[dict[str, Tensor]], Outputs]) -> dict[str, Tensor]:
        """The outputs of `compute` for the case's inputs, and the gradients of their sum weighted by cotangents."""
        stream = Stream(self.seed)
        inputs = {name: stream.tensor(**spec) for name, spec in self.inputs.items()}
        learned = [] if "*" in self.fixed else [name for name in inputs if name not in self.fixed]
        for name in learned:
            inputs[name].requires_grad_()
        outputs = compute(inputs)
        found = {name: output.detach() for name, output in outputs.items()}
        if learned:
            total = sum((output * stream.tensor(list(output.shape))).sum() for output in outputs.values())
            gradients = torch.autograd.grad(total, [inputs[name] for name in learned])
            found |= {f"d {name}": gradient for name, gradient in zip(learned, gradients, strict=True)}
        return found


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference of two tensors, relative to the largest expected value."""
    assert found.shape == expected.shape, f"shape {tuple(found.shape)}, not {tuple(expected.shape)}"
    return float((found.double() - expected).abs().max() / expected.abs().max().clamp_min(1e-300))


def read_cases() -> Iterator[Case]:
    """Every golden case of this folder."""
    for file in sorted(FOLDER.glob("*.json")):
        described = json.loads(file.read_text(encoding="utf-8"))
        numbers = torch.from_numpy(np.load(file.with_suffix(".npy"), allow_pickle=False))
        at = 0
        for case in described["cases"]:
            expected = {}
            for name, shape in case.pop("results").items():
                count = int(np.prod(shape))
                expected[name] = numbers[at : at + count].reshape(shape)
                at += count
            fixed = tuple(case.pop("fixed", ()))
            blank: dict[str, Any] = {"arguments": {}, "options": {}, "more": {}}
            yield Case(method=file.stem, fixed=fixed, expected=expected, **blank | case)
        assert at == len(numbers), f"{file.name} describes {at} of {len(numbers)} numbers"


def sources() -> dict[str, dict[str, str]]:
    """By method: `source`, `version` and `recipe` of its golden cases."""
    read = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(FOLDER.glob("*.json"))}
    return {name: {key: described[key] for key in ("source", "version", "recipe")} for name, described in read.items()}
