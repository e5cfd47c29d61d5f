"""What the data of a run were: container, classes, counts and digests. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Container = Literal[
    "archives", "image columns", "png class folders", "embedded", "generated", "image folder", "imagenet"
]
Count = Annotated[int, Field(ge=0)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class PartContent(BaseModel):
    """One part of a data set.

    Args:
        images: how many.
        per_class: how many of each class, in the order of the labels.
        digest: of images and labels, whatever their order and container (linconv/data/content.py); None where the
            images are streamed, since they are never all in memory.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: Count
    per_class: tuple[Count, ...]
    digest: Digest | None

    @model_validator(mode="after")
    def _counts_add_up(self) -> PartContent:
        if sum(self.per_class) != self.images:
            raise ValueError(f"per_class sums to {sum(self.per_class)}, not to {self.images} images")
        return self


class DataContent(BaseModel):
    """What a data set held when a run loaded it; the training part counts before a validation part is held out.

    Args:
        name: of the data set.
        container: the kind of files that it came from.
        decoder: library and version that turned the files into pixels.
        split: 0 for the data set's own parts, else the number of the new split of all its images.
        known: True where the digests of its own parts are the published ones; None where none is known to compare with.
        classes: names in the order of the labels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    container: Container
    decoder: str
    split: Count = 0
    known: Literal[True] | None
    classes: tuple[str, ...]
    train: PartContent
    test: PartContent

    @model_validator(mode="after")
    def _counts_per_class(self) -> DataContent:
        for part in (self.train, self.test):
            if len(part.per_class) != len(self.classes):
                raise ValueError(f"{len(part.per_class)} counts for {len(self.classes)} classes")
        if self.known and not (self.train.digest and self.test.digest):
            raise ValueError("known content needs the digests of both parts")
        return self
