"""Engines that run exported files on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from linconv.deploy.optional import needed

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
        MissingPackageError: the engine is not installed.
    """
    if engine == "onnxruntime":
        return _onnxruntime(Path(path), threads)
    if engine == "openvino":
        return _openvino(Path(path), threads)
    raise ValueError(f"unknown engine '{engine}'; known: {', '.join(ENGINES)}")


def _onnxruntime(path: Path, threads: int) -> Run:
    runtime = needed("onnxruntime", "running an exported model")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(images: np.ndarray) -> np.ndarray:
        output: np.ndarray = session.run(None, {name: images})[0]
        return output

    return run


def _openvino(path: Path, threads: int) -> Run:
    openvino = needed("openvino", "running an exported model")
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    request = compiled.create_infer_request()

    def run(images: np.ndarray) -> np.ndarray:
        output: np.ndarray = request.infer({0: images}, share_inputs=True)[0]
        return output

    return run
