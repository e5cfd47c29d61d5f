"""Engines that run exported files on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from linconv.config.errors import UserError, first_line
from linconv.deploy.optional import needed
from linconv.deploy.paths import readable

Run = Callable[[np.ndarray], np.ndarray]
ENGINES = ("onnxruntime", "openvino")


def open_model(path: Path | str, engine: str, *, threads: int) -> Run:
    """A function from a batch of images (n, c, h, w) to the outputs of an ONNX file, run by an engine on the CPU.

    Args:
        path: of a file with one input and one output.
        engine: "onnxruntime" or "openvino". OpenVINO computes in fp32 where the file does, not in bf16.
        threads: CPU threads of the engine.

    Raises:
        ValueError: an unknown engine.
        UserError: there is no such file, or the engine cannot read it; from the function, images that the file does not
            take.
        MissingPackageError: the engine is not installed.
    """
    makers = {"onnxruntime": _onnxruntime, "openvino": _openvino}
    if engine not in makers:
        raise ValueError(f"unknown engine '{engine}'; known: {', '.join(ENGINES)}")
    package = needed(engine, "running an exported model")
    path = readable(path)
    try:
        return makers[engine](package, path, threads)
    except Exception as error:  # whatever an engine raises for a file that it cannot read
        raise UserError(f"{path}: {engine} cannot read the file: {first_line(error)}") from error


def _not_run(path: Path, images: np.ndarray, shape: Sequence[Any], error: Exception) -> UserError:
    """What to say of images that an engine refuses; in `shape`, a size that may be any is no number."""
    wanted = ", ".join(str(size) if str(size).isdecimal() else "any" for size in shape)
    return UserError(
        f"{path}: takes float32 images of shape ({wanted}), and does not run on {images.dtype} of shape "
        f"{images.shape}: {first_line(error)}"
    )


def _onnxruntime(runtime: Any, path: Path, threads: int) -> Run:
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(images: np.ndarray) -> np.ndarray:
        try:
            output: np.ndarray = session.run(None, {name: images})[0]
        except Exception as error:  # its errors have no class in common
            raise _not_run(path, images, session.get_inputs()[0].shape, error) from error
        return output

    return run


def _openvino(openvino: Any, path: Path, threads: int) -> Run:
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    request = compiled.create_infer_request()

    def run(images: np.ndarray) -> np.ndarray:
        try:
            output: np.ndarray = request.infer({0: images}, share_inputs=True)[0]
        except Exception as error:
            raise _not_run(path, images, list(compiled.input(0).partial_shape), error) from error
        return output

    return run
