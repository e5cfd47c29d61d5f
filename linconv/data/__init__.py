"""Data sets by name, device-resident batches, and augmentation."""

from linconv.data.batches import batches, crop
from linconv.data.dataset import Arrays, DataError, Dataset, DatasetInfo
from linconv.data.registry import DATASETS, load

__all__ = ["DATASETS", "Arrays", "DataError", "Dataset", "DatasetInfo", "batches", "crop", "load"]
