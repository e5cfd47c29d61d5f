"""ImageNet (ILSVRC 2012) as folders of class folders, always streamed.

A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NeurIPS
2012, whose preprocessing this is: the shorter side resized to 256 pixels and the central 256x256 of that kept
(section 2), out of which a random 224x224 is trained on, every second one mirrored (section 4.1). Evaluation sees the
central 224x224.
"""

from __future__ import annotations

from pathlib import Path

from linconv.catalogue.datasets import DATASETS
from linconv.data.dataset import Arrays, Origin
from linconv.data.errors import DataError
from linconv.data.folders import decoder, find_classes, list_files, same_classes
from linconv.data.walk import Walk, shown

CLASSES, IMAGE_SIZE = DATASETS["imagenet"].classes, DATASETS["imagenet"].image_size
FOLDER = "imagenet"


def load_imagenet(root: Path) -> Arrays:
    """Find the files below `root`/imagenet, train/<wnid>/* and val/<wnid>/*; the latter is the test part.

    Raises:
        DataError: a part is missing, has a class without an image or not 1000 classes, or the parts differ in them.
    """
    folder = root / FOLDER
    try:
        for part in ("train", "val"):
            if not (folder / part).is_dir():
                raise DataError(
                    f"no folder {folder / part}; ImageNet must be fetched by hand from image-net.org (ILSVRC 2012) and "
                    f"unpacked into {folder}/train/<wnid>/ and {folder}/val/<wnid>/"
                )
        walk = Walk()
        train, val = find_classes(folder / "train", walk), find_classes(folder / "val", walk)
        same_classes(folder, {"train": train, "val": val})
        if len(train.classes) != CLASSES:
            raise DataError(f"{folder}/train holds {len(train.classes)} class folders, not {CLASSES}; complete it")
    except DataError as error:
        raise DataError(f"data set 'imagenet': {error}") from None
    (x, y), (val_x, val_y) = (
        list_files("imagenet", part.samples, IMAGE_SIZE, fit="crop", upright=False) for part in (train, val)
    )
    return Arrays(x, y, val_x, val_y, Origin("imagenet", tuple(map(shown, train.classes)), decoder()))
