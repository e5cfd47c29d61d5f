"""Time an epoch from device-resident tensors against torchvision transforms in a DataLoader, interleaved.

    python benchmarks/loading.py --rounds 5
    python benchmarks/loading.py --device cuda --architecture resnet18 --images 20000 --workers 8    # on a GPU

On random images in the shape of MNIST and of CIFAR-10, with the paper's augmentation of each, batches of 50. Loading
alone: every batch is made and dropped. Training: the plain `base` network with Adam, on the same images. Arms:

* `DataLoader`: `torchvision.transforms` on PIL images in two persistent workers, and the usual loop around it;
* `linconv`: the pipeline's own loop as it trains by default, in channels_last;
* `linconv, contiguous`: the same in torch's default layout;
* `DataLoader, memory kept`: the usual loop with malloc told to keep freed memory, as linconv tells it for its own arms;
* `linconv, CUDA graph`: on a GPU, the pipeline's loop with whole steps as graphs, as it trains there by default;
* `DataLoader again (A/A)`: what the machine's noise looks like.

The usual loop is that of torchvision's references: workers, pinned memory, copies that do not wait, the metrics of each
batch.

Every arm is a process of its own, as threads and the allocator are settings of a process, and waits while another
works. Every round runs every arm once, in shuffled order; the first round is dropped. A ratio is DataLoader / arm of
one round: how many times faster the arm is.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms

from linconv.config import RunKey, parse_config, resolve_run
from linconv.data import DATASETS, Dataset, batches, load
from linconv.models import build_model
from linconv.training.device_loop import DeviceLoop
from linconv.training.engine import fit
from linconv.training.numerics import keep_freed_memory, set_numerics
from linconv.training.run import prepare

BATCH = 50


class Pictures(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """Images as torchvision's data sets hold them: a PIL image is made and transformed at every access."""

    def __init__(self, pixels: np.ndarray, labels: list[int], transform: Callable[[Any], torch.Tensor]) -> None:
        self.pixels, self.labels, self.transform = pixels, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[i])), self.labels[i]


def dataloader(name: str, options: argparse.Namespace) -> DataLoader[Any]:
    """The usual input pipeline of the paper's protocol on random images of the shape of `name`."""
    info = DATASETS[name]
    size = info.image_size - 2 * info.border
    count = options.images
    shape = (count, size, size, 3) if info.channels == 3 else (count, size, size)
    generator = np.random.default_rng(0)
    pixels = generator.integers(256, size=shape, dtype=np.uint8)
    steps: list[Any] = [transforms.Pad(info.border)] if info.border else []
    steps += [transforms.RandomCrop(info.image_size, padding=info.crop_padding)] if info.crop_padding else []
    steps += [transforms.RandomHorizontalFlip()] if info.flip else []
    steps += [transforms.ToTensor(), transforms.Normalize(info.mean, info.std)]
    pictures = Pictures(pixels, generator.integers(info.classes, size=count).tolist(), transforms.Compose(steps))
    return DataLoader(
        pictures,
        batch_size=BATCH,
        shuffle=True,
        num_workers=options.workers,
        persistent_workers=True,
        pin_memory=options.device == "cuda",
    )


def resident(name: str, options: argparse.Namespace) -> Dataset:
    """Random images of the shape of `name`, as the pipeline holds them; a single batch to test on."""
    info = DATASETS[name]
    shape = (options.images, info.channels, info.image_size, info.image_size)
    images = torch.randint(256, shape, dtype=torch.uint8).to(options.device)
    labels = torch.randint(info.classes, (options.images,)).to(options.device)
    known = load("synthetic", "data")  # what describes its content; no part of training reads that
    return Dataset(info, images, labels, images[:BATCH], labels[:BATCH], known.content, torch.arange(BATCH), "")


def usual_training(name: str, loader: DataLoader[Any], options: argparse.Namespace) -> Callable[[], None]:
    """An epoch of the loop that tutorials and torchvision's references show."""
    model = build_model(options.architecture, in_channels=DATASETS[name].channels).to(options.device)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def epoch() -> None:
        model.train()
        total, right = 0.0, 0
        for x, y in loader:
            x, y = (t.to(options.device, non_blocking=True) for t in (x, y))
            optimizer.zero_grad()
            logits = model(x)
            loss = F.cross_entropy(logits, y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
            right += int((logits.argmax(1) == y).sum())

    return epoch


def our_training(name: str, data: Dataset, arm: str, options: argparse.Namespace) -> Callable[[], None]:
    """An epoch of the pipeline's loop, and the evaluation of one batch."""
    network = options.architecture
    values = {"experiment": "x", "datasets": [name], "architectures": [network], "variants": ["conv"], "seeds": [0]}
    config = parse_config({**values, "recipe": {"overrides": [{"set": {"epochs": 10_000}}]}})
    graphs = arm == "linconv, CUDA graph"
    training = prepare(
        resolve_run(config, RunKey(name, network, "conv", 0)),
        data,
        options.device,
        channels_last=arm == "linconv",
        cuda_graph=graphs,
    )
    if graphs:
        training.loop = DeviceLoop()
    every_epoch = training.recipe

    def epoch() -> None:
        training.recipe = every_epoch.model_copy(update={"epochs": training.epoch + 1})
        fit(training)

    return epoch


def arms_of(task: str, device: str) -> tuple[str, ...]:
    if task == "loading":
        return "DataLoader", "linconv", "DataLoader again (A/A)"
    own = ("linconv, CUDA graph",) if device == "cuda" else ("DataLoader, memory kept",)  # malloc feeds the CPU alone
    return "DataLoader", "linconv", "linconv, contiguous", *own, "DataLoader again (A/A)"


def epoch_of(task: str, arm: str, name: str, options: argparse.Namespace) -> Callable[[], None]:
    """What one arm does once a round. Only the pipeline's own arms set what the pipeline sets for its process."""
    torch.manual_seed(0)
    if arm.startswith("DataLoader"):
        torch.set_num_threads(options.threads)
        if "kept" in arm:
            keep_freed_memory()
        loader = dataloader(name, options)
        return usual_training(name, loader, options) if task == "training" else consume(lambda: loader)
    set_numerics(options.threads)
    data = resident(name, options)
    if task == "training":
        return our_training(name, data, arm, options)
    return consume(
        lambda: batches(
            data.train_images,
            data.train_labels,
            batch_size=BATCH,
            info=DATASETS[name],
            augment=True,
            shuffle=True,
            generator_seed=(0, 0),
        )
    )


def consume(iterable: Callable[[], Any]) -> Callable[[], None]:
    def epoch() -> None:
        for _ in iterable():
            pass

    return epoch


def serve(orders: Connection, *what: Any) -> None:
    """Run an epoch for every order, and answer with its seconds, until None comes."""
    epoch = epoch_of(*what)
    while orders.recv() is not None:
        start = time.perf_counter()
        epoch()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        orders.send(time.perf_counter() - start)


def compare(task: str, name: str, options: argparse.Namespace) -> None:
    """Print each arm's median rate and how many times faster than the first arm it is."""
    processes = multiprocessing.get_context("spawn")  # one an arm: threads and the allocator belong to a process
    orders: dict[str, Connection] = {}
    for arm in arms_of(task, options.device):
        orders[arm], theirs = processes.Pipe()
        processes.Process(target=serve, args=(theirs, task, arm, name, options)).start()
        theirs.close()  # so that a dead child is the end of the pipe
    times: dict[str, list[float]] = {arm: [] for arm in orders}
    for number in range(options.rounds + 1):
        order = list(orders)
        random.Random(number).shuffle(order)
        for arm in order:
            orders[arm].send("epoch")
            seconds = orders[arm].recv()
            if number:
                times[arm].append(seconds)
    for connection in orders.values():
        connection.send(None)
    print(f"{task}, {name}-shaped")
    for arm, seconds in times.items():
        ratios = [f / s for s, f in zip(seconds, times["DataLoader"], strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4) if options.rounds > 1 else ratios * 3
        print(
            f"  {arm:<26} {options.images / statistics.median(seconds):10,.0f} images a second   "
            f"{statistics.median(ratios):6.2f} times as fast  (quartiles {low:.2f} to {high:.2f})",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2, help="of the DataLoader")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--architecture", default="base")
    options = parser.parse_args()
    print(
        f"{options.architecture}, batch {BATCH}, {options.images} images an epoch, {options.threads} threads, "
        f"{options.workers} workers, {options.rounds} rounds, {options.device}, torch {torch.__version__}"
    )
    for name in ("mnist", "cifar10"):
        compare("loading", name, options)
        compare("training", name, options)


if __name__ == "__main__":
    main()
