"""Exports to ONNX, checked in onnxruntime, and their quantization to int8."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from linconv.config.errors import UserError, first_line
from linconv.deploy.engines import open_model
from linconv.deploy.optional import needed
from linconv.deploy.paths import readable, writable, writing
from linconv.layers.copies import copied
from linconv.layers.images import check_sample, check_values, running_on, the_sample
from linconv.layers.replacing import check_module, without_wrapper

log = logging.getLogger("linconv")
MOVED = 0.33  # outputs of int8 that are useless differ by 0.8, good ones by 0.05
TOLERANCE = 1e-3  # of the largest output: kernels of an engine round otherwise than torch's


class ExportError(UserError):
    """A model that cannot be exported, or whose exported file does not give the model's outputs."""


def export_onnx(
    model: nn.Module, sample_input: Tensor, path: Path | str, *, dynamic_batch: bool = False, check: bool = True
) -> Path:
    """Write a model as one ONNX file, and check the file in onnxruntime on the sample.

    A model in training mode is exported as in evaluation; the model is left as it is. To export a form of the layers
    with batch normalization folded in, export `linconv.optimize(model, x, forms=("folded",))` or `("feature",)`.

    Args:
        model: takes and returns one tensor; on the CPU. Of one in DistributedDataParallel or torch.compile, the module
            inside is exported.
        sample_input: (n, c, h, w); the file is for this height and width.
        path: of the file; an existing file is replaced.
        dynamic_batch: the file takes any number of images; otherwise those of the sample, which engines run faster.
        check: run the file in onnxruntime and compare its outputs, for a dynamic batch also with another batch.

    Returns:
        `path`.

    Raises:
        ExportError: the model does not run on the sample, or not on the CPU, does not return one tensor, or cannot be
            exported; onnxruntime cannot run the file, or an output differs by more than `TOLERANCE` of the largest one.
        TypeError: `model` is no module, or `sample_input` no tensor.
        UserError: `path` cannot be written; or a module is of TorchScript or FSDP, or has a wrapper on its own.
        MissingPackageError: onnx, onnxscript or onnxruntime is not installed.
    """
    for package in ("onnx", "onnxscript", *(["onnxruntime"] if check else [])):
        needed(package, "exporting to ONNX")
    check_module(model)
    check_sample(sample_input)
    path = writable(path)
    check_values(model, "export_onnx")
    model = copied(without_wrapper(model, "export")).eval().requires_grad_(False)
    sample = sample_input.detach()
    _check_runs(copied(model), sample)  # a copy, as a pass may change what a model holds
    if dynamic_batch and len(sample) == 1:  # torch.export takes a size of 1 for a constant
        sample = torch.cat([sample, sample])
    shapes = ({0: torch.export.Dim("batch")},) if dynamic_batch else None
    try:
        with _quiet():
            program = torch.onnx.export(
                copied(model),
                (sample,),
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=["input"],
                output_names=["output"],
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ExportError(
            f"torch.onnx.export cannot export the model: {first_line(error.__cause__ or error)}"
        ) from error
    assert program is not None
    with writing(path):
        program.save(str(path), external_data=False)
    if check:
        batches = [sample, *([torch.cat([sample, sample[:1]])] if dynamic_batch else [])]
        for batch in batches:
            _check(copied(model), batch, path)
    return path


def _check_runs(model: nn.Module, sample: Tensor) -> None:
    devices = {tensor.device.type for tensor in (sample, *model.parameters(), *model.buffers())}
    if devices != {"cpu"}:
        raise ExportError(f"export_onnx takes a model and a sample on the CPU, not on {', '.join(sorted(devices))}")
    with torch.inference_mode(), running_on(the_sample(sample), ExportError):
        output = model(sample)
    if not isinstance(output, Tensor):
        raise ExportError(
            f"export_onnx takes a model that returns one tensor, not a {type(output).__name__}; wrap it in a module "
            "that returns one of them"
        )


def _check(model: nn.Module, batch: Tensor, path: Path) -> None:
    with torch.inference_mode():
        expected = model(batch).float().numpy()
    try:
        found = open_model(path, "onnxruntime", threads=torch.get_num_threads())(batch.numpy())
    except Exception as error:  # its errors have no class in common
        of_dtype = f"export model.float(), for it knows little of {batch.dtype}, or "
        raise ExportError(
            f"{path}: written, but onnxruntime cannot run it ({first_line(error)}); "
            f"{'' if batch.dtype == torch.float32 else of_dtype}use check=False for another engine"
        ) from error
    differs = deviation(found, expected)
    if not differs <= TOLERANCE:
        raise ExportError(
            f"{path}: onnxruntime gives other outputs than the model: they differ by {differs:.1e} of the largest "
            "output"
        )


def deviation(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference of two outputs, as a share of the largest expected value."""
    largest = float(np.abs(expected).max(initial=0.0)) or 1.0
    return float(np.abs(found - expected).max(initial=0.0)) / largest


def quantize_onnx(path: Path | str, calibration: Tensor | Iterable[Tensor], output: Path | str) -> Path:
    """Quantize an exported file to int8: weights by output channel, activations by tensor, from their ranges.

    onnxruntime and OpenVINO run the file in int8 on CPUs that have the instructions. Fold batch normalization before
    the export (`linconv.optimize`): a normalization between a convolution and its activation stays in fp32 otherwise.
    Accuracy changes: measure it with the file on images that calibrated nothing. A WARNING says where the outputs
    change by more than a third, as those of the feature form may: its two halves share one scale.

    Args:
        path: a file of `export_onnx`.
        calibration: float32 tensors of real images, of any number of images; a few hundred images are usual. Where the
            file takes a fixed number, they are divided anew, and images that make up no whole batch are left out.
        output: of the quantized file.

    Returns:
        `output`.

    Raises:
        ValueError: too few images for calibration, or images of a size that the file does not take.
        TypeError: a batch is no tensor.
        UserError: there is no file `path`, or it cannot be read; `output` cannot be written.
        MissingPackageError: onnx or onnxruntime is not installed.
    """
    needed("onnx", "quantizing")
    quantization = needed("onnxruntime.quantization", "quantizing")
    path, output = readable(path), writable(output)
    batches = _batches(calibration, _input_shape(path))

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
        moved = _moved(shaped, output, batches)
    if not moved <= MOVED:
        log.warning(
            "quantize_onnx: %s gives other outputs than %s, by %.0f %% of their size on images of the calibration; "
            "measure its accuracy, or export linconv.optimize(model, x, forms=('product',)), which joins no maps",
            output,
            path,
            100 * moved,
        )
    return output


def _moved(fp32: Path, int8: Path, batches: Sequence[np.ndarray]) -> float:
    """The size of what int8 changes in the outputs of a few images, relative to the outputs; root mean squares."""
    few = batches[: max(1, 16 // len(batches[0]))]
    runs = [open_model(path, "onnxruntime", threads=torch.get_num_threads()) for path in (fp32, int8)]
    expected, found = (np.concatenate([run(batch) for batch in few]).astype(np.float64) for run in runs)
    return float(np.sqrt(((found - expected) ** 2).mean()) / (np.sqrt((expected**2).mean()) or 1.0))


def _input_shape(path: Path) -> list[int | None]:
    """The sizes of the input of an exported file; None for a size that may be any."""
    onnx = needed("onnx", "quantizing")
    try:
        (image,) = onnx.load(str(path), load_external_data=False).graph.input
    except Exception as error:  # whatever its parser raises for a file that is none
        raise UserError(f"{path}: no ONNX file with one input: {first_line(error)}") from error
    return [d.dim_value if d.HasField("dim_value") else None for d in image.type.tensor_type.shape.dim]


def _batches(calibration: Tensor | Iterable[Tensor], shape: Sequence[int | None]) -> list[np.ndarray]:
    """The images in batches of the size that a file takes."""
    given = [calibration] if isinstance(calibration, Tensor) else list(calibration)
    for batch in given:
        if not isinstance(batch, Tensor):
            raise TypeError(f"calibration: tensors of images are expected, not {type(batch).__name__}")
        if batch.dtype != torch.float32:
            raise ValueError(f"calibration: images of float32 are expected, not {batch.dtype}")
        if batch.dim() != len(shape) or any(
            w not in (None, g) for w, g in zip(shape[1:], batch.shape[1:], strict=True)
        ):
            sizes = ", ".join("any" if size is None else str(size) for size in shape)
            raise ValueError(f"calibration: images of shape {tuple(batch.shape)}, and the file takes ({sizes})")
    number = shape[0]
    if number is not None and any(len(batch) != number for batch in given):
        given = [batch for batch in torch.cat(given).split(number) if len(batch) == number]
    if not given:
        raise ValueError("calibration: at least one batch of images is needed")
    return [batch.detach().cpu().numpy() for batch in given]


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
