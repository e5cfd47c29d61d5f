"""Timing calls against each other: interleaved rounds in shuffled order, blocks of calls, synchronised clocks.

What a machine does besides (clocks, other processes) changes slowly; calls of one round share it, so the ratio of two
arms within a round tells more than the ratio of their means (the method of the paired difference).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

Call = Callable[[], object]


@dataclass
class Samples:
    """Seconds per call, one entry per round, each the mean over a block of `calls` calls."""

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
    arms: Mapping[str, Call], *, rounds: int, block_seconds: float, cell_seconds: float, device: str = "cpu"
) -> dict[str, Samples]:
    """Sample every arm once a round, in an order drawn anew for each; the first round is dropped.

    Args:
        arms: by name, what to call.
        rounds: samples wanted of every arm.
        block_seconds: the least length of one sample.
        cell_seconds: rounds end when they have taken that long, but not before the third.
        device: "cpu" or "cuda".
    """
    samples = {name: Samples(calibrate(call, block_seconds, device)) for name, call in arms.items()}
    started = time.perf_counter()
    for number in range(rounds + 1):
        spent = time.perf_counter() - started
        if number > 3 and spent * (number + 1) / number > cell_seconds:
            break
        order = list(arms)
        random.Random(number).shuffle(order)  # the same orders in every session
        for name in order:
            seconds = block(arms[name], samples[name].calls, device) / samples[name].calls
            if number:
                samples[name].seconds.append(seconds)
    return samples
