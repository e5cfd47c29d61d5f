"""What becomes of images: folders of them as data sets, and the part held out for validation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from linconv.catalogue.datasets import DATASETS
from linconv.catalogue.frozen import ExcludeFromHash, Frozen

Unit = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class ValidationOptions(Frozen):
    """A part of the training images held out for choosing: `share` of every class, drawn by `seed`."""

    share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


class ImageFolderOptions(Frozen):
    """A data set made of image files: `path`/train/<class>/* and `path`/test/<class>/*, or `path`/<class>/*.

    `path` is relative to the configuration's `data_root`. Images are read as RGB and resized to
    `image_size` x `image_size` pixels; `crop_padding` (pixels) and `flip` are the augmentation. `test_share` of
    every class, drawn by `split_seed`, is the test part of a folder without train/ and test/. `mean` and `std`, per
    channel of values in [0, 1], are measured on the training part where they are not given. `stream` decodes the files
    batch by batch instead of once into memory; "auto" does where they would take more than half of that.
    """

    path: Annotated[str, Field(min_length=1)]
    # the deepest of the networks halves its input five times; an image of the largest side has 48 MiB
    image_size: Annotated[int, Field(ge=32, le=4096)] = 32
    crop_padding: Annotated[int, Field(ge=0)] = 0
    flip: bool = False
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    split_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    mean: tuple[Unit, Unit, Unit] | None = None
    std: tuple[Positive, Positive, Positive] | None = None
    stream: Annotated[Literal["auto", True, False], ExcludeFromHash] = "auto"  # the batches are the same

    @field_validator("path")
    @classmethod
    def _below_the_data_root(cls, path: str) -> str:
        pure = PurePosixPath(path)
        # it is part of the run's identity, which must not depend on where one machine keeps its data
        if pure.is_absolute() or ".." in pure.parts:
            raise ValueError("the path must lead below data_root; set data_root to the folder it starts from")
        return str(pure)

    @model_validator(mode="after")
    def _both_statistics(self) -> ImageFolderOptions:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std belong together: give both, or neither to have them measured")
        return self


def check_new_names(names: Iterable[str]) -> None:
    """Raise ValueError where a data set of one's own would share a name with another one, in folders or in tables.

    Folders on many disks ignore case; tables print "CIFAR-10" for `cifar10`.
    """
    built_in = {name: name for name in DATASETS}
    folded: dict[str, str] = {}
    for name in names:
        if known := built_in.get("".join(c for c in name.casefold() if c.isalnum())):
            same = "is" if name == known else f"is written like '{known}', which is"
            raise ValueError(f"'{name}' {same} a built-in data set; choose another name")
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            raise ValueError(f"'{other}' and '{name}' share a folder on disks that ignore case; rename one")
