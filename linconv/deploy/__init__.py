"""From a trained model to one that runs elsewhere: files, exports, engines, int8 (`pip install linconv[deploy]`)."""

from linconv.deploy.files import ModelFileError, load, save
from linconv.deploy.optional import MissingPackageError

__all__ = ["MissingPackageError", "ModelFileError", "load", "save"]
