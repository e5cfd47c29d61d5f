"""Images per second of one core: decode a JPEG file, resize its shorter side to 256, cut out the center.

    python benchmarks/decoding.py --rounds 5

Arms, interleaved: linconv's `ImageFiles`; the same steps on PIL images, as torchvision's references write them; these
in a DataLoader with one worker's worth of `torchvision.transforms.v2`, run in this process; linconv again (A/A). The
files are smooth random images with noise, 500 x 375 pixels, quality 92: of ImageNet's size, 78 kB each. Processor time
is counted, so that other programs of the machine matter little. The largest difference of a pixel between the first two
arms, and the share of pixels that differ, are printed as well.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from linconv.data.sources import ImageFiles

SIDE = 256


def make_files(folder: Path, count: int) -> list[Path]:
    """Write `count` JPEG files into folder/class/."""
    random = np.random.default_rng(0)
    (folder / "class").mkdir(parents=True)
    files = []
    for i in range(count):
        smooth = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize((500, 375))
        noisy = np.asarray(smooth) + random.normal(0, 8, (375, 500, 3))
        files.append(folder / "class" / f"{i}.jpg")
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(files[-1], quality=92)
    return files


def with_pillow(file: Path) -> np.ndarray:
    """uint8 (3, SIDE, SIDE)."""
    image = v2.functional.resize(Image.open(file).convert("RGB"), [SIDE], antialias=True)
    return np.asarray(v2.functional.center_crop(image, [SIDE, SIDE])).transpose(2, 0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(Path(folder), options.images)
        ours = ImageFiles("files", np.array([str(f).encode() for f in files]), SIDE, "crop")
        steps = v2.Compose([v2.Resize(SIDE), v2.CenterCrop(SIDE), v2.PILToTensor()])
        loader = DataLoader(ImageFolder(folder, steps), batch_size=50)

        def pillow() -> None:
            for file in files:
                with_pillow(file)

        arms: dict[str, Callable[[], object]] = {
            "linconv": ours.read,
            "PIL images": pillow,
            "DataLoader": lambda: list(loader),
            "linconv again": ours.read,
        }
        rates: dict[str, list[float]] = {name: [] for name in arms}
        for number in range(options.rounds + 1):
            for name, arm in arms.items():
                start = time.process_time()
                arm()
                if number:  # the first round warms up
                    rates[name].append(len(files) / (time.process_time() - start))
        for name, found in rates.items():
            ratio = statistics.median(ours / x for ours, x in zip(rates["linconv"], found, strict=True))
            print(f"{name:<14} {statistics.median(found):5.0f} images/s   linconv is {ratio:.2f} times as fast")
        read = ours.read().numpy().astype(int)
        apart = np.abs(read - np.stack([with_pillow(file) for file in files]))
        print(f"largest difference of a pixel {apart.max()}, {100 * (apart > 0).mean():.2f} % of the pixels differ")


if __name__ == "__main__":
    main()
