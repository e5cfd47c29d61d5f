"""Exports to ONNX, checked in onnxruntime, and their quantization to int8."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from linconv.config.errors import UserError
from linconv.deploy.engines import open_model
from linconv.deploy.optional import needed
from linconv.layers.copies import copied

TOLERANCE = 1e-3  # of the largest output: kernels of an engine round otherwise than torch's


class ExportError(UserError):
    """An exported file does not give the model's outputs."""


def export_onnx(
    model: nn.Module, sample_input: Tensor, path: Path | str, *, dynamic_batch: bool = False, check: bool = True
) -> Path:
    """Write a model as one ONNX file, and check the file in onnxruntime on the sample.

    A model in training mode is exported as in evaluation; the model is left as it is. To export a form of the layers
    with batch normalization folded in, export `linconv.optimize(model, x, forms=("folded",))` or `("feature",)`.

    Args:
        model: takes and returns one tensor; on the CPU.
        sample_input: (n, c, h, w); the file is for this height and width.
        path: of the file; an existing file is replaced.
        dynamic_batch: the file takes any number of images; otherwise those of the sample, which engines run faster.
        check: run the file in onnxruntime and compare its outputs, for a dynamic batch also with another batch.

    Returns:
        `path`.

    Raises:
        ExportError: an output differs by more than `TOLERANCE` of the largest one.
        MissingPackageError: onnx, onnxscript or onnxruntime is not installed.
    """
    for package in ("onnx", "onnxscript", *(["onnxruntime"] if check else [])):
        needed(package, "exporting to ONNX")
    path = Path(path)
    model = copied(model).eval().requires_grad_(False)
    sample = sample_input.detach()
    if dynamic_batch and len(sample) == 1:  # torch.export takes a size of 1 for a constant
        sample = torch.cat([sample, sample])
    shapes = ({0: torch.export.Dim("batch")},) if dynamic_batch else None
    with _quiet():
        program = torch.onnx.export(
            model,
            (sample,),
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=["input"],
            output_names=["output"],
            verbose=False,
        )
    assert program is not None
    program.save(str(path), external_data=False)
    if check:
        batches = [sample, *([torch.cat([sample, sample[:1]])] if dynamic_batch else [])]
        for batch in batches:
            _check(model, batch, path)
    return path


def _check(model: nn.Module, batch: Tensor, path: Path) -> None:
    with torch.inference_mode():
        expected = model(batch).float().numpy()
    found = open_model(path, "onnxruntime", threads=torch.get_num_threads())(batch.numpy())
    error = deviation(found, expected)
    if not error <= TOLERANCE:
        raise ExportError(
            f"{path}: onnxruntime gives other outputs than the model: they differ by {error:.1e} of the largest output"
        )


def deviation(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference of two outputs, as a share of the largest expected value."""
    largest = float(np.abs(expected).max(initial=0.0)) or 1.0
    return float(np.abs(found - expected).max(initial=0.0)) / largest


def quantize_onnx(path: Path | str, calibration: Iterable[Tensor], output: Path | str) -> Path:
    """Quantize an exported file to int8: weights by output channel, activations by tensor, from their ranges.

    onnxruntime and OpenVINO run the file in int8 on CPUs that have the instructions. Fold batch normalization before
    the export (`linconv.optimize`): a normalization between a convolution and its activation stays in fp32 otherwise.
    Accuracy changes: measure it with the file on images that calibrated nothing.

    Args:
        path: a file of `export_onnx`.
        calibration: batches of real images as the file takes them; a few hundred images are usual.
        output: of the quantized file.

    Returns:
        `output`.

    Raises:
        ValueError: no batch for calibration.
        MissingPackageError: onnx or onnxruntime is not installed.
    """
    needed("onnx", "quantizing")
    quantization = needed("onnxruntime.quantization", "quantizing")
    batches = [batch.detach().cpu().numpy() for batch in calibration]
    if not batches:
        raise ValueError("calibration: at least one batch of images is needed")

    class Reader(quantization.CalibrationDataReader):  # type: ignore[name-defined]
        def __init__(self) -> None:
            self.left = iter(batches)

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self.left, None)
            return None if batch is None else {"input": batch}

    with _quiet(), tempfile.TemporaryDirectory() as folder:
        shaped = Path(folder, "shaped.onnx")  # the quantizer wants the shapes of all tensors in the file
        quantization.quant_pre_process(str(path), str(shaped), skip_symbolic_shape=True)
        quantization.quantize_static(str(shaped), str(output), Reader(), per_channel=True)
    return Path(output)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' progress and advice; errors still raise."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
