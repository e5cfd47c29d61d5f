"""Streamed and resident data sets give the same bits, and leave no process behind."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from linconv.config import ImageFolderOptions, RunKey, parse_config, resolve_run
from linconv.data import DataError, Dataset, LoaderError, StreamedImages, batches, load, loader_failures, sources
from linconv.training.checkpoint import restore_checkpoint, save_checkpoint
from linconv.training.engine import Callback, Training, fit
from linconv.training.numerics import set_numerics
from linconv.training.run import prepare

OPTIONS = {"path": "pets", "crop_padding": 2, "flip": True}


@pytest.fixture(autouse=True)
def _no_worker_stays() -> Iterator[None]:
    set_numerics(1)
    yield
    assert multiprocessing.active_children() == []


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 57 JPEG files of three classes in odd sizes."""
    root, random = tmp_path_factory.mktemp("data"), np.random.RandomState(0)
    for k in range(3):
        for i in range(19):
            file = root / "pets" / "abc"[k] / f"{i:02}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = random.randint(0, 80, (30 + i, 40, 3)) + 60 * k
            Image.fromarray(pixels.astype(np.uint8)).save(file)
    return root


def pets(root: Path, workers: int = 0, **options: object) -> Dataset:
    definition = ImageFolderOptions.model_validate(OPTIONS | options)
    return load("pets", root, imagefolder=definition, workers=workers)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_epochs_are_equal_bit_for_bit_whatever_the_number_of_workers(workers: int, root: Path) -> None:
    resident, streamed = pets(root, stream=False), pets(root, workers, stream=True)
    assert isinstance(resident.train_images, torch.Tensor)
    assert isinstance(streamed.train_images, StreamedImages)
    assert streamed.info.mean == resident.info.mean
    assert streamed.info.std == resident.info.std
    for epoch in range(2):
        pairs = []
        for data in (resident, streamed):
            options = {"augment": True, "shuffle": True, "generator_seed": (5, epoch)}
            pairs.append(batches(data.train_images, data.train_labels, batch_size=10, info=data.info, **options))
        found = list(zip(*pairs, strict=True))
        assert [len(y) for (_, y), _ in found] == [10, 10, 10, 10, 5]
        assert all(torch.equal(x, z) and torch.equal(y, w) for (x, y), (z, w) in found)
    plain = [batches(d.test_images, d.test_labels, batch_size=4, info=d.info) for d in (resident, streamed)]
    assert all(torch.equal(x, z) and torch.equal(y, w) for (x, y), (z, w) in zip(*plain, strict=True))


def resolved(**recipe: object):
    raw = {
        "experiment": "test",
        "datasets": ["pets"],
        "architectures": ["allconv"],
        "variants": ["LRr"],
        "seeds": [0],
        "imagefolders": {"pets": OPTIONS},
        "recipe": {"overrides": [{"set": {"epochs": 2, "batch_size": 20}}]},
    }
    return resolve_run(parse_config(raw), RunKey("pets", "allconv", "LRr", 0))


class StopAfter(Callback):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_epoch_end(self, training: Training) -> None:
        save_checkpoint(self.folder, training, "x")
        raise KeyboardInterrupt


def test_trainings_are_equal_bit_for_bit_also_when_resumed(root: Path, tmp_path: Path) -> None:
    """allconv drops units: the loader must leave the random state alone as well."""
    run = resolved()
    whole = fit(prepare(run, pets(root, stream=False), "cpu"))
    streamed = pets(root, 2, stream=True)
    assert fit(prepare(run, streamed, "cpu")).history == whole.history
    with pytest.raises(KeyboardInterrupt):
        fit(prepare(run, streamed, "cpu", [StopAfter(tmp_path)]))
    torch.manual_seed(12345)
    resumed = prepare(run, streamed, "cpu", [Callback()])
    assert restore_checkpoint(tmp_path, resumed, "x")
    assert fit(resumed).history == whole.history
    for (name, a), b in zip(resumed.model.state_dict().items(), whole.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_streaming_is_no_part_of_a_runs_identity() -> None:
    def identity(**options: object) -> str:
        raw = {
            "experiment": "x",
            "datasets": ["pets"],
            "architectures": ["base"],
            "variants": ["conv"],
            "seeds": [0],
            "imagefolders": {"pets": {"path": "pets", **options}},
        }
        return resolve_run(parse_config(raw), RunKey("pets", "base", "conv", 0)).hash

    assert identity() == identity(stream=True) == identity(stream=False) == "c852c37dc9bf4c4d"


def test_auto_streams_what_takes_more_than_half_of_the_memory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = 57 * 3 * 32 * 32
    for memory, streams in ((2 * decoded, False), (2 * decoded - 1, True)):
        monkeypatch.setattr(sources, "host_memory", lambda memory=memory: memory)
        assert isinstance(pets(root).train_images, StreamedImages) == streams


def test_the_memory_available_is_that_of_this_machine() -> None:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 2**24 < sources.host_memory() <= physical


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_cannot_be_read_is_the_same_message_from_a_worker(workers: int, root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    folder.symlink_to(root / "pets")
    statistics = {"mean": [0.5] * 3, "std": [0.2] * 3}  # given, so that nothing is read before the first batch
    data = pets(tmp_path, workers, stream=True, **statistics)
    data.train_images.files.paths[7] = os.fsencode(tmp_path / "gone.jpg")
    with pytest.raises(DataError) as caught:
        list(data.train_images.batches(torch.arange(40).split(4)))
    message = f"data set 'pets': {tmp_path}/gone.jpg cannot be read (No such file or directory); "
    assert str(caught.value) == message + "make it or name another, then the same command continues"


def test_closing_early_ends_the_workers(root: Path) -> None:
    data = pets(root, 2, stream=True)
    drawn = batches(data.train_images, data.train_labels, batch_size=2, info=data.info)
    next(drawn)
    assert len(multiprocessing.active_children()) == 2
    del drawn
    assert multiprocessing.active_children() == []


def test_a_worker_that_is_killed_is_one_message(root: Path) -> None:
    data = pets(root, 1, stream=True)

    def kill_the_worker() -> None:
        drawn = data.train_images.batches([torch.arange(20)] * 500)
        next(drawn)
        (worker,) = multiprocessing.active_children()
        os.kill(worker.pid, signal.SIGKILL)
        for _ in drawn:
            time.sleep(0.01)

    with pytest.raises(LoaderError, match=r"has ended \(.*\); if memory .* lower loader_workers") as caught:  # noqa: SIM117
        with loader_failures():
            kill_the_worker()
    assert len(str(caught.value).splitlines()) == 1
    del caught


@pytest.mark.parametrize("place", ["multiprocessing.Queue", "torch.utils.data.DataLoader.__iter__"])
@pytest.mark.parametrize("error", [OSError(errno.EROFS, os.strerror(errno.EROFS)), ImportError("no sem_open")])
def test_workers_that_cannot_be_started_are_one_message(
    root: Path, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception
) -> None:
    """As in a container without /dev/shm: no disk is full and no file is missing."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(place, fail)
    with pytest.raises(LoaderError, match=r"cannot be started \((Read-only.*|no sem_open)\): they need shared memory"):
        next(pets(root, 1, stream=True).train_images.batches([torch.arange(2)]))


def test_a_batch_without_shared_memory_is_one_message_and_no_waiting(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: torch.Tensor) -> None:
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", fail)  # in the worker, which is forked
    with pytest.raises(LoaderError, match=r"^no shared memory for a batch of 0\.\d MiB \(unable.*make /dev/shm larger"):
        next(pets(root, 1, stream=True).train_images.batches([torch.arange(45)]))


def test_a_signal_to_the_process_group_does_not_reach_the_workers(root: Path) -> None:
    data = pets(root, 2, stream=True)
    drawn = data.train_images.batches(torch.arange(45).split(5))
    next(drawn)
    deadline = time.monotonic() + 120  # the first batch is there before the second worker may have started
    while os.getpgid(0) in {os.getpgid(worker.pid) for worker in multiprocessing.active_children()}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(list(drawn)) == 8


def processes_of(session: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getsid(int(entry.name)) == session:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                found += [int(entry.name)] if state != "Z" else []
        except OSError:
            continue  # ended in between
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 75),
        pytest.param(signal.SIGINT, 75, marks=pytest.mark.slow),  # the same handler
        (signal.SIGKILL, -9),
    ],
)
def test_a_signal_to_a_streaming_training_leaves_no_worker(
    number: signal.Signals, code: int, root: Path, tmp_path: Path
) -> None:
    config, log = tmp_path / "x.yaml", tmp_path / "train.log"
    config.write_text(
        yaml.safe_dump(
            {
                "experiment": "x",
                "datasets": ["pets"],
                "architectures": ["base"],
                "variants": ["conv"],
                "seeds": [0],
                "imagefolders": {"pets": {**OPTIONS, "stream": True}},
                "data_root": str(root),
                "device": "cpu",
                "recipe": {"overrides": [{"set": {"epochs": 1000, "batch_size": 2}}]},
            }
        )
    )
    options = ["--dataset", "pets", "--architecture", "base", "--variant", "conv", "--seed", "0", "--log", str(log)]
    command = [sys.executable, "-m", "linconv.cli", "train", str(config), *options]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while process.poll() is None and not (log.exists() and "epoch 1/1000" in log.read_text()):
        time.sleep(0.01)
    workers = [p for p in processes_of(process.pid) if p != process.pid]
    # to every process of the job, as a scheduler does it; SIGKILL to the training alone, as the kernel does
    for receiver in [process.pid, *workers] if number != signal.SIGKILL else [process.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(receiver, number)
    _, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (code, "")
    for _ in range(600):  # a worker looks for its parent every five seconds
        if not processes_of(process.pid):
            break
        time.sleep(0.1)
    assert processes_of(process.pid) == []
    if code == 75:
        assert "the same command continues it" in log.read_text().splitlines()[-1]
