"""Time n trainings that share a device at the same time against the same n one after the other.

    python benchmarks/seeds_at_once.py --runs 2 --device cpu
    python benchmarks/seeds_at_once.py --runs 4 --device cuda --architecture vgg11 --cuda-graph

Every training is a process of its own, as in the pipeline with `runs_per_gpu`, with another seed. Each trains on random
images: `--warm-up` steps, then it waits for a signal, trains `--steps` steps, and waits again; processes start
once, so what is timed is training alone. A round times all three arms in shuffled order: one after the other, one after
the other again (the A/A arm: what this machine's noise looks like), at the same time. The first round is dropped. A
ratio is that to the first arm of the same round; 0.6 means that sharing the device takes 0.6 of the time. The last
line compares the weights of a training that shared the device with those of one that did not.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import random
import statistics
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

IMAGE = (3, 32, 32)
ARMS = ("one after the other", "again (A/A)", "at the same time")


def train(options: argparse.Namespace, seed: int, pipe: Connection) -> None:
    """A process: warms up, then trains as many steps as it is told to; 0 asks for a hash of its weights."""
    import torch

    from linconv import build_model
    from linconv.config import VARIANTS, Recipe
    from linconv.training.engine import Training
    from linconv.training.numerics import set_numerics
    from linconv.training.penalties import penalty_terms

    set_numerics(options.threads)
    torch.manual_seed(seed)
    recipe = Recipe(batch_size=options.batch)
    model = build_model(options.architecture, options.variant).to(options.device).to(memory_format=torch.channels_last)
    x = torch.randn(options.batch, *IMAGE).to(options.device, memory_format=torch.channels_last)
    y = torch.randint(10, (options.batch,)).to(options.device)
    terms = penalty_terms(VARIANTS[options.variant].regularizers)
    training = Training(model, recipe, _no_batches, _no_batches, 1, cuda_graph=options.cuda_graph)
    model.train()

    def steps(count: int) -> None:
        for _ in range(count):
            due = tuple(term for term in terms if training.step % term.period == 0)
            training.stepper(x, y, due)
            training.step += 1
        training.stepper.read_metrics()  # waits for the device

    def weights() -> str:
        content = b"".join(p.detach().cpu().numpy().tobytes() for p in model.parameters())
        return hashlib.sha256(content).hexdigest()

    steps(options.warm_up)
    pipe.send("ready")
    while (count := pipe.recv()) is not None:
        if count:
            steps(count)
        pipe.send("done" if count else weights())


def _no_batches(epoch: int) -> Any:
    raise NotImplementedError("the steps here have their batch already")


def seconds(arm: str, pipes: list[Connection], steps: int) -> float:
    """How long all trainings take in one arm."""
    start = time.perf_counter()
    if arm == "at the same time":
        for pipe in pipes:
            pipe.send(steps)
        for pipe in pipes:
            pipe.recv()
    else:
        for pipe in pipes:
            pipe.send(steps)
            pipe.recv()
    return time.perf_counter() - start


def start(
    options: argparse.Namespace, seeds: list[int]
) -> tuple[list[multiprocessing.process.BaseProcess], list[Connection]]:
    """The processes, warmed up, and the pipes to them."""
    context = multiprocessing.get_context("spawn")  # CUDA survives no fork
    processes: list[multiprocessing.process.BaseProcess] = []
    pipes: list[Connection] = []
    for seed in seeds:
        here, there = context.Pipe()
        process = context.Process(target=train, args=(options, seed, there), daemon=True)
        process.start()
        there.close()
        processes.append(process)
        pipes.append(here)
    for pipe in pipes:
        pipe.recv()
    return processes, pipes


def stop(processes: list[multiprocessing.process.BaseProcess], pipes: list[Connection]) -> None:
    for pipe in pipes:
        pipe.send(None)
    for process in processes:
        process.join()


def _hash(pipe: Connection) -> str:
    pipe.send(0)
    return str(pipe.recv())


def same_weights(options: argparse.Namespace) -> bool:
    """Whether a training that shares the device ends with the weights of one that does not."""
    alone = []
    for seed in range(options.runs):
        processes, pipes = start(options, [seed])
        seconds(ARMS[0], pipes, options.steps)
        alone += [_hash(pipe) for pipe in pipes]
        stop(processes, pipes)
    processes, pipes = start(options, list(range(options.runs)))
    seconds(ARMS[-1], pipes, options.steps)
    together = [_hash(pipe) for pipe in pipes]
    stop(processes, pipes)
    return alone == together


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; exit code 1 where sharing the device changed a weight."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2, help="trainings that share the device")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--architecture", default="base")
    parser.add_argument("--variant", default="Lr")
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--steps", type=int, default=50, help="of every training in every arm")
    parser.add_argument("--warm-up", type=int, default=40, help="steps; enough for every graph to be captured")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of every training")
    parser.add_argument("--cuda-graph", action="store_true")
    options = parser.parse_args(arguments)
    if options.cuda_graph and options.device != "cuda":
        parser.error("--cuda-graph needs --device cuda")
    print(
        f"{options.runs} x {options.architecture} {options.variant}, batch {options.batch}, on {options.device}, "
        f"{options.rounds} rounds of {options.steps} steps",
        flush=True,
    )
    processes, pipes = start(options, list(range(options.runs)))
    times: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for number in range(options.rounds + 1):
        for arm in random.Random(number).sample(ARMS, len(ARMS)):
            elapsed = seconds(arm, pipes, options.steps)
            if number:
                times[arm].append(elapsed)
    stop(processes, pipes)
    for arm, measured in times.items():
        ratios = [s / p for s, p in zip(measured, times[ARMS[0]], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        spread = f"(quartiles {low:.3f} to {high:.3f})"
        print(f"  {arm:<20} {statistics.median(measured):9.3f} s   ratio {middle:.3f}  {spread}")
    same = same_weights(options)
    print(f"weights after sharing the device: {'the same as alone' if same else 'NOT those of training alone'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
