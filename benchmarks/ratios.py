"""Time a network's variant against the plain network, interleaved, and print the paired ratios.

    python benchmarks/ratios.py --architecture vgg11 --variant Lr --batch 50

Arms: the plain network, a second plain network (the A/A arm: what this machine's noise looks like), and the variant
in auto, weight-space and folded form. Every round times every arm once, in shuffled order, over a block of calls of at
least 50 ms; the first round is dropped. A ratio is variant / plain of the same round; below 1 is faster than plain.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from linconv import build_model, fold, set_mode
from linconv.config import VARIANTS
from linconv.training.run import penalty_terms

MIN_BLOCK_SECONDS = 0.05


def training_step(model: nn.Module, variant: str, x: torch.Tensor, y: torch.Tensor) -> Callable[[], None]:
    """One step as the training loop does it: cross-entropy, the variant's regulariser at its period, Adam."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    terms = penalty_terms(VARIANTS[variant].regularizers)
    steps = 0
    model.train()

    def step() -> None:
        nonlocal steps
        loss = F.cross_entropy(model(x), y)
        for term in terms:
            if steps % term.period == 0:
                loss = loss + term.weight * term.penalty(model)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        steps += 1

    return step


def inference(model: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    model.eval()

    def call() -> None:
        with torch.inference_mode():
            model(x)

    return call


def seconds_per_call(call: Callable[[], None], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def compare(arms: dict[str, Callable[[], None]], rounds: int) -> None:
    """Print each arm's median time and its paired ratio to the first arm."""
    counts = {}
    for name, call in arms.items():
        call()
        counts[name] = max(1, -(-MIN_BLOCK_SECONDS // seconds_per_call(call, 1)).__int__())
    times: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(rounds + 1):
        order = list(arms)
        random.Random(number).shuffle(order)
        for name in order:
            seconds = seconds_per_call(arms[name], counts[name])
            if number:
                times[name].append(seconds)
    plain = next(iter(arms))
    for name, seconds in times.items():
        ratios = [s / p for s, p in zip(seconds, times[plain], strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4)
        print(
            f"  {name:<22} {1e3 * statistics.median(seconds):9.2f} ms   "
            f"ratio {statistics.median(ratios):.3f}  (quartiles {low:.3f} to {high:.3f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="vgg11")
    parser.add_argument("--variant", default="Lr")
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    x, y = torch.randn(options.batch, 3, 32, 32), torch.randint(10, (options.batch,))

    def plain() -> nn.Module:
        return build_model(options.architecture)

    def variant(mode: str) -> nn.Module:
        return set_mode(build_model(options.architecture, options.variant), mode)

    print(f"{options.architecture} {options.variant}, batch {options.batch}, {options.threads} threads, "
          f"{options.rounds} rounds, torch {torch.__version__}")  # fmt: skip
    print("training step")
    arms = {"plain": training_step(plain(), "conv", x, y), "plain again (A/A)": training_step(plain(), "conv", x, y)}
    for mode in ("auto", "weight"):
        arms[mode] = training_step(variant(mode), options.variant, x, y)
    compare(arms, options.rounds)
    print("inference")
    arms = {"plain": inference(plain(), x), "plain again (A/A)": inference(plain(), x)}
    arms["folded"] = inference(fold(variant("auto")), x)
    for mode in ("auto", "weight"):
        arms[mode] = inference(variant(mode), x)
    compare(arms, options.rounds)


if __name__ == "__main__":
    main()
