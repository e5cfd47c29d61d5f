"""From a trained model to one that runs elsewhere: files, exports, engines, int8 (`pip install linconv[deploy]`)."""

from linconv.deploy.engines import ENGINES, open_model
from linconv.deploy.files import load, save
from linconv.deploy.onnx import ExportError, deviation, export_onnx, quantize_onnx
from linconv.deploy.optional import MissingPackageError
from linconv.deploy.reading import ModelFileError

__all__ = [
    "ENGINES",
    "ExportError",
    "MissingPackageError",
    "ModelFileError",
    "deviation",
    "export_onnx",
    "load",
    "open_model",
    "quantize_onnx",
    "save",
]
