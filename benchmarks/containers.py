"""Start from CIFAR-10 in every container: image columns, PNG class folders, original archive. One line each.

    python benchmarks/containers.py --data data

`--data` holds CIFAR-10 in any container. Its images are written as 60,000 PNG files, and in another order as pickled
batches in an archive, both in a temporary folder. Every start is a process of its own; its time is that of
`linconv.data.load`, what the process imports left out. An epoch of `base` follows, from the class folders. The exit
code is 1 unless all starts find the same digest, the run records it, and a later start from files computes below 3 s.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torchvision.datasets as tv
from PIL import Image

from linconv.data import Dataset, load
from linconv.results import RunResult, read_result

NAME, LIMIT = "cifar10", 3.0
Sums = Mapping[str, str]  # MD5 by the name of a file
Digests = tuple[str | None, str | None]  # of the training and the test images


class Start(NamedTuple):
    """What a process found: the container, both digests, and how long it took to load the data and how long to compute.

    On a quiet machine the two times are nearly one.
    """

    container: str
    digests: Digests
    seconds: float
    processor_seconds: float


def write_class_folders(root: Path, data: Dataset) -> None:
    """`root`/cifar10/{train,test}/<class>/<number>.png."""
    for part, (images, labels) in parts_of(data).items():
        for label, name in enumerate(data.content.classes):
            folder = root / NAME / part / name
            folder.mkdir(parents=True)
            for i, image in enumerate(images[labels == label]):
                Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{i:04d}.png", compress_level=1)


def write_archive(root: Path, data: Dataset) -> Sums:
    """The "python version" of CIFAR-10 as torchvision fetches it, its images in a random order; its checksums."""
    known, parts = tv.CIFAR10, parts_of(data)
    order = np.random.RandomState(0).permutation(len(parts["train"][1]))
    chunks = dict(
        zip((name for name, _ in known.train_list), np.array_split(order, len(known.train_list)), strict=True)
    )
    with tempfile.TemporaryDirectory(dir=root) as temporary:
        folder = Path(temporary, known.base_folder)
        folder.mkdir()
        for name, chunk in chunks.items():
            images, labels = (values[chunk] for values in parts["train"])
            dump(folder / name, {"data": images.reshape(len(images), -1), "labels": labels.tolist()})
        images, labels = parts["test"]
        dump(folder / known.test_list[0][0], {"data": images.reshape(len(images), -1), "labels": labels.tolist()})
        dump(folder / known.meta["filename"], {known.meta["key"]: list(data.content.classes)})
        with tarfile.open(root / known.filename, "w:gz", compresslevel=1) as archive:
            archive.add(folder, known.base_folder)
        files = [*folder.iterdir(), root / known.filename]
        return {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in files}


def parts_of(data: Dataset) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images uint8 (n, c, h, w) and labels (n,) of both parts."""
    train, test = (data.train_images, data.train_labels), (data.test_images, data.test_labels)
    return {name: (np.asarray(part[0]), np.asarray(part[1])) for name, part in (("train", train), ("test", test))}


def dump(file: Path, value: object) -> None:
    file.write_bytes(pickle.dumps(value))


def state(sums: Sums) -> None:
    """State the checksums of an archive of our own as those of the published one, which torchvision asks for."""
    known = tv.CIFAR10
    for name in ("train_list", "test_list"):
        setattr(known, name, [[file, sums[file]] for file, _ in getattr(known, name)])
    known.meta = {**known.meta, "md5": sums[known.meta["filename"]]}
    known.tgz_md5 = sums[known.filename]


def start(root: Path, sums: Sums) -> Start:
    """Load the data set below `root` in this process."""
    if sums:
        state(sums)
    began, computed = time.perf_counter(), time.process_time()
    content = load(NAME, root).content
    seconds, processor_seconds = time.perf_counter() - began, time.process_time() - computed
    return Start(content.container, (content.train.digest, content.test.digest), seconds, processor_seconds)


def start_anew(root: Path, sums: Sums) -> Start:
    """The same in a new process, that imports all anew."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(start, (root, sums))


def said(found: Digests, wanted: Digests) -> str:
    return "the same digests" if found == wanted else f"OTHER DIGESTS {found}"


def train_epoch(root: Path, results: Path) -> RunResult:
    """One epoch of plain `base` on the data below `root`, with the paper's recipe."""
    config = results / "epoch.yaml"
    raw: dict[str, object] = {
        "experiment": "epoch",
        "datasets": [NAME],
        "architectures": ["base"],
        "variants": ["conv"],
        "seeds": [0],
    }
    raw |= {"device": "cpu", "data_root": str(root), "recipe": {"overrides": [{"set": {"epochs": 1}}]}}
    config.write_text(json.dumps(raw), encoding="utf-8")
    run = ["--dataset", NAME, "--architecture", "base", "--variant", "conv", "--seed", "0", "--results", str(results)]
    command = [sys.executable, "-m", "linconv.cli", "train", str(config), *run]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return read_result(results / "epoch" / "runs" / NAME / "base" / "conv" / "seed0" / "result.json", RunResult)


def compare_starts(roots: Mapping[Path, Sums], wanted: Digests) -> bool:
    """Start twice below every root and print a line each; whether all found the digests, the later ones fast enough."""
    good = True
    for root, sums in roots.items():
        for which in ("first", "later"):
            found = start_anew(root, sums)
            slow = which == "later" and not sums and found.processor_seconds >= LIMIT
            good &= found.digests == wanted and not slow
            print(
                f"{found.container}, {which} start: {found.seconds:.2f} s, {found.processor_seconds:.2f} s of them "
                f"computing{' TOO SLOW' * slow}, {said(found.digests, wanted)}",
                flush=True,
            )
    return good


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that holds cifar10")
    parser.add_argument("--no-epoch", action="store_true", help="start only")
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as temporary:
        given, folders, archive, results = (Path(temporary, name) for name in ("given", "png", "tgz", "results"))
        for folder in (given, folders, archive, results):
            folder.mkdir()
        for entry in options.data.iterdir():  # whatever is kept, is kept in the temporary folder
            if not entry.name.startswith("."):
                (given / entry.name).symlink_to(entry.resolve())
        data = load(NAME, given)
        write_class_folders(folders, data)
        sums = write_archive(archive, data)
        content, wanted = data.content, (data.content.train.digest, data.content.test.digest)
        del data
        print(f"given as {content.container}: train {wanted[0]}, test {wanted[1]}", flush=True)
        good = compare_starts({folders: {}, archive: sums}, wanted)
        if not options.no_epoch:
            result = train_epoch(folders, results)
            assert result.data is not None
            recorded = (result.data.train.digest, result.data.test.digest)
            good &= recorded == wanted
            print(
                f"base, one epoch from {result.data.container}: {result.provenance.seconds:.1f} s, "
                f"{result.provenance.images_per_second} images/s in training, top-1 {result.metrics.top1:.2f} %, "
                f"{said(recorded, wanted)} in its result"
            )
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
