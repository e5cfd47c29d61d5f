"""Data sets by name, batches from memory or files, and augmentation."""

from linconv.data.batches import batches, crop
from linconv.data.dataset import Arrays, DataError, Dataset, DatasetInfo
from linconv.data.registry import DATASETS, load
from linconv.data.sources import ImageFiles, LoaderError, StreamedImages, loader_failures

__all__ = [
    "DATASETS",
    "Arrays",
    "DataError",
    "Dataset",
    "DatasetInfo",
    "ImageFiles",
    "LoaderError",
    "StreamedImages",
    "batches",
    "crop",
    "load",
    "loader_failures",
]
