"""Timing calls against each other: interleaved rounds in shuffled order, blocks of calls, synchronised clocks.

What a machine does besides (clocks, other processes) changes slowly; calls of one round share it, so the ratio of two
arms within a round tells more than the ratio of their means (the method of the paired difference).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

Call = Callable[[], object]


class Part(NamedTuple):
    """A call that makes up the share `weight` of an arm's calls."""

    call: Call
    weight: float = 1.0


@dataclass
class Samples:
    """Seconds per call, one entry per round, each the mean over a block of `calls` calls.

    Of an arm of several parts, the parts' means by their weights; `calls` are those of the first part.
    """

    calls: int
    seconds: list[float] = field(default_factory=list)


def synchronise(device: str) -> None:
    """Wait until the device has finished what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def block(call: Call, calls: int, device: str) -> float:
    """Seconds of `calls` calls in a row, from an idle device to an idle device."""
    synchronise(device)
    start = time.perf_counter()
    for _ in range(calls):
        call()
    synchronise(device)
    return time.perf_counter() - start


def calibrate(call: Call, block_seconds: float, device: str) -> int:
    """The number of calls that fill a block; the calls made to find it warm the arm up."""
    call()
    calls = 1
    while (seconds := block(call, calls, device)) < block_seconds:
        calls = max(2 * calls, min(10 * calls, -(-int(1e9 * calls * block_seconds) // max(1, int(1e9 * seconds)))))
    return calls


def interleave(
    arms: Mapping[str, Call | Sequence[Part]],
    *,
    rounds: int,
    block_seconds: float,
    cell_seconds: float,
    device: str = "cpu",
) -> dict[str, Samples]:
    """Sample every arm once a round, in an order drawn anew for each; the first round is dropped.

    Args:
        arms: by name, what to call. Calls of several kinds (every tenth step is dearer) are given as parts, each of
            which gets a block of its own in every round: a median over blocks of one call would drop the rare kind.
        rounds: samples wanted of every arm.
        block_seconds: the least length of one sample.
        cell_seconds: rounds end when they have taken that long, but not before the third.
        device: "cpu" or "cuda".
    """
    parts = {name: [Part(arm)] if callable(arm) else list(arm) for name, arm in arms.items()}
    calls = {name: [calibrate(part.call, block_seconds, device) for part in own] for name, own in parts.items()}
    samples = {name: Samples(own[0]) for name, own in calls.items()}
    started = time.perf_counter()
    for number in range(rounds + 1):
        spent = time.perf_counter() - started
        if number > 3 and spent * (number + 1) / number > cell_seconds:
            break
        order = list(arms)
        random.Random(number).shuffle(order)  # the same orders in every session
        for name in order:
            seconds = sum(
                part.weight * block(part.call, n, device) / n for part, n in zip(parts[name], calls[name], strict=True)
            )
            if number:
                samples[name].seconds.append(seconds)
    return samples
