"""Images that lie in files: decoded into memory at once, or streamed, decoded by worker processes batch by batch.

Both give the same batches: a file is decoded by the same function, and the order is the caller's.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from linconv.config.errors import reason_of
from linconv.data.errors import DataError
from linconv.data.memory import host_memory
from linconv.data.pixels import decode_rgb, undecodable

CHANNELS = 3  # every image is read as RGB, a gray one with three equal channels


class LoaderError(DataError):
    """A process that decodes images has ended on its own."""


@dataclass(frozen=True)
class ImageFiles:
    """Image files of one part of a data set, and how each becomes `size` x `size` pixels.

    Args:
        name: of the data set, for messages.
        paths: file names as bytes (n,); an array, since worker processes would copy a list piece by piece.
        fit: "stretch" resizes to the square, "crop" resizes the shorter side to it and cuts out the center. Bilinear,
            antialiased.
        upright: turn images as their EXIF orientation says.
    """

    name: str
    paths: np.ndarray
    size: int
    fit: Literal["stretch", "crop"] = "stretch"
    upright: bool = True

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of all images, decoded."""
        return len(self), CHANNELS, self.size, self.size

    def subset(self, indices: Tensor) -> ImageFiles:
        """The files at `indices`, in that order."""
        return replace(self, paths=self.paths[indices.cpu().numpy()])

    def read(self, indices: Sequence[int] | None = None) -> Tensor:
        """Images uint8 (n, 3, size, size), those at `indices` or all.

        Raises:
            DataError: a file cannot be decoded.
        """
        chosen = range(len(self)) if indices is None else indices
        pixels = np.empty((len(chosen), CHANNELS, self.size, self.size), dtype=np.uint8)

        def decode(i: int) -> None:
            pixels[i] = self._decode(os.fsdecode(self.paths[chosen[i]]))

        if (threads := torch.get_num_threads()) == 1:  # a pool of one takes a tenth more time
            for i in range(len(chosen)):
                decode(i)
        else:  # decoding releases the interpreter: two threads take 0.7 of the time of one
            with ThreadPoolExecutor(threads) as pool:
                for _ in pool.map(decode, range(len(chosen))):
                    pass
        return torch.from_numpy(pixels)

    def _decode(self, file: str) -> np.ndarray:
        """One image, uint8 (3, size, size)."""
        # torchvision takes seconds to import, and the embedded data sets do without it.
        from torchvision.transforms.v2.functional import center_crop, resize

        size = [self.size, self.size]
        try:
            rgb = decode_rgb(file, upright=self.upright)
        except Exception as error:  # a damaged file makes a decoder raise anything, SyntaxError included
            raise DataError(f"data set '{self.name}': {undecodable(file, error)}") from None
        pixels = torch.from_numpy(rgb).permute(2, 0, 1)  # resized in a third of Pillow's time
        if self.fit == "crop":
            pixels = center_crop(resize(pixels, [self.size], antialias=True), size)
        if list(pixels.shape[1:]) != size:
            pixels = resize(pixels, size, antialias=True)
        return pixels.numpy()


class StreamedImages:
    """Images decoded while the device computes, by `workers` processes (0: by the training process itself)."""

    dtype = torch.uint8

    def __init__(self, files: ImageFiles, device: torch.device | str, workers: int) -> None:
        self.files, self.device, self.workers = files, torch.device(device), workers

    def __len__(self) -> int:
        return len(self.files)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of all images, decoded."""
        return self.files.shape

    def subset(self, indices: Tensor) -> StreamedImages:
        """The images at `indices`, in that order."""
        return StreamedImages(self.files.subset(indices), self.device, self.workers)

    def batches(self, indices: Sequence[Tensor]) -> Generator[Tensor, None, None]:
        """The images at each of `indices`, uint8 (b, 3, size, size) on the device.

        The workers end with the iterator, also where it is closed early.

        Raises:
            DataError: a file cannot be decoded, or the workers cannot be started.
        """
        wanted = [some.tolist() for some in indices]
        if self.workers == 0:
            for some in wanted:
                yield self.files.read(some).to(self.device)
            return
        loader = DataLoader(
            _DecodedBatches(self.files),
            sampler=wanted,
            batch_size=None,
            num_workers=min(self.workers, len(wanted)),
            worker_init_fn=_leave_the_process_group,
            generator=torch.Generator(),  # the loader draws a seed; drawn globally it would shift dropout's draws
        )
        try:
            for batch in _started(loader):  # under no name, which a traceback would keep, and the workers with it
                if isinstance(batch, DataError):
                    raise batch
                yield batch.to(self.device)
        except (ConnectionError, EOFError, FileNotFoundError) as error:
            # A worker has ended with a batch that waits: only it can hand it over. The system's word of the end comes
            # a moment later, and then torch raises an error that says why.
            time.sleep(1)
            raise RuntimeError(f"DataLoader worker has ended: {error}") from error


Images = Tensor | StreamedImages


def fetch(images: Images, indices: Sequence[Tensor]) -> Generator[Tensor, None, None]:
    """The images at each of `indices`, wherever they come from."""
    return (images[some] for some in indices) if isinstance(images, Tensor) else images.batches(indices)


def subset(images: Images, indices: Tensor) -> Images:
    """The images at `indices`, in that order."""
    return images[indices] if isinstance(images, Tensor) else images.subset(indices)


@contextmanager
def loader_failures() -> Iterator[None]:
    """Turn torch's error about a worker that has died, which comes at any moment, into a `LoaderError`."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        reason = " ".join(str(error).split())[:200]
        raise LoaderError(
            f"a process that decodes images has ended ({reason}); if memory or shared memory has run out, lower "
            "loader_workers (0: no such processes)"
        ) from None


def fits_in_memory(wanted: int, device: torch.device | str) -> bool:
    """Whether `wanted` bytes are at most half of the memory available to this process, and of that of the device."""
    available = [host_memory()]
    if torch.device(device).type == "cuda":
        available.append(torch.cuda.mem_get_info(device)[0])
    return 2 * wanted <= min(available)


def _started(loader: DataLoader[Tensor | DataError]) -> Iterator[Tensor | DataError]:
    """The batches of a loader whose workers have been started."""
    try:
        multiprocessing.Queue()  # what it begins with; where that fails, torch would also show a stack
        return iter(loader)
    except (OSError, ImportError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else " ".join(str(error).split())[:200]
        raise LoaderError(
            f"the processes that decode images cannot be started ({reason}): they need shared memory (/dev/shm) and "
            "open files (ulimit -n); loader_workers: 0 needs no such processes"
        ) from None


class _DecodedBatches(Dataset[Tensor | DataError]):
    """Batches by lists of indices, in shared memory; an error is returned, since torch would wrap it in a stack.

    Where a batch went to shared memory on its way to the training, a lack of that would be no error there, and the
    training would wait for ever.
    """

    def __init__(self, files: ImageFiles) -> None:
        self._files = files

    def __getitem__(self, indices: list[int]) -> Tensor | DataError:
        try:
            pixels = self._files.read(indices)
        except DataError as error:
            return error
        try:
            return pixels.share_memory_()
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            return LoaderError(
                f"no shared memory for a batch of {pixels.nbytes / 2**20:.1f} MiB ({reason}); make /dev/shm larger, or "
                "lower loader_workers (0: no processes that decode images)"
            )


def _leave_the_process_group(worker: int) -> None:
    # Ctrl-C goes to the whole group: the training finishes its step and needs its batches until then
    if sys.platform != "win32":
        os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
