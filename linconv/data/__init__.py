"""Data sets by name, batches from memory or files, and augmentation."""

from linconv.catalogue.datasets import DATASETS, DatasetInfo
from linconv.data.batches import BatchSource, Normalize, Share, batches, crop
from linconv.data.dataset import Arrays, Dataset, Origin, input_size
from linconv.data.errors import DataError
from linconv.data.fingerprint import data_facts
from linconv.data.registry import load
from linconv.data.sources import ImageFiles, Images, LoaderError, StreamedImages, loader_failures
from linconv.data.validation import hold_out

__all__ = [
    "DATASETS",
    "Arrays",
    "BatchSource",
    "DataError",
    "Dataset",
    "DatasetInfo",
    "ImageFiles",
    "Images",
    "LoaderError",
    "Normalize",
    "Origin",
    "Share",
    "StreamedImages",
    "batches",
    "crop",
    "data_facts",
    "hold_out",
    "input_size",
    "load",
    "loader_failures",
]
