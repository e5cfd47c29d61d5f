"""`linconv.optimize` against the optimized plain network, and `fold` against plain: interleaved, with A/A arms.

Batch normalization is folded in every optimized network, the plain one included. One thread, and the time that the
processor spends in it, so that what else the machine does counts little. Prints one line per network and batch.

    python benchmarks/optimized.py --rounds 15
    python benchmarks/optimized.py --parts --architectures resnet18 --batches 1   # where feature space spends its time
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

import linconv


def networks(architecture: str, variants: list[str], x: Tensor, layout: torch.memory_format) -> dict[str, nn.Module]:
    """The arms: `plain` is the base of all optimized networks, `as trained` that of the folded ones."""

    def build(variant: str) -> nn.Module:
        torch.manual_seed(0)
        return linconv.build_model(architecture, variant).to(memory_format=layout).eval()

    arms = {"plain": linconv.optimize(build("conv"), x), "plain again": linconv.optimize(build("conv"), x)}
    arms |= {"as trained": build("conv"), "as trained again": build("conv")}
    for variant in variants:
        arms[f"{variant} fastest"] = linconv.optimize(build(variant), x)
        arms[f"{variant} feature"] = linconv.optimize(build(variant), x, forms=("feature",))
        arms[f"{variant} product"] = linconv.optimize(build(variant), x, forms=("product",))
        arms[f"{variant} folded"] = linconv.fold(build(variant))
    return arms


@torch.inference_mode()
def seconds(model: nn.Module, x: Tensor, calls: int) -> float:
    """CPU seconds of one call, the mean over a block."""
    start = time.thread_time()
    for _ in range(calls):
        model(x)
    return (time.thread_time() - start) / calls


KINDS = ("plain", "primary", "combine", "else", "whole")


def parts_of(model: nn.Module) -> Callable[[Tensor], list[float]]:
    """A clock for one call: CPU seconds in plain, primary and combining convolutions, in all else and in all."""
    spent = dict.fromkeys(KINDS[:3], 0.0)

    def timed(conv: nn.Module, kind: str) -> None:
        run = conv.forward

        def forward(input: Tensor) -> Tensor:
            start = time.thread_time()
            output: Tensor = run(input)
            spent[kind] += time.thread_time() - start
            return output

        conv.forward = forward

    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            timed(module, next((kind for kind in ("primary", "combine") if f".{kind}" in f".{name}"), "plain"))

    def row(x: Tensor) -> list[float]:
        spent.update(dict.fromkeys(spent, 0.0))
        whole = seconds(model, x, 1)
        return [*spent.values(), whole - sum(spent.values()), whole]

    return row


def print_parts(title: str, models: dict[str, nn.Module], x: Tensor, calls: int) -> None:
    """One line per network: the medians of its parts over interleaved calls, as shares of the plain network's time."""
    clocks = {name: parts_of(model) for name, model in models.items()}
    rows: dict[str, list[list[float]]] = {name: [] for name in clocks}
    for number in range(calls):
        for name in random.Random(number).sample(list(clocks), len(clocks)):
            clocks[name](x)
            rows[name].append(clocks[name](x))
    whole = np.median([row[-1] for row in rows["plain"]])
    for name, taken in rows.items():
        shares = np.median(taken, axis=0) / whole
        print(f"{title}, {name}: " + ", ".join(f"{k} {v:.3f}" for k, v in zip(KINDS, shares, strict=True)), flush=True)


def main() -> None:
    """Time every cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", nargs="+", default=["vgg11", "resnet18"])
    parser.add_argument("--variants", nargs="+", default=["L", "LRr"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 50])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--block", type=float, default=0.1, help="least CPU seconds of a block")
    parser.add_argument("--contiguous", action="store_true", help="instead of channels_last")
    parser.add_argument("--parts", action="store_true", help="instead: where plain and feature space spend their time")
    given = parser.parse_args()
    torch.set_num_threads(1)
    layout = torch.contiguous_format if given.contiguous else torch.channels_last
    for architecture in given.architectures:
        for batch in given.batches:
            x = torch.randn(batch, 3, 32, 32).contiguous(memory_format=layout)
            arms = networks(architecture, given.variants, x, layout)
            if given.parts:
                chosen = ["plain", "plain again", *(f"{variant} feature" for variant in given.variants)]
                models = {name: arms[name] for name in chosen}
                print_parts(f"{architecture}, batch {batch}", models, x, 20 * given.rounds)
                continue
            calls = {name: max(1, round(given.block / seconds(model, x, 2))) for name, model in arms.items()}
            taken: dict[str, list[float]] = {name: [] for name in arms}
            for number in range(given.rounds):
                order = random.Random(number).sample(list(arms), len(arms))
                for name in order:
                    taken[name].append(seconds(arms[name], x, calls[name]))
            print(f"{architecture}, batch {batch}: plain {1e3 * np.median(taken['plain']):.2f} ms", flush=True)
            for name, values in taken.items():
                base = "as trained" if "folded" in name or "trained" in name else "plain"
                if name != base:
                    low, middle, high = np.quantile(np.array(values) / np.array(taken[base]), [0.25, 0.5, 0.75])
                    print(f"  {name:<17} / {base:<10}  {middle:.3f} ({low:.3f} to {high:.3f})", flush=True)


if __name__ == "__main__":
    main()
